"""What a tracked clip shows of its person, in a few numbers: poses, expressions, size, sharpness, light."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from jaxtyping import Bool, Float

from tracking.capture_statistics import CaptureStatistics, brightness_drift, flicker
from tracking.clip import HeadTrack, TrackedClip
from tracking.face_regions import CHIN, FOREHEAD_TOP
from tracking.frame_flags import FrameFlag, has_flag
from tracking.head_angles import HeadAngles, head_angles
from tracking.head_model import HeadModel

IRIS_CENTERS = (468, 473)
RANGE_QUANTILES = (2, 98)
"""Of what a pose ranges over, the rest being moments that teach an avatar nothing."""

ACTIONS: dict[str, tuple[tuple[str, ...], ...]] = {
    "opening the mouth": (("jawOpen",),),
    "blinking": (("eyeBlinkLeft", "eyeBlinkRight"),),
    "smiling": (("mouthSmileLeft", "mouthSmileRight"),),
    "raising the brows": (("browInnerUp",), ("browOuterUpLeft", "browOuterUpRight")),
    "rounding the lips": (("mouthPucker",), ("mouthFunnel",)),
}
"""What a face should be seen to do. Each is any of several means of expressions, the strongest of which counts."""


@dataclass(frozen=True)
class CaptureMeasures:
    """A clip in numbers. What cannot be known is NaN."""

    seconds: float
    """Length of what was to be tracked."""
    tracked_seconds: float
    tracked_share: float
    """Of the frames that were to be tracked."""
    flag_shares: dict[FrameFlag, float]
    """Of the frames that were to be tracked."""
    angles: HeadAngles
    yaw_range: tuple[float, float]
    pitch_range: tuple[float, float]
    roll_range: tuple[float, float]
    """Degrees."""
    action_ranges: dict[str, tuple[float, float]]
    """How weakly and how strongly each of the known `ACTIONS` is seen."""
    face_pixels: float
    """Median height of the face, from the top of the forehead to the chin, in pixels of the clip's images."""
    source_face_pixels: float
    """The same in pixels of the source video."""
    reprojection_error: float
    """Median over the tracked frames, in pixels of the clip's images."""
    reprojection_share: float
    """The same as a fraction of the distance between the irises of a face seen from the front."""
    brightness: float
    """Mean luma of the face, in [0, 1]; the median over the sample."""
    clipped: float
    """Median share of the face without detail in light or shadow."""
    brightness_drift: float
    flicker: float
    """Fractions of the brightness."""
    blur: float
    """Median `blur_effect` of the face."""
    scene_shake: float
    """Typical distance by which the scene moves from frame to frame, as a fraction of the face's height."""
    scene_wander: float
    """The same over a fourteenth of the clip."""


def measure_capture(clip: TrackedClip, statistics: CaptureStatistics) -> CaptureMeasures:
    """Summarise a clip; reads no files."""
    track = clip.track
    wanted = ~has_flag(track.flags, FrameFlag.OUTSIDE) | track.tracked
    count = max(1, int(wanted.sum()))
    angles = head_angles(track.camera_to_head)
    iris_pixels, face_pixels = projected_sizes(clip)
    face = _median(face_pixels)
    return CaptureMeasures(
        seconds=wanted.sum() / clip.source.frames_per_second,
        tracked_seconds=track.tracked.sum() / clip.source.frames_per_second,
        tracked_share=float((track.tracked & wanted).sum() / count),
        flag_shares={flag: float((has_flag(track.flags, flag) & wanted).sum() / count) for flag in FrameFlag},
        angles=angles,
        yaw_range=_range(angles.yaw),
        pitch_range=_range(angles.pitch),
        roll_range=_range(angles.roll),
        action_ranges={
            name: action_range(strength, track.tracked)
            for name in ACTIONS
            if (strength := action_strength(track, name)) is not None
        },
        face_pixels=face,
        source_face_pixels=face * clip.source.crop[2] / clip.intrinsics.width,
        reprojection_error=_median(track.reprojection_error),
        reprojection_share=_median(track.reprojection_error / iris_pixels),
        brightness=_median(statistics.brightness),
        clipped=_median(statistics.clipped),
        brightness_drift=brightness_drift(statistics.brightness),
        flicker=flicker(statistics.frames, statistics.brightness),
        blur=_median(statistics.blur),
        scene_shake=_median(statistics.scene_shake) / face,
        scene_wander=_median(statistics.scene_wander) / face,
    )


def frame_seconds(clip: TrackedClip) -> Float[np.ndarray, "frames"]:
    """When each frame of the source is shown, in seconds from the first."""
    stamps = clip.track.presentation_timestamps
    return (stamps - stamps[0]) * float(Fraction(clip.source.time_base))


def chosen_part(clip: TrackedClip) -> slice:
    """From the first to the last frame that was to be tracked, or all if none was."""
    chosen = np.flatnonzero(~has_flag(clip.track.flags, FrameFlag.OUTSIDE) | clip.track.tracked)
    return slice(int(chosen[0]), int(chosen[-1]) + 1) if len(chosen) else slice(0, len(clip.track.flags))


def projected_sizes(clip: TrackedClip) -> tuple[Float[np.ndarray, "frames"], Float[np.ndarray, "frames"]]:
    """Distance between the irises, and height of the face, in pixels of the clip's images; NaN where untracked.

    Of the fitted face at its distance, as if it were turned to the camera: measures that neither a profile nor an open
    mouth shortens or lengthens.
    """
    neutral = HeadModel.load().neutral(clip.track.identity).astype(np.float64)
    distance = head_angles(clip.track.camera_to_head).distance

    def pixels(first: int, second: int) -> Float[np.ndarray, "frames"]:
        # Turned to the camera, the points lie before the origin of head space by their z.
        depth = distance - (neutral[first, 2] + neutral[second, 2]) / 2
        return np.linalg.norm(neutral[first] - neutral[second]) * clip.intrinsics.focal_length / depth

    return pixels(*IRIS_CENTERS), pixels(FOREHEAD_TOP, CHIN)


def action_strength(track: HeadTrack, action: str) -> Float[np.ndarray, "frames"] | None:
    """How strongly one of the `ACTIONS` is seen in every frame; None if the clip does not know its expressions."""
    means = [mean for names in ACTIONS[action] if (mean := mean_expression(track, names)) is not None]
    return np.max(means, axis=0) if means else None


def mean_expression(track: HeadTrack, names: tuple[str, ...]) -> Float[np.ndarray, "frames"] | None:
    """The mean of several expressions; None if the clip does not know them all."""
    if not set(names) <= set(track.expression_names):
        return None
    return track.expression[:, [track.expression_names.index(name) for name in names]].mean(axis=1)


def action_range(strength: Float[np.ndarray, "frames"], tracked: Bool[np.ndarray, "frames"]) -> tuple[float, float]:
    """Strength at rest, and at the strongest moment.

    At rest is the 10th percentile. A moment is the mean of two neighbouring frames: a blink is hardly longer, and one
    frame may be a mistake.
    """
    if not tracked.any():
        return np.nan, np.nan
    moments = ((strength[1:] + strength[:-1]) / 2)[tracked[1:] & tracked[:-1]]
    low = float(np.percentile(strength[tracked], 10))
    return low, max(low, float(moments.max())) if len(moments) else low


def _range(values: Float[np.ndarray, "frames"]) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    low, high = np.percentile(known, RANGE_QUANTILES) if len(known) else (np.nan, np.nan)
    return float(low), float(high)


def _median(values: Float[np.ndarray, "samples"]) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else np.nan
