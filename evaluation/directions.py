"""Directions compared: cosines, and the mean cosine of all pairs of many without keeping them."""

import numpy as np
from jaxtyping import Float


def cosine(first: Float[np.ndarray, "dimensions"], second: Float[np.ndarray, "dimensions"]) -> float:
    """Of the angle between two vectors; NaN if either has no length."""
    lengths = np.linalg.norm(first) * np.linalg.norm(second)
    return float(np.clip(first @ second / lengths, -1, 1)) if lengths > 1e-12 else float("nan")


class AllPairs:
    """The mean cosine of all pairs of different members.

    The squared length of the sum of n unit vectors is n plus twice the sum over all pairs, so the sum is all that must
    be kept.
    """

    def __init__(self) -> None:
        self.count = 0
        self._sum: Float[np.ndarray, "dimensions"] | None = None

    def add(self, direction: Float[np.ndarray, "dimensions"]) -> None:
        """Another member, of length 1."""
        self.count += 1
        self._sum = direction.astype(np.float64) if self._sum is None else self._sum + direction

    def mean(self) -> float | None:
        """None for fewer than two members."""
        if self.count < 2 or self._sum is None:
            return None
        return float((self._sum @ self._sum - self.count) / (self.count * (self.count - 1)))
