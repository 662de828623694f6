"""What is to be said of a frame: why it was left out, or what makes it less sure than the others."""

from enum import IntFlag

import numpy as np
from jaxtyping import Bool, UInt16


class FrameFlag(IntFlag):
    """Bits of `HeadTrack.flags`. The numbers are part of the clip format."""

    OUTSIDE = 1
    """Not in the chosen span or shot: nothing was looked for."""
    NO_FACE = 2
    """The followed face was not found."""
    OUTLIER = 4
    """The landmarks jump away and back."""
    LOST = 8
    """The head model does not fit the landmarks."""
    BLURRED = 16
    """Much less sharp around the face than the clip's other frames."""
    OCCLUDED = 32
    """Something lies before the face."""
    PROFILE = 64
    """Turned so far that half of the face is out of sight."""
    DARK = 128
    """The face is too dark, or too bright, to be seen well."""


LEFT_OUT = FrameFlag.OUTSIDE | FrameFlag.NO_FACE | FrameFlag.OUTLIER | FrameFlag.LOST
"""Frames with one of these are not tracked; with the others they are, and flagged."""


def why_left_out(
    found: Bool[np.ndarray, "frames"], followed: Bool[np.ndarray, "frames"], fitted: Bool[np.ndarray, "frames"]
) -> UInt16[np.ndarray, "frames"]:
    """The flags of frames by the first step that failed.

    Args:
        found: whether the detector saw the face.
        followed: whether its landmarks are no outlier.
        fitted: whether the head model lies on them.
    """
    flags = np.zeros(len(found), dtype=np.uint16)
    for flag, frames in (
        (FrameFlag.NO_FACE, ~found),
        (FrameFlag.OUTLIER, found & ~followed),
        (FrameFlag.LOST, followed & ~fitted),
    ):
        flags[frames] |= np.uint16(flag)
    return flags


def has_flag(flags: UInt16[np.ndarray, "frames"], flag: FrameFlag) -> Bool[np.ndarray, "frames"]:
    """Which frames bear the flag, or one of several."""
    return (flags & np.uint16(flag)) != 0
