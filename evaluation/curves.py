"""Numbers of frames, one after the other, and what is said of them in the end."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Literal

import numpy as np
from jaxtyping import Float

from evaluation.measurement import FramePair, Measure

NOWHERE = "No frame allowed it to be measured."


class Curves:
    """Named numbers of every pair handed over, in order; NaN where one was not measured."""

    def __init__(self, names: Iterable[str]) -> None:
        self._values: dict[str, list[float]] = {name: [] for name in names}

    def add(self, values: Mapping[str, float]) -> None:
        """The numbers of the next pair. What is not among them was not measured."""
        assert values.keys() <= self._values.keys()
        for name, curve in self._values.items():
            curve.append(values.get(name, float("nan")))

    def __getitem__(self, name: str) -> Float[np.ndarray, "frames"]:
        return np.array(self._values[name], dtype=np.float64)

    def mean(self, name: str) -> float | None:
        """Over the frames where it was measured; none if it never was."""
        return mean_of(self[name])


def mean_of(curve: Float[np.ndarray, "frames"]) -> float | None:
    """The mean of what was measured; none if nothing was."""
    measured = curve[np.isfinite(curve)]
    return float(measured.mean()) if len(measured) else None


def mean_measure(
    name: str,
    curve: Float[np.ndarray, "frames"],
    meaning: str,
    unit: str = "",
    better: Literal["higher", "lower", "neither"] = "neither",
    missing: str = NOWHERE,
) -> Measure:
    """The mean over frames, with its curve.

    Args:
        missing: what to say if no frame was measured.
    """
    value = mean_of(curve)
    return Measure(name, value, meaning, unit, better, missing if value is None else "", curve)


def ratio_measure(
    name: str,
    edited: Float[np.ndarray, "frames"],
    source: Float[np.ndarray, "frames"],
    meaning: str,
    better: Literal["higher", "lower", "neither"] = "neither",
    missing: str = NOWHERE,
    still: str = "The source's own value is 0 throughout, so nothing can be compared with it.",
) -> Measure:
    """The edit's mean over the source's, over the frames where both were measured.

    A ratio of means: a mean of ratios would be ruled by the frames in which the source's value is near 0. The curve is
    each frame's value of the edit over the source's mean.

    Args:
        still: what to say if the source's mean is 0.
    """
    both = np.isfinite(edited) & np.isfinite(source)
    if not both.any():
        return Measure(name, None, meaning, "x", better, missing)
    floor = float(source[both].mean())
    if floor <= 0:
        return Measure(name, None, meaning, "x", better, still)
    return mean_measure(name, np.where(both, edited / floor, np.nan), meaning, "x", better)


class Missing:
    """A metric that cannot be measured here, and says why under the names that it would have."""

    def __init__(self, measures: Iterable[Measure], reason: str) -> None:
        """What it would have said, but for the values; and what to do about it."""
        self._measures = [replace(measure, value=None, missing=reason, curve=None) for measure in measures]

    def update(self, pair: FramePair) -> None:
        """Nothing is looked at."""

    def measures(self) -> list[Measure]:
        """All of them, without values."""
        return self._measures
