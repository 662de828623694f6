"""Frames in which the face is seen less well than in the clip's others: flagged, but tracked all the same."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt16

from tracking.face_look import FaceLook
from tracking.frame_flags import FrameFlag


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


def quality_flags(
    looks: Sequence[FaceLook], camera_to_head: Float[np.ndarray, "frames 4 4"], config: FrameQualityConfig
) -> UInt16[np.ndarray, "frames"]:
    """The flags of frames that are tracked."""
    reasons = (
        (FrameFlag.BLURRED, is_blurred(np.array([look.sharpness for look in looks]), config)),
        (FrameFlag.DARK, is_dark_or_bright(np.array([look.brightness for look in looks]), config)),
        (FrameFlag.PROFILE, is_profile(looks, camera_to_head, config)),
    )
    flags = np.zeros(len(looks), dtype=np.uint16)
    for flag, frames in reasons:
        flags[frames] |= np.uint16(flag)
    return flags


def is_blurred(sharpness: Float[np.ndarray, "frames"], config: FrameQualityConfig) -> Bool[np.ndarray, "frames"]:
    """Much less sharp than most frames."""
    return sharpness < config.blurred * np.median(sharpness)


def is_dark_or_bright(
    brightness: Float[np.ndarray, "frames"], config: FrameQualityConfig
) -> Bool[np.ndarray, "frames"]:
    """Too dark or too bright to be seen well."""
    return (brightness < config.dark) | (brightness > config.bright)


def is_profile(
    looks: Sequence[FaceLook], camera_to_head: Float[np.ndarray, "frames 4 4"], config: FrameQualityConfig
) -> Bool[np.ndarray, "frames"]:
    """Turned far to a side, by the fitted pose or by how little of one half of the landmarks' mesh is in sight."""
    to_camera = camera_to_head[:, :3, 2]
    yaw = np.degrees(np.arctan2(to_camera[:, 0], to_camera[:, 2]))
    seen = np.stack([look.is_seen for look in looks])
    middle = seen.shape[2] // 2
    most = np.maximum(seen.sum(axis=(1, 2)).max(), 1) / 2
    half = np.minimum(seen[:, :, :middle].sum(axis=(1, 2)), seen[:, :, middle:].sum(axis=(1, 2)))
    return (np.abs(yaw) > config.profile_yaw) | (half < config.profile_half * most)
