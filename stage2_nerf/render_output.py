"""A rendered video on its way to disk: panels side by side, a bar with the time left, a picture of how it goes."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8
from nerfstudio.utils.rich_utils import CONSOLE
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from stage2_nerf.frame_renderer import FrameRenderer
from stage2_nerf.in_background import WriteBehind, read_ahead
from stage2_nerf.render_looks import ChosenLooks, arrange, grid_columns
from stage2_nerf.render_motion import Motion
from tracking.clip import write_png
from tracking.picture_writer import PictureWriter
from tracking.video import VideoReader
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


def write_video(
    output: Path,
    codec: OutputCodec,
    renderer: FrameRenderer,
    reader: VideoReader,
    motion: Motion,
    looks: ChosenLooks,
    layout: Layout | None = None,
) -> None:
    """Render every frame and write it, decoding and encoding beside.

    Raises:
        UserError: the output cannot be written; nothing is left of it.
    """
    layout = layout or Layout()
    panels = len(looks.names) + layout.with_source
    columns = grid_columns(panels) if layout.as_grid else panels
    size = reader.properties.width * columns, reader.properties.height * -(-panels // columns)
    has_alpha = codec in ALPHA_CODECS or renderer.backdrop.kind == "alpha"
    preview = Preview(output)
    with ExitStack() as opened:
        if codec == "png":
            writer = opened.enter_context(PictureWriter(output))
        else:
            writer = opened.enter_context(VideoWriter(output, motion.like, codec, size))
        opened.callback(preview.remove)
        behind = opened.enter_context(WriteBehind())
        progress = opened.enter_context(progress_bar())
        task = progress.add_task("Rendering", total=motion.frame_count)
        for frame in read_ahead(reader):
            for timestamp, seconds, moment in motion.at(frame):
                edited = renderer.render(frame.index, frame.image, looks.at(seconds), moment)
                pictures: Sequence[np.ndarray] = [frame.image, *edited] if layout.with_source else edited
                if has_alpha:
                    pictures = [with_opacity(picture) for picture in pictures]
                picture = arrange(pictures, columns)
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
