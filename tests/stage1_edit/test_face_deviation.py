"""What the expression guard measures, on faces whose every point is known."""

import numpy as np
import pytest

from stage1_edit.face_deviation import IRISES, LID_PAIRS, LIPS, face_deviation, still_points
from tracking.cameras import rotation_from_vector
from tracking.head_model import HeadModel

EYE_PIXELS = 60.0


def face(turn=(0.0, 0.0, 0.0), **expressions: float) -> np.ndarray:
    """The head model's face seen from far away, as a detector gives it: x right, y down, z into the scene."""
    model = HeadModel.load()
    code = np.zeros(len(model.expression_names))
    for name, amount in expressions.items():
        code[model.expression_index(name)] = amount
    points = model.vertices(np.zeros(len(model.identity_basis)), code).astype(np.float64)
    points = points @ rotation_from_vector(np.radians(turn)).T
    scale = EYE_PIXELS / np.linalg.norm(model.mean[IRISES[0]] - model.mean[IRISES[1]])
    return points * [scale, -scale, -scale] + [200, 150, 0]


def test_the_same_face_has_not_moved() -> None:
    deviation = face_deviation(face(), face())
    assert max(vars(deviation).values()) == pytest.approx(0, abs=1e-6)


def test_a_face_elsewhere_larger_has_shifted_and_grown_but_kept_its_expression() -> None:
    moved = face() * 1.2 + [EYE_PIXELS / 2, 0, 0]
    deviation = face_deviation(face(), moved)
    assert deviation.growth == pytest.approx(0.2) and max(deviation.lips, deviation.eyes) < 1e-9
    center = face()[still_points(), :2].mean(0)
    expected = np.linalg.norm(0.2 * center + [EYE_PIXELS / 2, 0]) / EYE_PIXELS
    assert deviation.shift == pytest.approx(expected)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_rotation_is_read_in_degrees_about_every_axis(axis: int) -> None:
    turn = np.zeros(3)
    turn[axis] = 7
    assert face_deviation(face(), face(tuple(turn))).rotation == pytest.approx(7, abs=0.05)


def test_an_opened_mouth_is_read_in_shares_of_the_eyes_distance() -> None:
    before, after = face(), face(jawOpen=0.5)
    pairs = [(82, 87), (13, 14), (312, 317)]
    gaps = [np.mean([np.linalg.norm(points[a, :2] - points[b, :2]) for a, b in pairs]) for points in (before, after)]
    deviation = face_deviation(before, after)
    assert deviation.mouth == pytest.approx((gaps[1] - gaps[0]) / EYE_PIXELS, rel=0.02)
    assert deviation.mouth > 0.15 and deviation.eyes < 0.01 and deviation.rotation < 0.5


def test_lips_pulled_aside_move_though_the_mouth_stays_shut() -> None:
    after = face()
    after[list(LIPS), 0] += 0.1 * EYE_PIXELS
    deviation = face_deviation(face(), after)
    assert deviation.lips == pytest.approx(0.1) and deviation.mouth == pytest.approx(0, abs=1e-6)


def test_a_wink_is_read_on_its_own_eye() -> None:
    after = face()
    for upper, lower in LID_PAIRS[1]:
        after[upper] = after[lower]
    open_gap = np.mean([np.linalg.norm(face()[a, :2] - face()[b, :2]) for a, b in LID_PAIRS[1]]) / EYE_PIXELS
    assert face_deviation(face(), after).eyes == pytest.approx(open_gap, rel=0.02)


def test_heads_are_laid_onto_each_other_by_points_that_no_expression_moves() -> None:
    model = HeadModel.load()
    reach = np.linalg.norm(model.expression_deltas, axis=-1).max(0)
    still = still_points()
    assert len(still) > 50 and reach[still].max() < 0.35
    assert not set(still) & {*LIPS, *IRISES} and not set(still) & {152, 10, 234, 454}
