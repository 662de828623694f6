import math

import pytest
import torch

from stage1_edit.schedule import IterativeDatasetUpdate, IterativeDatasetUpdateConfig


def schedule(frame_count: int = 7, total_steps: int = 1000, seed: int = 0, **settings) -> IterativeDatasetUpdate:
    config = IterativeDatasetUpdateConfig(**settings)
    return IterativeDatasetUpdate(config, frame_count, total_steps, torch.Generator().manual_seed(seed))


def test_without_a_warm_start_the_defaults_are_instruct_nerf2nerfs() -> None:
    updates = schedule(frames_first=0)
    due = [updates.due() for _ in range(4000)]
    assert [bool(edits.frames) for edits in due] == [step % 10 == 0 for step in range(4000)]
    edits = [edit for edit in due if edit.frames]
    assert all(len(edit.frames) == 1 for edit in edits)
    levels = torch.tensor([edit.noise_level for edit in edits])
    assert levels.min() >= 0.02 and levels.max() <= 0.98
    # The mean of 400 draws from U[0.02, 0.98] has deviation 0.96 / sqrt(12 * 400) = 0.014.
    assert abs(levels.mean() - 0.5) < 0.05
    assert abs(levels[:200].mean() - levels[200:].mean()) < 0.1


def test_the_first_pass_edits_every_frame_from_pure_noise() -> None:
    first = schedule().due()
    assert sorted(first.frames) == list(range(7)) and first.noise_level == 1.0


def test_a_short_first_pass_is_the_start_of_the_first_round() -> None:
    updates = schedule(frames_first=3, steps_between_edits=1)
    frames = list(updates.due().frames)
    assert len(frames) == 3
    frames += [updates.due().frames[0] for _ in range(4)]
    assert sorted(frames) == list(range(7))


def test_keyframes_come_first_and_every_frame_once() -> None:
    config, generator = IterativeDatasetUpdateConfig(), torch.Generator().manual_seed(0)
    frames = IterativeDatasetUpdate(config, 7, 1000, generator, edited=[6], keyframes=[5, 2]).due().frames
    assert frames[:2] == (5, 2) and sorted(frames) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("frames_per_edit", [1, 2, 7, 20])
def test_every_frame_is_visited_once_per_round(frames_per_edit: int) -> None:
    updates = schedule(frames_first=0, steps_between_edits=1, frames_per_edit=frames_per_edit)
    visits_per_round = math.ceil(7 / frames_per_edit)
    rounds = [[f for _ in range(visits_per_round) for f in updates.due().frames] for _ in range(5)]
    assert all(sorted(frames) == list(range(7)) for frames in rounds)
    assert len({tuple(frames) for frames in rounds}) > 1


def test_annealing_falls_linearly_from_first_to_last_step() -> None:
    updates = schedule(last_max_noise_level=0.3, total_steps=101)
    assert [updates.highest_noise_level(step) for step in (0, 50, 100, 5000)] == pytest.approx([0.98, 0.64, 0.3, 0.3])
    updates = schedule(last_max_noise_level=0.3, total_steps=2000, frames_first=0)
    levels = [(step, edits.noise_level) for step in range(2000) if (edits := updates.due()).frames]
    assert all(0.02 <= level <= updates.highest_noise_level(step) for step, level in levels)
    assert max(level for _, level in levels[:20]) > 0.6 > 0.4 > max(level for _, level in levels[-20:])


def test_a_restored_schedule_goes_on_identically() -> None:
    whole, interrupted = schedule(steps_between_edits=3), schedule(steps_between_edits=3)
    expected = [whole.due() for _ in range(100)]
    got = [interrupted.due() for _ in range(37)]
    resumed = schedule(steps_between_edits=3, seed=99)
    resumed.load_state_dict(interrupted.state_dict())
    assert got + [resumed.due() for _ in range(63)] == expected


def test_a_saved_state_does_not_move_with_the_schedule() -> None:
    updates = schedule(steps_between_edits=1)
    updates.due()
    state = updates.state_dict()
    expected = [updates.due() for _ in range(30)]
    updates.load_state_dict(state)
    assert [updates.due() for _ in range(30)] == expected


def test_the_seed_decides_the_order() -> None:
    assert schedule().due() == schedule().due()
    assert schedule(20).due() != schedule(20, seed=1).due()
