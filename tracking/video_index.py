"""Where every frame of a video is, so that any stretch of it can be decoded by itself, by any process.

Containers say little that can be relied on: time stamps are missing, frames repeat them, key frames are marked that are
none. A video is therefore decoded once from end to end. What was seen then (each frame's time stamp, a checksum of its
pixels) is what a jump into the middle is checked against; where it does not agree, decoding starts from the beginning.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from jaxtyping import Bool, Int64, UInt32

from tracking.video import DecodedFrame, VideoReader, decode_stream, find_video_stream, next_timestamp, open_container

NO_TIMESTAMP = np.iinfo(np.int64).min
"""Stands for a time stamp that the file does not state."""
CHECKED_ROW_STEP = 16
"""Every so many rows of the first plane go into a frame's checksum."""
WORTH_A_JUMP = 32
"""Fewer frames than this are decoded and dropped rather than jumped over."""


@dataclass(frozen=True)
class VideoIndex:
    """What the frames of a video are known by. All arrays are in the order of display."""

    timestamps: Int64[np.ndarray, "frames"]
    """Those of `VideoFrame`: increasing, in units of the time base."""
    stated: Int64[np.ndarray, "decoded"]
    """Time stamps as the file states them, or `NO_TIMESTAMP`. Frames after the last one that is wanted are not decoded,
    and are in `timestamps` only."""
    is_key: Bool[np.ndarray, "decoded"]
    """Whether decoding may begin at the frame, by what the file says."""
    checksums: UInt32[np.ndarray, "decoded"]
    """Of a part of the pixels."""

    @property
    def can_jump(self) -> bool:
        """Whether frames can be told apart by their stated time stamps."""
        return bool((self.stated != NO_TIMESTAMP).all() and (np.diff(self.stated) > 0).all())


class IndexBuilder:
    """Collects an index while a video is decoded from its beginning."""

    def __init__(self) -> None:
        self._timestamps: list[int] = []
        self._stated: list[int] = []
        self._is_key: list[bool] = []
        self._checksums: list[int] = []

    def add(self, frame: DecodedFrame) -> None:
        """The next frame."""
        self._timestamps.append(frame.timestamp)
        self._stated.append(NO_TIMESTAMP if frame.picture.pts is None else frame.picture.pts)
        self._is_key.append(bool(frame.picture.key_frame))
        self._checksums.append(_checksum(frame.picture))

    def index(self, later: list[int] | None = None) -> VideoIndex:
        """The index so far; `later` are the time stamps of frames that were not decoded."""
        return VideoIndex(
            timestamps=np.array([*self._timestamps, *(later or [])], dtype=np.int64),
            stated=np.array(self._stated, dtype=np.int64),
            is_key=np.array(self._is_key, dtype=bool),
            checksums=np.array(self._checksums, dtype=np.uint32),
        )


def timestamps_after(reader: VideoReader, last: int) -> list[int]:
    """The time stamps of the frames after a point in time, read from the packets without decoding them."""
    with open_container(reader.path) as container:
        stream = find_video_stream(container, reader.path)
        stated = sorted(
            packet.pts
            for packet in container.demux(stream)
            if packet.pts is not None and packet.pts > last and not packet.is_discard
        )
    timestamps: list[int] = []
    for pts in stated:
        timestamps.append(next_timestamp(timestamps[-1] if timestamps else last, pts, reader.timestamp_step))
    return timestamps


def read_stretch(
    reader: VideoReader, index: VideoIndex, start: int, stop: int, threads: int = 0
) -> Iterator[DecodedFrame]:
    """The frames from `start` up to, not including, `stop`.

    Args:
        threads: that decode; 0 lets the decoder choose.
    """
    first_seen = None
    if index.can_jump:
        keys = np.flatnonzero(index.is_key[: start + 1])
        key = int(keys[-1]) if len(keys) else 0
        if key >= WORTH_A_JUMP:
            for frame in _decode_from(reader, index, key, threads):
                if frame.index < start:
                    continue
                is_astray = frame.index > start or _checksum(frame.picture) != index.checksums[start]
                if first_seen is None and is_astray:
                    break
                first_seen = frame.index
                if frame.index >= stop:
                    return
                yield frame
            if first_seen == stop - 1:
                return
            # The jump led astray, or the decoder stumbled: go on from where it was right.
            start = start if first_seen is None else first_seen + 1
    for frame in _decode_from(reader, index, 0, threads):
        if frame.index >= stop:
            return
        if frame.index >= start:
            yield frame


def _decode_from(reader: VideoReader, index: VideoIndex, key: int, threads: int) -> Iterator[DecodedFrame]:
    """Decode from a key frame on, or from the beginning (0); ends where the frames are not those of the index."""
    with open_container(reader.path) as container:
        stream = find_video_stream(container, reader.path)
        if threads:
            stream.thread_count = threads
        if key:
            container.seek(int(index.stated[key]), stream=stream, backward=True)
        number = None if key else 0
        for picture in decode_stream(container, stream, reader.path):
            if number is None:
                position = int(np.searchsorted(index.stated, picture.pts)) if picture.pts is not None else -1
                # A decoder that starts at a key frame may first show frames before it, which refer to what it missed.
                if position < key or position >= len(index.stated) or index.stated[position] != picture.pts:
                    continue
                number = position
            elif key and (number >= len(index.stated) or picture.pts != index.stated[number]):
                return
            if number >= len(index.stated):
                return
            yield DecodedFrame(number, int(index.timestamps[number]), picture)
            number += 1


def _checksum(picture: av.VideoFrame) -> int:
    plane: Any = picture.planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height : CHECKED_ROW_STEP]
    # A row is at least as long in bytes as in pixels; what follows may be padding.
    return zlib.crc32(rows[:, : plane.width].tobytes())
