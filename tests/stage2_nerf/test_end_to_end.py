"""The whole way through nerfstudio's own entry points: train, stop, go on, evaluate, render."""

import json
import math
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
import pytest
import torch
from nerfstudio.engine.callbacks import TrainingCallback, TrainingCallbackLocation
from nerfstudio.scripts.eval import ComputePSNR
from nerfstudio.scripts.render import DatasetRender
from nerfstudio.utils.eval_utils import eval_setup

import stage2_nerf.render
from stage1_edit.compositing import region_mask
from stage1_edit.edited_frames import EditedFrames
from stage1_edit.editor import EditRequest, FrameEditor, Image
from stage1_edit.offline_editor import OfflineEditor
from stage1_edit.prompts import EditPrompt
from stage2_nerf.finished_run import load_run
from stage2_nerf.pipeline import PortraitEditPipeline
from stage2_nerf.render_config import RenderConfig
from stage2_nerf.rendering import render_video
from stage2_nerf.style_mix import style_name
from stage2_nerf.trainer import PortraitEditTrainerConfig
from stage2_nerf.training_record import phases, read_record
from tracking.clip import HeadTrack, TrackedClip
from tracking.errors import UserError
from tracking.video import VideoReader

HAIR = EditPrompt("make it silver", "hair")
STATUE = EditPrompt("turn him into a bronze statue")
TrainWith = Callable[[PortraitEditTrainerConfig, FrameEditor], None]


@dataclass
class CountingEditor(OfflineEditor):
    """The offline editor, which remembers at which noise levels it was asked."""

    noise_levels: list[float] = field(default_factory=list)
    interrupted_after: int | None = None
    """After how many frames Ctrl-C is pressed."""

    def edit(self, requests: Sequence[EditRequest]) -> list[Image]:
        if self.interrupted_after is not None and len(self.noise_levels) >= self.interrupted_after:
            raise KeyboardInterrupt
        self.noise_levels += [request.noise_level for request in requests]
        return super().edit(requests)


@dataclass(frozen=True)
class Run:
    """A training that ended, and what its editor was asked."""

    config: PortraitEditTrainerConfig
    editor: CountingEditor

    @property
    def folder(self) -> Path:
        return self.config.get_base_dir()

    @property
    def config_file(self) -> Path:
        return self.folder / "config.yml"

    def load(self) -> PortraitEditPipeline:
        """The pipeline from its last checkpoint, as ns-render loads it."""
        _, pipeline, _, _ = eval_setup(self.config_file, test_mode="inference")
        assert isinstance(pipeline, PortraitEditPipeline)
        return pipeline

    def edited(self, prompt: EditPrompt) -> EditedFrames:
        return EditedFrames(self.folder / "edited", prompt, "offline")


@dataclass
class Trainings:
    """Trains through `ns-train`'s main, in this process."""

    train_with: TrainWith
    preset: PortraitEditTrainerConfig
    clip: TrackedClip
    outputs: Path

    def configure(
        self, name: str, prompts: tuple[EditPrompt, ...], after: Run | None = None
    ) -> PortraitEditTrainerConfig:
        """The tiny preset with a name and prompts, going on after another run."""
        config = deepcopy(self.preset)
        config.output_dir, config.experiment_name, config.timestamp = self.outputs, "tiny", name
        config.data = self.clip.root
        config.pipeline.prompts = prompts  # pyright: ignore[reportAttributeAccessIssue]
        config.load_dir = after.config.get_checkpoint_dir() if after else None
        return config

    def train(self, config: PortraitEditTrainerConfig, editor: CountingEditor | None = None) -> Run:
        editor = editor or CountingEditor()
        self.train_with(config, editor)
        return Run(config, editor)


@pytest.fixture(scope="module")
def trainings(train_with: TrainWith, tiny_preset, tiny_clip: TrackedClip, tmp_path_factory) -> Trainings:
    return Trainings(train_with, tiny_preset, tiny_clip, tmp_path_factory.mktemp("outputs"))


@pytest.fixture(scope="module")
def reconstruction(trainings: Trainings) -> Run:
    """A run without prompts."""
    return trainings.train(trainings.configure("reconstruction", ()))


@pytest.fixture(scope="module")
def edit(trainings: Trainings, reconstruction: Run) -> Run:
    """Both prompts, over the finished reconstruction."""
    return trainings.train(trainings.configure("edit", (HAIR, STATUE), after=reconstruction))


@pytest.fixture(scope="module")
def interrupted(trainings: Trainings) -> Run:
    """A run from scratch that Ctrl-C stops after three of the first style's six steps."""
    config = trainings.configure("interrupted", (HAIR, STATUE))
    config.steps_per_save = 1
    original = PortraitEditPipeline.get_training_callbacks

    def with_interrupt(self: PortraitEditPipeline, attributes: object) -> list[TrainingCallback]:
        def interrupt(step: int) -> None:
            del step
            if steps_trained(self)[HAIR] == 3:
                raise KeyboardInterrupt

        callback = TrainingCallback([TrainingCallbackLocation.BEFORE_TRAIN_ITERATION], func=interrupt)
        return [callback, *original(self, attributes)]  # pyright: ignore[reportArgumentType]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PortraitEditPipeline, "get_training_callbacks", with_interrupt)
        return trainings.train(config)


@pytest.fixture(scope="module")
def resumed(trainings: Trainings, interrupted: Run) -> Run:
    """The interrupted run, gone on with."""
    return trainings.train(trainings.configure("resumed", (HAIR, STATUE), after=interrupted))


@pytest.fixture
def ffmpeg_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ns-render wants an `ffmpeg` on the PATH, even for pictures."""
    (tmp_path / "ffmpeg").symlink_to(imageio_ffmpeg.get_ffmpeg_exe())
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")


def steps_trained(pipeline: PortraitEditPipeline) -> dict[EditPrompt | None, int]:
    """Steps of the reconstruction, under None, and of every prompt's style."""
    model = pipeline.model
    steps: dict[EditPrompt | None, int] = {None: int(model.reconstruction_steps_trained)}
    for name, prompt in pipeline.styles.items():
        steps[prompt] = int(model.styles[name].steps_trained)  # pyright: ignore[reportArgumentType]
    return steps


def foreground(pipeline: PortraitEditPipeline, prompt: EditPrompt | None, row: int = 5) -> torch.Tensor:
    """A frame's rendered person in a prompt's style, with its opacity."""
    pipeline.show(prompt)
    with torch.no_grad():
        outputs = pipeline.model.render_frame(pipeline.datamanager.train_dataset.cameras[row : row + 1])
    return torch.cat([outputs["foreground"], outputs["accumulation"]], dim=-1)


def frames_of(video: Path) -> Iterator[np.ndarray]:
    return (frame.image for frame in VideoReader(video))


def test_every_phase_trains_for_its_steps(edit: Run, reconstruction: Run) -> None:
    assert steps_trained(reconstruction.load()) == {None: 12}
    assert steps_trained(edit.load()) == {None: 12, HAIR: 6, STATUE: 6}
    # The reconstruction's record is taken along, and the run's page names what was trained.
    assert list(phases(read_record(edit.folder))) == ["", str(HAIR), str(STATUE)]
    assert str(STATUE) in (edit.folder / "index.html").read_text()


def test_edited_frames_of_all_training_frames_are_on_disk(edit: Run, tiny_clip: TrackedClip) -> None:
    for prompt in (HAIR, STATUE):
        kept = edit.edited(prompt)
        assert kept.frames == tuple(tiny_clip.frames)
        original = torch.from_numpy(tiny_clip.image(5)).float() / 255
        labels, matte = torch.from_numpy(tiny_clip.labels(5)), torch.from_numpy(tiny_clip.matte(5))
        mask = region_mask(labels, matte[..., None], prompt.region)[..., 0]
        assert torch.equal(kept.read(5)[mask == 0], original[mask == 0])
        assert (kept.read(5) - original)[mask > 0.5].abs().mean() > 0.02


def test_every_frame_is_edited_first_then_one_is_polished_every_four_steps(edit: Run, tiny_clip: TrackedClip) -> None:
    levels = edit.editor.noise_levels
    for of_style in (levels[: len(levels) // 2], levels[len(levels) // 2 :]):
        assert of_style[:-1] == [1.0] * len(tiny_clip.frames)
        assert 0 < of_style[-1] < 1


def test_a_checkpoint_renders_the_same_bits_every_time(edit: Run) -> None:
    one, other = edit.load(), edit.load()
    for prompt in (None, HAIR, STATUE):
        assert torch.equal(foreground(one, prompt), foreground(other, prompt))


def test_a_run_is_loaded_alike_by_us_and_by_nerfstudio_wherever_its_folder_is(edit: Run, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    (moved / "nerfstudio_models").mkdir(parents=True)
    (moved / "config.yml").write_bytes(edit.config_file.read_bytes())
    with pytest.raises(UserError, match=r"elsewhere holds no checkpoint: train the run first\."):
        load_run(moved / "config.yml")
    shutil.copytree(edit.folder / "nerfstudio_models", moved / "nerfstudio_models", dirs_exist_ok=True)
    assert torch.equal(foreground(load_run(moved / "config.yml").pipeline, STATUE), foreground(edit.load(), STATUE))


def test_editing_leaves_the_unedited_avatar_as_it_was(edit: Run, reconstruction: Run) -> None:
    before, after = reconstruction.load(), edit.load()
    assert torch.equal(foreground(before, None), foreground(after, None))
    assert not torch.equal(foreground(after, STATUE), foreground(after, None))
    assert not torch.equal(foreground(after, STATUE), foreground(after, HAIR))


def test_styles_change_colour_and_never_the_silhouette(edit: Run) -> None:
    pipeline = edit.load()
    for prompt in (HAIR, STATUE):
        assert torch.equal(foreground(pipeline, prompt)[..., 3], foreground(pipeline, None)[..., 3])


def test_ctrl_c_keeps_the_last_checkpoint_and_the_edited_frames(interrupted: Run, tiny_clip: TrackedClip) -> None:
    assert steps_trained(interrupted.load()) == {None: 12, HAIR: 3, STATUE: 0}
    assert interrupted.edited(HAIR).frames == tuple(tiny_clip.frames)
    assert not (interrupted.folder / "edited" / style_name(STATUE)).exists()
    assert interrupted.editor.noise_levels == [1.0] * len(tiny_clip.frames)


def test_an_interrupted_run_goes_on_where_it_stood(interrupted: Run, resumed: Run, tiny_clip: TrackedClip) -> None:
    assert steps_trained(resumed.load()) == {None: 12, HAIR: 6, STATUE: 6}
    assert torch.equal(foreground(interrupted.load(), None), foreground(resumed.load(), None))
    # Of the first style only the one edit that was still to come; then all of the second's.
    first, *others = resumed.editor.noise_levels
    assert 0 < first < 1
    assert others[:-1] == [1.0] * len(tiny_clip.frames)
    assert 0 < others[-1] < 1
    taken_along = [
        frame
        for frame in interrupted.edited(HAIR).frames
        if interrupted.edited(HAIR).path(frame).read_bytes() == resumed.edited(HAIR).path(frame).read_bytes()
    ]
    assert len(taken_along) == len(tiny_clip.frames) - 1


def test_ctrl_c_among_the_first_edits_keeps_those_that_are_done(trainings: Trainings, tiny_clip: TrackedClip) -> None:
    """And all of the reconstruction, which ended long after the last checkpoint that was due."""
    config = trainings.configure("interrupted-edits", (STATUE,))
    stopped = trainings.train(config, CountingEditor(interrupted_after=8))
    assert steps_trained(stopped.load()) == {None: 12, STATUE: 0}
    assert len(stopped.edited(STATUE)) == 8
    resumed = trainings.train(trainings.configure("resumed-edits", (STATUE,), after=stopped))
    assert resumed.editor.noise_levels[:-1] == [1.0] * (len(tiny_clip.frames) - 8)
    assert resumed.edited(STATUE).frames == tuple(tiny_clip.frames)
    assert steps_trained(resumed.load()) == {None: 12, STATUE: 6}


def test_a_finished_run_that_goes_on_is_told_that_nothing_is_left(
    trainings: Trainings, edit: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        trainings.train(trainings.configure("again", (HAIR, STATUE), after=edit))
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert "portrait-edit: Nothing is left to train" in error
    assert "Traceback" not in error


def test_ns_eval_writes_finite_metrics(edit: Run, tmp_path: Path) -> None:
    ComputePSNR(load_config=edit.config_file, output_path=tmp_path / "metrics.json").main()
    results = json.loads((tmp_path / "metrics.json").read_text())["results"]
    assert {"psnr_in_matte", "psnr", "ssim"} <= set(results)
    assert all(math.isfinite(value) for value in results.values())


@pytest.mark.usefixtures("ffmpeg_on_path")
def test_ns_render_dataset_renders_the_frames_of_a_split(edit: Run, tiny_clip: TrackedClip, tmp_path: Path) -> None:
    DatasetRender(
        load_config=edit.config_file,
        output_path=tmp_path / "renders",
        split="test",
        rendered_output_names=["rgb"],
        image_format="png",
    ).main()
    pictures = sorted((tmp_path / "renders" / "test" / "rgb").glob("*.png"))
    assert [picture.stem for picture in pictures] == [f"{frame:05d}" for frame in (4, 12)]
    rendered = cv2.cvtColor(cv2.imread(str(pictures[0])), cv2.COLOR_BGR2RGB)
    colour, alpha = foreground(edit.load(), None, row=4).split((3, 1), dim=-1)
    over_white = (colour + 1 - alpha).clamp(0, 1).numpy() * 255
    assert np.abs(rendered - over_white).max() <= 1
    assert rendered.shape == tiny_clip.image(4).shape


@pytest.fixture(scope="module")
def lossless(edit: Run) -> Path:
    """The first prompt, rendered as `portrait-render --codec lossless` does."""
    return render_video(RenderConfig(edit.folder / "hair.mp4", edit.config_file, prompt="1", codec="lossless"))


def test_the_video_has_its_sources_frames_and_times(lossless: Path, tiny_clip: TrackedClip) -> None:
    source, output = VideoReader(Path(tiny_clip.source.path)), VideoReader(lossless)
    assert output.properties.frame_rate == source.properties.frame_rate
    assert (output.properties.width, output.properties.height) == (176, 144)
    times = [[frame.timestamp * video.properties.time_base for frame in video] for video in (source, output)]
    assert times[0] == times[1]


def test_what_is_not_edited_equals_the_source_bit_for_bit(lossless: Path, edit: Run, tiny_clip: TrackedClip) -> None:
    pipeline = edit.load()
    left, top, width, height = tiny_clip.source.crop
    place = (slice(top, top + height), slice(left, left + width))
    changed = 0
    videos = zip(frames_of(Path(tiny_clip.source.path)), frames_of(lossless), strict=True)
    for number, (source, output) in enumerate(videos):
        matte = tiny_clip.matte(number)
        alpha = foreground(pipeline, HAIR, row=number)[..., 3].numpy()
        labels = torch.from_numpy(tiny_clip.labels(number))
        hair = region_mask(labels, torch.from_numpy(matte)[..., None], "hair")[..., 0].numpy()
        may_change = np.zeros(source.shape[:2], bool)
        may_change[place] = True
        for covered in (matte + alpha, hair):
            assert (covered == 0).mean() > 0.1
            may_change[place] &= cv2.resize(np.asarray(covered, np.float32), (width, height)) > 0
        np.testing.assert_array_equal(output[~may_change], source[~may_change])
        changed += (output != source).any(axis=-1).sum()
    assert changed > 0


def test_side_by_side_shows_the_source_and_every_edit(edit: Run, tiny_clip: TrackedClip, lossless: Path) -> None:
    output = edit.folder / "all.mp4"
    render_video(RenderConfig(output, edit.config_file, prompt="all", side_by_side=True, codec="lossless"))
    sources = frames_of(Path(tiny_clip.source.path))
    for frame, source, hair in zip(frames_of(output), sources, frames_of(lossless), strict=True):
        assert frame.shape == (144, 3 * 176, 3)
        np.testing.assert_array_equal(frame[:, :176], source)
        np.testing.assert_array_equal(frame[:, 176 : 2 * 176], hair)


def test_portrait_render_tells_an_unknown_prompt_in_one_line(
    edit: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["portrait-render", "--load-config", edit.folder, "--output", tmp_path / "out.mp4", "--prompt", "7"]
    monkeypatch.setattr(sys, "argv", [str(word) for word in command])
    with pytest.raises(SystemExit) as stop:
        stage2_nerf.render.main()
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("portrait-edit: This run has no prompt '7'")
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def replaced(clip: TrackedClip, root: Path, **arrays: np.ndarray) -> TrackedClip:
    """The same pictures with other arrays in the track."""
    root.mkdir()
    for name in ("images", "masks", "labels", "background.png"):
        (root / name).symlink_to(clip.root / name)
    replace(clip, root=root, track=replace(clip.track, **arrays)).save_description()
    return TrackedClip.load(root)


@pytest.mark.parametrize(
    "arrays",
    [
        pytest.param(lambda track: {"tracked": track.tracked & (np.arange(len(track.tracked)) < 15)}, id="shorter"),
        pytest.param(lambda track: {"identity": track.identity + 0.1}, id="another person in the same shapes"),
    ],
)
def test_a_checkpoint_of_another_clip_is_refused_in_one_line(
    arrays: Callable[[HeadTrack], dict[str, np.ndarray]],
    trainings: Trainings,
    reconstruction: Run,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    other = replaced(trainings.clip, tmp_path / "other", **arrays(trainings.clip.track))
    config = Trainings(trainings.train_with, trainings.preset, other, tmp_path).configure(
        "other", (), after=reconstruction
    )
    with pytest.raises(SystemExit) as stop:
        trainings.train(config)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("portrait-edit: The checkpoint does not fit this run: it is the avatar of another clip")
    assert error.count("\n") == 1
