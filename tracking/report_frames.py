"""Which frames of a clip are worth showing: an even choice, and those at the edges of what was tracked."""

import numpy as np

from tracking.capture_measures import action_strength
from tracking.clip import TrackedClip
from tracking.flag_words import flag_rows
from tracking.head_angles import head_angles

SHOWN_FRAMES = 12
MOST_FLAGGED = 3
"""Frames shown because they bear a flag, one of each kind."""
LEAST_TURN = 3.0
"""Degrees by which a head must turn for its furthest turns to be worth pointing out."""


def choose_frames(clip: TrackedClip, count: int = SHOWN_FRAMES) -> dict[int, list[str]]:
    """Tracked frames in the order of the video, each with the reasons why it was chosen besides an even spread.

    Where two reasons point at one frame, another takes the free place, so that all of `count` frames are shown if the
    clip has as many.
    """
    frames = clip.frames
    chosen: dict[int, list[str]] = {}
    for reason, frame in _remarkable(clip):
        if frame in chosen or len(chosen) < count:
            chosen.setdefault(frame, []).append(reason)
    if len(frames):
        chosen.setdefault(int(frames[0]), [])
    # Each further frame is the one farthest from those chosen already.
    distance = np.abs(frames[:, None] - np.array(list(chosen), dtype=np.int64)).min(axis=1, initial=len(clip.times))
    while len(chosen) < min(count, len(frames)):
        frame = int(frames[distance.argmax()])
        chosen[frame] = []
        distance = np.minimum(distance, np.abs(frames - frame))
    return dict(sorted(chosen.items()))


def _remarkable(clip: TrackedClip) -> list[tuple[str, int]]:
    track = clip.track
    tracked = track.tracked
    found: list[tuple[str, int]] = []
    if not tracked.any():
        return found

    def extreme(reason: str, values: np.ndarray | None, largest: bool = True) -> None:
        if values is not None and np.isfinite(values[tracked]).any():
            signed = np.where(tracked & np.isfinite(values), values if largest else -values, -np.inf)
            found.append((reason, int(signed.argmax())))

    yaw = head_angles(track.camera_to_head).yaw
    if np.nanmax(yaw[tracked]) - np.nanmin(yaw[tracked]) >= LEAST_TURN:
        extreme("furthest to the left", yaw, largest=False)
        extreme("furthest to the right", yaw)
    extreme("widest mouth", action_strength(track, "opening the mouth"))
    extreme("eyes most closed", action_strength(track, "blinking"))
    extreme("worst fit", track.reprojection_error)
    flagged = [(word, np.flatnonzero(marked & tracked)) for word, _, marked in flag_rows(clip)]
    for word, frames in [(word, frames) for word, frames in flagged if len(frames)][:MOST_FLAGGED]:
        found.append((f"flagged: {word}", int(frames[len(frames) // 2])))
    return found
