"""A rendered video on its way to disk: panels side by side, a bar with the time left, a picture of how it goes."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8
from nerfstudio.utils.rich_utils import CONSOLE
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from stage2_nerf.frame_renderer import FrameRenderer, Look, Moment, Picture
from stage2_nerf.in_background import WriteBehind, read_ahead
from stage2_nerf.render_looks import ChosenLooks, arrange, grid_columns
from stage2_nerf.render_motion import Motion
from stage2_nerf.side_by_side import at_rest, frames_at_once, side_by_side
from tracking.clip import write_png
from tracking.picture_writer import PictureWriter
from tracking.video import VideoFrame, VideoReader
from tracking.video_writer import ALPHA_CODECS, Codec, VideoWriter

OutputCodec = Literal[Codec, "png"]
"""How to compress; png is a folder of pictures."""
SECONDS_BETWEEN_PREVIEWS = 2.0


@dataclass(frozen=True)
class Layout:
    """How the panels of a video lie."""

    with_source: bool = False
    """Whether the source is the first of them."""
    as_grid: bool = False
    """In a grid, rather than in a row."""


@dataclass(frozen=True)
class FrameTask:
    """One frame to be made."""

    frame: VideoFrame
    """The source's, whose picture it is made of."""
    timestamp: int
    """When it is shown, in the unit of the output's time stamps."""
    looks: Sequence[Look]
    moment: Moment


def write_video(
    output: Path,
    codec: OutputCodec,
    renderer: FrameRenderer,
    reader: VideoReader,
    motion: Motion,
    looks: ChosenLooks,
    layout: Layout | None = None,
) -> None:
    """Render every frame and write it, decoding and encoding beside; on a CPU several frames at once.

    Raises:
        UserError: the output cannot be written; nothing is left of it.
    """
    layout = layout or Layout()
    panels = len(looks.names) + layout.with_source
    columns = grid_columns(panels) if layout.as_grid else panels
    size = reader.properties.width * columns, reader.properties.height * -(-panels // columns)
    has_alpha = codec in ALPHA_CODECS or renderer.backdrop.kind == "alpha"
    preview = Preview(output)
    camera = renderer.clip.intrinsics
    workers = frames_at_once(renderer.model.device, camera.width * camera.height)

    def tasks() -> Iterator[FrameTask]:
        for frame in read_ahead(reader):
            for timestamp, seconds, moment in motion.at(frame):
                yield FrameTask(frame, timestamp, looks.at(seconds), moment)

    def make(task: FrameTask) -> tuple[int, Picture]:
        source = task.frame.image
        edited = renderer.render(task.frame.index, source, task.looks, task.moment)
        pictures = [source, *edited] if layout.with_source else edited
        if has_alpha:
            pictures = [with_opacity(picture) for picture in pictures]
        return task.timestamp, arrange(pictures, columns)

    with ExitStack() as opened:
        if codec == "png":
            writer = opened.enter_context(PictureWriter(output))
        else:
            writer = opened.enter_context(VideoWriter(output, motion.like, codec, size))
        opened.callback(preview.remove)
        opened.enter_context(at_rest(renderer.model))
        behind = opened.enter_context(WriteBehind())
        progress = opened.enter_context(progress_bar())
        task = progress.add_task("Rendering", total=motion.frame_count)
        made = opened.enter_context(closing(side_by_side(make, tasks(), workers)))
        for timestamp, picture in made:
            behind.do(writer.write, picture, timestamp)
            behind.do(preview.show, picture)
            progress.advance(task)


class Preview:
    """The frame rendered last, as a picture beside the output while it is being made; renewed every few seconds."""

    def __init__(self, output: Path) -> None:
        self.path = output.with_name(f"{output.stem}.preview.png")
        self._next = time.monotonic() + SECONDS_BETWEEN_PREVIEWS

    def show(self, picture: UInt8[np.ndarray, "height width channels"]) -> None:
        """Write the picture, if the last one is old."""
        if time.monotonic() >= self._next:
            write_png(self.path, picture)
            self._next = time.monotonic() + SECONDS_BETWEEN_PREVIEWS

    def remove(self) -> None:
        """Take it away: the output itself is there."""
        self.path.unlink(missing_ok=True)


def with_opacity(picture: UInt8[np.ndarray, "height width channels"]) -> UInt8[np.ndarray, "height width 4"]:
    """The picture with an opacity: its own, or none to see through."""
    if picture.shape[2] == 4:
        return picture
    return np.concatenate([picture, np.full((*picture.shape[:2], 1), 255, np.uint8)], axis=-1)


def progress_bar() -> Progress:
    """A bar with the frames done and the time left."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=CONSOLE
    )
