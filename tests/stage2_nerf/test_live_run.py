"""A run with a viewer that stays: while its videos are rendered one may look and ask, and what is asked for is done."""

import threading
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest
import torch

from stage1_edit.editor import FrameEditor
from stage1_edit.prompts import EditPrompt
from stage2_nerf.pipeline import PortraitEditPipeline
from stage2_nerf.portrait_model import PortraitModel
from stage2_nerf.run_diary import RunDiary
from stage2_nerf.run_page import PAGE_NAME
from stage2_nerf.trainer import PortraitEditTrainerConfig, PortraitTrainer
from stage2_nerf.training_record import phases, read_record
from stage2_nerf.viewer_controls import PULLED_EXPRESSIONS, Notices, in_words
from tracking.clip import TrackedClip
from tracking.video import VideoReader

LIPS = EditPrompt("red lipstick", "lips")


@pytest.fixture
def trainers(monkeypatch: pytest.MonkeyPatch) -> list[PortraitTrainer]:
    """The trainers that were set up, the latest last."""
    made: list[PortraitTrainer] = []
    setup = PortraitTrainer.setup

    def remember(self: PortraitTrainer, *arguments: object) -> None:
        made.append(self)
        setup(self, *arguments)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(PortraitTrainer, "setup", remember)
    return made


def test_a_prompt_given_while_videos_are_rendered_is_trained_next(
    tiny_clip: TrackedClip,
    tiny_preset: PortraitEditTrainerConfig,
    train_with: Callable[[PortraitEditTrainerConfig, FrameEditor | None], None],
    trainers: list[PortraitTrainer],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = deepcopy(tiny_preset)
    config.data, config.output_dir, config.experiment_name, config.timestamp = tiny_clip.root, tmp_path, "talk", "live"
    config.vis = "viewer+tensorboard"
    config.viewer.quit_on_train_completion = False
    config.pipeline.render_when_done = True  # pyright: ignore[reportAttributeAccessIssue]
    written: list[list[str]] = []
    seen: list[torch.Tensor] = []
    said: list[str] = []
    render = RunDiary.render

    def look_and_ask(model: PortraitModel) -> None:
        """What the viewer's threads do, under the same lock."""
        trainer = trainers[-1]
        assert isinstance(trainer.pipeline, PortraitEditPipeline)
        if not trainer.train_lock.acquire(timeout=30):
            return
        try:
            assert not model.training, "the viewer would leave it training"
            camera = trainer.pipeline.datamanager.train_dataset.cameras[:1]  # pyright: ignore
            with torch.no_grad():
                seen.append(model.get_outputs_for_camera(camera)["rgb"])
            edit = trainer.pipeline.portrait.edit
            trainer.pipeline.portrait.look.c_original.value = True
            edit.a_prompt.value = "a horse [/b]"
            edit._edit(edit.e_edit)
            edit.a_prompt.value, edit.b_region.value = LIPS.text, LIPS.region
            edit._edit(edit.e_edit)
        finally:
            trainer.train_lock.release()

    def rendering(
        self: RunDiary, model: PortraitModel, clip: TrackedClip, prompts: tuple[EditPrompt, ...]
    ) -> list[Path]:
        if not written:
            viewer = threading.Thread(target=look_and_ask, args=(model,))
            viewer.start()
            viewer.join()
        written.append([path.name for path in render(self, model, clip, prompts)])
        if LIPS in prompts or "Next" not in said:
            # What Ctrl-C does: nothing else ends such a run.
            raise KeyboardInterrupt
        return []

    monkeypatch.setattr(RunDiary, "render", rendering)
    monkeypatch.setattr(Notices, "show", lambda self, title, words, is_trouble=False: said.append(title))
    train_with(config, None)

    folder = tmp_path / "talk" / "portrait-edit" / "live"
    assert len(seen) == 1, "the viewer waited for the videos"
    assert written == [["unedited.mp4"], ["1-lips-red-lipstick.mp4"]]
    assert (
        VideoReader(folder / "1-lips-red-lipstick.mp4").properties.width
        == VideoReader(Path(tiny_clip.source.path)).properties.width
    )
    assert said == ["Done", "That cannot be", "Next", "Being trained", "Done"]
    assert not trainers[-1].pipeline.portrait.look.c_original.value, "the edit would not be seen"  # pyright: ignore
    assert set(phases(read_record(folder))) == {"", str(LIPS)}
    assert (folder / PAGE_NAME).is_file()


def test_an_expression_reads_as_words() -> None:
    assert in_words("mouthSmileLeft") == "mouth Smile Left"
    assert len({in_words(name) for name in PULLED_EXPRESSIONS}) == len(PULLED_EXPRESSIONS)
