"""How crisp the edit is beside its source: the variance of the brightness' Laplacian.

A low flow-warp error can be bought with blur; this shows it (a focus measure: Pech-Pacheco et al., ICPR 2000). Grey
levels 0 to 255, OpenCV's 3 x 3 Laplacian, at the size of the frames; the mean over frames, edit over source.
"""

import cv2
import numpy as np
from jaxtyping import Bool

from evaluation.areas import person_and_region
from evaluation.curves import Curves, ratio_measure
from evaluation.measurement import FramePair, Measure, Picture

AREAS = {"": "in the whole frame", "_in_matte": "in the source's matte"}


class Sharpness:
    """The edit's sharpness over the source's."""

    def __init__(self) -> None:
        self._edited, self._source = Curves(AREAS), Curves(AREAS)

    def update(self, pair: FramePair) -> None:
        """Measure both pictures."""
        masks = {"": np.ones(pair.source.shape[:2], bool), **person_and_region(pair, ())}
        self._source.add(laplacian_variances(pair.source, masks))
        self._edited.add(laplacian_variances(pair.edited, masks))

    def measures(self) -> list[Measure]:
        """The ratio, whole and in the matte."""
        return [
            ratio_measure(
                f"sharpness_ratio{area}",
                self._edited[area],
                self._source[area],
                f"Variance of the Laplacian of the edit over the source's, {where}: below 1 the edit is blurred, far "
                "above 1 it is noisy or drawn with edges.",
                missing="The matte is not known.",
                still="The source has no detail at all.",
            )
            for area, where in AREAS.items()
        ]


def laplacian_variances(picture: Picture, masks: dict[str, Bool[np.ndarray, "height width"]]) -> dict[str, float]:
    """The variance of the Laplacian over each mask that holds anything."""
    laplacian = cv2.Laplacian(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.CV_32F)
    return {name: float(laplacian[mask].var(dtype=np.float64)) for name, mask in masks.items() if mask.any()}
