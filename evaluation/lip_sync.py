"""Whether the lips open and close as they did, and in time: the curve of the lips' aperture in edit and source.

The aperture is the distance between the middles of the inner lips (MediaPipe's points 13 and 14) over the distance
between the irises, of each face by itself. The lag is the shift at which the two curves correlate best.
"""

import numpy as np
from jaxtyping import Float

from evaluation.curves import Curves
from evaluation.face_alignment import iris_distance
from evaluation.landmark_distance import NO_FACE
from evaluation.measurement import FramePair, Measure
from evaluation.series import LEAST_FRAMES, by_number, correlation, find_lag

UPPER_LIP, LOWER_LIP = 13, 14
LEAST_DEVIATION = 0.003
"""Lips whose aperture varies less than this, in iris distances as a standard deviation, are at rest: it is the
detector's noise on a face of a hundred pixels."""
MOST_LAG = 10
"""Frames, either way, in which a lag is searched."""
LEAST_CORRELATION = 0.5
"""With less than this at the best shift, a lag would be an accident."""


class LipSync:
    """Correlation and lag of the lips' aperture."""

    def __init__(self) -> None:
        self._numbers: list[int] = []
        self._curves = Curves(("source", "edited"))

    def update(self, pair: FramePair) -> None:
        """Measure the aperture of both mouths."""
        faces = {"source": pair.source_face, "edited": pair.edited_face}
        self._numbers.append(pair.number)
        self._curves.add({name: aperture(face.landmarks) for name, face in faces.items() if face is not None})

    def measures(self) -> list[Measure]:
        """Correlation and lag."""
        source, edited = (by_number(self._numbers, list(self._curves[name])) for name in ("source", "edited"))
        together = correlation(source, edited, LEAST_DEVIATION)
        lag = None if together is None else find_lag(source, edited, MOST_LAG, LEAST_CORRELATION)
        resting = "" if together is not None else self._why_not(source, edited)
        return [
            Measure(
                "lip_aperture_correlation",
                together,
                "Pearson's correlation over time of how far the lips are apart in edit and source.",
                better="higher",
                missing=resting,
            ),
            Measure(
                "lip_lag",
                None if lag is None else float(lag.frames),
                f"By how many frames the edit's lips are late: the shift of at most {MOST_LAG} frames at which both "
                "apertures correlate best. 0 is in time.",
                unit="frames",
                missing=""
                if lag is not None
                else resting or "The lips do not go along with the source's at any shift.",
            ),
        ]

    def _why_not(self, source: Float[np.ndarray, "frames"], edited: Float[np.ndarray, "frames"]) -> str:
        both = np.isfinite(source) & np.isfinite(edited)
        if not both.any():
            return NO_FACE
        if both.sum() < LEAST_FRAMES:
            return f"Fewer than {LEAST_FRAMES} frames show a face in both source and edit."
        return "The source's lips hardly move: there is nothing to go along with."


def aperture(landmarks: Float[np.ndarray, "478 2"]) -> float:
    """How far the lips are apart, in iris distances."""
    return float(np.linalg.norm(landmarks[UPPER_LIP, :2] - landmarks[LOWER_LIP, :2]) / iris_distance(landmarks))
