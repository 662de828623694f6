"""Clips that cannot make an avatar are refused, clips that make a flat one are told, and no two are taken for one."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from stage2_nerf.clip_checks import LEAST_FRAMES, ClipFingerprint, require_enough, require_sound
from tracking.clip import TrackedClip
from tracking.errors import UserError
from tracking.frame_flags import FrameFlag


def changed(clip: TrackedClip, **values: Any) -> TrackedClip:
    """The clip with other arrays in its track, each made from a copy of its own."""
    arrays = {name: value(np.array(getattr(clip.track, name))) for name, value in values.items()}
    return replace(clip, track=replace(clip.track, **arrays))


def with_nan_in(row: int) -> Any:
    def change(values: np.ndarray) -> np.ndarray:
        values = values.astype(float)
        values.reshape(len(values), -1)[row, 0] = np.nan
        return values

    return change


def turned(degrees: float) -> Any:
    """Poses of a head that turns from one side to the other by so many degrees in all."""

    def change(poses: np.ndarray) -> np.ndarray:
        angles = np.radians(np.linspace(-degrees / 2, degrees / 2, len(poses)))
        turn = np.tile(np.eye(4), (len(poses), 1, 1))
        turn[:, 0, 0] = turn[:, 2, 2] = np.cos(angles)
        turn[:, 0, 2], turn[:, 2, 0] = np.sin(angles), -np.sin(angles)
        return turn @ np.tile(poses[:1], (len(poses), 1, 1))

    return change


def test_a_sound_clip_passes(tiny_clip: TrackedClip) -> None:
    require_sound(tiny_clip)


@pytest.mark.parametrize("name", ["camera_to_head", "camera_to_torso", "expression"])
def test_nan_in_a_tracked_frame_is_named(tiny_clip: TrackedClip, name: str) -> None:
    with pytest.raises(UserError, match=rf"damaged \(frame 5 is said to be tracked, but its {name} is not a number\)"):
        require_sound(changed(tiny_clip, **{name: with_nan_in(5)}))


def test_nan_in_the_identity_is_named(tiny_clip: TrackedClip) -> None:
    with pytest.raises(UserError, match=r"damaged \(identity\)"):
        require_sound(changed(tiny_clip, identity=with_nan_in(0)))


def test_nan_in_a_frame_that_is_left_out_is_how_it_should_be(tiny_clip: TrackedClip) -> None:
    left_out = np.arange(len(tiny_clip.track.tracked)) != 5
    require_sound(changed(tiny_clip, camera_to_head=with_nan_in(5), tracked=lambda tracked: tracked & left_out))


@pytest.mark.parametrize(
    ("flag", "reason"), [(FrameFlag.NO_FACE, "no face was seen in most of them"), (FrameFlag.LOST, "all were flagged")]
)
def test_a_clip_of_which_nothing_is_tracked_says_why(tiny_clip: TrackedClip, flag: FrameFlag, reason: str) -> None:
    untracked = changed(tiny_clip, tracked=np.zeros_like, flags=lambda flags: np.full_like(flags, flag))
    with pytest.raises(UserError, match=rf"None of the 16 frames of .* is tracked \({reason}\): see its report.html"):
        require_sound(untracked)


def test_a_clip_of_too_few_frames_says_what_to_film(tiny_clip: TrackedClip) -> None:
    few = changed(tiny_clip, tracked=lambda tracked: np.arange(len(tracked)) < LEAST_FRAMES - 1)
    with pytest.raises(UserError, match="has only 11 of the 12 tracked frames that an avatar needs at least: film ten"):
        require_enough(few)


def test_a_head_that_hardly_turns_is_told(tiny_clip: TrackedClip) -> None:
    warning = require_enough(changed(tiny_clip, camera_to_head=turned(6)))
    assert warning is not None
    assert warning.startswith("The head turns by only 6 degrees and nods by 1 in this clip")
    assert "film the head turning by 30 degrees or more" in warning
    assert require_enough(changed(tiny_clip, camera_to_head=turned(25))) is None


def test_a_fingerprint_is_the_clips_and_not_its_folders(tiny_clip: TrackedClip, tmp_path: Any) -> None:
    own = ClipFingerprint.of(tiny_clip)
    moved = replace(tiny_clip, root=tmp_path / "moved")
    assert ClipFingerprint.of(moved).digest == own.digest
    for name in ("camera_to_head", "expression", "identity", "tracked"):
        other = changed(tiny_clip, **{name: lambda values: np.roll(values, 1, axis=0) + (values.dtype != bool)})
        if name != "tracked":
            assert ClipFingerprint.of(other).digest != own.digest, name
    assert ClipFingerprint.of(replace(tiny_clip, intrinsics=replace(tiny_clip.intrinsics, center_x=1.0))) != own
