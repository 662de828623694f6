"""Expressions for the avatar from elsewhere."""

import numpy as np
import pytest

from stage2_nerf.expression_transfer import (
    BEYOND,
    UNSEEN,
    ExpressionRange,
    parse_expression,
    scale_expressions,
    set_expressions,
    transfer_expressions,
)
from tracking.errors import UserError

NAMES = ("jawOpen", "eyeBlinkLeft", "eyeLookUpLeft")


def talking(rest: float, reach: float, frames: int = 200) -> np.ndarray:
    wave = np.clip(np.sin(np.linspace(0, 20, frames)), 0, 1)[:, None]
    return rest + (reach - rest) * wave * np.ones(len(NAMES))


def test_a_clip_drives_its_own_avatar_to_its_own_expressions() -> None:
    own = talking(0.05, 0.6)
    usual = ExpressionRange.of(own, NAMES)
    np.testing.assert_allclose(transfer_expressions(own, usual, usual, NAMES), own, atol=1e-9)


def test_rest_becomes_rest_and_reach_becomes_reach() -> None:
    driving, own = talking(0.2, 0.8), talking(0.0, 0.5)
    driver, avatar = ExpressionRange.of(driving, NAMES), ExpressionRange.of(own, NAMES)
    moved = transfer_expressions(np.stack([driver.rest, driver.reach]), driver, avatar, NAMES)
    np.testing.assert_allclose(moved[0], avatar.rest, atol=1e-9)
    np.testing.assert_allclose(moved[1, :2], avatar.reach[:2], atol=1e-9)
    # The gaze keeps its size.
    np.testing.assert_allclose(moved[1, 2] - moved[0, 2], driver.span[2], atol=1e-9)


def test_the_avatar_is_not_driven_far_beyond_what_it_has_shown() -> None:
    driver, avatar = ExpressionRange.of(talking(0.0, 0.5), NAMES), ExpressionRange.of(talking(0.0, 0.4), NAMES)
    moved = transfer_expressions(np.full((1, 3), 5.0), driver, avatar, NAMES)
    np.testing.assert_allclose(moved[0], avatar.reach + BEYOND * avatar.span)
    still = ExpressionRange.of(talking(0.05, 0.1), NAMES)
    moved = transfer_expressions(np.full((1, 3), 5.0), driver, still, NAMES)
    np.testing.assert_allclose(moved[0], still.rest + UNSEEN)


def test_a_single_blink_shows_how_far_the_lids_close() -> None:
    """Few frames of a clip show shut eyes, and other people's blinks must shut them all the same."""
    driving, own = talking(0.0, 0.6), talking(0.0, 0.3)
    own[:, 1] = 0.02
    own[100, 1] = 0.55
    moved = transfer_expressions(driving, ExpressionRange.of(driving, NAMES), ExpressionRange.of(own, NAMES), NAMES)
    assert moved[:, 1].max() > 0.5
    # What is not as brief is judged by what the clip shows more than once.
    own[100, 0] = 0.9
    moved = transfer_expressions(driving, ExpressionRange.of(driving, NAMES), ExpressionRange.of(own, NAMES), NAMES)
    assert moved[:, 0].max() < 0.45


def test_timing_is_kept() -> None:
    driving, own = talking(0.1, 0.9), talking(0.0, 0.7)
    moved = transfer_expressions(driving, ExpressionRange.of(driving, NAMES), ExpressionRange.of(own, NAMES), NAMES)
    assert np.corrcoef(moved[:, 0], driving[:, 0])[0, 1] > 0.99


def test_scale_one_changes_nothing_and_zero_is_rest() -> None:
    own = talking(0.1, 0.6)
    usual = ExpressionRange.of(own, NAMES)
    np.testing.assert_allclose(scale_expressions(own, usual, 1.0), own)
    np.testing.assert_allclose(scale_expressions(own, usual, 0.0), np.broadcast_to(usual.rest, own.shape))


def test_expressions_are_set_by_name() -> None:
    held = set_expressions(talking(0.0, 0.5), {"jawOpen": 0.3}, NAMES)
    assert (held[:, 0] == 0.3).all()
    np.testing.assert_array_equal(held[:, 1:], talking(0.0, 0.5)[:, 1:])
    with pytest.raises(UserError, match="no expression 'jaw': choose from jawOpen, eyeBlinkLeft"):
        set_expressions(talking(0.0, 0.5), {"jaw": 0.3}, NAMES)


@pytest.mark.parametrize("typed", ["jawOpen", "jawOpen=", "jawOpen=x", "jawOpen=nan"])
def test_an_unreadable_expression_is_refused(typed: str) -> None:
    with pytest.raises(UserError, match="sets no expression"):
        parse_expression(typed)
    assert parse_expression("jawOpen=0.5") == ("jawOpen", 0.5)
