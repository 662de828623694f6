"""Reading videos: frames with their time stamps, and what else there is to keep (sound, colour tags, pixel aspect).

Frames are RGB arrays, 8 bit, turned upright. HDR is brought to standard range, transparency is shown over black, and
non-square pixels are left as they are stored. Decoding streams, so memory does not grow with the video's length.
"""

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
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
from tracking.high_dynamic_range import TRANSFERS, Transfer, to_standard_range

logger = logging.getLogger(__name__)

VIDEO_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".wmv", ".flv", ".ts"})
"""What counts as a video when a folder is searched."""

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
"""What counts as a picture when a folder without videos is described."""
PICTURE_FORMATS = ("image2", "_pipe")
"""How FFmpeg's names of still pictures' formats end."""

MOST_DAMAGED_PACKETS = 100
"""Decoding gives up after so many packets that cannot be decoded."""

# The numbers of ITU-T H.273, "matrix coefficients"; the primaries and the transfer function of BT.709 have its number.
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
    """Of the frames as they are read: those of the file, but for HDR."""
    stored_matrix: int
    """The file's own matrix coefficients."""
    high_dynamic_range: Transfer | None
    """HDR's transfer function, if the file has one."""
    has_alpha: bool
    """Whether parts of the picture can be transparent."""
    is_transparent: bool
    """Whether parts of the first frame are."""

    @property
    def remarks(self) -> list[str]:
        """What is not as in an ordinary video, and what is made of it: a sentence each."""
        remarks = []
        if self.high_dynamic_range:
            remarks.append(f"{self.path} is HDR ({self.high_dynamic_range}): it is brought to standard range.")
        if self.is_transparent:
            remarks.append(f"{self.path} is transparent in parts: it is shown over black.")
        return remarks

    @property
    def conversion_matrix(self) -> int:
        """The matrix between RGB and YCbCr of what is read: as tagged, else what players assume for its size."""
        return self._tagged_or_usual(self.color.matrix)

    @property
    def decoding_matrix(self) -> int:
        """The matrix between the file's YCbCr and RGB: as tagged, else what players assume for the picture's size."""
        return self._tagged_or_usual(self.stored_matrix)

    def _tagged_or_usual(self, matrix: int) -> int:
        if matrix in (RGB_MATRIX, UNSPECIFIED_MATRIX):
            return BT709_MATRIX if min(self.width, self.height) >= 720 else BT601_MATRIX
        return matrix


class VideoFrame(NamedTuple):
    """A decoded frame."""

    index: int
    timestamp: int
    """When it is shown, in units of the video's time base; always later than the frame before."""
    image: UInt8[np.ndarray, "height width 3"]


class DecodedFrame(NamedTuple):
    """A frame as the decoder gives it."""

    index: int
    timestamp: int
    """As of `VideoFrame`."""
    picture: av.VideoFrame


class VideoReader:
    """Decodes a video, one frame at a time.

    Iterating starts from the first frame every time. A damaged or cut-off rest of the file is left out, with a warning.

    Raises:
        UserError: the file is missing, is no video, or holds no frame.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with open_container(path) as container:
            stream = find_video_stream(container, path)
            first = next(decode_stream(container, stream, path), None)
            if first is None:
                raise UserError(f"{path} holds no frame that can be decoded: give another video, or export it again.")
            self.properties = _describe(path, container, stream, first)

    def __iter__(self) -> Iterator[VideoFrame]:
        for frame in self.decode():
            yield VideoFrame(frame.index, frame.timestamp, self.upright_rgb(frame.picture))

    def decode(self) -> Iterator[DecodedFrame]:
        """All frames, not yet converted, which is half of the work."""
        with open_container(self.path) as container:
            stream = find_video_stream(container, self.path)
            timestamp = None
            for index, picture in enumerate(decode_stream(container, stream, self.path)):
                timestamp = next_timestamp(timestamp, picture.pts, self.timestamp_step)
                yield DecodedFrame(index, timestamp, picture)

    @property
    def timestamp_step(self) -> int:
        """The usual difference of neighbouring frames' time stamps."""
        return max(1, round(1 / (self.properties.frame_rate * self.properties.time_base)))

    def upright_rgb(
        self, frame: av.VideoFrame, greatest_side: int | None = None
    ) -> UInt8[np.ndarray, "height width 3"]:
        """A decoded frame as it is to be seen, reduced if its longer side would exceed `greatest_side` pixels."""
        properties = self.properties
        scale = min(1.0, (greatest_side or math.inf) / max(properties.width, properties.height))
        width, height = (max(1, round(side * scale)) for side in (properties.width, properties.height))
        quarter_turns = round(frame.rotation / 90)
        if quarter_turns % 2:
            width, height = height, width
        deep, alpha = properties.high_dynamic_range is not None, properties.has_alpha
        picture = frame.reformat(
            width=width,
            height=height,
            format={(0, 0): "rgb24", (0, 1): "rgba", (1, 0): "rgb48le", (1, 1): "rgba64le"}[deep, alpha],
            src_colorspace=properties.decoding_matrix,
            src_color_range=ColorRange.JPEG if properties.color.is_full_range else ColorRange.MPEG,
            dst_color_range=ColorRange.JPEG,
            interpolation=SCALING,
        ).to_ndarray()
        if alpha:
            opaque = picture[..., 3:].astype(np.float32) / (65535 if deep else 255)
            picture = np.rint(picture[..., :3] * opaque).astype(np.uint16 if deep else np.uint8)
        if properties.high_dynamic_range is not None:
            picture = to_standard_range(picture, properties.high_dynamic_range)
        return np.ascontiguousarray(np.rot90(picture, quarter_turns))


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
    if not videos and any(path.suffix.lower() in PICTURE_SUFFIXES for path in data.iterdir()):
        raise UserError(
            f"The folder {data} holds pictures but no video: make a video of them first, for example with "
            f"`ffmpeg -framerate 25 -pattern_type glob -i '{data}/*.png' -qp 0 talk.mp4`."
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
        container = av.open(str(path))
    except PermissionError as error:
        raise UserError(f"{path} may not be read: change its permissions.") from error
    except FFmpegError as error:
        raise UserError(f"{path} is no video that can be read ({error.strerror}): give another file.") from error
    if container.format.name.endswith(PICTURE_FORMATS):
        container.close()
        raise UserError(f"{path} is a picture, and a portrait must move: give a video.")
    return container


def find_video_stream(container: Any, path: Path) -> Any:
    """The stream with the moving picture, rather than a sound file's cover.

    Raises:
        UserError: there is none.
    """
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            stream.thread_type = "AUTO"
            return stream
    raise UserError(f"{path} holds no video stream: give a file with a picture in it.")


def decode_stream(container: Any, stream: Any, path: Path) -> Iterator[av.VideoFrame]:
    """Every frame that can be decoded, from where the container stands."""
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
    transfer = TRANSFERS.get(int(context.color_trc))
    has_alpha = any(component.is_alpha for component in first.format.components)
    color = ColorTags(
        matrix=int(context.colorspace),
        is_full_range=int(context.color_range) == ColorRange.JPEG or "yuvj" in (context.pix_fmt or ""),
        primaries=int(context.color_primaries),
        transfer=int(context.color_trc),
    )
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
        color=replace(color, matrix=BT709_MATRIX, primaries=BT709_MATRIX, transfer=BT709_MATRIX) if transfer else color,
        stored_matrix=color.matrix,
        high_dynamic_range=transfer,
        has_alpha=has_alpha,
        is_transparent=has_alpha and bool((first.reformat(format="rgba").to_ndarray()[..., 3] < 255).any()),
    )


def next_timestamp(previous: int | None, stated: int | None, step: int) -> int:
    """The stated time stamp where it is one and moves forward, else the least sensible one after the previous."""
    if previous is None:
        return stated if stated is not None else 0
    if stated is None:
        return previous + step
    return max(stated, previous + 1)
