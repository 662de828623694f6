"""A rendered video on its way to disk: panels side by side, a bar with the time left, a picture of how it goes."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from nerfstudio.utils.rich_utils import CONSOLE
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from stage2_nerf.frame_renderer import FrameRenderer, Picture
from stage2_nerf.frame_sequence import FrameTask, rendered_sequence
from stage2_nerf.in_background import WriteBehind, read_ahead
from stage2_nerf.render_config import OutputCodec
from stage2_nerf.render_looks import ChosenLooks, arrange, grid_columns
from stage2_nerf.render_motion import Motion
from stage2_nerf.side_by_side import frames_at_once
from tracking.clip import write_png
from tracking.console import say
from tracking.picture_writer import PictureWriter
from tracking.video import VideoReader
from tracking.video_writer import ALPHA_CODECS, VideoWriter

SECONDS_BETWEEN_PREVIEWS = 2.0
PREVIEW_SIDE = 960


@dataclass(frozen=True)
class Layout:
    """How the panels of a video lie."""

    with_source: bool = False
    """Whether the source is the first of them."""
    as_grid: bool = False
    """In a grid, rather than in a row."""


@dataclass(frozen=True)
class Delivery:
    """One of the videos that are made of a rendering."""

    output: Path
    looks: tuple[int, ...]
    """Which of the looks it shows, by their number from 0."""
    layout: Layout = Layout()

    @property
    def panels(self) -> int:
        return len(self.looks) + self.layout.with_source

    @property
    def columns(self) -> int:
        return grid_columns(self.panels) if self.layout.as_grid else self.panels

    def picture(self, source: Picture, looks: Sequence[Picture], has_alpha: bool) -> Picture:
        """A frame of it, of a frame of the source and all looks of that."""
        pictures = [*([source] if self.layout.with_source else []), *(looks[index] for index in self.looks)]
        return arrange([with_opacity(one) for one in pictures] if has_alpha else pictures, self.columns)


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
    delivery = Delivery(output, tuple(range(len(looks.names))), layout or Layout())
    write_videos([delivery], codec, renderer, reader, motion, looks)


def write_videos(
    deliveries: Sequence[Delivery],
    codec: OutputCodec,
    renderer: FrameRenderer,
    reader: VideoReader,
    motion: Motion,
    looks: ChosenLooks,
) -> None:
    """Render every frame once, and write all videos that it is part of.

    Decoding and encoding go on beside; on a CPU several frames are rendered at once.

    Raises:
        UserError: one of them cannot be written; nothing is left of any.
    """
    has_alpha = codec in ALPHA_CODECS or renderer.backdrop.kind == "alpha"
    width, height = reader.properties.width, reader.properties.height
    camera = renderer.clip.intrinsics
    workers = frames_at_once(renderer.model.device, camera.width * camera.height)

    def tasks() -> Iterator[FrameTask]:
        for frame in read_ahead(motion.frames(reader)):
            for timestamp, seconds, moment in motion.at(frame):
                yield FrameTask(frame, timestamp, looks.at(seconds), moment)

    with ExitStack() as opened:
        writers: list[VideoWriter | PictureWriter] = []
        previews: list[Preview] = []
        for delivery in deliveries:
            size = width * delivery.columns, height * -(-delivery.panels // delivery.columns)
            is_video = codec != "png"
            writer = (
                VideoWriter(delivery.output, motion.like, codec, size) if is_video else PictureWriter(delivery.output)
            )
            writers.append(opened.enter_context(writer))
            previews.append(Preview(delivery.output))
            opened.callback(previews[-1].remove)
        behind = opened.enter_context(WriteBehind())
        progress = opened.enter_context(progress_bar())
        names = ", ".join(str(preview.path) for preview in previews)
        say(CONSOLE, f"The frame rendered last is shown by {names} meanwhile.")
        task = progress.add_task("Rendering", total=motion.frame_count)
        made = opened.enter_context(closing(rendered_sequence(renderer, tasks(), workers)))
        for done, edited in made:
            pictures = [delivery.picture(done.frame.image, edited, has_alpha) for delivery in deliveries]
            for picture, writer, preview in zip(pictures, writers, previews, strict=True):
                behind.do(writer.write, picture, done.timestamp)
                behind.do(preview.show, picture)
            progress.advance(task)


class Preview:
    """A frame as a small picture beside the output while it is being made: the first, and every few seconds the
    last."""

    def __init__(self, output: Path) -> None:
        self.path = output.with_name(f"{output.stem}.preview.png")
        self._next = float("-inf")

    def show(self, picture: Picture) -> None:
        """Write the picture, if the last one is old."""
        if time.monotonic() >= self._next:
            write_png(self.path, reduced(picture))
            self._next = time.monotonic() + SECONDS_BETWEEN_PREVIEWS

    def remove(self) -> None:
        """Take it away: the output itself is there."""
        self.path.unlink(missing_ok=True)


def reduced(picture: Picture) -> Picture:
    """The picture with a longer side of at most `PREVIEW_SIDE` pixels."""
    scale = PREVIEW_SIDE / max(picture.shape[:2])
    if scale >= 1:
        return picture
    size = max(1, round(scale * picture.shape[1])), max(1, round(scale * picture.shape[0]))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def with_opacity(picture: Picture) -> UInt8[np.ndarray, "height width 4"]:
    """The picture with an opacity: its own, or none to see through."""
    if picture.shape[2] == 4:
        return picture
    return np.concatenate([picture, np.full((*picture.shape[:2], 1), 255, np.uint8)], axis=-1)


def progress_bar() -> Progress:
    """A bar with the frames done and the time left."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=CONSOLE
    )
