"""A run's videos: every edit and the unedited avatar, rendered into the run's folder if they are not there yet.

RUN/renders/
    0-unedited.mp4      the avatar without any style, put into the frames as edits are
    0-avatar-alone.mp4  the same, without the source's fine detail: what the avatar itself has learned
    1-hair-make-it-silver.mp4 ...
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import tee
from pathlib import Path

from rich.progress import track

from evaluation.editing_alone import editor_target
from evaluation.measurement import Picture
from evaluation.measuring import EditedVideo
from stage1_edit.offline_editor import OfflineEditor
from stage1_edit.prompts import EditPrompt
from stage2_nerf.finished_run import load_run, newest_checkpoint, run_config
from stage2_nerf.frame_renderer import FrameRenderer, Look, look_of
from stage2_nerf.frame_sequence import FrameTask, rendered_sequence
from stage2_nerf.pipeline import PortraitEditPipelineConfig
from tracking.clip import TrackedClip
from tracking.track import find_or_track
from tracking.video import VideoFrame, VideoReader
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
        pipeline = run_config(config_path).pipeline
        newest_checkpoint(config_path)
        assert isinstance(pipeline, PortraitEditPipelineConfig)
        data = pipeline.datamanager.data or pipeline.datamanager.dataparser.data
        return cls(config_path, pipeline, find_or_track(data))

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
        newest = newest_checkpoint(self.config_path).stat().st_mtime
        missing = [
            wanted
            for wanted in self.wanted()
            if not (wanted.edited.path.is_file() and wanted.edited.path.stat().st_mtime >= newest)
        ]
        if not missing:
            return
        reader = VideoReader(Path(self.clip.source.path))
        (self.folder / RENDERS).mkdir(exist_ok=True)
        pipeline = load_run(self.config_path).pipeline
        frame_count = len(self.clip.track.tracked)
        pixels = frame_count * reader.properties.width * reader.properties.height
        codec: Codec = "lossless" if pixels <= MOST_LOSSLESS_PIXELS else "h264"
        with ExitStack() as opened:
            # Looks of the same detail are rendered together: the avatar is traced once for all of them.
            jobs = []
            for detail in sorted({wanted.detail for wanted in missing}):
                alike = [wanted for wanted in missing if wanted.detail == detail]
                renderer = FrameRenderer(pipeline.model, self.clip, detail)
                writers = [
                    opened.enter_context(VideoWriter(wanted.edited.path, reader.properties, codec)) for wanted in alike
                ]
                jobs.append((renderer, [look_of(wanted.prompt) for wanted in alike], writers))
            frames = tee(track(reader, f"Rendering {len(missing)} videos", total=frame_count), len(jobs))
            sequences = [
                rendered_sequence(renderer, tasks_of(own, looks))
                for (renderer, looks, _), own in zip(jobs, frames, strict=True)
            ]
            for made in zip(*sequences, strict=True):
                for (task, pictures), (_, _, writers) in zip(made, jobs, strict=True):
                    for writer, picture in zip(writers, pictures, strict=True):
                        writer.write(picture, task.timestamp)


def tasks_of(frames: Iterable[VideoFrame], looks: Sequence[Look]) -> Iterator[FrameTask]:
    """Frames to be made in the same looks, as they were filmed."""
    return (FrameTask(frame, frame.timestamp, looks) for frame in frames)


def _slug(prompt: EditPrompt) -> str:
    return re.sub(r"[^a-z0-9]+", "-", str(prompt).lower()).strip("-")[:48].rstrip("-") or "prompt"
