"""Writing videos in the likeness of another: its time stamps, sound, colour tags and pixel aspect."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import av
import numpy as np
from av.error import EOFError as EndOfFileError
from av.error import FFmpegError, InvalidDataError
from av.video.reformatter import ColorRange
from jaxtyping import UInt8

from tracking.errors import UserError, writing_failed
from tracking.video import SCALING, UNSPECIFIED_MATRIX, VideoProperties, open_container

Codec = Literal["h264", "h265", "lossless", "prores4444", "vp9"]

ALPHA_CODECS: tuple[Codec, ...] = ("prores4444", "vp9")
"""They are written with opacity, four channels to a pixel."""


@dataclass(frozen=True)
class _Encoding:
    """How one of the offered codecs is asked for."""

    encoder: str
    suffixes: tuple[str, ...]
    options: dict[str, str]
    tag: str | None = None
    alpha_format: str | None = None
    """The pixel format, where it is one with opacity."""


_ENCODINGS: dict[Codec, _Encoding] = {
    "h264": _Encoding("libx264", (".mp4", ".mov", ".m4v", ".mkv"), {"crf": "12", "preset": "medium"}),
    "h265": _Encoding(
        "libx265", (".mp4", ".mov", ".m4v", ".mkv"), {"crf": "16", "x265-params": "log-level=error"}, tag="hvc1"
    ),
    # RGB without loss rather than FFV1: it fits mp4, and so keeps time stamps that Matroska rounds to milliseconds.
    "lossless": _Encoding("libx264rgb", (".mp4", ".mov", ".mkv"), {"qp": "0", "preset": "veryfast"}),
    "prores4444": _Encoding(
        "prores_ks",
        (".mov", ".mkv"),
        {"profile": "4444", "alpha_bits": "16", "vendor": "apl0"},
        alpha_format="yuva444p10le",
    ),
    # VP9 cannot look ahead and hold opacity at the same time.
    "vp9": _Encoding(
        "libvpx-vp9",
        (".webm", ".mkv"),
        {"crf": "18", "b": "0", "auto-alt-ref": "0", "row-mt": "1", "cpu-used": "4"},
        alpha_format="yuva420p",
    ),
}


class VideoWriter:
    """Encodes RGB frames in the likeness of another video: its time stamps, colour tags, pixel aspect and sound.

    Use as a context manager. The file appears under its name only when the block ends well. With "lossless" the
    decoded frames equal the written ones bit for bit. Matroska (.mkv) rounds time stamps to milliseconds.

    Raises:
        UserError: the output cannot be written; see `require_writable_video`. There is no room left, at any frame.
    """

    def __init__(
        self,
        path: Path,
        like: VideoProperties,
        codec: Codec = "h264",
        size: tuple[int, int] | None = None,
        with_sound: bool = True,
    ) -> None:
        """
        Args:
            like: the video to resemble, and to copy the sound from.
            size: width and height in pixels; the other video's if none is given.
        """
        require_writable_video(path, codec, source=like.path)
        self.path = path
        self.width, self.height = size or (like.width, like.height)
        self._has_alpha = _ENCODINGS[codec].alpha_format is not None
        self._like = like
        self._last_timestamp = 0
        self._partial = path.with_name(f".{path.stem}.partial{path.suffix}")
        self._resources = contextlib.ExitStack()
        try:
            self._open_output(codec, with_sound and like.has_sound)
        except BaseException:
            self._discard()
            raise

    def write(self, image: UInt8[np.ndarray, "height width channels"], timestamp: int) -> None:
        """Append a frame, shown from `timestamp` on, in units of the time base of the video it is made like.

        Args:
            image: RGB; or RGBA for a codec with opacity, with colours not multiplied by it.
        """
        shape = (self.height, self.width, 4 if self._has_alpha else 3)
        assert image.shape == shape, f"{image.shape} is not {shape}"
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "rgba" if self._has_alpha else "rgb24")
        if self._stream.pix_fmt != "rgb24":
            color = self._like.color
            frame = frame.reformat(
                format=self._stream.pix_fmt,
                src_color_range=ColorRange.JPEG,
                dst_colorspace=self._like.conversion_matrix,
                dst_color_range=ColorRange.JPEG if color.is_full_range else ColorRange.MPEG,
                dst_color_primaries=color.primaries,
                dst_color_trc=color.transfer,
                interpolation=SCALING,
            )
        frame.pts, frame.time_base = timestamp, self._like.time_base
        self._last_timestamp = timestamp
        with _told_if_full(self.path):
            self._mux_sound(until=timestamp * self._like.time_base)
            self._output.mux(self._stream.encode(frame))

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            self._discard()
            return
        try:
            with _told_if_full(self.path):
                self._finish_picture()
                self._mux_sound(until=None)
                self._output.close()
        except BaseException:
            self._discard()
            raise
        self._resources.close()
        self._partial.replace(self.path)

    def _open_output(self, codec: Codec, with_sound: bool) -> None:
        encoding, like = _ENCODINGS[codec], self._like
        options = {"movflags": "+faststart"} if self.path.suffix.lower() != ".mkv" else {}
        try:
            self._output = self._resources.enter_context(av.open(str(self._partial), "w", options=options))
        except FFmpegError as error:
            raise UserError(f"Cannot write {self.path} ({error.strerror}): choose another place.") from error
        stream: Any = self._output.add_stream(encoding.encoder, rate=like.frame_rate, options=encoding.options)
        stream.width, stream.height = self.width, self.height
        stream.time_base = stream.codec_context.time_base = like.time_base
        context = stream.codec_context
        context.sample_aspect_ratio = like.pixel_aspect
        context.color_primaries, context.color_trc = like.color.primaries, like.color.transfer
        if encoding.tag and self.path.suffix.lower() != ".mkv":
            context.codec_tag = encoding.tag
        if codec == "lossless":
            stream.pix_fmt = "rgb24"
            context.color_range = ColorRange.JPEG
        else:
            opaque = "yuv444p" if self.width % 2 or self.height % 2 else "yuv420p"
            stream.pix_fmt = encoding.alpha_format or opaque
            is_tagged = like.color.matrix != UNSPECIFIED_MATRIX
            context.colorspace = like.conversion_matrix if is_tagged else UNSPECIFIED_MATRIX
            context.color_range = ColorRange.JPEG if like.color.is_full_range else ColorRange.MPEG
        self._stream = stream
        self._sound: Iterator[av.Packet] = iter(())
        self._next_sound: av.Packet | None = None
        try:
            if with_sound:
                self._open_sound()
            self._output.start_encoding()
        except (FFmpegError, ValueError) as error:
            raise UserError(
                f"{self.path.suffix} cannot hold the sound of {self._like.path} as it is ({error}): write to a name "
                "that ends in .mkv, or convert the sound first with "
                f"`ffmpeg -i {self._like.path} -c:v copy -c:a aac converted.mp4`."
            ) from error

    def _open_sound(self) -> None:
        source = self._resources.enter_context(open_container(self._like.path))
        copies = {stream.index: self._output.add_stream_from_template(stream) for stream in source.streams.audio}

        def packets() -> Iterator[av.Packet]:
            with contextlib.suppress(InvalidDataError, EndOfFileError):
                for packet in source.demux(list(source.streams.audio)):
                    if packet.dts is not None:
                        packet.stream = copies[packet.stream.index]
                        yield packet

        self._sound = packets()
        self._next_sound = next(self._sound, None)

    def _mux_sound(self, until: Fraction | None) -> None:
        """Copy the sound that comes before a time in seconds, or all that is left."""
        while self._next_sound is not None:
            packet = self._next_sound
            assert packet.dts is not None and packet.time_base is not None
            if until is not None and packet.dts * packet.time_base > until:
                return
            self._output.mux(packet)
            self._next_sound = next(self._sound, None)

    def _finish_picture(self) -> None:
        packets = self._stream.encode()
        frame_duration = 1 / (self._like.frame_rate * self._like.time_base)
        if packets and self._like.end is not None and 0 < self._like.end - self._last_timestamp < 4 * frame_duration:
            # Every other frame lasts until the next; the last one as long as the source's.
            packets[-1].duration = self._like.end - self._last_timestamp
        self._output.mux(packets)

    def _discard(self) -> None:
        with contextlib.suppress(FFmpegError):
            self._resources.close()
        self._partial.unlink(missing_ok=True)


@contextlib.contextmanager
def _told_if_full(path: Path) -> Iterator[None]:
    """Say in a sentence that the disk refuses to take more."""
    try:
        yield
    except OSError as error:
        raise writing_failed(path, error) from error


def require_writable_video(path: Path, codec: Codec, source: Path | None = None) -> None:
    """Check, before any work is done, that a video of this codec can be written to this path.

    Raises:
        UserError: there is no encoder, the suffix does not fit the codec, the folder is missing or not writable, or the
        file is the source.
    """
    encoding = _ENCODINGS[codec]
    try:
        av.Codec(encoding.encoder, "w")
    except ValueError as error:
        raise UserError(
            f"The installed PyAV has no {encoding.encoder}, which makes {codec} video: choose another --codec, or take "
            "PyAV as it is published with `pip install --force-reinstall --no-deps av`."
        ) from error
    suffixes = encoding.suffixes
    if path.suffix.lower() not in suffixes:
        raise UserError(f"{path} cannot hold {codec} video: give a name that ends in {' or '.join(suffixes)}.")
    if not path.parent.is_dir():
        raise UserError(f"The folder {path.parent} does not exist: create it, or write somewhere else.")
    if path.is_dir():
        raise UserError(f"{path} is a folder: give the name of a file to write.")
    if not os.access(path.parent, os.W_OK):
        raise UserError(f"The folder {path.parent} is not writable: choose another, or change its permissions.")
    if source is not None and source.exists() and path.exists() and path.samefile(source):
        raise UserError(f"{path} is the source video itself: write to another name.")
