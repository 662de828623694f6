"""The mean of values that mostly agree, unmoved by the few that do not."""

import numpy as np
from jaxtyping import Float

CUTOFF = 4.685
"""Deviations beyond which a value counts for nothing, in robust standard deviations: Tukey's biweight is then 95 % as
efficient as the mean where values are Gaussian (Huber and Ronchetti 2009, section 4.8)."""
LEAST_DEVIATION = 0.01
"""A deviation that always counts as agreement, so that values that are alike but for rounding are all kept."""
ITERATIONS = 3


def robust_mean(
    values: Float[np.ndarray, "views places channels"], weights: Float[np.ndarray, "views places"]
) -> Float[np.ndarray, "places channels"]:
    """Iteratively reweighted least squares with Tukey's biweight, started from the median of each channel.

    Deviations are lengths over all channels. Their scale, at each place, is their weighted median over 0.6745, as for
    Gaussian values.

    Args:
        values: what each view has at each place.
        weights: how far each is to be trusted, from 0; where all are 0 the result is 0.
    """
    weights = weights.astype(np.float32)
    if len(values) == 1:
        return np.where(weights[0, :, None] > 0, values[0], 0).astype(np.float32)
    mean = np.stack([weighted_median(values[..., channel], weights) for channel in range(values.shape[2])], axis=1)
    for _ in range(ITERATIONS):
        distance = np.sqrt(((values - mean) ** 2).sum(axis=2))
        scale = np.maximum(weighted_median(distance, weights) / 0.6745, LEAST_DEVIATION)
        kept = weights * np.maximum(1 - (distance / (CUTOFF * scale)) ** 2, 0) ** 2
        total = kept.sum(axis=0)
        again = np.einsum("vp,vpc->pc", kept, values) / np.maximum(total, 1e-12)[:, None]
        mean = np.where(total[:, None] > 0, again, mean)
    return mean.astype(np.float32)


def weighted_median(
    values: Float[np.ndarray, "views places"], weights: Float[np.ndarray, "views places"]
) -> Float[np.ndarray, "places"]:
    """The value with as much weight below as above it; halfway between two where exactly half lies on either side.

    0 where there is no weight.
    """
    order = np.argsort(values, axis=0)
    ordered = np.take_along_axis(values, order, axis=0)
    below = np.take_along_axis(weights, order, axis=0).cumsum(axis=0, dtype=np.float64)
    half = below[-1] / 2
    # The sums' rounding must not decide whether a half is exactly reached.
    slack = 1e-6 * below[-1]
    lower = (below >= half - slack).argmax(axis=0)
    upper = (below > half + slack).argmax(axis=0)
    middle = [np.take_along_axis(ordered, rank[None], axis=0)[0] for rank in (lower, upper)]
    return np.where(half > 0, (middle[0] + middle[1]) / 2, 0).astype(np.float32)
