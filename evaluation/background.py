"""Whether the background was left alone: PSNR outside of the person, at the frames' own size.

Outside is what is farther from every pixel of the source's matte than a margin. The decibels are those of each frame by
itself, averaged; a frame that is identical there counts as `HIGHEST_PSNR`, and the share of identical pixels says how
much was not touched at all.
"""

import cv2
import numpy as np
from jaxtyping import Bool, Float32

from evaluation.curves import Curves, mean_measure
from evaluation.image_quality import HIGHEST_PSNR, decibels
from evaluation.measurement import FramePair, Measure

MARGIN = 0.02
"""How far from the matte the background begins, as a fraction of the frame's longer side."""
UNKNOWN = "The matte is not known, or it leaves no background: give a tracked clip."


class BackgroundKept:
    """PSNR and share of identical pixels outside of the source's dilated matte."""

    def __init__(self) -> None:
        self._curves = Curves(("psnr", "identical"))

    def update(self, pair: FramePair) -> None:
        """Compare the two pictures where nobody is."""
        outside = None if pair.matte is None else outside_of(pair.matte)
        if outside is None or not outside.any():
            self._curves.add({})
            return
        difference = cv2.absdiff(pair.source, pair.edited)
        squared = cv2.mean(cv2.multiply(difference, difference, dtype=cv2.CV_32F), outside.astype(np.uint8))[:3]
        identical = difference.max(axis=-1)[outside] == 0
        self._curves.add(
            {"psnr": decibels(float(np.mean(squared)) / 255**2), "identical": float(identical.mean())},
        )

    def measures(self) -> list[Measure]:
        """Both numbers."""
        return [
            mean_measure(
                "background_psnr",
                self._curves["psnr"],
                f"PSNR of edit and source farther from the person than {MARGIN:.0%} of the frame's longer side; "
                f"{HIGHEST_PSNR:.0f} means identical.",
                unit="dB",
                better="higher",
                missing=UNKNOWN,
            ),
            mean_measure(
                "background_identical_share",
                self._curves["identical"],
                "Share of those pixels in which edit and source are equal in all channels.",
                better="higher",
                missing=UNKNOWN,
            ),
        ]


def outside_of(matte: Float32[np.ndarray, "height width"]) -> Bool[np.ndarray, "height width"]:
    """What lies farther than the margin from every pixel of which the matte is not 0."""
    reach = max(1, round(MARGIN * max(matte.shape)))
    distance = cv2.distanceTransform((matte == 0).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(distance) > reach
