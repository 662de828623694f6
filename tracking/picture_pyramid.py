"""A picture and its reduced copies, for models that look at it in small."""

import cv2
import numpy as np
from jaxtyping import UInt8


class PicturePyramid:
    """A picture, and its copies reduced by powers of two, made when they are first asked for."""

    def __init__(self, image: UInt8[np.ndarray, "height width 3"]) -> None:
        self.height, self.width = image.shape[:2]
        self._reduced = {1: image}

    def reduction_to(self, length: float, wanted: float) -> int:
        """The greatest power of two that leaves `wanted` pixels of a length, and something of the picture."""
        ratio = min(length / wanted, self.height, self.width)
        return 1 << max(0, int(np.log2(max(ratio, 1))))

    def reduced(self, reduction: int) -> UInt8[np.ndarray, "height width 3"]:
        """The picture with `reduction` x `reduction` pixels averaged to one."""
        if reduction not in self._reduced:
            width, height = self.width // reduction, self.height // reduction
            whole = self._reduced[1][: height * reduction, : width * reduction]
            self._reduced[reduction] = cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)
        return self._reduced[reduction]
