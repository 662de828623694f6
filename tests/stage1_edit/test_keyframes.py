import numpy as np
import pytest

from stage1_edit.keyframes import choose_keyframes, spread_features
from tracking.cameras import rotation_from_vector

NAMES = ("jawOpen", "eyeBlinkLeft", "eyeBlinkRight", "mouthSmileLeft")


def turns(degrees: list[float]) -> np.ndarray:
    return rotation_from_vector(np.radians([[0.0, angle, 0.0] for angle in degrees]))


def still(count: int) -> np.ndarray:
    return np.zeros((count, len(NAMES)))


def test_the_typical_frame_then_the_farthest_again_and_again() -> None:
    """Turns of 0, 1, 2, 10 and -20 degrees: the median is 1; -20 is 21 from it, 10 is 9 from both."""
    assert choose_keyframes(turns([0, 1, 2, 10, -20]), still(5), ("other",) * 4, 3) == [1, 4, 3]


def test_an_open_mouth_and_a_blink_are_always_there() -> None:
    expressions = np.random.default_rng(0).uniform(0, 0.2, (40, 4))
    expressions[7, 0] = 0.5
    expressions[21, 1:3] = 0.9
    # A wink shuts one eye more firmly.
    expressions[30, 1] = 1.0
    # Great turns are farther from all others than either.
    chosen = choose_keyframes(turns(list(np.linspace(-60, 60, 40))), expressions, NAMES, 4)
    assert len(set(chosen)) == 4 and {7, 21} <= set(chosen[:3]) and 30 not in chosen[:3]


def test_every_frame_is_near_a_keyframe() -> None:
    """Farthest points leave nothing farther away than twice what the best choice does: 6 of a circle of 40, 2 x 4."""
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    rotations = rotation_from_vector(0.3 * np.stack([np.cos(angle), np.sin(angle), 0 * angle], 1))
    chosen = choose_keyframes(rotations, still(40), ("other",) * 4, 6)
    steps = np.abs(np.arange(40)[:, None] - np.array(chosen)[None])
    assert np.minimum(steps, 40 - steps).min(1).max() <= 8


def test_frames_that_are_not_usable_are_not_taken_unless_all_are_not() -> None:
    rotations = turns([0, 1, 2, 10, -20])
    usable = np.array([True, True, True, True, False])
    assert 4 not in choose_keyframes(rotations, still(5), NAMES, 5, usable)
    assert len(choose_keyframes(rotations, still(5), NAMES, 5, np.zeros(5, bool))) == 5


@pytest.mark.parametrize("count", [0, 1, 2, 50])
def test_no_frame_comes_twice_and_no_more_come_than_there_are(count: int) -> None:
    rotations = turns([0, 1, 1, 5, 9])
    chosen = choose_keyframes(rotations, np.random.default_rng(1).random((5, 4)), NAMES, count)
    assert len(chosen) == len(set(chosen)) == min(count, 5)
    # Frames that are exactly alike are one.
    assert len(choose_keyframes(turns([0, 0, 0]), still(3), NAMES, 3)) == 1


def test_pose_and_expression_count_alike() -> None:
    """Whatever their units, both have a mean square of 1; a clip that never turns has 0 for its turns."""
    expressions = np.random.default_rng(2).random((30, 4)) * 0.01
    features = spread_features(turns(list(np.linspace(-50, 50, 30))), expressions)
    assert (features[:, :3] ** 2).sum(1).mean() == pytest.approx(1)
    assert (features[:, 3:] ** 2).sum(1).mean() == pytest.approx(1)
    assert not spread_features(turns([3.0] * 30), expressions)[:, :3].any()
