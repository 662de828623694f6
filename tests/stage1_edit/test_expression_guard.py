"""The expression guard, around editors and detectors that do as they are told."""

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch

from stage1_edit.editor import EditRequest
from stage1_edit.expression_guard import (
    LEAST_READING,
    ExpressionGuard,
    ExpressionGuardConfig,
    GuardCounts,
    guard_counts,
)
from stage1_edit.face_deviation import FaceDeviation
from stage1_edit.prompts import EditPrompt
from tracking.head_model import HeadModel
from tracking.landmarks import DetectedFace
from tracking.regions import Label

SIDE = 32
FACE = HeadModel.load().mean.astype(np.float64) * [1, -1, -1] + [SIDE / 2, SIDE / 2, 0]
LOST = 255


class Detector:
    """Sees a face whose lips hang as low as the picture's top left pixel is bright; none in a white picture."""

    def __init__(self) -> None:
        self.looks = 0

    def detect(self, image: np.ndarray) -> list[DetectedFace]:
        self.looks += 1
        level = int(image[0, 0, 0])
        if level == LOST:
            return []
        face = FACE.copy()
        lips = [13, 14, 17, 61, 291, 78, 308, 0, 82, 87, 312, 317, 84, 314]
        face[lips, 1] += level / 100
        return [DetectedFace(face)]


class Editor:
    """Paints levels from a list; more faithful requests get that divided by their fidelity."""

    def __init__(self, *levels: float) -> None:
        self.levels = list(levels)
        self.asked: list[list[EditRequest]] = []

    def edit(self, requests):
        self.asked.append(list(requests))
        levels = [self.levels[request.frame] for request in requests]
        return [
            None if level is None else torch.full((SIDE, SIDE, 3), level / request.fidelity / 255)
            for level, request in zip(levels, requests, strict=True)
        ]

    def check(self, prompt: EditPrompt) -> None:
        raise KeyError(prompt.text)


def request(frame: int, region: str = "person", noise_level: float = 1.0, text: str = "anything") -> EditRequest:
    labels = torch.full((SIDE, SIDE), int(Label.FACE_SKIN), dtype=torch.uint8)
    black = torch.zeros(SIDE, SIDE, 3)
    prompt, matte = EditPrompt(text, region), torch.ones(SIDE, SIDE, 1)
    return EditRequest(prompt, black, black, matte, labels, noise_level, torch.Generator(), frame=frame)


def guard(*levels: float | None, **settings) -> ExpressionGuard:
    return ExpressionGuard(ExpressionGuardConfig(**settings), Editor(*levels), Detector())


FAITHFUL, MOVED, FAR = 10.0, 100.0, 250.0
"""Levels: MOVED is within tolerance once its fidelity is two steps up, FAR is not."""


def test_faithful_edits_pass_untouched_and_are_counted() -> None:
    guarded = guard(FAITHFUL, FAITHFUL)
    edits = guarded.edit([request(0), request(1)])
    assert [float(edit[0, 0, 0]) * 255 for edit in edits] == pytest.approx([FAITHFUL, FAITHFUL])
    assert guarded.counts == GuardCounts(2, 0, 0) and len(guarded.editor.asked) == 1


def test_a_moved_face_is_tried_again_more_faithfully_and_only_that_frame() -> None:
    guarded = guard(FAITHFUL, MOVED, retries=2)
    edits = guarded.edit([request(0), request(1, noise_level=0.9)])
    assert edits[1] is not None and float(edits[1][0, 0, 0]) * 255 < MOVED
    again = guarded.editor.asked[1:]
    assert [[one.frame for one in asked] for asked in again] == [[1]] * len(again) and again
    step = guarded.config.fidelity_step
    assert again[0][0].fidelity == pytest.approx(step)
    assert again[0][0].noise_level == pytest.approx(0.9 / step**0.5)
    assert guarded.counts == GuardCounts(2, 1, 0)
    assert str(guarded.counts) == "1 of 2 edits retried, 0 dropped"


def test_what_stays_moved_is_left_out() -> None:
    guarded = guard(FAITHFUL, FAR)
    edits = guarded.edit([request(0), request(1)])
    assert edits[0] is not None and edits[1] is None
    assert guarded.counts == GuardCounts(2, 1, 1) and len(guarded.editor.asked) == 3


def test_without_retries_what_moved_is_left_out_at_once() -> None:
    guarded = guard(FAITHFUL, MOVED, retries=0)
    assert guarded.edit([request(0), request(1)])[1] is None
    assert len(guarded.editor.asked) == 1 and guarded.counts == GuardCounts(2, 0, 1)


def test_tolerances_are_the_users() -> None:
    assert guard(FAITHFUL, FAR, lips=100, mouth=100).edit([request(0), request(1)])[1] is not None


def test_of_a_prompts_first_edits_the_least_moved_one_stays() -> None:
    guarded = guard(FAR, FAR - 20, FAR)
    edits = guarded.edit([request(0), request(1), request(2)])
    assert [edit is not None for edit in edits] == [False, True, False]
    # As soon as there is one, there is no need to keep bad ones.
    assert guarded.edit([request(0)]) == [None]


def test_a_lost_face_among_found_ones_counts_as_moved() -> None:
    guarded = guard(FAITHFUL, FAITHFUL, LOST, LOST, retries=0)
    assert guarded.edit([request(0), request(1)]) != [None, None]
    assert guarded.edit([request(2)]) == [None]


def test_where_most_faces_are_lost_the_guard_says_so_once_and_lets_them_pass(caplog) -> None:
    guarded = guard(*[LOST] * 6)
    with caplog.at_level(logging.WARNING):
        edits = [guarded.edit([request(frame), request(frame + 1)]) for frame in (0, 2, 4)]
    assert all(edit is not None for batch in edits for edit in batch)
    assert [record.getMessage() for record in caplog.records] == [
        "No face is found any more in most edits of 'anything': the expression guard lets those pass."
    ]
    assert guarded.counts == GuardCounts(6, 0, 0)


def test_where_most_edits_would_be_dropped_the_guard_stands_aside_for_that_prompt_alone(caplog) -> None:
    guarded = guard(*[FAR] * 12, FAITHFUL)
    with caplog.at_level(logging.WARNING):
        first = guarded.edit([request(frame) for frame in range(8)])
    assert sum(edit is not None for edit in first) == 1
    assert len(caplog.records) == 1 and "stands aside" in caplog.records[0].getMessage()
    assert all(edit is not None for edit in guarded.edit([request(frame) for frame in range(4)]))
    other = guarded.edit([request(12, text="other"), request(0, text="other")])
    assert other[0] is not None and other[1] is None


def test_frames_that_the_editor_leaves_out_stay_out_and_are_no_edits() -> None:
    guarded = guard(None, FAITHFUL)
    edits = guarded.edit([request(0), request(1)])
    assert edits[0] is None and edits[1] is not None and guarded.counts == GuardCounts(1, 0, 0)


def test_what_is_judged_is_what_will_be_shown() -> None:
    # The picture's corner, by which the fake detector goes, is hair: an edit of the face cannot have moved it.
    labels = torch.full((SIDE, SIDE), int(Label.FACE_SKIN), dtype=torch.uint8)
    labels[: SIDE // 2] = int(Label.HAIR)
    asked = replace(request(0, region="face"), labels=labels)
    assert guard(FAR).edit([asked])[0] is not None
    assert guard(FAITHFUL, FAR).edit([request(0, region="face"), request(1, region="face")])[1] is None


def test_prompts_that_cannot_touch_the_face_are_not_looked_at() -> None:
    guarded = guard(FAR)
    assert guarded.edit([request(0, region="hair")])[0] is not None and guarded._detector.looks == 0


def test_a_frame_without_a_face_cannot_have_moved_it() -> None:
    white = torch.ones(SIDE, SIDE, 3)
    asked = replace(request(0), original=white)
    assert guard(FAR).edit([asked])[0] is not None


def test_a_detector_that_breaks_is_not_taken_for_a_frame_without_a_face() -> None:
    class Broken(Detector):
        def detect(self, image: np.ndarray) -> list[DetectedFace]:
            return [[][0]]

    guarded = ExpressionGuard(ExpressionGuardConfig(), Editor(FAR), Broken())
    with pytest.raises(IndexError):
        guarded.edit([request(0)])


def test_prompts_are_checked_by_the_editor() -> None:
    with pytest.raises(KeyError, match="anything"):
        guard().check(EditPrompt("anything"))


def test_the_guard_is_found_behind_what_wraps_it() -> None:
    class Wrapped:
        def __init__(self, editor) -> None:
            self.editor = editor

    guarded = guard(FAITHFUL)
    guarded.edit([request(0)])
    assert guard_counts(Wrapped(Wrapped(guarded))) == GuardCounts(1, 0, 0)
    assert guard_counts(Wrapped(Editor())) == GuardCounts()


def test_each_deviation_has_a_tolerance_in_its_own_unit() -> None:
    config = ExpressionGuardConfig()
    still = dict.fromkeys(LEAST_READING, 0.0)
    for name, reading in LEAST_READING.items():
        at_tolerance = FaceDeviation(**{**still, name: getattr(config, name) * reading})
        assert config.shares(at_tolerance) == pytest.approx({**still, name: 1.0})
