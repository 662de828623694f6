"""The one face that a clip is about, followed through its frames."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import linear_sum_assignment

from tracking.landmarks import LANDMARK_COUNT, DetectedFace, Face, face_size


@dataclass
class FaceLinkingConfig:
    """What counts as the same face from one frame to the next. Lengths are in face sizes: see `face_size`."""

    max_step: float = 0.8
    """Furthest that a face's landmarks move on average between two frames in which it is seen."""
    max_scale_step: float = 1.6
    """Greatest ratio of its sizes in those two frames."""
    max_gap: int = 60
    """Longest time that a face may be out of sight, in frames."""
    outlier_step: float = 0.35
    """A frame whose landmarks are further than this from both the frame before and the frame after is an outlier."""
    outlier_shape: float = 0.15
    """The same for the landmarks' arrangement, once position and size are taken out."""


@dataclass(frozen=True)
class FaceTrack:
    """One face through the video."""

    landmarks: Float[np.ndarray, "frames 478 3"]
    """Pixels; NaN where the face was not found."""
    tracked: Bool[np.ndarray, "frames"]
    """Found, and no outlier."""
    expression_scores: Float[np.ndarray, "frames expressions"] | None = None
    """What the detector said of the expressions, NaN where the face was not found; none from detectors that do not."""


def link_longest_face(
    detections: Sequence[Sequence[DetectedFace]], config: FaceLinkingConfig | None = None
) -> FaceTrack:
    """Follow every face through the frames and keep the one seen in most; of equals, the largest.

    Args:
        detections: the faces of every frame, in any order.
    """
    config = config or FaceLinkingConfig()
    tracks: list[dict[int, DetectedFace]] = []
    for frame, faces in enumerate(detections):
        alive = [track for track in tracks if frame - max(track) <= config.max_gap]
        last = [track[max(track)].landmarks for track in alive]
        matched = set()
        for row, column in _match(last, [face.landmarks for face in faces], config):
            alive[row][frame] = faces[column]
            matched.add(column)
        tracks += [{frame: face} for index, face in enumerate(faces) if index not in matched]
    landmarks = np.full((len(detections), LANDMARK_COUNT, 3), np.nan)
    scores = None
    if tracks:
        best = max(
            tracks, key=lambda track: (len(track), np.mean([face_size(face.landmarks) for face in track.values()]))
        )
        for frame, face in best.items():
            landmarks[frame] = face.landmarks
            if face.expression_scores is not None:
                if scores is None:
                    scores = np.full((len(detections), len(face.expression_scores)), np.nan)
                scores[frame] = face.expression_scores
    seen = np.isfinite(landmarks[:, 0, 0])
    return FaceTrack(landmarks, seen & ~_is_outlier(landmarks, config), scores)


def _match(last: Sequence[Face], faces: Sequence[Face], config: FaceLinkingConfig) -> list[tuple[int, int]]:
    """Pairs (track, face) that are close enough to be one face, of least total distance."""
    if not last or not faces:
        return []
    before, now = np.stack(last)[:, None], np.stack(faces)[None]
    sizes_before, sizes_now = face_size(before), face_size(now)
    distance = np.linalg.norm(before[..., :2] - now[..., :2], axis=-1).mean(axis=-1) / np.maximum(
        np.minimum(sizes_before, sizes_now), 1e-6
    )
    ratio = np.maximum(sizes_before, sizes_now) / np.maximum(np.minimum(sizes_before, sizes_now), 1e-6)
    possible = (distance <= config.max_step) & (ratio <= config.max_scale_step)
    rows, columns = linear_sum_assignment(np.where(possible, distance, 1e6))
    return [(row, column) for row, column in zip(rows, columns, strict=True) if possible[row, column]]


def _is_outlier(landmarks: Float[np.ndarray, "frames 478 3"], config: FaceLinkingConfig) -> Bool[np.ndarray, "frames"]:
    """Frames unlike both the frame seen before and the frame seen after.

    A cut or a fast turn is unlike one of them only, and stays.
    """
    outlier = np.zeros(len(landmarks), dtype=bool)
    seen = np.flatnonzero(np.isfinite(landmarks[:, 0, 0]))
    if len(seen) < 3:
        return outlier
    points = landmarks[seen, :, :2]
    sizes = np.maximum(face_size(landmarks[seen]), 1e-6)
    shapes = (points - points.mean(axis=1, keepdims=True)) / sizes[:, None, None]
    steps = np.linalg.norm(np.diff(points, axis=0), axis=-1).mean(axis=1) / np.minimum(sizes[1:], sizes[:-1])
    shape_steps = np.linalg.norm(np.diff(shapes, axis=0), axis=-1).mean(axis=1)
    bad = np.minimum(steps[1:], steps[:-1]) > config.outlier_step
    bad |= np.minimum(shape_steps[1:], shape_steps[:-1]) > config.outlier_shape
    outlier[seen[1:-1]] = bad
    return outlier
