"""Frames in which the face is seen less well than in the clip's others: flagged, but tracked all the same."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, UInt16

from tracking.face_look import FaceLook
from tracking.face_occlusion import OcclusionConfig, foreign_share
from tracking.frame_flags import FrameFlag

MAIN_EXPRESSIONS = 8
"""Directions of expression that the face's look is foretold from."""


@dataclass
class FrameQualityConfig:
    """From when on a frame is flagged."""

    blurred: float = 0.5
    """Sharpness of the face, relative to the clip's median, below which a frame counts as blurred."""
    dark: float = 0.1
    """Median brightness of the face, in [0, 1], below which it is too dark."""
    bright: float = 0.93
    """The same above which it is too bright."""
    profile_yaw: float = 60.0
    """Degrees by which the head is turned away to the side from which half of the face counts as out of sight."""
    profile_half: float = 0.2
    """Share of a half of the face that must be in sight."""
    occlusion: OcclusionConfig = field(default_factory=OcclusionConfig)


def quality_flags(
    looks: Sequence[FaceLook],
    camera_to_head: Float[np.ndarray, "frames 4 4"],
    expression: Float[np.ndarray, "frames expressions"],
    config: FrameQualityConfig,
) -> UInt16[np.ndarray, "frames"]:
    """The flags of frames that are tracked."""
    foreign = foreign_share(looks, causes_of_looks(camera_to_head, expression), config.occlusion)
    reasons = (
        (FrameFlag.BLURRED, is_blurred(np.array([look.sharpness for look in looks]), config)),
        (FrameFlag.DARK, is_dark_or_bright(np.array([look.brightness for look in looks]), config)),
        (FrameFlag.OCCLUDED, foreign > config.occlusion.least_share),
        (FrameFlag.PROFILE, is_profile(looks, camera_to_head, config)),
    )
    flags = np.zeros(len(looks), dtype=np.uint16)
    for flag, frames in reasons:
        flags[frames] |= np.uint16(flag)
    return flags


def is_blurred(sharpness: Float[np.ndarray, "frames 2"], config: FrameQualityConfig) -> Bool[np.ndarray, "frames"]:
    """Much less sharp than most frames, in one direction or both: out of focus, or blurred by motion."""
    return (sharpness < config.blurred * np.median(sharpness, axis=0)).any(axis=1)


def is_dark_or_bright(
    brightness: Float[np.ndarray, "frames"], config: FrameQualityConfig
) -> Bool[np.ndarray, "frames"]:
    """Too dark or too bright to be seen well."""
    return (brightness < config.dark) | (brightness > config.bright)


def is_profile(
    looks: Sequence[FaceLook], camera_to_head: Float[np.ndarray, "frames 4 4"], config: FrameQualityConfig
) -> Bool[np.ndarray, "frames"]:
    """Turned far to a side, by the fitted pose or by how little of one half of the landmarks' mesh is in sight."""
    yaw = np.degrees(_turns(camera_to_head)[0])
    seen = np.stack([look.is_seen for look in looks])
    middle = seen.shape[2] // 2
    most = np.maximum(seen.sum(axis=(1, 2)).max(), 1) / 2
    half = np.minimum(seen[:, :, :middle].sum(axis=(1, 2)), seen[:, :, middle:].sum(axis=(1, 2)))
    return (np.abs(yaw) > config.profile_yaw) | (half < config.profile_half * most)


def causes_of_looks(
    camera_to_head: Float[np.ndarray, "frames 4 4"], expression: Float[np.ndarray, "frames expressions"]
) -> Float[np.ndarray, "frames causes"]:
    """What the unwrapped face's look depends on: pose and the clip's main directions of expression, by importance."""
    yaw, pitch, roll = _turns(camera_to_head)
    centered = expression - expression.mean(axis=0)
    directions, sizes, _ = np.linalg.svd(centered, full_matrices=False)
    main = directions[:, :MAIN_EXPRESSIONS] * sizes[:MAIN_EXPRESSIONS]
    return np.column_stack([yaw, pitch, main[:, :3], roll, yaw**2, main[:, 3:], pitch**2])


def _turns(camera_to_head: Float[np.ndarray, "frames 4 4"]) -> tuple[Float[np.ndarray, "frames"], ...]:
    """Yaw, pitch and roll of the head relative to the camera, in radians."""
    to_camera, up = camera_to_head[:, :3, 2], camera_to_head[:, :3, 1]
    yaw, pitch = (np.arctan2(to_camera[:, axis], to_camera[:, 2]) for axis in (0, 1))
    return yaw, pitch, np.arctan2(up[:, 0], up[:, 1])
