"""Whether the face still does what it did: expressions of edit and source, frame by frame and over time.

Both are tracked alike, so that what the tracker gets wrong it gets wrong twice. The error is the mean absolute
difference over the named expressions (AED in the papers of talking heads, there of another face model's coefficients).
Pearson's correlation over time is blind to offset and scale and tells whether the motion is kept.
"""

from collections.abc import Sequence

import numpy as np

from evaluation.curves import Curves, mean_measure
from evaluation.landmark_distance import NO_FACE
from evaluation.measurement import FramePair, Measure
from evaluation.series import LEAST_FRAMES, correlation

FOLLOWED = ("jawOpen", "eyeBlinkLeft", "eyeBlinkRight", "mouthSmileLeft", "mouthPucker")
LEAST_DEVIATION = 0.01
"""An expression of the source that varies less than this over time, as a standard deviation, is still."""


class ExpressionsKept:
    """Expression error, and how each of a few expressions goes along with the source's."""

    def __init__(self, names: Sequence[str], followed: Sequence[str] = FOLLOWED) -> None:
        """Expect expressions under these names, in this order; follow those of the second list over time."""
        self._places = {name: list(names).index(name) if name in names else None for name in followed}
        self._error = Curves(("error",))
        self._source, self._edited = Curves(followed), Curves(followed)

    def update(self, pair: FramePair) -> None:
        """Compare the two faces."""
        if pair.source_face is None or pair.edited_face is None:
            self._error.add({})
            self._source.add({})
            self._edited.add({})
            return
        source, edited = pair.source_face.expression, pair.edited_face.expression
        # A detector that scores expressions has no score for some of them.
        known = np.isfinite(source) & np.isfinite(edited)
        self._error.add({"error": float(np.abs(edited - source)[known].mean())} if known.any() else {})
        places = {name: place for name, place in self._places.items() if place is not None}
        self._source.add({name: float(source[place]) for name, place in places.items()})
        self._edited.add({name: float(edited[place]) for name, place in places.items()})

    def measures(self) -> list[Measure]:
        """The error and the correlations."""
        error = mean_measure(
            "expression_error",
            self._error["error"],
            "Mean absolute difference of the tracked expressions of edit and source, each about [0, 1].",
            better="lower",
            missing=NO_FACE,
        )
        return [error, *(self._correlation(name) for name in self._places)]

    def _correlation(self, name: str) -> Measure:
        source, edited = self._source[name], self._edited[name]
        value = correlation(source, edited, LEAST_DEVIATION)
        return Measure(
            f"correlation_{name}",
            value,
            f"Pearson's correlation over time of {name} in edit and source: 1 if the motion is kept.",
            better="higher",
            missing="" if value is not None else self._why_not(name),
        )

    def _why_not(self, name: str) -> str:
        source, edited = self._source[name], self._edited[name]
        both = np.isfinite(source) & np.isfinite(edited)
        if self._places[name] is None:
            return f"The tracker's expressions have no {name}."
        if both.sum() < LEAST_FRAMES:
            return f"Fewer than {LEAST_FRAMES} frames show a face in both source and edit."
        return f"The source's {name} hardly moves, so there is nothing to go along with."
