"""The expression guard's measuring device: bends of known size, and shares that are counted right."""

import numpy as np
import pytest
from benchmark_guard import summary, true_deviation, vocabulary
from warped_faces import MEETING, Bend, bent, eye_distance

from stage1_edit.expression_guard import ExpressionGuardConfig
from stage1_edit.face_deviation import LID_PAIRS, FaceDeviation, gap
from stage1_edit.instructions import parse_instruction
from stage1_edit.prompts import EditPrompt
from tracking.clip import TrackedClip

FRAME = 5


@pytest.fixture(scope="module")
def picture(tiny_clip: TrackedClip) -> np.ndarray:
    return tiny_clip.image(FRAME)


def test_no_bend_changes_nothing(tiny_clip: TrackedClip, picture: np.ndarray) -> None:
    (same,), landmarks = bent(tiny_clip, FRAME, Bend(), [picture])
    assert (same == picture).all()
    np.testing.assert_array_equal(landmarks, tiny_clip.track.landmarks[FRAME])


def test_a_shift_carries_picture_and_landmarks_by_the_same_amount(tiny_clip: TrackedClip, picture: np.ndarray) -> None:
    before = tiny_clip.track.landmarks[FRAME]
    (moved,), landmarks = bent(tiny_clip, FRAME, Bend(shift=(0.2, 0)), [picture])
    deviation = true_deviation(tiny_clip, FRAME, Bend(shift=(0.2, 0)), landmarks)
    assert deviation.shift == pytest.approx(0.2, rel=0.1) and max(deviation.lips, deviation.eyes) < 1e-6
    pixels = landmarks[0, 0] - before[0, 0]
    nose = np.round(before[[1, 4, 5, 195]]).astype(int)
    # What was at the nose is now where the landmarks have gone, as far as a whole pixel tells.
    step = round(float(pixels))
    for x, y in nose:
        there = picture[y - 1 : y + 2, x - 1 : x + 2].astype(float).mean()
        assert abs(moved[y - 1 : y + 2, x + step - 1 : x + step + 2].astype(float).mean() - there) < 12


def test_shut_lids_meet_and_nothing_else_moves(tiny_clip: TrackedClip, picture: np.ndarray) -> None:
    (shut,), landmarks = bent(tiny_clip, FRAME, Bend(lids=1.0), [picture])
    flat = np.column_stack([landmarks, np.zeros(len(landmarks))])
    assert max(gap(flat, pairs) for pairs in LID_PAIRS) < 1e-6
    deviation = true_deviation(tiny_clip, FRAME, Bend(lids=1.0), landmarks)
    assert deviation.eyes > 0.03 and deviation.lips < 0.02 * deviation.eyes
    changed = np.abs(shut.astype(int) - picture).sum(-1).nonzero()
    center = tiny_clip.track.landmarks[FRAME][[468, 473]].mean(0)
    reach = 1.3 * eye_distance(tiny_clip.track.landmarks[FRAME])
    assert len(changed[0]) and np.hypot(changed[1] - center[0], changed[0] - center[1]).max() < reach
    assert 0 < MEETING < 1


def test_turns_are_known_in_degrees(tiny_clip: TrackedClip, picture: np.ndarray) -> None:
    bend = Bend(turn=(0, 0, 10))
    _, landmarks = bent(tiny_clip, FRAME, bend, [picture])
    before = tiny_clip.track.landmarks[FRAME]
    angles = [np.degrees(np.arctan2(*(points[263] - points[33])[::-1])) for points in (before, landmarks)]
    assert abs(angles[1] - angles[0]) == pytest.approx(10, abs=1.5)
    assert true_deviation(tiny_clip, FRAME, bend, landmarks).rotation == 10


def test_the_vocabulary_is_all_understood() -> None:
    for text in vocabulary():
        assert parse_instruction(EditPrompt.parse(text))


def test_shares_are_counted_by_hand() -> None:
    config = ExpressionGuardConfig()
    still = dict.fromkeys(FaceDeviation.__dataclass_fields__, 0.0)

    def row(true_lips: float, measured_lips: float | None) -> dict:
        measured = None if measured_lips is None else {**still, "lips": measured_lips}
        return {"edit": "x", "bend": {"lids": 1}, "true": {**still, "lips": true_lips}, "measured": measured}

    found = {
        "faithful": [row(0, 0.001), row(0, 10.0), row(0, None), row(0, 0.0)],
        "moved": [
            row(1.2 * config.lips, 10.0),
            row(1.2 * config.lips, 0.0),
            row(2.5 * config.lips, None),
            row(0.6 * config.lips, 0.0),
        ],
    }
    result = summary(found, config)
    assert result["faithful_rejected"] == 0.5 and result["faces_lost_in_faithful_edits"] == 1
    assert result["beyond_tolerance_edits"] == 3 and result["beyond_tolerance_rejected"] == pytest.approx(
        2 / 3, abs=1e-4
    )
    by_size = result["rejected_by_true_deviation_in_tolerances"]
    assert by_size["1 to 1.25"] == {"edits": 2, "rejected": 0.5} and by_size["0.5 to 0.75"]["rejected"] == 0
