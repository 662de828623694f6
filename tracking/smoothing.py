"""Smoothing of measured time series without lag, and how noisy they are."""

import numpy as np
from jaxtyping import Float
from scipy.linalg import solveh_banded

NORMAL_MAD = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""


def whittaker(
    series: Float[np.ndarray, "frames channels"],
    strength: Float[np.ndarray, "channels"],
    weights: Float[np.ndarray, "frames channels"],
) -> Float[np.ndarray, "frames channels"]:
    """The series z that minimises sum_t w_t (y_t - z_t)^2 + strength sum_t (z_{t-1} - 2 z_t + z_{t+1})^2.

    Whittaker (1923); Eilers, "A perfect smoother", Anal. Chem. 2003. Symmetric in time, hence without lag. Where the
    weight is zero the series is filled in; there its values are ignored.
    """
    frames, channels = series.shape
    smooth = np.empty_like(series, dtype=np.float64)
    for channel in range(channels):
        observed = weights[:, channel] > 0
        if observed.sum() < 3 or strength[channel] == 0:
            smooth[:, channel] = series[:, channel]
            continue
        v = strength[channel]
        bands = np.zeros((3, frames))
        bands[0] = weights[:, channel] + 1e-9
        bands[0, :-2] += v
        bands[0, 1:-1] += 4 * v
        bands[0, 2:] += v
        bands[1, :-2] -= 2 * v
        bands[1, 1:-1] -= 2 * v
        bands[2, :-2] += v
        right = np.where(observed, weights[:, channel] * np.nan_to_num(series[:, channel]), 0)
        smooth[:, channel] = solveh_banded(bands, right, lower=True)
    return smooth


def noise_deviation(series: Float[np.ndarray, "frames *channels"]) -> Float[np.ndarray, "*channels"]:
    """Standard deviation of the part of a series that neighbouring frames do not share.

    By the median absolute third difference, which smooth motion hardly enters and which has 1 + 9 + 9 + 1 times the
    variance of white noise.
    """
    return NORMAL_MAD * np.median(np.abs(np.diff(series, n=3, axis=0)), 0) / np.sqrt(20)
