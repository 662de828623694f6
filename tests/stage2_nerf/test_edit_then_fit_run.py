"""Runs that edit in rounds: stopped amid a round and gone on with, they edit what they would have edited."""

import json
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch

from stage1_edit.consistency import Anchor, Anchors
from stage1_edit.edit_then_fit import EditThenFitConfig
from stage1_edit.edited_frames import EditedFrames
from stage1_edit.editor import EditRequest, Image
from stage1_edit.offline_editor import OfflineEditor
from stage1_edit.prompts import EditPrompt
from stage2_nerf import trainer
from stage2_nerf.run_page import PAGE_NAME
from stage2_nerf.trainer import PortraitEditTrainerConfig
from stage2_nerf.training_record import read_record
from tracking.clip import TrackedClip

STATUE = EditPrompt("turn him into a bronze statue")
BUDGET = 900
"""Of which 3 frames, 7 and 11 can be edited, for 180, 336 and 330 evaluations."""
ROUNDS = EditThenFitConfig(BUDGET, (1.0, 0.8, 0.5), (0.22, 0.39, 0.39), (0.0, 0.3, 0.6))


@dataclass
class NetworkEditor(OfflineEditor):
    """The offline editor with noise, as if it asked a network 60 times for an edit from noise; it remembers all.

    Every edit is lighter by what its anchor's latest one is.
    """

    network_evaluations: int = 0
    made: list[tuple[int, float, Image]] = field(default_factory=list)
    """Frame, noise level and picture of every edit."""
    stopped_after: int | None = None
    anchors: Anchors = field(default_factory=lambda: Anchors(1))

    def evaluations_for(self, frames: int, noise_level: float, steps_by_level: bool) -> int:
        assert steps_by_level
        return frames * 3 * round(20 * noise_level)

    def edit(self, requests: Sequence[EditRequest]) -> list[Image]:
        if self.stopped_after is not None and len(self.made) >= self.stopped_after:
            raise KeyboardInterrupt
        edits = []
        anchored, _ = self.anchors.beside(requests)
        lighter = 0.1 * sum(float(anchor.render.mean()) for anchor in anchored)
        for request, edit in zip(requests, super().edit(requests), strict=True):
            noise = 0.1 * torch.randn(edit.shape, generator=request.generator)
            edits.append((edit + lighter + request.noise_level * noise).clamp(0, 1))
            assert request.frame is not None
            self.made.append((request.frame, request.noise_level, edits[-1].clone()))
            self.network_evaluations += self.evaluations_for(1, request.noise_level, request.steps_by_level)
        states = [request.generator.get_state() for request in (*anchored, *requests)]
        # The anchors' own edits are as if each had been made once more, and became lighter.
        again = [0.9 * anchor.render + 0.1 for anchor in anchored]
        self.anchors.keep([*anchored, *requests], states, [*again, *edits])
        return edits

    def forget(self, requests: Sequence[EditRequest]) -> None:
        self.anchors.forget(requests)

    def followed(self, prompt: EditPrompt) -> list[Anchor]:
        return self.anchors.of_prompt(prompt)

    def follow(self, anchors: Sequence[Anchor]) -> None:
        self.anchors.take_up(anchors)

    def at(self, noise_level: float) -> dict[int, Image]:
        """The edits of one round."""
        return {frame: image for frame, level, image in self.made if level == noise_level}


class TakesAnything(NetworkEditor):
    """Makes a statue, whatever is asked for."""

    def check(self, prompt: EditPrompt) -> None: ...

    def edit(self, requests: Sequence[EditRequest]) -> list[Image]:
        return super().edit([replace(request, prompt=STATUE) for request in requests])


@dataclass(frozen=True)
class Run:
    """A training that ended, and its editor."""

    folder: Path
    editor: NetworkEditor

    @property
    def edited(self) -> EditedFrames:
        return EditedFrames(self.folder / "edited", STATUE, "offline")


Train = Callable[..., Run]


@pytest.fixture(scope="module")
def tiny_preset(tiny_preset: PortraitEditTrainerConfig) -> PortraitEditTrainerConfig:
    """The preset whose editor decides about its schedule."""
    preset = deepcopy(tiny_preset)
    preset.pipeline.style_training.schedule.name = "auto"  # pyright: ignore[reportAttributeAccessIssue]
    return preset


@pytest.fixture(scope="module")
def train(
    train_with: Callable[[PortraitEditTrainerConfig, NetworkEditor], None],
    tiny_preset: PortraitEditTrainerConfig,
    tiny_clip: TrackedClip,
    tmp_path_factory: pytest.TempPathFactory,
) -> Train:
    """Trains through `ns-train`'s main, with or without the prompt, going on after another run's folder."""
    outputs = tmp_path_factory.mktemp("outputs")

    def run(
        name: str, editor: NetworkEditor, after: Path | None, edits: bool = True, prompt: EditPrompt = STATUE
    ) -> Run:
        config = deepcopy(tiny_preset)
        config.output_dir, config.experiment_name, config.timestamp = outputs, "tiny", name
        config.data = tiny_clip.root
        config.pipeline.prompts = (prompt,) if edits else ()  # pyright: ignore[reportAttributeAccessIssue]
        config.pipeline.style_training.schedule.edit_then_fit = ROUNDS  # pyright: ignore
        config.pipeline.style_training.start = "surface"  # pyright: ignore[reportAttributeAccessIssue]
        config.load_dir = after / "nerfstudio_models" if after else None
        train_with(config, editor)
        return Run(config.get_base_dir(), editor)

    return run


@pytest.fixture(scope="module")
def reconstruction(train: Train) -> Path:
    return train("reconstruction", NetworkEditor(), None, edits=False).folder


@pytest.fixture(scope="module")
def whole(train: Train, reconstruction: Path) -> Run:
    return train("whole", NetworkEditor(), reconstruction)


def test_an_editor_that_asks_a_network_is_asked_in_rounds_within_the_budget(whole: Run) -> None:
    assert [level for _, level, _ in whole.editor.made] == [1.0] * 3 + [0.8] * 7 + [0.5] * 11
    again, last = whole.editor.at(0.8).keys(), whole.editor.at(0.5).keys()
    assert whole.editor.at(1.0).keys() <= again and len(again | last) == 16, "the last round reaches the other frames"
    assert whole.editor.network_evaluations == 180 + 336 + 330 <= BUDGET
    assert whole.edited.frames == tuple(sorted(again | last))


def test_what_edits_cost_is_in_the_record_on_the_page_and_in_the_journal(whole: Run) -> None:
    last = read_record(whole.folder)[-1]
    assert (last.phase, last.edited_frames, last.network_evaluations) == (str(STATUE), 21, 846)
    assert "<th>Network evaluations</th>" in (whole.folder / PAGE_NAME).read_text()
    assert "<td>846</td>" in (whole.folder / PAGE_NAME).read_text()
    journal = whole.edited.journal
    assert {record.number: record.noise_level for record in journal.records} == {0: 1.0, 1: 0.8, 2: 0.5}
    seeds = [seed for record in journal.records for seed in record.seeds]
    assert len(set(seeds)) == 21 and journal.network_evaluations == 846
    settings = json.loads((whole.edited.folder / "prompt.json").read_text())
    assert settings["training"]["schedule"]["edit_then_fit"]["budget"] == BUDGET
    assert settings["editor_settings"]["name"] == "offline"


def test_only_edited_frames_start_weaker_edits_from_the_surface(whole: Run) -> None:
    assert (whole.edited.folder / "surface.npz").is_file()


def test_a_run_stopped_amid_a_round_edits_exactly_what_was_left_of_it(
    train: Train, reconstruction: Path, whole: Run
) -> None:
    """Four of the second round's seven frames were done when it was stopped; batches are of four."""
    stopped = train("stopped", NetworkEditor(stopped_after=5), reconstruction)
    done = stopped.editor.at(0.8)
    assert len(stopped.editor.at(1.0)) == 3 and len(done) == 4
    resumed = train("resumed", NetworkEditor(), stopped.folder)
    assert not resumed.editor.at(1.0)
    left = resumed.editor.at(0.8)
    assert not done.keys() & left.keys() and len(left) == 3
    expected = whole.editor.at(0.8)
    assert {**done, **left}.keys() == expected.keys()
    assert all(torch.equal(image, expected[frame]) for frame, image in {**done, **left}.items())
    # The steps in between are the same, too, so that the last round's renders are.
    last_round, expected = resumed.editor.at(0.5), whole.editor.at(0.5)
    assert last_round.keys() == expected.keys()
    assert all(torch.equal(image, expected[frame]) for frame, image in last_round.items())
    last = read_record(resumed.folder)[-1]
    assert (last.edited_frames, last.network_evaluations) == (21, 846), "earlier edits are counted, and none twice"


def test_with_another_schedule_a_resumed_run_begins_it_anew(
    train: Train, reconstruction: Path, tiny_preset: PortraitEditTrainerConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    stopped = train("stopped-2", NetworkEditor(stopped_after=5), reconstruction)
    schedule = tiny_preset.pipeline.style_training.schedule  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schedule, "name", "instruct-nerf2nerf")
        patch.setattr(NetworkEditor, "evaluations_for", lambda self, frames, noise_level, steps_by_level: 60 * frames)
        resumed = train("resumed-2", NetworkEditor(), stopped.folder)
    assert "had another schedule" in capsys.readouterr().out
    # One frame before the first of the four steps that were left, at any level.
    assert len(resumed.editor.made) == 1


def test_a_prompt_is_told_as_it_was_typed(
    train: Train, reconstruction: Path, tiny_preset: PortraitEditTrainerConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = EditPrompt("a shirt that says [/b] {0} :dog:")
    with pytest.MonkeyPatch.context() as patch:
        # The preset's editor, the offline one, would be asked whether it knows these words.
        patch.setattr(trainer, "check_editor", lambda config, prompts: None)
        train("typed", TakesAnything(), reconstruction, prompt=typed)
    told = capsys.readouterr().out
    assert f"Editing: {typed}\n" in told and f"{typed}: 21 frames edited, 846 network evaluations." in told
