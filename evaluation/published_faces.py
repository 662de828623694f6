"""The face's measures as the results of other systems were measured: by MediaPipe's FaceLandmarker on both pictures.

Landmarks, blendshape scores and the face's transform come from the landmarker's reading of each frame of source and
edit. Distances are taken after a similarity alignment of all points, in units of the source's distance between the
irises; rotations by the angle between the two transforms; scores are correlated over time. The project's own measures
of the same names without `landmarker_` use its tracking instead, which is steadier.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np

from evaluation.curves import Curves, mean_measure
from evaluation.expressions import FOLLOWED
from evaluation.face_reader import FaceReader
from evaluation.head_rotation import angle_between
from evaluation.landmark_distance import NO_FACE, PARTS, distances_after_alignment
from evaluation.measurement import FramePair, Measure
from evaluation.series import LEAST_FRAMES, correlation

LEAST_DEVIATION = 0.02
"""A score of the source that varies less than this over time, as a standard deviation, is the landmarker's noise."""
BY = "as MediaPipe's FaceLandmarker reads both pictures"
MEANINGS = {
    **{
        f"landmarker_distance{part}": f"Mean distance of {what} of edit and source after a similarity alignment of all "
        f"landmarks, in units of the distance between the irises, {BY}."
        for part, (_, what) in PARTS.items()
    },
    "landmarker_rotation": f"Angle between the face's rotations in edit and source, {BY}.",
    **{
        f"landmarker_correlation_{name}": f"Pearson's correlation over time of the score of {name} in edit and source, "
        f"{BY}."
        for name in FOLLOWED
    },
}
"""What each measure means."""


def better_of(name: str) -> Literal["higher", "lower"]:
    """Whether a higher or a lower value is better."""
    return "higher" if "correlation" in name else "lower"


class PublishedFaces:
    """Landmarks, rotation and expressions of both faces, read frame by frame without any fit."""

    def __init__(self, make_reader: Callable[[], FaceReader]) -> None:
        """
        Args:
            make_reader: gives a new reader; source and edit are read by one each, for readers follow a face.
        """
        self._source_reader, self._edited_reader = make_reader(), make_reader()
        self._curves = Curves([*PARTS, "angle"])
        self._source, self._edited = Curves(FOLLOWED), Curves(FOLLOWED)

    def update(self, pair: FramePair) -> None:
        """Read and compare both faces."""
        source, edited = self._source_reader.read(pair.source), self._edited_reader.read(pair.edited)
        # Frames that are not tracked are never edited: they would pass for faithful edits.
        if source is None or edited is None or pair.matte is None:
            for curves in (self._curves, self._source, self._edited):
                curves.add({})
            return
        distances = distances_after_alignment(source.landmarks, edited.landmarks)
        self._curves.add({**distances, "angle": angle_between(source.rotation, edited.rotation)})
        self._source.add({name: source.scores[name] for name in FOLLOWED if name in source.scores})
        self._edited.add({name: edited.scores[name] for name in FOLLOWED if name in edited.scores})

    def measures(self) -> list[Measure]:
        """Distances, angle and correlations. The readers are let go: nothing can be added any more."""
        self._source_reader.close()
        self._edited_reader.close()
        names = {part: f"landmarker_distance{part}" for part in PARTS}
        found = [
            mean_measure(name, self._curves[part], MEANINGS[name], better="lower", missing=NO_FACE)
            for part, name in names.items()
        ]
        angle = MEANINGS["landmarker_rotation"]
        found.append(
            mean_measure(
                "landmarker_rotation", self._curves["angle"], angle, unit="degrees", better="lower", missing=NO_FACE
            )
        )
        return [*found, *(self._correlation(name) for name in FOLLOWED)]

    def _correlation(self, name: str) -> Measure:
        source, edited = self._source[name], self._edited[name]
        value = correlation(source, edited, LEAST_DEVIATION)
        known = int((np.isfinite(source) & np.isfinite(edited)).sum())
        why = "" if value is not None else NO_FACE
        if value is None and known:
            why = (
                f"Fewer than {LEAST_FRAMES} frames show a face in both source and edit."
                if known < LEAST_FRAMES
                else f"The source's {name} hardly moves, so there is nothing to go along with."
            )
        key = f"landmarker_correlation_{name}"
        return Measure(key, value, MEANINGS[key], better="higher", missing=why)
