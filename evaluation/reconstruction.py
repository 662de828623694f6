"""How close a rendering is to what was filmed, pixel by pixel and in structure.

Meant for the unedited avatar: an edit that did its work is not close to its source. The mean over frames (of decibels,
for PSNR) of each frame by itself, whole and in parts; colours in [0, 1].
"""

import numpy as np

from evaluation.areas import AREAS, area_weights
from evaluation.curves import Curves, mean_measure
from evaluation.image_quality import HIGHEST_PSNR, psnr, ssim_map, weighted_mean
from evaluation.measurement import FramePair, Measure

MEANINGS = {
    "psnr": f"Peak signal-to-noise ratio, -10 log10 of the mean squared error, at most {HIGHEST_PSNR:.0f}",
    "ssim": "Structural similarity (Wang et al. 2004, Gaussian window of deviation 1.5)",
}


class ReconstructionQuality:
    """PSNR and SSIM of the edited frames against the source's."""

    def __init__(self) -> None:
        self._curves = Curves(f"{name}{area}" for name in MEANINGS for area in AREAS)

    def update(self, pair: FramePair) -> None:
        """Compare the two pictures in every area that is known."""
        source, edited = (picture.astype(np.float32) / 255 for picture in (pair.source, pair.edited))
        structure = ssim_map(source, edited)
        numbers = {}
        for area, weight in area_weights(pair).items():
            numbers[f"psnr{area}"] = psnr(source, edited, weight)
            numbers[f"ssim{area}"] = weighted_mean(structure, weight)
        self._curves.add(numbers)

    def measures(self) -> list[Measure]:
        """Both, in every area."""
        return [
            mean_measure(
                f"{name}{area}",
                self._curves[f"{name}{area}"],
                f"{meaning}, {where}.",
                unit="dB" if name == "psnr" else "",
                better="higher",
                missing="No frame's matte or landmarks are known, so this part of it cannot be told.",
            )
            for name, meaning in MEANINGS.items()
            for area, where in AREAS.items()
        ]
