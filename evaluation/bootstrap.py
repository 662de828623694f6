"""How sure a difference of two frame-by-frame measures is, from the frames alone.

Neighbouring frames are alike, so they may not be drawn one by one: that would make every interval too narrow. Blocks of
neighbours are drawn instead, with replacement and around the end (the circular block bootstrap of Politis and Romano,
1992), as long as the differences are alike: twice their integrated autocorrelation time. The frames of both videos are
drawn together, since both show the same moments. What is said is about this clip: other clips may differ by more.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

DRAWS = 2000
CONFIDENCE = 0.95
LEAST_FRAMES = 8
"""Fewer say nothing of their own spread."""
MOST_OF_CLIP = 4
"""A block is at most such a part of the frames: with fewer blocks every draw would be alike."""


@dataclass(frozen=True)
class Interval:
    """A mean difference, and what it may be."""

    mean: float
    low: float
    high: float
    frames: int
    """How many frames both videos have a number for."""
    block: int
    """Frames drawn together."""

    @property
    def excludes_zero(self) -> bool:
        """Whether the difference is surer than chance."""
        return self.low > 0 or self.high < 0


def paired_interval(first: Float[np.ndarray, "frames"], second: Float[np.ndarray, "frames"]) -> Interval | None:
    """The mean of second minus first, over the frames that have both, with its confidence interval.

    Returns:
        None if there are too few such frames.
    """
    differences = second - first
    differences = differences[np.isfinite(differences)]
    count = len(differences)
    if count < LEAST_FRAMES:
        return None
    block = block_length(differences)
    generator = np.random.default_rng(0)
    starts = generator.integers(0, count, (DRAWS, -(-count // block)))
    # The sum over a block that starts anywhere, going around the end.
    sums = np.concatenate([[0.0], np.cumsum(np.concatenate([differences, differences[:block]]))])
    whole = sums[starts + block] - sums[starts]
    means = whole.sum(axis=1) / (block * starts.shape[1])
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(float(differences.mean()), float(low), float(high), count, block)


def block_length(values: Float[np.ndarray, "frames"]) -> int:
    """Twice the integrated autocorrelation time, in frames: 1 + 2 sum of the correlations up to the first that is not
    positive."""
    count = len(values)
    centered = values - values.mean()
    power = float((centered**2).sum())
    time = 1.0
    if power > 0:
        for lag in range(1, count // MOST_OF_CLIP):
            correlation = float((centered[lag:] * centered[:-lag]).sum()) / power
            if correlation <= 0:
                break
            time += 2 * correlation
    return max(1, min(round(2 * time) if time > 1 else 1, count // MOST_OF_CLIP))
