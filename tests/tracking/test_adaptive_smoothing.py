"""Noise goes, motion stays, nothing lags."""

import numpy as np
import pytest

from tracking.adaptive_smoothing import smooth_quiet_parts, white_noise

FRAMES = np.arange(200)


def independent(channels: int) -> np.ndarray:
    return np.broadcast_to(np.eye(channels), (len(FRAMES), channels, channels))


def noise(channels: int, deviation: float = 0.1) -> np.ndarray:
    return np.random.default_rng(0).normal(scale=deviation, size=(len(FRAMES), channels))


def nod() -> np.ndarray:
    """4 Hz at 25 frames a second."""
    return np.sin(2 * np.pi * 4 * FRAMES / 25)[:, None]


def test_noise_is_taken_out():
    smooth = smooth_quiet_parts(noise(3), independent(3), FRAMES, 20.0)
    assert smooth.std() < 0.55 * noise(3).std()


def test_a_nod_keeps_its_size_and_its_time():
    series = nod() + noise(1, 0.02)
    smooth = smooth_quiet_parts(series, independent(1), FRAMES, 20.0)
    # 150 frames away from the ends are 24 whole nods.
    inner = slice(25, 175)
    assert (smooth * nod())[inner].sum() / (nod()[inner] ** 2).sum() > 0.95
    ahead, behind = (np.sum(smooth[inner] * nod()[25 + shift : 175 + shift]) for shift in (1, -1))
    assert ahead == pytest.approx(behind, rel=0.01)


def test_straight_lines_stay_as_they_are():
    line = 0.3 * FRAMES[:, None] - 2.0
    np.testing.assert_allclose(smooth_quiet_parts(line, independent(1), FRAMES, 20.0), line, atol=1e-6)


def test_nothing_crosses_a_gap():
    """What lies behind a gap has no say in what lies before it."""
    series = noise(1)
    apart = np.where(FRAMES < 100, FRAMES, FRAMES + 50)
    moved = series + np.where(FRAMES < 100, 0.0, 0.3)[:, None]
    plain, shifted = (smooth_quiet_parts(values, independent(1), apart, 20.0) for values in (series, moved))
    np.testing.assert_allclose(shifted[:100], plain[:100], atol=1e-3)
    whole = smooth_quiet_parts(moved, independent(1), FRAMES, 20.0)
    assert np.abs(whole[:100] - plain[:100]).max() > 0.01


def test_what_the_information_holds_together_stays_together():
    """Only the sum of two channels is well known: its noise-free course survives whatever smoothing does to each."""
    opposed = noise(1) * np.array([1.0, -1.0])
    information = independent(2) * 1e-3 + np.ones((2, 2)) * 1e3
    smooth = smooth_quiet_parts(opposed, information, FRAMES, 20.0)
    assert np.abs(smooth.sum(1)).max() < 1e-3
    assert smooth[:, 0].std() < 0.55 * opposed[:, 0].std()


def test_noise_is_told_from_a_nod():
    assert white_noise(noise(20)).mean() == pytest.approx(0.1, rel=0.1)
    assert (white_noise(nod()) < 0.03).all()
    assert white_noise(noise(20) + nod()).mean() == pytest.approx(0.1, rel=0.15)
