"""Reading videos: frames with their time stamps, and what else there is to keep (sound, colour tags, pixel aspect).

Frames are RGB arrays, 8 bit, turned upright. Non-square pixels are left as they are stored. Decoding streams, so memory
does not grow with the video's length.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from av.error import EOFError as EndOfFileError
from av.error import FFmpegError, InvalidDataError
from av.stream import Disposition
from av.video.reformatter import ColorRange, Interpolation
from jaxtyping import UInt8

from tracking.errors import UserError

logger = logging.getLogger(__name__)

VIDEO_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".wmv", ".flv", ".ts"})
"""What counts as a video when a folder is searched."""

MOST_DAMAGED_PACKETS = 100
"""Decoding gives up after so many packets that cannot be decoded."""

# The numbers of ITU-T H.273, "matrix coefficients".
RGB_MATRIX, BT709_MATRIX, UNSPECIFIED_MATRIX, BT601_MATRIX = 0, 1, 2, 6
SCALING = int(Interpolation.BICUBIC) | 0x40000 | 0x2000
"""How chroma is enlarged and reduced, in both directions: bicubic, with FFmpeg's flags SWS_ACCURATE_RND and
SWS_FULL_CHR_H_INT, which PyAV names only from version 18 on."""


@dataclass(frozen=True)
class ColorTags:
    """How a video's numbers mean colours: the code points of ITU-T H.273, of which 2 says unspecified."""

    matrix: int
    is_full_range: bool
    primaries: int
    transfer: int


@dataclass(frozen=True)
class VideoProperties:
    """What a video says of itself, as displayed."""

    path: Path
    width: int
    height: int
    frame_rate: Fraction
    """Average frames per second."""
    time_base: Fraction
    """Seconds per unit of a frame's timestamp."""
    end: int | None
    """When the last frame ceases to be shown, in units of the time base, if the file says so."""
    frame_count: int
    """How many frames the file claims to hold: good for a progress bar, not to be relied on."""
    has_sound: bool
    pixel_aspect: Fraction
    """Width of a pixel over its height."""
    color: ColorTags

    @property
    def conversion_matrix(self) -> int:
        """The matrix between YCbCr and RGB: as tagged, else what players assume for the picture's size."""
        if self.color.matrix in (RGB_MATRIX, UNSPECIFIED_MATRIX):
            return BT709_MATRIX if min(self.width, self.height) >= 720 else BT601_MATRIX
        return self.color.matrix


class VideoFrame(NamedTuple):
    """A decoded frame."""

    index: int
    timestamp: int
    """When it is shown, in units of the video's time base; always later than the frame before."""
    image: UInt8[np.ndarray, "height width 3"]


class VideoReader:
    """Decodes a video, one frame at a time.

    Iterating starts from the first frame every time. A damaged or cut-off rest of the file is left out, with a warning.

    Raises:
        UserError: the file is missing, is no video, or holds no frame.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with open_container(path) as container:
            stream = _video_stream(container, path)
            first = next(_decode(container, stream, path), None)
            if first is None:
                raise UserError(f"{path} holds no frame that can be decoded: give another video, or export it again.")
            self.properties = _describe(path, container, stream, first)

    def __iter__(self) -> Iterator[VideoFrame]:
        with open_container(self.path) as container:
            stream = _video_stream(container, self.path)
            step = max(1, round(1 / (self.properties.frame_rate * self.properties.time_base)))
            timestamp = None
            for index, frame in enumerate(_decode(container, stream, self.path)):
                timestamp = _next_timestamp(timestamp, frame.pts, step)
                yield VideoFrame(index, timestamp, self._upright_rgb(frame))

    def _upright_rgb(self, frame: av.VideoFrame) -> UInt8[np.ndarray, "height width 3"]:
        quarter_turns = round(frame.rotation / 90)
        width, height = self.properties.width, self.properties.height
        if quarter_turns % 2:
            width, height = height, width
        picture = frame.reformat(
            width=width,
            height=height,
            format="rgb24",
            src_colorspace=self.properties.conversion_matrix,
            src_color_range=ColorRange.JPEG if self.properties.color.is_full_range else ColorRange.MPEG,
            dst_color_range=ColorRange.JPEG,
            interpolation=SCALING,
        )
        return np.ascontiguousarray(np.rot90(picture.to_ndarray(), quarter_turns))


def find_video(data: Path) -> Path:
    """The video meant by a path: the file itself, or the only video in a folder.

    Raises:
        UserError: nothing is there, or the folder holds no video or several.
    """
    if not data.exists():
        raise UserError(f"{data} does not exist: give the path of a video.")
    if not data.is_dir():
        return data
    videos = sorted(
        path for path in data.iterdir() if path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith(".")
    )
    if not videos:
        raise UserError(f"The folder {data} holds no video: give the path of one.")
    if len(videos) > 1:
        names = ", ".join(path.name for path in videos[:3])
        raise UserError(f"The folder {data} holds {len(videos)} videos ({names}...): give the path of one.")
    return videos[0]


def open_container(path: Path) -> Any:
    """Open a file for demuxing; a context manager.

    Raises:
        UserError: the file is missing, may not be read, or is nothing that FFmpeg knows.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist: give the path of a video.")
    try:
        return av.open(str(path))
    except PermissionError as error:
        raise UserError(f"{path} may not be read: change its permissions.") from error
    except FFmpegError as error:
        raise UserError(f"{path} is no video that can be read ({error.strerror}): give another file.") from error


def _video_stream(container: Any, path: Path) -> Any:
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            stream.thread_type = "AUTO"
            return stream
    raise UserError(f"{path} holds no video stream: give a file with a picture in it.")


def _decode(container: Any, stream: Any, path: Path) -> Iterator[av.VideoFrame]:
    """Every frame that can be decoded."""
    packets = container.demux(stream)
    damaged = 0
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                break
            yield from packet.decode()
        except (InvalidDataError, EndOfFileError):
            damaged += 1
            if damaged > MOST_DAMAGED_PACKETS:
                break
    if damaged:
        logger.warning("%s is damaged: %d packets could not be decoded and are left out.", path, damaged)


def _describe(path: Path, container: Any, stream: Any, first: av.VideoFrame) -> VideoProperties:
    context = stream.codec_context
    frame_rate = stream.average_rate or stream.guessed_rate or Fraction(25)
    duration = (container.duration or 0) / av.time_base
    pixel_aspect = stream.sample_aspect_ratio or Fraction(1)
    width, height = first.width, first.height
    if round(first.rotation / 90) % 2:
        width, height, pixel_aspect = height, width, 1 / pixel_aspect
    return VideoProperties(
        path=path,
        width=width,
        height=height,
        frame_rate=Fraction(frame_rate),
        time_base=Fraction(stream.time_base),
        end=None if stream.duration is None else (stream.start_time or 0) + stream.duration,
        frame_count=stream.frames or max(1, round(duration * frame_rate)),
        has_sound=bool(container.streams.audio),
        pixel_aspect=Fraction(pixel_aspect),
        color=ColorTags(
            matrix=int(context.colorspace),
            is_full_range=int(context.color_range) == ColorRange.JPEG or "yuvj" in (context.pix_fmt or ""),
            primaries=int(context.color_primaries),
            transfer=int(context.color_trc),
        ),
    )


def _next_timestamp(previous: int | None, stated: int | None, step: int) -> int:
    """The stated time stamp where it is one and moves forward, else the least sensible one after the previous."""
    if previous is None:
        return stated if stated is not None else 0
    if stated is None:
        return previous + step
    return max(stated, previous + 1)
