"""Rounds from falling noise levels, within a budget."""

import math
from typing import Any

import pytest

from stage1_edit.edit_then_fit import EditThenFit, EditThenFitConfig, affordable, plan_rounds
from stage1_edit.editing_cost import AsInstructPix2Pix
from tracking.errors import UserError


class Price:
    """So many evaluations a step and frame; anchors are sampled along in every batch of four."""

    def __init__(self, steps: int, branches: int, anchors: int = 0) -> None:
        self.steps, self.branches, self.anchors = steps, branches, anchors

    def evaluations_for(self, frames: int, noise_level: float, steps_by_level: bool) -> int:
        assert steps_by_level
        asked = frames + self.anchors * math.ceil(frames / 4)
        return asked * self.branches * max(1, round(self.steps * noise_level))


THREE: dict[str, Any] = {"noise_levels": (1.0, 0.8, 0.5), "shares": (0.22, 0.39, 0.39), "begins": (0.0, 0.3, 0.6)}
"""A phase of three rounds."""


def rounds_of(frames: int, price: Price | AsInstructPix2Pix, steps: int = 500, **settings):
    return plan_rounds(EditThenFitConfig(**THREE | settings), range(frames), steps, price)


def test_a_clip_of_250_frames_costs_a_twentieth_of_instruct_nerf2nerf() -> None:
    (only,) = plan_rounds(EditThenFitConfig(), range(250), 500, AsInstructPix2Pix())
    assert (only.frames, only.noise_level, only.first_step) == (tuple(range(75)), 1.0, 0)
    assert only.evaluations == 75 * 60 == 90_000 / 20


def test_weaker_rounds_pay_for_more_frames() -> None:
    rounds = rounds_of(250, AsInstructPix2Pix())
    assert [len(one.frames) for one in rounds] == [16, 36, 58]
    assert [one.evaluations for one in rounds] == [16 * 60, 36 * 48, 58 * 30]
    assert sum(one.evaluations for one in rounds) == 4428 <= 4500


@pytest.mark.parametrize("frames", [1, 5, 60, 120, 10_000])
@pytest.mark.parametrize(
    "price", [AsInstructPix2Pix(), Price(20, 3, anchors=2), Price(4, 1), Price(28, 1), Price(7, 2)]
)
def test_no_plan_exceeds_the_budget_and_none_wastes_it(frames: int, price) -> None:
    rounds = rounds_of(frames, price)
    assert sum(one.evaluations for one in rounds) <= 4500
    for one, share in zip(rounds, THREE["shares"], strict=True):
        more = price.evaluations_for(len(one.frames) + 1, one.noise_level, True)
        assert len(one.frames) == frames or more > share * 4500


def test_every_round_edits_the_most_telling_frames_and_the_last_those_without_an_edit_first() -> None:
    order = [7, 3, 9, 1, 0, 2, 4, 5, 6, 8]
    rounds = plan_rounds(EditThenFitConfig(budget=600, **THREE), order, 100, AsInstructPix2Pix())
    assert [one.frames for one in rounds] == [(7, 3), (7, 3, 9, 1), (0, 2, 4, 5, 6, 8, 7)]
    assert [one.first_step for one in rounds] == [0, 30, 60]


def test_a_single_round_edits_the_most_telling_frames() -> None:
    config = EditThenFitConfig(240, (1.0,), (1.0,), (0.0,))
    assert [one.frames for one in plan_rounds(config, [3, 1, 4, 0, 5], 10, AsInstructPix2Pix())] == [(3, 1, 4, 0)]


def test_a_cheap_model_edits_every_frame_in_every_round() -> None:
    assert all(len(one.frames) == 240 for one in rounds_of(240, Price(4, 1)))


def test_one_frame_at_least() -> None:
    assert affordable(10, 1.0, 0.0, AsInstructPix2Pix()) == 1


def test_rounds_come_before_their_steps_and_nothing_in_between() -> None:
    rounds = rounds_of(30, AsInstructPix2Pix(), steps=10)
    schedule = EditThenFit(rounds)
    due = [schedule.due() for _ in range(12)]
    assert [step for step, one in enumerate(due) if one.frames] == [0, 3, 6]
    found = [one for one in due if one.frames]
    assert [one.frames for one in found] == [one.frames for one in rounds]
    assert [(one.noise_level, one.number) for one in found] == [(1.0, 0), (0.8, 1), (0.5, 2)]
    assert all(one.steps_by_level for one in found)


def test_rounds_of_a_very_short_phase_do_not_collide() -> None:
    assert [one.first_step for one in rounds_of(5, AsInstructPix2Pix(), steps=2)] == [0, 1, 2]


def test_a_restored_schedule_goes_on_identically() -> None:
    rounds = rounds_of(30, AsInstructPix2Pix(), steps=40)
    whole, interrupted, resumed = EditThenFit(rounds), EditThenFit(rounds), EditThenFit(rounds)
    expected = [whole.due() for _ in range(40)]
    got = [interrupted.due() for _ in range(20)]
    resumed.load_state_dict(interrupted.state_dict())
    assert got + [resumed.due() for _ in range(20)] == expected


def test_a_round_that_was_interrupted_edits_only_what_is_left_of_it() -> None:
    rounds = plan_rounds(EditThenFitConfig(budget=600, **THREE), range(6), 10, AsInstructPix2Pix())
    schedule = EditThenFit(rounds, edited_in={0: 1, 1: 1, 2: 0})
    assert schedule.due().frames == (), "the first round was finished"
    due = [schedule.due() for _ in range(9)]
    assert [one.frames for one in due if one.frames] == [(2, 3), (4, 5, 0, 1, 2, 3)]


def test_a_saving_point_is_told_before_each_round() -> None:
    schedule = EditThenFit(rounds_of(30, AsInstructPix2Pix(), steps=10))
    told = []
    for _ in range(10):
        told.append(schedule.is_round_next)
        assert bool(schedule.due().frames) == told[-1]
    assert [step for step, one in enumerate(told) if one] == [0, 3, 6]


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"noise_levels": (1.0, 0.5)}, "one of each"),
        ({"noise_levels": (0.6, 1.0, 0.3)}, "fall from round to round"),
        ({"noise_levels": (1.0, 0.6, 0.0)}, "fall from round to round"),
        ({"begins": (0.0, 0.7, 0.4)}, "one after another"),
        ({"begins": (0.1, 0.4, 0.7)}, "the first at 0"),
        ({"shares": (0.5, 0.5, 0.5)}, "1 at most together"),
    ],
)
def test_rounds_that_make_no_sense_are_refused_in_a_sentence(settings: dict, what: str) -> None:
    with pytest.raises(UserError, match=what):
        rounds_of(10, AsInstructPix2Pix(), **settings)
