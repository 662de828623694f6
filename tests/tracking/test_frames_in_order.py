"""Any order gives the right frames; going on does not begin anew."""

import numpy as np
import pytest

from tracking.frames_in_order import FramesInOrder


def test_frames_come_by_number_and_only_going_back_begins_anew():
    begun: list[None] = []

    def restart():
        begun.append(None)
        return iter([(number, np.full((1, 1, 3), number, np.uint8)) for number in (0, 1, 3, 4)])

    frames = FramesInOrder(restart)
    assert [int(frames(number).max()) for number in (0, 0, 1, 4)] == [0, 0, 1, 4]
    assert len(begun) == 1
    assert int(frames(3).max()) == 3 and len(begun) == 2
    for missing in (2, 9):
        with pytest.raises(IndexError):
            frames(missing)
    assert int(frames(1).max()) == 1
