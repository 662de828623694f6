"""Noise goes, motion stays, nothing lags."""

import numpy as np
import pytest

from tracking.adaptive_smoothing import smooth_quiet_parts, white_noise


@pytest.fixture
def frames() -> np.ndarray:
    return np.arange(200)


def test_noise_is_taken_out(frames):
    series = np.random.default_rng(0).normal(scale=0.1, size=(200, 3))
    smooth = smooth_quiet_parts(series, np.full(3, 0.1), frames, np.full(3, 20.0))
    assert smooth.std() < 0.55 * series.std()


def test_a_nod_keeps_its_size_and_its_time(frames):
    """4 Hz at 25 frames a second, forty times the noise."""
    nod = np.sin(2 * np.pi * 4 * frames / 25)[:, None]
    smooth = smooth_quiet_parts(nod, np.array([0.025]), frames, np.array([20.0]))
    overlap = (smooth * nod).sum() / (nod**2).sum()
    # 150 frames away from the ends are 24 whole nods.
    ahead, behind = (np.sum(smooth[25:175] * nod[25 + shift : 175 + shift]) for shift in (1, -1))
    assert overlap > 0.95
    assert ahead == pytest.approx(behind, rel=1e-3)


def test_straight_lines_and_channels_without_noise_stay_as_they_are(frames):
    line = 0.3 * frames[:, None] - 2.0
    np.testing.assert_allclose(smooth_quiet_parts(line, np.array([0.1]), frames, np.array([20.0])), line, atol=1e-8)
    noisy = np.random.default_rng(1).normal(size=(200, 1))
    np.testing.assert_array_equal(smooth_quiet_parts(noisy, np.zeros(1), frames, np.array([20.0])), noisy)
    np.testing.assert_array_equal(smooth_quiet_parts(noisy, np.ones(1), frames, np.zeros(1)), noisy)


def test_nothing_crosses_a_gap(frames):
    """A step between frames that do not follow each other stays a step."""
    series = np.where(frames < 100, 0.0, 5.0)[:, None]
    apart = np.where(frames < 100, frames, frames + 50)
    np.testing.assert_allclose(smooth_quiet_parts(series, np.array([10.0]), apart, np.array([20.0])), series, atol=1e-9)
    assert np.abs(smooth_quiet_parts(series, np.array([10.0]), frames, np.array([20.0])) - series).max() > 0.5


def test_noise_is_told_from_a_nod(frames):
    noise = np.random.default_rng(2).normal(scale=0.1, size=(200, 20))
    nod = np.sin(2 * np.pi * 4 * frames / 25)[:, None]
    assert white_noise(noise).mean() == pytest.approx(0.1, rel=0.1)
    assert (white_noise(nod) < 0.03).all()
    assert white_noise(noise + nod).mean() == pytest.approx(0.1, rel=0.15)
