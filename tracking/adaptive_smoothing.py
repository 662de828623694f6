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
    information: Float[np.ndarray, "frames channels channels"],
    frames: Int[np.ndarray, "frames"],
    strength: float,
) -> Float[np.ndarray, "frames channels"]:
    """The series z that minimises, over all channels together,

        sum_t (z_t - y_t)' H_t (z_t - y_t) + sum_t sum_i s_ti b_ti^2        with b_t = z_{t-1} - 2 z_t + z_{t+1}

    Symmetric in time, hence without lag (Whittaker 1923). Channels give way together as their information allows: if a
    turn and a shift look alike, smoothing one moves the other. The stiffness s adapts to the series: strength / v_i /
    (1 + q^4), v being the variance of the channel by the information, and q the root mean square of the bends of y
    around the frame, in units of `MOTION_THRESHOLD` times what the channel's white noise would make them. A nod is
    stiffened no more than its own noise demands.

    Args:
        series: one row for each of `frames`.
        information: H, positive definite; its unit does not matter.
        frames: numbers of the frames, increasing; across gaps nothing is smoothed.
        strength: the greatest stiffness.
    """
    count, channels = series.shape
    if count < 3 or strength == 0:
        return series.astype(np.float64)
    consecutive = (np.diff(frames)[1:] == 1) & (np.diff(frames)[:-1] == 1)
    bends = np.diff(series, n=2, axis=0) * consecutive[:, None]
    usual = MOTION_THRESHOLD * np.sqrt(6) * np.maximum(white_noise(series), 1e-12)
    # The filter keeps a running sum, which may end a hair below zero.
    energy = uniform_filter1d(bends**2, SURROUNDINGS, axis=0, mode="nearest").clip(0)
    variance = np.median(np.linalg.inv(information).diagonal(axis1=1, axis2=2), axis=0)
    stiffness = strength / variance / (1 + (energy / usual**2) ** 2) * consecutive[:, None]
    bands = np.zeros((2 * channels + 1, count * channels))
    for offset in range(channels):
        rows = np.arange(channels - offset)
        bands[offset].reshape(count, channels)[:, : channels - offset] = information[:, rows + offset, rows]
    same, following, second = (bands[step * channels].reshape(count, channels) for step in range(3))
    same[:-2] += stiffness
    same[1:-1] += 4 * stiffness
    same[2:] += stiffness
    following[:-2] -= 2 * stiffness
    following[1:-1] -= 2 * stiffness
    second[:-2] += stiffness
    right = np.einsum("tij,tj->ti", information, series)
    return solveh_banded(bands, right.reshape(-1), lower=True).reshape(count, channels)
