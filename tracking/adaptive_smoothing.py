"""Smoothing that takes noise of a known size out of time series and leaves quick motion alone."""

from math import comb

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import solveh_banded
from scipy.ndimage import uniform_filter1d

from tracking.smoothing import NORMAL_MAD

SURROUNDINGS = 7
"""Frames over which it is judged how much moves."""
MOTION_THRESHOLD = 1.5
"""From how many times what noise makes a series counts as moving."""

ORDER = 6
"""Of the differences that noise is judged by."""


def white_noise(series: Float[np.ndarray, "frames channels"]) -> Float[np.ndarray, "channels"]:
    """Standard deviation of a series' white noise.

    By the median absolute sixth difference, which has 12! / (6!)^2 = 924 times the variance of white noise. Of a
    sinusoid with 6 frames to a cycle, as quick as heads nod, it passes no more than of noise with a fiftieth of its
    amplitude; third differences would pass seven times as much.
    """
    if len(series) <= ORDER:
        return np.zeros(series.shape[1])
    differences = np.diff(series, n=ORDER, axis=0)
    return NORMAL_MAD * np.median(np.abs(differences), axis=0) / np.sqrt(comb(2 * ORDER, ORDER))


def smooth_quiet_parts(
    series: Float[np.ndarray, "frames channels"],
    noise: Float[np.ndarray, "channels"],
    frames: Int[np.ndarray, "frames"],
    strength: Float[np.ndarray, "channels"],
) -> Float[np.ndarray, "frames channels"]:
    """The series z that minimises, in every channel,

        sum_t (y_t - z_t)^2 + sum_t s_t b_t^2        with b_t = z_{t-1} - 2 z_t + z_{t+1}

    Symmetric in time, hence without lag (Whittaker 1923). The stiffness s_t adapts to the series: strength / (1 + q^4),
    q being the root mean square of the bends b of y around frame t, in units of `MOTION_THRESHOLD` times what white
    noise of the given deviation would make them, sqrt(6) times the deviation. A nod or a blink is stiffened no more
    than its own noise demands.

    Args:
        series: one row for each of `frames`.
        noise: standard deviation of the channels' noise; channels without noise stay as they are.
        frames: numbers of the frames, increasing; across gaps nothing is smoothed.
        strength: the greatest stiffness of each channel; 0 leaves it as it is.
    """
    smooth = series.astype(np.float64).copy()
    if len(series) < 3:
        return smooth
    consecutive = (np.diff(frames)[1:] == 1) & (np.diff(frames)[:-1] == 1)
    bends = np.diff(smooth, n=2, axis=0) * consecutive[:, None]
    usual = MOTION_THRESHOLD * np.sqrt(6) * np.maximum(noise, 1e-12)
    # The filter keeps a running sum, which may end a hair below zero.
    energy = uniform_filter1d(bends**2, SURROUNDINGS, axis=0, mode="nearest").clip(0)
    motion = np.sqrt(energy) / usual
    stiffness = strength / (1 + motion**4) * consecutive[:, None]
    for channel in np.flatnonzero((noise > 0) & (strength > 0)):
        bands = np.zeros((3, len(smooth)))
        s = stiffness[:, channel]
        bands[0] = 1
        bands[0, :-2] += s
        bands[0, 1:-1] += 4 * s
        bands[0, 2:] += s
        bands[1, :-2] -= 2 * s
        bands[1, 1:-1] -= 2 * s
        bands[2, :-2] += s
        smooth[:, channel] = solveh_banded(bands, smooth[:, channel], lower=True)
    return smooth
