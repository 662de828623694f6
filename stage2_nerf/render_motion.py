"""What the avatar does in every frame of a rendered video: its own motion, another clip's, or a camera's swing."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from jaxtyping import Float, Int64

from stage2_nerf.expression_transfer import (
    ExpressionRange,
    scale_expressions,
    set_expressions,
    transfer_expressions,
)
from stage2_nerf.frame_renderer import Moment
from stage2_nerf.orbit import Swing
from stage2_nerf.pose_transfer import Limited, limit_poses, transfer_poses
from stage2_nerf.render_config import Driven
from tracking.cameras import rigid_inverse
from tracking.clip import TrackedClip
from tracking.errors import UserError
from tracking.video import VideoFrame, VideoProperties, VideoReader


class Motion(Protocol):
    """Tells, for every frame of the source, what to write while it is at hand."""

    like: VideoProperties
    """The video whose time stamps and sound the result has."""
    frame_count: int
    """How many frames are written."""

    def frames(self, reader: VideoReader) -> Iterable[VideoFrame]:
        """The source's frames in the order in which they are needed."""
        ...

    def at(self, frame: VideoFrame) -> Iterator[tuple[int, float, Moment]]:
        """Time stamp, seconds and moment of every frame to be made of this one."""
        ...


@dataclass(frozen=True)
class ExpressionChange:
    """How expressions are changed before they are shown."""

    scale: float = 1.0
    """How many times as far from rest."""
    held: Mapping[str, float] = field(default_factory=dict)
    """Values of some, by name."""

    @property
    def is_none(self) -> bool:
        return self.scale == 1 and not self.held

    def apply(self, expressions: Float[np.ndarray, "frames expressions"], clip: TrackedClip) -> np.ndarray:
        """Changed expressions, on the avatar of a clip."""
        own = ExpressionRange.of(clip.track.expression[clip.frames], clip.track.expression_names)
        scaled = expressions if self.scale == 1 else scale_expressions(expressions, own, self.scale)
        return set_expressions(scaled, self.held, clip.track.expression_names)


def changed_expressions(clip: TrackedClip, change: ExpressionChange) -> dict[int, np.ndarray]:
    """The expressions that a clip's tracked frames show instead of their own, by frame; none where nothing changes."""
    if change.is_none:
        return {}
    changed = change.apply(clip.track.expression[clip.frames], clip)
    return {int(number): row for number, row in zip(clip.frames, changed, strict=True)}


class OwnMotion:
    """The avatar does what the clip's person does, with changed expressions or a swinging camera if asked for."""

    def __init__(
        self, clip: TrackedClip, reader: VideoReader, change: ExpressionChange, swing: Swing | None = None
    ) -> None:
        self.like = reader.properties
        self.frame_count = len(clip.track.tracked)
        self._seconds = clip.seconds
        self._swing = swing
        self._expressions = changed_expressions(clip, change)

    def frames(self, reader: VideoReader) -> Iterable[VideoFrame]:
        """One after another."""
        return reader

    def at(self, frame: VideoFrame) -> Iterator[tuple[int, float, Moment]]:
        """The frame itself."""
        seconds = float(self._seconds[min(frame.index, len(self._seconds) - 1)])
        yaw = 0.0 if self._swing is None else self._swing.yaw_at(seconds)
        yield frame.timestamp, seconds, Moment(self._expressions.get(frame.index), yaw=yaw)


class DrivenMotion:
    """The avatar does what another clip's person does, for as long as that clip lasts.

    What is not taken over, and the scene, come from the avatar's own clip. If it is the shorter, it is played slower,
    so that nothing jumps; else it ends with the driver.
    """

    def __init__(self, clip: TrackedClip, driver: TrackedClip, driven: Driven, change: ExpressionChange) -> None:
        """
        Args:
            clip: the avatar's.
            driver: the other.

        Raises:
            UserError: the driver was tracked with another head model, or its video has gone.
        """
        if driver.track.expression_names != clip.track.expression_names:
            raise UserError(
                f"{driver.root} was fitted with another head model than {clip.root}: track its video again with "
                f"`portrait-track {driver.source.path} {driver.root} --overwrite`."
            )
        self.like = VideoReader(Path(driver.source.path)).properties
        self.frame_count = len(driver.track.tracked)
        # Where the driver did not track, it holds still.
        nearest = np.abs(np.arange(self.frame_count)[:, None] - driver.frames).argmin(axis=1)
        expressions = self._expressions(clip, driver, driven, change)
        slower = max(self.frame_count - 1, 1) / max(len(clip.frames) - 1, 1)
        row = np.round(np.arange(self.frame_count) / max(slower, 1)).astype(int)
        self.limited: Limited | None = None
        """How much of the driver's head motion was held back; none where the head moves as filmed."""
        poses = None
        if driven != "expression":
            torso = clip.track.camera_to_torso[clip.frames[row]]
            poses, self.limited = self._poses(clip, driver, driver.frames[nearest], torso)
        self._planned: dict[int, list[tuple[int, float, Moment]]] = defaultdict(list)
        for index, own in enumerate(row):
            moment = Moment(
                None if expressions is None else expressions[nearest[index] if driven != "pose" else own],
                None if poses is None else poses[index],
            )
            stamp = int(driver.track.presentation_timestamps[index])
            self._planned[int(clip.frames[own])].append((stamp, float(driver.seconds[index]), moment))

    @staticmethod
    def _expressions(
        clip: TrackedClip, driver: TrackedClip, driven: Driven, change: ExpressionChange
    ) -> Float[np.ndarray, "rows expressions"] | None:
        own = clip.track.expression[clip.frames]
        if driven == "pose":
            return None if change.is_none else change.apply(own, clip)
        driving = driver.track.expression[driver.frames]
        names = clip.track.expression_names
        ranges = ExpressionRange.of(driving, names), ExpressionRange.of(own, names)
        moved = transfer_expressions(driving, *ranges, names)
        return change.apply(moved, clip)

    @staticmethod
    def _poses(
        clip: TrackedClip,
        driver: TrackedClip,
        shown: Int64[np.ndarray, "frames"],
        camera_to_torso: Float[np.ndarray, "frames 4 4"],
    ) -> tuple[Float[np.ndarray, "frames 4 4"], Limited]:
        """Head-to-camera transforms that take after those frames of the driver, on the torso as it is there."""
        own = rigid_inverse(clip.track.camera_to_head[clip.frames])
        driving = rigid_inverse(driver.track.camera_to_head[shown])
        wanted = transfer_poses(driving, rigid_inverse(driver.track.camera_to_head[driver.frames]), own)
        on_torso = limit_poses(camera_to_torso @ wanted, clip.track.camera_to_torso[clip.frames] @ own)
        poses = rigid_inverse(camera_to_torso) @ on_torso
        return poses, Limited.of(wanted, poses)

    def frames(self, reader: VideoReader) -> Iterable[VideoFrame]:
        """One after another."""
        return reader

    def at(self, frame: VideoFrame) -> Iterator[tuple[int, float, Moment]]:
        """All frames of the driver for which this one of the avatar's clip is shown."""
        yield from self._planned.get(frame.index, ())
