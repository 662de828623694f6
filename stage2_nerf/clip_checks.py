"""Whether a tracked clip can make an avatar, and which clip a checkpoint was made from."""

import hashlib
from dataclasses import dataclass

import numpy as np

from tracking.clip import TrackedClip
from tracking.errors import UserError
from tracking.frame_flags import FrameFlag, has_flag
from tracking.head_angles import head_angles

LEAST_FRAMES = 12
"""Half a second at 25 frames per second. With fewer there is not one frame for each of the codes that expressions are
reduced to."""
LEAST_TURN = 10.0
"""Degrees. Views that differ by less hardly constrain depth (`tracking.capture_check` says the same)."""
GOOD_TURN = 30.0
"""Degrees. What to film."""


def require_sound(clip: TrackedClip) -> None:
    """Check that the numbers of all frames that are to be trusted are numbers.

    Raises:
        UserError: there is no such frame, or one holds something else.
    """
    track = clip.track
    if not len(clip.frames):
        shares = {flag: float(has_flag(track.flags, flag).mean()) for flag in (FrameFlag.NO_FACE, FrameFlag.LOST)}
        reason = "no face was seen in most of them" if shares[FrameFlag.NO_FACE] >= 0.5 else "all were flagged"
        raise UserError(
            f"None of the {len(track.tracked)} frames of {clip.root} is tracked ({reason}): see its report.html, film "
            "the whole face in steady light, and track the new video."
        )
    for name in ("camera_to_head", "camera_to_torso", "expression", "presentation_timestamps"):
        values = getattr(track, name)[clip.frames]
        broken = ~np.isfinite(values).reshape(len(values), -1).all(axis=1)
        if broken.any():
            raise UserError(
                f"{clip.root}/tracking.npz is damaged (frame {clip.frames[broken][0]} is said to be tracked, but its "
                f"{name} is not a number): track the video again with `portrait-track`."
            )
    if not np.isfinite(track.identity).all():
        raise UserError(f"{clip.root}/tracking.npz is damaged (identity): track the video again with `portrait-track`.")


def require_enough(clip: TrackedClip) -> str | None:
    """Check that a clip constrains an avatar at all. Returns a warning if it does so from the front only.

    Raises:
        UserError: it does not; the message says what to film.
    """
    frames = len(clip.frames)
    if frames < LEAST_FRAMES:
        raise UserError(
            f"{clip.root} has only {frames} of the {LEAST_FRAMES} tracked frames that an avatar needs at least: film "
            "ten seconds or more of one person talking and turning the head."
        )
    angles = head_angles(clip.track.camera_to_head[clip.frames])
    yaw, pitch = (float(np.subtract(*np.percentile(angle, (98, 2)))) for angle in (angles.yaw, angles.pitch))
    if max(yaw, pitch) >= LEAST_TURN:
        return None
    return (
        f"The head turns by only {yaw:.0f} degrees and nods by {pitch:.0f} in this clip: the edited video will be "
        f"fine, but views from elsewhere will not hold. For those, film the head turning by {GOOD_TURN:.0f} degrees or "
        "more."
    )


@dataclass(frozen=True)
class ClipFingerprint:
    """What tells one tracked clip from another, wherever it lies."""

    name: str
    """Its folder's name, to speak of it."""
    digest: str
    """Of its motion and its camera."""

    @classmethod
    def of(cls, clip: TrackedClip) -> "ClipFingerprint":
        digest = hashlib.sha256(repr((clip.intrinsics, clip.source.crop)).encode())
        track = clip.track
        for values in (track.tracked, track.presentation_timestamps, track.camera_to_head, track.camera_to_torso):
            digest.update(np.ascontiguousarray(values).tobytes())
        for values in (track.expression, track.identity):
            digest.update(np.ascontiguousarray(values).tobytes())
        return cls(clip.root.name, digest.hexdigest())
