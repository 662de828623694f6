"""Copies of a tracked clip that are longer, shorter, larger or smaller: to see how costs grow."""

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from tracking.clip import HeadTrack, Intrinsics, TrackedClip, write_png

WHOLE_CLIP = ("identity", "expression_names")
"""What a track holds once, and not for every frame."""


def to_and_fro(frames: Sequence[int], count: int) -> list[int]:
    """So many of some frames: evenly spread ones where there are more, else all of them to and fro until they are."""
    if count <= len(frames):
        return [int(frames[place]) for place in np.linspace(0, len(frames) - 1, count).round().astype(int)]
    there_and_back = [*frames, *frames[-2:0:-1]]
    return [int(there_and_back[place % len(there_and_back)]) for place in range(count)]


def copy_clip(clip: TrackedClip, folder: Path, frames: Sequence[int], scale: float = 1.0) -> TrackedClip:
    """Write a clip whose frames are some of another's tracked ones, in this order, at another size.

    Args:
        clip: the other.
        folder: where to write it; it may be there, but empty.
        frames: numbers of tracked frames of the other clip.
        scale: size over the other clip's.
    """
    camera, track = clip.intrinsics, clip.track
    width, height = round(scale * camera.width), round(scale * camera.height)
    arrays = {
        name: getattr(track, name)[list(frames)]
        for name in (field.name for field in fields(HeadTrack))
        if name not in WHOLE_CLIP
    }
    interval = int(np.median(np.diff(track.presentation_timestamps)))
    arrays["presentation_timestamps"] = interval * np.arange(len(frames), dtype=np.int64)
    arrays["landmarks"] = scale * arrays["landmarks"]
    copy = replace(
        clip,
        root=folder,
        track=replace(track, **arrays),
        intrinsics=Intrinsics(
            scale * camera.focal_length, scale * camera.center_x, scale * camera.center_y, width, height
        ),
    )
    for path in copy.picture_paths(0):
        path.parent.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(frames):
        matte = (clip.matte(frame) * 255).round().astype(np.uint8)
        write_png(copy.image_path(number), resized(clip.image(frame), width, height))
        write_png(copy.matte_path(number), resized(matte, width, height))
        write_png(
            copy.label_path(number), cv2.resize(clip.labels(frame), (width, height), None, 0, 0, cv2.INTER_NEAREST)
        )
    write_png(copy.background_path, resized(clip.background(), width, height))
    copy.save_description()
    return TrackedClip.load(folder)


def resized(
    picture: UInt8[np.ndarray, "height width *channels"], width: int, height: int
) -> UInt8[np.ndarray, "new_height new_width *channels"]:
    """A picture at another size."""
    interpolation = cv2.INTER_AREA if width < picture.shape[1] else cv2.INTER_CUBIC
    return cv2.resize(picture, (width, height), interpolation=interpolation)
