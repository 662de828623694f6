"""Smoothing of measured time series without lag, as strongly as their noise asks for."""

import numpy as np
from jaxtyping import Bool, Float
from scipy.linalg import solveh_banded

NORMAL_MAD = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""


def whittaker(
    series: Float[np.ndarray, "frames channels"],
    strength: Float[np.ndarray, "channels"],
    weights: Float[np.ndarray, "frames channels"],
    bend_weights: Float[np.ndarray, "bends channels"] | None = None,
) -> Float[np.ndarray, "frames channels"]:
    """The series z that minimises sum_t w_t (y_t - z_t)^2 + strength sum_t v_t (z_{t-1} - 2 z_t + z_{t+1})^2.

    Whittaker (1923); Eilers, "A perfect smoother", Anal. Chem. 2003. Symmetric in time, hence without lag. Where the
    weight is zero the series is filled in; there its values are ignored.
    """
    frames, channels = series.shape
    smooth = np.empty_like(series, dtype=np.float64)
    bends = np.ones((max(frames - 2, 0), channels)) if bend_weights is None else bend_weights
    for channel in range(channels):
        observed = weights[:, channel] > 0
        if observed.sum() < 3 or strength[channel] == 0:
            smooth[:, channel] = series[:, channel]
            continue
        v = strength[channel] * bends[:, channel]
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


def denoise(
    series: Float[np.ndarray, "frames channels"],
    tracked: Bool[np.ndarray, "frames"],
    amount: float = 1.0,
    most_noise: Float[np.ndarray, "channels"] | None = None,
    iterations: int = 4,
) -> Float[np.ndarray, "frames channels"]:
    """Remove measurement noise, keep quick motion; NaN where a frame is not tracked.

    The noise's deviation is measured on the series itself. A frame-to-frame bend no larger than such noise makes is
    penalised fully; larger ones, a blink or a nod, proportionally less (Cauchy weights), so their peaks stay.

    Args:
        amount: 0 leaves the series as it is, 1 penalises bends at the noise level as much as misfit.
        most_noise: what the noise's deviation cannot exceed, where that is known: it keeps a clip full of quick motion
            from being taken for a noisy one.
    """
    smooth = np.full(series.shape, np.nan)
    for start, stop in _runs(tracked):
        run = series[start:stop].astype(np.float64)
        if len(run) < 5 or amount == 0:
            smooth[start:stop] = run
            continue
        noise = noise_deviation(run)
        if most_noise is not None:
            noise = np.minimum(noise, most_noise)
        noise = noise + 1e-12
        weights = np.ones_like(run)
        estimate, bends = run, None
        for _ in range(iterations):
            curvature = np.diff(estimate, n=2, axis=0)
            bends = 1 / (1 + (curvature / (2 * noise)) ** 2)
            estimate = whittaker(run, np.full(run.shape[1], amount), weights, bends)
        smooth[start:stop] = estimate
    return smooth


def noise_deviation(series: Float[np.ndarray, "frames *channels"]) -> Float[np.ndarray, "*channels"]:
    """Standard deviation of the part of a series that neighbouring frames do not share.

    By the median absolute third difference, which smooth motion hardly enters and which has 1 + 9 + 9 + 1 times the
    variance of white noise.
    """
    return NORMAL_MAD * np.median(np.abs(np.diff(series, n=3, axis=0)), 0) / np.sqrt(20)


def _runs(tracked: Bool[np.ndarray, "frames"]) -> list[tuple[int, int]]:
    """Where tracking starts and stops: first frame and one past the last of every run of tracked frames."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], tracked.astype(np.int8), [0]])))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]
