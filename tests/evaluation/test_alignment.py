"""Frames are paired by the moment they show, whatever their number and rate."""

import numpy as np
import pytest

from evaluation.alignment import align


def times(count: int, rate: float = 25.0) -> np.ndarray:
    return np.arange(count) / rate


def test_like_videos_are_paired_frame_by_frame() -> None:
    found = align(times(30), times(30))
    assert found.source.tolist() == found.edited.tolist() == list(range(30))
    assert found.dropped == (0, 0)


@pytest.mark.parametrize("shift", [1, 7])
def test_a_video_that_begins_later_is_paired_by_its_offset(shift: int) -> None:
    found = align(times(30), times(30 - shift), offset=shift / 25)
    assert (found.source - found.edited == shift).all()
    assert len(found.source) == 30 - shift
    assert found.dropped == (shift, 0)


def test_of_twice_as_many_frames_every_second_is_taken() -> None:
    found = align(times(30), times(60, rate=50))
    assert found.source.tolist() == list(range(30))
    assert found.edited.tolist() == list(range(0, 60, 2))
    assert found.dropped == (0, 30)


def test_of_half_as_many_frames_every_one_is_taken_once() -> None:
    found = align(times(30), times(15, rate=12.5))
    assert found.source.tolist() == list(range(0, 30, 2))
    assert found.edited.tolist() == list(range(15))


def test_missing_frames_leave_a_gap_and_move_no_other() -> None:
    kept = np.delete(np.arange(30), [4, 5, 20])
    found = align(times(30), times(30)[kept])
    assert found.source.tolist() == kept.tolist()
    assert found.edited.tolist() == list(range(27))
    assert found.dropped == (3, 0)


def test_rounded_time_stamps_change_nothing() -> None:
    exact = times(300, rate=30000 / 1001)
    found = align(exact, np.round(exact, 3))
    assert found.source.tolist() == found.edited.tolist() == list(range(300))


def test_no_frame_is_used_twice_and_order_is_kept() -> None:
    generator = np.random.default_rng(0)
    for _ in range(20):
        source = np.cumsum(generator.uniform(0.01, 0.1, 40))
        edited = np.cumsum(generator.uniform(0.01, 0.1, 50))
        found = align(source - source[0], edited - edited[0])
        for numbers in (found.source, found.edited):
            assert (np.diff(numbers) > 0).all()
        apart = np.abs((source - source[0])[found.source] - (edited - edited[0])[found.edited])
        assert (apart <= np.median(np.diff(source)) / 2 + 1e-3).all()


def test_videos_of_other_times_share_nothing() -> None:
    assert len(align(times(30), times(30), offset=100.0).source) == 0
