"""What an edit costs decides when frames are edited."""

from dataclasses import dataclass

import pytest
import torch

from stage1_edit.choose_schedule import ScheduleConfig, in_words, make_schedule, resolve_schedule_name
from stage1_edit.edit_then_fit import EditOnceConfig, EditThenFit
from stage1_edit.editing_cost import evaluations_so_far, network_behind
from stage1_edit.external_editor import ExternalEditor, ExternalEditorConfig
from stage1_edit.offline_editor import OfflineEditor
from stage1_edit.schedule import IterativeDatasetUpdate
from tracking.errors import UserError


@dataclass
class Network:
    """An editor that asks a network ten times a frame."""

    network_evaluations: int = 0

    def evaluations_for(self, frames: int, noise_level: float, steps_by_level: bool) -> int:
        return 10 * frames

    def edit(self, requests): ...

    def check(self, prompt): ...


@dataclass
class Wrapper:
    """An editor around another."""

    editor: object

    def edit(self, requests): ...

    def check(self, prompt): ...


def schedule(name: str, editor, frames: int = 20):
    config = ScheduleConfig(name)  # pyright: ignore[reportArgumentType]
    return make_schedule(config, editor, range(frames), 4, 100, torch.Generator().manual_seed(0), {})


def test_auto_follows_from_what_an_edit_costs() -> None:
    assert resolve_schedule_name(ScheduleConfig(), OfflineEditor()) == "once"
    assert resolve_schedule_name(ScheduleConfig(), Wrapper(Wrapper(OfflineEditor()))) == "once"
    assert resolve_schedule_name(ScheduleConfig(), Network()) == "edit-then-fit"
    assert resolve_schedule_name(ScheduleConfig(), Wrapper(Wrapper(Network()))) == "edit-then-fit"
    assert resolve_schedule_name(ScheduleConfig("iterative"), Network()) == "iterative"


def test_a_network_is_found_and_counted_behind_its_wrappers() -> None:
    network = Network(7)
    assert network_behind(Wrapper(Wrapper(network))) is network
    assert evaluations_so_far(Wrapper(network)) == 7 and evaluations_so_far(OfflineEditor()) == 0


def test_an_editor_without_a_network_edits_frames_once_from_pure_noise() -> None:
    """Edited again from a render that is still learning, frames were drawn back to the original for good."""
    edits = schedule("auto", OfflineEditor())
    assert edits.is_round_next
    first = edits.due()
    assert first.frames == tuple(range(20)) and first.noise_level == 1
    assert not any(edits.due().frames for _ in range(200)) and not edits.is_round_next


def test_of_a_long_clip_the_most_telling_frames_are_edited_once() -> None:
    """Edits of every frame of a long clip took longer than the training on them."""
    order = [(7 * frame) % 400 for frame in range(400)]
    edits = make_schedule(ScheduleConfig(), OfflineEditor(), order, 4, 100, torch.Generator(), {})
    assert list(edits.due().frames) == order[:120]


def test_pictures_that_were_edited_elsewhere_are_all_taken(tmp_path) -> None:
    edited = Wrapper(ExternalEditor(ExternalEditorConfig(tmp_path)))
    assert len(schedule("auto", edited, frames=400).due().frames) == 400


def test_to_edit_no_frame_is_refused() -> None:
    with pytest.raises(UserError, match="0 frames are to be edited once"):
        ScheduleConfig(once=EditOnceConfig(0)).check()


def test_of_frames_edited_once_an_interrupted_run_edits_the_rest() -> None:
    config = ScheduleConfig()
    edits = make_schedule(config, OfflineEditor(), range(6), 4, 100, torch.Generator(), {1: 0, 4: 0})
    assert edits.due().frames == (0, 2, 3, 5)


def test_iterative_dataset_update_edits_every_frame_first_keyframes_before_the_rest() -> None:
    due = schedule("iterative", OfflineEditor()).due()
    assert due.frames[:4] == (0, 1, 2, 3) and sorted(due.frames) == list(range(20)) and due.noise_level == 1


def test_instruct_nerf2nerf_is_as_published() -> None:
    """One frame every 10 steps in one order that repeats, levels from [0.02, 0.98], and all frames trained on."""
    edits = schedule("instruct-nerf2nerf", Network())
    assert isinstance(edits, IterativeDatasetUpdate) and edits.train_on_unedited
    assert ScheduleConfig("instruct-nerf2nerf").train_on_unedited and not ScheduleConfig().train_on_unedited
    due = [edits.due() for _ in range(4000)]
    made = [one for one in due if one.frames]
    assert len(made) == 400 and all(due[10 * number] is one for number, one in enumerate(made))
    order = [one.frames for one in made]
    assert all(len(frames) == 1 for frames in order)
    assert order == order[:20] * 20 and sorted(order[:20]) == [(frame,) for frame in range(20)]
    assert order[:20] != [(frame,) for frame in range(20)]
    levels = [one.noise_level for one in made]
    assert 0.02 <= min(levels) < 0.04 and 0.96 < max(levels) <= 0.98
    assert not any(one.steps_by_level for one in made), "all 20 steps at every level"


def test_a_network_is_planned_for_by_its_own_price() -> None:
    edits = schedule("edit-then-fit", Network(), frames=1000)
    assert isinstance(edits, EditThenFit)
    assert [len(one.frames) for one in edits.rounds] == [450]
    assert "4,500 network evaluations within the budget" in in_words(edits, Network())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("auto", "20 frames once, before the first step; no network"),
        ("iterative", "every frame first, then 1 every 10 steps"),
        ("instruct-nerf2nerf", "iterative dataset update, 1 every 10 steps"),
        ("edit-then-fit", "frames: 20 at noise level 1; 1,200 network"),
    ],
)
def test_the_plan_is_told_in_one_line(name: str, words: str) -> None:
    told = in_words(schedule(name, OfflineEditor()), OfflineEditor())
    assert words in told and "\n" not in told
