"""Clips for measuring: the beginning of a tracked one, as a clip of its own."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from evaluation.video_pairs import Span
from tracking.clip import TrackedClip
from tracking.frame_flags import FrameFlag


def clip_name(clip: Path) -> str:
    """The name of a clip's folder, or of the folder that it is in where it is merely called a clip."""
    resolved = clip.resolve()
    return resolved.parent.name if resolved.name == "clip" else resolved.name


def beginning(clip: TrackedClip, frames: int, folder: Path) -> TrackedClip:
    """The first so many tracked frames, as a clip in a folder; its pictures are links to the whole clip's.

    The clip itself, if it has no more. Later frames count as outside of the chosen part: they are not tracked.
    """
    if len(clip.frames) <= frames:
        return clip
    if (folder / "transforms.json").is_file():
        return TrackedClip.load(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("images", "masks", "labels", "background.png"):
        link = folder / name
        link.unlink(missing_ok=True)
        link.symlink_to((clip.root / name).resolve())
    last = int(clip.frames[frames - 1])
    later = np.arange(len(clip.track.tracked)) > last
    track = clip.track
    flags = np.where(later, np.uint16(FrameFlag.OUTSIDE), track.flags).astype(track.flags.dtype)
    shorter = replace(clip, root=folder, track=replace(track, tracked=track.tracked & ~later, flags=flags))
    shorter.save_description()
    return TrackedClip.load(folder)


def edited_span(clip: TrackedClip) -> Span:
    """The frames of the source up to the clip's last: what follows a clip's beginning is not edited.

    Measured too, the unedited rest would pass for a faithful edit, and the place where the edit ends for flicker.
    """
    return Span(at_most=int(clip.frames[-1]) + 1)
