"""Pictures looked up along a flow."""

import cv2
import numpy as np
import pytest

from tracking.flow_look_up import look_up, origins


def flow_of(across: float, down: float, height: int = 12, width: int = 16) -> np.ndarray:
    return np.broadcast_to(np.array([across, down], np.float32), (height, width, 2)).copy()


@pytest.mark.parametrize("channels", [(), (1,), (3,), (4,), (7,), (9,)])
@pytest.mark.parametrize("interpolation", [cv2.INTER_LINEAR, cv2.INTER_CUBIC])
def test_a_whole_shift_moves_every_channel(channels: tuple[int, ...], interpolation: int) -> None:
    picture = np.random.default_rng(0).random((12, 16, *channels), dtype=np.float32)
    found = look_up(picture, flow_of(2, 1), interpolation=interpolation)
    assert found.shape == picture.shape
    np.testing.assert_allclose(found[:-2, :-3], picture[1:-1, 2:-1], atol=1e-6)
    np.testing.assert_allclose(found[3, -2:], np.stack([picture[4, -1]] * 2), atol=1e-6)


def test_between_pixels_a_ramp_goes_on() -> None:
    ramp = np.add.outer(10 * np.arange(12, dtype=np.float32), np.arange(16, dtype=np.float32))
    found = look_up(ramp, flow_of(0.5, 0.25))
    np.testing.assert_allclose(found[:-1, :-1], ramp[:-1, :-1] + 0.5 + 2.5, atol=0.05)


def test_a_flow_may_be_of_a_smaller_pictures_pixels() -> None:
    picture = np.random.default_rng(1).random((12, 16), dtype=np.float32)
    np.testing.assert_array_equal(look_up(picture, flow_of(1, 0.5), (2, 4)), look_up(picture, flow_of(2, 2)))


def test_origins_are_each_pixels_place_and_its_flow() -> None:
    x, y = origins(flow_of(0.5, -1))
    assert (x[3, 5], y[3, 5]) == (5.5, 2.0)
