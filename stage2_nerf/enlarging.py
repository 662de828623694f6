"""From the clip's size to the source's: colours smoothly, masks along the source's own edges."""

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from tracking.guided_filter import GuidedFilter

WINDOW = 0.012
"""Reach of the guided filter, as a fraction of the clip's longer side: about a lock of hair."""
SMOOTHNESS = 1e-4
"""Variance of colours below which the source counts as flat, and a mask is merely smoothed."""


class Enlarger:
    """Brings pictures of the clip's size to the size that the crop has in the source."""

    def __init__(self, image: UInt8[np.ndarray, "height width 3"], source: UInt8[np.ndarray, "rows columns 3"]) -> None:
        """
        Args:
            image: the frame as the clip holds it.
            source: the same part of the frame as the source holds it.
        """
        self._image, self._source = image, source
        self.is_needed = image.shape != source.shape
        """Whether the sizes differ at all; if not, every picture is returned as it is."""
        self._filter: GuidedFilter | None = None

    def colours(self, picture: Float32[np.ndarray, "height width *channels"]) -> Float32[np.ndarray, "..."]:
        """A picture, smoothly enlarged."""
        if not self.is_needed:
            return picture
        rows, columns = self._source.shape[:2]
        return cv2.resize(picture, (columns, rows), interpolation=cv2.INTER_LINEAR)

    def mask(self, mask: Float32[np.ndarray, "height width"]) -> Float32[np.ndarray, "rows columns"]:
        """A mask in [0, 1], enlarged so that its edges fall on the source's (guided filter, He & Sun 2015).

        Where smooth enlarging gives 0 or 1 it stays so; in between, fine hair that the clip is too small to show is
        told from what is behind it.
        """
        if not self.is_needed:
            return mask
        if mask.min() == mask.max():
            return np.full(self._source.shape[:2], mask.flat[0], np.float32)
        if self._filter is None:
            radius = max(2, round(WINDOW * max(self._image.shape[:2])))
            self._filter = GuidedFilter(self._image.astype(np.float32) / 255, radius, SMOOTHNESS)
        kernel = np.ones((3, 3), np.uint8)
        most, least = self.colours(cv2.dilate(mask, kernel)), self.colours(cv2.erode(mask, kernel))
        smooth = self.colours(mask)
        sharp = np.clip(self._filter.smooth_at(mask, self._source), least, most)
        return np.where((smooth == 0) | (smooth == 1), smooth, sharp)
