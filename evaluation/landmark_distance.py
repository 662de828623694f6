"""Whether the face's points stayed where they were: landmark distance after a similarity alignment.

The edit's 478 points are laid onto the source's by the turn, scale and shift that fit all of them best, so that what
counts is the face's shape and expression, not where the head is. The mean distance of the points is divided by the
source's distance between the irises. Means over the frames in which both faces were found.
"""

import numpy as np
from jaxtyping import Float

from evaluation.curves import Curves, mean_measure
from evaluation.face_alignment import iris_distance, moved, similarity_onto
from evaluation.measurement import FaceMeasurement, FramePair, Measure
from tracking.face_regions import INNER_LIPS, LEFT_EYE, OUTER_LIPS, RIGHT_EYE

PARTS = {
    "": (slice(None), "all 478 landmarks"),
    "_lips": (np.array([*OUTER_LIPS, *INNER_LIPS]), "the 40 landmarks of the lips"),
    "_eyes": (np.array([*RIGHT_EYE, *LEFT_EYE]), "the 32 landmarks of the eyelids"),
}
NO_FACE = "No frame shows a face in both source and edit."


class LandmarkDistance:
    """Mean distance of aligned landmarks, in units of the distance between the irises."""

    def __init__(self) -> None:
        self._curves = Curves([*PARTS, "found"])

    def update(self, pair: FramePair) -> None:
        """Compare the two faces."""
        source, edited = pair.source_face, pair.edited_face
        found = {} if source is None else {"found": float(edited is not None)}
        distances = {} if source is None or edited is None else aligned_distances(source, edited)
        self._curves.add({**found, **distances})

    def measures(self) -> list[Measure]:
        """For all points, lips and eyes; and in how many frames the edit has a face at all."""
        distances = [
            mean_measure(
                f"landmark_distance{part}",
                self._curves[part],
                f"Mean distance of {what} of edit and source after a similarity alignment of all landmarks, in units "
                "of the distance between the irises.",
                better="lower",
                missing=NO_FACE,
            )
            for part, (_, what) in PARTS.items()
        ]
        found = mean_measure(
            "face_found_share",
            self._curves["found"],
            "Share of the frames with a face in the source in which a face is found in the edit, too.",
            better="higher",
            missing="No face was found in the source.",
        )
        return [*distances, found]


def aligned_distances(source: FaceMeasurement, edited: FaceMeasurement) -> dict[str, float]:
    """The mean distance of each of `PARTS`."""
    return distances_after_alignment(source.landmarks[:, :2], edited.landmarks[:, :2])


def distances_after_alignment(
    source: Float[np.ndarray, "478 2"], edited: Float[np.ndarray, "478 2"]
) -> dict[str, float]:
    """The mean distance of the landmarks of each of `PARTS`, in the source's iris distances."""
    aligned = moved(edited, similarity_onto(edited, source))
    distances = np.linalg.norm(aligned - source, axis=1) / iris_distance(source)
    return {part: float(distances[chosen].mean()) for part, (chosen, _) in PARTS.items()}
