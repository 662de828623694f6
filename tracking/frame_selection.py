"""Which frames of a video are tracked: a span of time, and one shot within it."""

import math
import re
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int64

from tracking.errors import UserError
from tracking.shots import Shot

TIME = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?|\.\d+)")
"""Hours, minutes, seconds."""


class NumberedShot(NamedTuple):
    """The part of a shot that lies in the chosen span."""

    number: int
    """Counted from 1 over the whole video."""
    start: int
    stop: int

    @property
    def length(self) -> int:
        return self.stop - self.start


def seconds_of(time: float | str | None, option: str) -> float | None:
    """A time in seconds, from a number or as h:mm:ss.

    Raises:
        UserError: it is neither.
    """
    if time is None:
        return None
    match = TIME.fullmatch(str(time).strip())
    if match is None or not math.isfinite(float(match[3])):
        raise UserError(f"{option} {time} is no time: give seconds, such as 12.5, or h:mm:ss, such as 0:01:30.")
    return 3600 * int(match[1] or 0) + 60 * int(match[2] or 0) + float(match[3])


def clock(seconds: float) -> str:
    """A time as people read it: m:ss.s, or h:mm:ss.s."""
    tenths = round(10 * seconds)
    hours, minutes = divmod(tenths // 600, 60)
    rest = f"{tenths % 600 / 10:04.1f}"
    return f"{hours}:{minutes:02d}:{rest}" if hours else f"{minutes}:{rest}"


def frame_times(timestamps: Int64[np.ndarray, "frames"], time_base: Fraction) -> Float[np.ndarray, "frames"]:
    """When every frame is shown, in seconds after the first."""
    return (timestamps - timestamps[:1]) * float(time_base)


def shots_in_span(shots: Sequence[Shot], start: int, stop: int) -> list[NumberedShot]:
    """What of the shots lies between two frames."""
    parts = [
        NumberedShot(number, max(shot.start, start), min(shot.stop, stop)) for number, shot in enumerate(shots, start=1)
    ]
    return [part for part in parts if part.length > 0]
