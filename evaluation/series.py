"""Two curves over time compared: how much they go together, and which of them is late."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

LEAST_FRAMES = 10
"""Fewer common frames say nothing about going together."""


class Lag(NamedTuple):
    """By how many frames one curve follows another, and how well it does so."""

    frames: int
    correlation: float


def by_number(numbers: list[int], values: list[float]) -> Float[np.ndarray, "frames"]:
    """Values in the place of their frame's number, from the first to the last; NaN in between where there is none."""
    if not numbers:
        return np.zeros(0)
    series = np.full(max(numbers) - min(numbers) + 1, np.nan)
    series[np.array(numbers) - min(numbers)] = values
    return series


def correlation(
    first: Float[np.ndarray, "frames"], second: Float[np.ndarray, "frames"], least_deviation: float = 0.0
) -> float | None:
    """Pearson's r over the frames where both are known.

    Args:
        least_deviation: a first curve whose standard deviation is no more than this has no motion to go along with.

    Returns:
        0 if the second curve does not change at all: it has none of the first one's motion. None if these frames are
        too few, or if the first curve hardly changes.
    """
    both = np.isfinite(first) & np.isfinite(second)
    if both.sum() < LEAST_FRAMES:
        return None
    first, second = first[both] - first[both].mean(), second[both] - second[both].mean()
    if first.std() <= max(least_deviation, 1e-12):
        return None
    if second.std() <= 1e-12:
        return 0.0
    return float((first * second).sum() / np.sqrt((first**2).sum() * (second**2).sum()))


def find_lag(
    leader: Float[np.ndarray, "frames"], follower: Float[np.ndarray, "frames"], most: int, least_correlation: float
) -> Lag | None:
    """By how many frames the follower is late: the shift at which both correlate best.

    Args:
        most: frames, either way.
        least_correlation: with less than this at the best shift, no shift means anything.

    Returns:
        Positive if the follower is late. None where nothing correlates.
    """
    best: Lag | None = None
    for shift in sorted(range(-most, most + 1), key=abs):
        if len(leader) - abs(shift) < LEAST_FRAMES:
            continue
        ahead = leader[max(0, -shift) : len(leader) - max(0, shift)]
        behind = follower[max(0, shift) : len(follower) - max(0, -shift)]
        found = correlation(ahead, behind)
        # Of equals the smallest shift stands: it was tried first.
        if found is not None and (best is None or found > best.correlation + 1e-9):
            best = Lag(shift, found)
    return best if best is not None and best.correlation >= least_correlation else None
