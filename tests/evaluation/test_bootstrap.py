"""Confidence intervals of differences of correlated frames."""

import numpy as np
import pytest

from evaluation.bootstrap import block_length, paired_interval


def correlated_noise(generator: np.random.Generator, count: int, memory: float) -> np.ndarray:
    noise = generator.normal(size=count + 100)
    for row in range(1, len(noise)):
        noise[row] = memory * noise[row - 1] + np.sqrt(1 - memory**2) * noise[row]
    return noise[100:]


def test_a_constant_difference_is_certain() -> None:
    curve = np.random.default_rng(0).normal(size=60)
    interval = paired_interval(curve, curve + 0.25)
    assert interval is not None
    assert [interval.mean, interval.low, interval.high] == pytest.approx([0.25] * 3)
    assert interval.excludes_zero


def test_frames_without_a_number_in_either_are_left_out() -> None:
    first, second = np.zeros(30), np.ones(30)
    first[3] = second[7] = np.nan
    second[8] = np.inf
    interval = paired_interval(first, second)
    assert interval is not None
    assert (interval.frames, interval.mean) == (27, 1.0)
    assert paired_interval(first[:8], second[:8]) is None


def test_blocks_are_as_long_as_frames_are_alike() -> None:
    generator = np.random.default_rng(1)
    lengths = [np.median([block_length(correlated_noise(generator, 400, m)) for _ in range(20)]) for m in (0, 0.6, 0.9)]
    assert lengths[0] <= 4 < lengths[1] < lengths[2] <= 100


@pytest.mark.parametrize("memory", [0.0, 0.8])
def test_the_interval_holds_the_truth_about_as_often_as_it_says(memory: float) -> None:
    """Of series whose true mean is 0. Drawing single frames would hold it in but two thirds of the correlated ones."""
    generator = np.random.default_rng(2)
    held = 0
    for _ in range(100):
        interval = paired_interval(np.zeros(300), correlated_noise(generator, 300, memory))
        assert interval is not None
        held += not interval.excludes_zero
    assert 84 <= held <= 100


def test_the_same_numbers_give_the_same_interval() -> None:
    first, second = np.random.default_rng(3).normal(size=(2, 50))
    assert paired_interval(first, second) == paired_interval(first, second)
