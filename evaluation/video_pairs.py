"""The frames of a source and of its edit, moment by moment, in one size. Both videos stream: two frames are in memory.

What is measured is the part of the source that its tracked clip shows (the person with some of the surroundings, for
only there is it known what is person), reduced to a bounded size.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Float32, Int, UInt8

from evaluation.alignment import Alignment, align
from evaluation.measurement import Picture
from tracking.clip import TrackedClip
from tracking.errors import UserError
from tracking.video import VideoReader

LEAST_PAIRS = 5
"""To fewer frames no head can be fitted."""


@dataclass(frozen=True)
class Moment:
    """The same moment of source and edit, as large as the source is shown."""

    number: int
    """The frame's number in the source."""
    time: float
    """Seconds from the source's first frame."""
    source: Picture
    edited: Picture


@dataclass(frozen=True)
class Window:
    """The part of the source that is measured, and the size at which it is."""

    left: int
    top: int
    width: int
    height: int
    """In pixels of the source."""
    size: tuple[int, int]
    """Width and height of what is measured."""

    @classmethod
    def of_clip(cls, clip: TrackedClip, greatest_side: int) -> "Window":
        """What the clip shows, with a longer side of at most so many pixels."""
        left, top, width, height = clip.source.crop
        scale = min(1.0, greatest_side / max(width, height))
        return cls(left, top, width, height, (max(8, round(width * scale)), max(8, round(height * scale))))

    def cut(self, frame: Picture) -> Picture:
        """The window's picture of a source frame, or of an edited one of the same size."""
        return self.resized(frame[self.top : self.top + self.height, self.left : self.left + self.width])

    def resized(self, picture: Picture) -> Picture:
        """A picture of what the window shows, such as an image of the clip, at the size at which is measured."""
        if picture.shape[1::-1] == self.size:
            return np.ascontiguousarray(picture)
        is_smaller = self.size[0] < picture.shape[1]
        return cv2.resize(picture, self.size, interpolation=cv2.INTER_AREA if is_smaller else cv2.INTER_CUBIC)

    def of_image_points(
        self, points: Float[np.ndarray, "points 2"], clip: TrackedClip
    ) -> Float[np.ndarray, "points 2"]:
        """Points in pixels of the clip's images, in pixels of the window."""
        return points * np.array(self.size) / np.array([clip.intrinsics.width, clip.intrinsics.height])

    def matte(self, clip: TrackedClip, frame: int) -> Float32[np.ndarray, "height width"]:
        """The matte of a tracked frame."""
        matte = clip.matte(frame)
        if matte.shape[::-1] == self.size:
            return matte
        return cv2.resize(matte, self.size, interpolation=cv2.INTER_LINEAR)

    def labels(self, clip: TrackedClip, frame: int) -> UInt8[np.ndarray, "height width"]:
        """The region labels of a tracked frame."""
        labels = clip.labels(frame)
        if labels.shape[::-1] == self.size:
            return labels
        return cv2.resize(labels, self.size, interpolation=cv2.INTER_NEAREST)


class Span(NamedTuple):
    """Which of the pairs are measured."""

    every: int = 1
    """Only every so many-th."""
    at_most: int | None = None
    """The first so many of those."""


class VideoPairs:
    """The moments that two videos share, in order. Iterating starts from the first every time.

    Raises:
        UserError: a video cannot be read, or the two share too few moments.
    """

    def __init__(self, clip: TrackedClip, edited: Path, offset: float = 0.0, span: Span | None = None) -> None:
        """Read both videos' time stamps.

        Args:
            offset: the time in the source, in seconds, at which the edited video begins.
        """
        span = span or Span()
        source = Path(clip.source.path)
        if not source.is_file():
            raise UserError(f"{source}, from which {clip.root} was tracked, has gone: put it back, or track it anew.")
        self.clip = clip
        self.source_reader, self.edited_reader = VideoReader(source), VideoReader(edited)
        self.seconds = clip.seconds
        self.edited_seconds = _seconds(self.edited_reader)
        self.alignment: Alignment = align(self.seconds, self.edited_seconds, offset)
        kept = slice(0, None if span.at_most is None else span.at_most * span.every, span.every)
        self.source_frames: Int[np.ndarray, "pairs"] = self.alignment.source[kept]
        self.edited_frames: Int[np.ndarray, "pairs"] = self.alignment.edited[kept]
        if len(self.source_frames) < LEAST_PAIRS:
            raise UserError(
                f"{edited} and {source} share {len(self.source_frames)} moments, by their time stamps: give the edit "
                "of this source, or say with --offset at which second of it the edit begins."
            )

    def __len__(self) -> int:
        return len(self.source_frames)

    def __iter__(self) -> Iterator[Moment]:
        return self.at(np.arange(len(self)))

    def at(self, rows: Int[np.ndarray, "chosen"]) -> Iterator[Moment]:
        """Some of the pairs, by their increasing positions among all."""
        sources = _frames(self.source_reader, self.source_frames[rows])
        edits = _frames(self.edited_reader, self.edited_frames[rows])
        for row, source, edited in zip(rows, sources, edits, strict=False):
            number = int(self.source_frames[row])
            yield Moment(number, float(self.seconds[number]), source, fitted(edited, source))

    @cached_property
    def remarks(self) -> list[str]:
        """What is unlike in the two videos, and what was made of it: a sentence each."""
        source, edited = self.source_reader.properties, self.edited_reader.properties
        remarks = [*source.remarks, *edited.remarks]
        if (source.width, source.height) != (edited.width, edited.height):
            stretch = (edited.width / edited.height) / (source.width / source.height)
            how = ", which changes its proportions" if abs(stretch - 1) > 0.02 else ""
            remarks.append(
                f"The edited video has {edited.width} x {edited.height} pixels and was brought to the source's "
                f"{source.width} x {source.height}{how}."
            )
        if abs(float(source.frame_rate / edited.frame_rate) - 1) > 0.01:
            remarks.append(
                f"The edited video has {float(edited.frame_rate):.4g} frames a second and the source "
                f"{float(source.frame_rate):.4g}: frames were paired by their time stamps."
            )
        for count, name in zip(self.alignment.dropped, ("source", "edited video"), strict=True):
            if count:
                remarks.append(
                    f"{count} frame{'s' if count > 1 else ''} of the {name} had no partner within half a frame's time, "
                    "and were left out."
                )
        measured = len(self), len(self.alignment.source)
        if measured[0] < measured[1]:
            remarks.append(f"{measured[0]} of the {measured[1]} moments that both videos show were measured.")
        return remarks


def fitted(edited: Picture, source: Picture) -> Picture:
    """An edited frame in the size of its source's."""
    height, width = source.shape[:2]
    if edited.shape[:2] == (height, width):
        return edited
    interpolation = cv2.INTER_AREA if edited.shape[1] > width else cv2.INTER_CUBIC
    return cv2.resize(edited, (width, height), interpolation=interpolation)


def _seconds(reader: VideoReader) -> Float[np.ndarray, "frames"]:
    """When each frame is shown, in seconds from the first. The frames are decoded, but not converted."""
    stamps = np.array([frame.timestamp for frame in reader.decode()], dtype=np.int64)
    return (stamps - stamps[0]) * float(Fraction(reader.properties.time_base))


def _frames(reader: VideoReader, wanted: Int[np.ndarray, "frames"]) -> Iterator[Picture]:
    """The frames with these increasing numbers."""
    remaining = iter(wanted.tolist())
    number = next(remaining, None)
    for frame in reader.decode():
        if number is None:
            return
        if frame.index == number:
            yield reader.upright_rgb(frame.picture)
            number = next(remaining, None)
