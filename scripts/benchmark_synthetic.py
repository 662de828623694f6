"""The part of the tracking benchmark that knows the truth: one report per sequence, and what they say together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from exact_landmarks import exact_face
from jaxtyping import Float
from synthetic_motion import NOD_FREQUENCY, HeadMotion
from synthetic_sequences import FRAME_RATE, BenchmarkData
from synthetic_sequences import Sequence as Clip
from tracking_truth import (
    Correspondence,
    amplitude_at,
    compare_poses,
    correlation,
    lag_in_frames,
    rotation_vectors_about_mean,
)

from tracking.cameras import OPENCV_FROM_OPENGL, rigid, rigid_inverse, rotation_from_vector
from tracking.face_linking import FaceTrack
from tracking.fitting import HeadFit
from tracking.head_model import HeadModel

KEY_EXPRESSIONS = ("jawOpen", "eyeBlinkLeft", "eyeBlinkRight", "mouthSmileLeft", "mouthSmileRight", "browInnerUp")
UNSEEN = {
    "tongueOut": "there are no landmarks on the tongue, and ICT-FaceKit has none either",
    "cheekPuff": "moves the cheeks toward the camera, not in the picture",
    "jawForward": "moves the chin toward the camera, not in the picture",
    "mouthClose": "is defined only as what undoes jawOpen at the lips",
    "cheekSquintLeft": "moves bare skin of the cheek, where landmarks are guessed from their surroundings",
    "cheekSquintRight": "moves bare skin of the cheek, where landmarks are guessed from their surroundings",
}
"""Expressions that landmarks cannot see, and why: left out of the mean."""
LEAST_EXCITATION = 0.05
"""Standard deviation of a true coefficient within a sequence from which the sequence exercises the expression."""
ASSUMED_FOCAL_LENGTH = 1.7
"""What the frame-by-frame baseline takes the focal length for, in multiples of the longer side."""

Fitter = Callable[[Clip, FaceTrack], HeadFit]


@dataclass(frozen=True)
class SequenceReport:
    """What one sequence showed."""

    summary: dict[str, Any]
    """Numbers for the table and the file."""
    rotation: Float[np.ndarray, "frames"]
    direction: Float[np.ndarray, "frames"]
    baseline_rotation: Float[np.ndarray, "frames"]
    baseline_direction: Float[np.ndarray, "frames"]
    """Errors in degrees; NaN where not tracked."""
    correlations: dict[str, float]
    """Of the expressions that the sequence exercises."""


def report_sequence(
    data: BenchmarkData, clip: Clip, same_points: Correspondence, fit_clip: Fitter, exact: bool = False
) -> SequenceReport:
    """Fit one sequence and compare with the truth; on request from exact landmarks instead of detected ones."""
    truth, neutral = data.truth(clip), data.neutral(clip)
    if exact:
        face = exact_face(data.heads, same_points, neutral, truth, data.intrinsics(clip))
    else:
        face = data.face_with_pictures(clip)
    fit = fit_clip(clip, face)
    model = HeadModel.load()
    true_neutral = same_points.on(neutral)
    errors = compare_poses(
        fit.camera_to_head, model.neutral(fit.identity), truth.rotation, truth.translation, true_neutral
    )
    baseline_poses = poses_of_mean_face(face, clip.width, clip.height)
    baseline = compare_poses(baseline_poses, model.mean, truth.rotation, truth.translation, true_neutral)
    focal_length = clip.focal_length * max(clip.width, clip.height)
    summary = {
        "focal_length": clip.focal_length,
        "tracked": _rounded(fit.tracked.mean()),
        "focal_error_percent": _rounded(100 * (fit.intrinsics.focal_length / focal_length - 1), 1),
        "rotation_median": _rounded(np.nanmedian(errors.rotation)),
        "rotation_95": _rounded(np.nanpercentile(errors.rotation, 95)),
        "rotation_about_mean_median": _rounded(np.nanmedian(errors.rotation_about_mean)),
        "rotation_about_mean_95": _rounded(np.nanpercentile(errors.rotation_about_mean, 95)),
        "offset_pitch_yaw_roll": [_rounded(value, 2) for value in errors.offset],
        "direction_median": _rounded(np.nanmedian(errors.direction)),
        "direction_95": _rounded(np.nanpercentile(errors.direction, 95)),
        "baseline_rotation_median": _rounded(np.nanmedian(baseline.rotation)),
        "baseline_rotation_95": _rounded(np.nanpercentile(baseline.rotation, 95)),
        "baseline_direction_median": _rounded(np.nanmedian(baseline.direction)),
    }
    correlations, gains = compare_expressions(fit, truth)
    if correlations:
        seen = [value for name, value in correlations.items() if name not in UNSEEN]
        summary["correlation_mean"] = _rounded(np.mean(seen))
        summary["correlations"] = {name: _rounded(value, 2) for name, value in correlations.items()}
        summary["gains"] = {name: _rounded(value, 2) for name, value in gains.items()}
    if clip.motion == "still":
        summary |= stillness(fit.camera_to_head, "") | stillness(baseline_poses, "baseline_")
        summary["expression_deviation"] = _rounded(np.nanstd(fit.expression, axis=0).mean(), 4)
    if clip.motion == "nod":
        summary |= nodding(fit.camera_to_head, truth, "") | nodding(baseline_poses, truth, "baseline_")
    return SequenceReport(
        summary, errors.rotation, errors.direction, baseline.rotation, baseline.direction, correlations
    )


def summarize(reports: dict[str, SequenceReport], clips: Sequence[Clip]) -> dict[str, Any]:
    """What all sequences together say; poses and lens from those in which the head moves freely."""
    free = [reports[clip.name] for clip in clips if clip.motion in ("talk", "expressions")]
    summary: dict[str, Any] = {}
    if free:
        rotation = np.concatenate([report.rotation for report in free])
        direction = np.concatenate([report.direction for report in free])
        baseline = np.concatenate([report.baseline_rotation for report in free])
        focal = np.abs([report.summary["focal_error_percent"] for report in free])
        summary |= {
            "rotation_median": _rounded(np.nanmedian(rotation)),
            "rotation_95": _rounded(np.nanpercentile(rotation, 95)),
            "direction_median": _rounded(np.nanmedian(direction)),
            "direction_95": _rounded(np.nanpercentile(direction, 95)),
            "focal_error_percent_median": _rounded(np.median(focal), 1),
            "focal_error_percent_most": _rounded(focal.max(), 1),
            "baseline_rotation_median": _rounded(np.nanmedian(baseline)),
            "baseline_rotation_95": _rounded(np.nanpercentile(baseline, 95)),
            "baseline_direction_median": _rounded(
                np.nanmedian(np.concatenate([report.baseline_direction for report in free]))
            ),
        }
        by_name: dict[str, list[float]] = {}
        for report in free:
            for name, value in report.correlations.items():
                by_name.setdefault(name, []).append(value)
        means = {name: float(np.mean(values)) for name, values in sorted(by_name.items())}
        seen = [value for name, value in means.items() if name not in UNSEEN]
        summary["correlation"] = {name: _rounded(means[name]) for name in KEY_EXPRESSIONS if name in means}
        summary["correlation_mean_of_seen"] = _rounded(np.mean(seen)) if seen else None
        summary["correlation_of_all"] = {name: _rounded(value, 2) for name, value in means.items()}
        summary["left_out_of_the_mean"] = UNSEEN
    for clip in clips:
        if clip.motion in ("still", "nod"):
            for name, value in reports[clip.name].summary.items():
                if name.removeprefix("baseline_").startswith(("rotation_deviation", "nod_")):
                    summary[name] = value
    return summary


def compare_expressions(fit: HeadFit, truth: HeadMotion) -> tuple[dict[str, float], dict[str, float]]:
    """Correlation of fitted with true coefficients, and the slope of fitted over true ones, where exercised."""
    correlations, gains = {}, {}
    for name, true in truth.expression.items():
        if true.std() < LEAST_EXCITATION:
            continue
        fitted = fit.expression[:, fit.expression_names.index(name)]
        correlations[name] = correlation(fitted, true)
        good = np.isfinite(fitted)
        gains[name] = float(np.cov(fitted[good], true[good])[0, 1] / true[good].var(ddof=1))
    return correlations, gains


def stillness(camera_to_head: Float[np.ndarray, "frames 4 4"], prefix: str) -> dict[str, Any]:
    """Standard deviation in degrees of a still head's rotation about each axis, and of all three together."""
    deviation = np.nanstd(rotation_vectors_about_mean(camera_to_head), axis=0)
    return {
        f"{prefix}rotation_deviation_pitch_yaw_roll": [_rounded(value) for value in deviation],
        f"{prefix}rotation_deviation": _rounded(np.sqrt((deviation**2).sum())),
    }


def nodding(camera_to_head: Float[np.ndarray, "frames 4 4"], truth: HeadMotion, prefix: str) -> dict[str, Any]:
    """How much of a nod is left, and how late it comes."""
    true_poses = rigid_inverse(rigid(truth.rotation, truth.translation))
    fitted = rotation_vectors_about_mean(camera_to_head)[:, 0]
    true = rotation_vectors_about_mean(true_poses)[:, 0]
    ratio = amplitude_at(fitted, NOD_FREQUENCY, FRAME_RATE) / amplitude_at(true, NOD_FREQUENCY, FRAME_RATE)
    return {
        f"{prefix}nod_amplitude_ratio": _rounded(ratio),
        f"{prefix}nod_lag_frames": _rounded(lag_in_frames(fitted, true)),
    }


def poses_of_mean_face(face: FaceTrack, width: int, height: int) -> Float[np.ndarray, "frames 4 4"]:
    """The baseline: the mean face's pose in every frame by itself, by OpenCV's PnP at an assumed focal length.

    Returns:
        Camera to head; NaN where the face was not found.
    """
    focal_length = ASSUMED_FOCAL_LENGTH * max(width, height)
    matrix = np.array([[focal_length, 0, width / 2], [0, focal_length, height / 2], [0, 0, 1]])
    points = HeadModel.load().mean.astype(np.float64)
    poses = np.full((len(face.tracked), 4, 4), np.nan)
    undistorted = np.zeros(4)
    for frame in np.flatnonzero(face.tracked):
        seen = np.isfinite(face.landmarks[frame, :, 0])
        pairs = (points[seen], face.landmarks[frame, seen, :2], matrix, undistorted)
        found, turn, shift = cv2.solvePnP(*pairs, flags=cv2.SOLVEPNP_SQPNP)
        if found:
            turn, shift = cv2.solvePnPRefineLM(*pairs, turn, shift)
            head_to_opencv = rigid(rotation_from_vector(turn[:, 0]), shift[:, 0])
            poses[frame] = rigid_inverse(OPENCV_FROM_OPENGL @ head_to_opencv)
    return poses


def _rounded(value: float | np.floating, digits: int = 3) -> float:
    return round(float(value), digits)
