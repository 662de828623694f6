"""Frame flags in words, for people."""

import numpy as np
from jaxtyping import Bool

from tracking.clip import TrackedClip
from tracking.frame_flags import FrameFlag, has_flag

FLAG_WORDS: dict[FrameFlag, str] = {
    FrameFlag.OUTSIDE: "outside of the chosen part",
    FrameFlag.NO_FACE: "no face found",
    FrameFlag.OUTLIER: "landmarks jump",
    FrameFlag.LOST: "head does not fit",
    FrameFlag.BLURRED: "blurred",
    FrameFlag.OCCLUDED: "face covered",
    FrameFlag.PROFILE: "profile",
    FrameFlag.DARK: "too dark or too bright",
}


def words_for(clip: TrackedClip, frame: int) -> list[str]:
    """What is to be said of a frame; nothing of a good one."""
    words = [word for flag, word in FLAG_WORDS.items() if int(clip.track.flags[frame]) & flag]
    if not clip.track.tracked[frame] and not words:
        words.append("not tracked")
    return words


def flag_rows(clip: TrackedClip) -> list[tuple[str, bool, Bool[np.ndarray, "frames"]]]:
    """Each word that fits any frame, whether those frames are left out, and which they are."""
    track = clip.track
    rows = [(word, has_flag(track.flags, flag)) for flag, word in FLAG_WORDS.items()]
    rows.append(("not tracked", ~track.tracked & (track.flags == 0)))
    return [(word, not track.tracked[marked].any(), marked) for word, marked in rows if marked.any()]
