"""Rows of some frames find their places among all."""

import numpy as np
import pytest

from tracking.over_frames import over_frames


@pytest.mark.parametrize("frames", [np.array([1, 2, 4]), np.array([False, True, True, False, True])])
def test_chosen_frames_get_their_rows_and_others_nothing(frames: np.ndarray) -> None:
    values = np.arange(6, dtype=np.float32).reshape(3, 2)
    rows = over_frames(values, frames, 5)
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows[[1, 2, 4]], values)
    assert np.isnan(rows[[0, 3]]).all()


def test_a_span_keeps_the_type_and_what_stands_for_missing() -> None:
    flags = over_frames(np.array([1, 2], np.uint16), slice(1, 3), 4, 8)
    assert flags.dtype == np.uint16
    assert flags.tolist() == [8, 1, 2, 8]
