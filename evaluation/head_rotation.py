"""Whether the head kept its pose: the angle between the head's rotations in source and edit.

The angle of R_edit R_source^T in degrees, mean over the frames in which both faces were tracked. (APD in the papers of
talking heads, which sum angles instead.)
"""

import numpy as np
from jaxtyping import Float

from evaluation.curves import Curves, mean_measure
from evaluation.landmark_distance import NO_FACE
from evaluation.measurement import FramePair, Measure


class HeadRotation:
    """How far the edit's head is turned from the source's."""

    def __init__(self) -> None:
        self._curves = Curves(("angle",))

    def update(self, pair: FramePair) -> None:
        """Compare the two rotations."""
        if pair.source_face is None or pair.edited_face is None:
            self._curves.add({})
        else:
            self._curves.add({"angle": angle_between(pair.source_face.rotation, pair.edited_face.rotation)})

    def measures(self) -> list[Measure]:
        """The mean angle."""
        return [
            mean_measure(
                "head_rotation_difference",
                self._curves["angle"],
                "Angle between the head's rotations in edit and source, both tracked alike.",
                unit="degrees",
                better="lower",
                missing=NO_FACE,
            )
        ]


def angle_between(first: Float[np.ndarray, "3 3"], second: Float[np.ndarray, "3 3"]) -> float:
    """Degrees from one rotation to the other, in [0, 180].

    By the chord |R1 - R2| = 2 sqrt(2) sin(angle / 2), which stays exact near 0, where the trace's arc cosine does not.
    """
    chord = np.linalg.norm(np.asarray(first, np.float64) - second) / (2 * np.sqrt(2))
    return float(2 * np.degrees(np.arcsin(min(chord, 1.0))))
