"""A run's videos: every edit and the unedited avatar, rendered into the run's folder if they are not there yet.

RUN/renders/
    0-unedited.mp4      the avatar without any style, put into the frames as edits are
    0-avatar-alone.mp4  the same, without the source's fine detail: what the avatar itself has learned
    1-hair-make-it-silver.mp4 ...
"""

import re
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from nerfstudio.utils.eval_utils import eval_setup
from rich.progress import track

from evaluation.editing_alone import editor_target
from evaluation.measurement import Picture
from evaluation.measuring import EditedVideo
from stage1_edit.offline_editor import OfflineEditor
from stage1_edit.prompts import EditPrompt
from stage2_nerf.frame_renderer import FrameRenderer, look_of
from stage2_nerf.pipeline import PortraitEditPipeline, PortraitEditPipelineConfig
from tracking.clip import TrackedClip
from tracking.errors import UserError
from tracking.track import find_or_track
from tracking.video import VideoReader
from tracking.video_writer import Codec, VideoWriter

RENDERS = "renders"
MOST_LOSSLESS_PIXELS = 1_000_000_000
"""Videos with more pixels in all their frames (500 frames of 1920 x 1080) are compressed a little, lest they fill
disks: without loss a pixel takes about a byte."""


@dataclass(frozen=True)
class WantedRender:
    """A video that a run can make."""

    edited: EditedVideo
    prompt: EditPrompt | None
    """None is the unedited avatar."""
    detail: float
    """How much of the source's fine brightness is put back."""


@dataclass(frozen=True)
class FinishedRun:
    """What a run's folder says of it, before anything heavy is loaded."""

    config_path: Path
    pipeline: PortraitEditPipelineConfig
    clip: TrackedClip

    @classmethod
    def open(cls, config_path: Path) -> "FinishedRun":
        """Read a run's configuration.

        Raises:
            UserError: it is no finished run of portrait-edit, or its clip has gone.
        """
        text = config_path.read_text(errors="replace")
        if PortraitEditPipelineConfig.__name__ not in text:
            raise UserError(f"{config_path} is no run of portrait-edit: give the config.yml of one.")
        try:
            # nerfstudio's own format: the configuration's objects.
            config: Any = yaml.load(text, Loader=yaml.Loader)
        except yaml.YAMLError as error:
            raise UserError(f"{config_path} is damaged: train the run again.") from error
        if not list(_checkpoints(config_path)):
            raise UserError(f"{config_path.parent} holds no checkpoint: train the run first, then evaluate it.")
        data = config.pipeline.datamanager.data or config.pipeline.datamanager.dataparser.data
        return cls(config_path, config.pipeline, find_or_track(data))

    @property
    def folder(self) -> Path:
        return self.config_path.parent

    @property
    def prompts(self) -> tuple[EditPrompt, ...]:
        """The run's edits; none in a run that only reconstructs."""
        return self.pipeline.all_prompts()

    def wanted(self) -> list[WantedRender]:
        """Everything that is measured of the run."""
        renders = self.folder / RENDERS
        alone = EditedVideo(renders / "0-avatar-alone.mp4", "the avatar alone", is_edit=False)
        unedited = EditedVideo(renders / "0-unedited.mp4", "unedited", is_edit=False)
        found = [WantedRender(alone, None, detail=0.0), WantedRender(unedited, None, detail=1.0)]
        for number, prompt in enumerate(self.prompts, start=1):
            path = renders / f"{number}-{_slug(prompt)}.mp4"
            found.append(WantedRender(EditedVideo(path, str(prompt), target=self.target(prompt)), prompt, 1.0))
        return found

    def target(self, prompt: EditPrompt) -> Callable[[int], Picture] | None:
        """What the run's editor alone makes of a frame, where that costs little and is the same every time."""
        if self.pipeline.editor.name != "offline":
            return None
        return editor_target(OfflineEditor(self.pipeline.editor.offline), prompt, self.clip)

    def render_missing(self) -> None:
        """Render what is not there, or older than the run's last checkpoint, in one pass over the source.

        Raises:
            UserError: the source has gone, or there is no room.
        """
        newest = max(path.stat().st_mtime for path in _checkpoints(self.config_path))
        missing = [
            wanted
            for wanted in self.wanted()
            if not (wanted.edited.path.is_file() and wanted.edited.path.stat().st_mtime >= newest)
        ]
        if not missing:
            return
        reader = VideoReader(Path(self.clip.source.path))
        (self.folder / RENDERS).mkdir(exist_ok=True)
        _, pipeline, _, _ = eval_setup(self.config_path, test_mode="inference")
        assert isinstance(pipeline, PortraitEditPipeline)
        frame_count = len(self.clip.track.tracked)
        pixels = frame_count * reader.properties.width * reader.properties.height
        codec: Codec = "lossless" if pixels <= MOST_LOSSLESS_PIXELS else "h264"
        with ExitStack() as opened:
            jobs = [
                (
                    wanted.prompt,
                    FrameRenderer(pipeline.model, self.clip, wanted.detail),
                    opened.enter_context(VideoWriter(wanted.edited.path, reader.properties, codec)),
                )
                for wanted in missing
            ]
            for frame in track(reader, f"Rendering {len(jobs)} videos", total=frame_count):
                for prompt, renderer, writer in jobs:
                    writer.write(renderer.render(frame.index, frame.image, [look_of(prompt)])[0], frame.timestamp)


def _checkpoints(config_path: Path) -> list[Path]:
    return sorted((config_path.parent / "nerfstudio_models").glob("step-*.ckpt"))


def _slug(prompt: EditPrompt) -> str:
    return re.sub(r"[^a-z0-9]+", "-", str(prompt).lower()).strip("-")[:48].rstrip("-") or "prompt"
