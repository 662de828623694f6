"""Which frame of an edited video shows the same moment as a frame of its source: time stamps decide."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

SLACK = 1e-3
"""Seconds by which containers round time stamps (Matroska: to milliseconds)."""


@dataclass(frozen=True)
class Alignment:
    """The frames of two videos that belong together."""

    source: Int[np.ndarray, "pairs"]
    """Frame numbers in the source, increasing."""
    edited: Int[np.ndarray, "pairs"]
    """Their partners' numbers in the edited video, increasing."""
    source_count: int
    edited_count: int

    @property
    def dropped(self) -> tuple[int, int]:
        """How many frames of the source and of the edited video have no partner."""
        return self.source_count - len(self.source), self.edited_count - len(self.edited)


def align(
    source_seconds: Float[np.ndarray, "source_frames"],
    edited_seconds: Float[np.ndarray, "edited_frames"],
    offset: float = 0.0,
) -> Alignment:
    """Pair every source frame with the nearest edited one, if that is at most half of a source's frame away.

    No frame is used twice: of two source frames that claim the same edited one, the nearer has it.

    Args:
        source_seconds: when the source's frames are shown, increasing; counted from its first frame.
        edited_seconds: the same for the edited video, counted from that video's own first frame.
        offset: the time in the source, in seconds, at which the edited video begins.
    """
    shown = edited_seconds + offset
    after = np.clip(np.searchsorted(shown, source_seconds), 1, max(len(shown) - 1, 1))
    before = after - 1
    after = np.minimum(after, len(shown) - 1)
    nearest = np.where(np.abs(shown[before] - source_seconds) <= np.abs(shown[after] - source_seconds), before, after)
    distance = np.abs(shown[nearest] - source_seconds)
    reach = frame_duration(source_seconds) / 2 + SLACK
    partner = {}
    for frame in np.flatnonzero(distance <= reach):
        claimed = int(nearest[frame])
        if claimed not in partner or distance[frame] < distance[partner[claimed]]:
            partner[claimed] = int(frame)
    edited = np.array(sorted(partner), dtype=np.int64)
    source = np.array([partner[int(frame)] for frame in edited], dtype=np.int64)
    return Alignment(source, edited, len(source_seconds), len(edited_seconds))


def frame_duration(seconds: Float[np.ndarray, "frames"]) -> float:
    """The usual time from one frame to the next, in seconds; that of 25 frames a second where there is one frame."""
    return float(np.median(np.diff(seconds))) if len(seconds) > 1 else 0.04
