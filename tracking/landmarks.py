"""Facial landmarks, frame by frame, and the one face that a clip is about."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy.optimize import linear_sum_assignment

from tracking.mediapipe_models import load_solutions, start_quietly

LANDMARK_COUNT = 478
"""MediaPipe's face mesh of 468 points, and two irises of five."""

LEAST_CROP = 16
"""Faces in smaller crops, in pixels, are left alone."""
MESH_INPUT_SIZE = 256
"""Smaller crops are enlarged to this many pixels before the mesh model sees them."""
TILE_SHARE = 0.6
"""Side of the squares in which very small faces are looked for, as a share of the picture's shorter side."""

Face = Float[np.ndarray, "478 3"]
"""Landmarks of one face in pixels: x right and y down from the image's top left corner, z (relative) into the scene."""


class LandmarkDetector(Protocol):
    """Finds the faces of one frame."""

    def detect(self, image: UInt8[np.ndarray, "height width 3"]) -> list[Face]:
        """The faces in an RGB image. Frames are given in the order of the video."""
        ...


@dataclass
class MediaPipeDetectorConfig:
    """MediaPipe's face mesh with attention."""

    max_faces: int = 4
    """How many faces are looked for in a frame."""
    min_detection_confidence: float = 0.5
    """Least score, in [0, 1], with which a face counts as found."""
    crop_enlargement: float = 2.0
    """How much of a small face's surroundings the mesh model sees, in multiples of its box."""


class MediaPipeDetector:
    """Landmarks by MediaPipe; small faces are found by its full-range detector and looked at enlarged."""

    def __init__(self, config: MediaPipeDetectorConfig | None = None) -> None:
        self.config = config or MediaPipeDetectorConfig()
        self._solutions = load_solutions()
        self._video_mesh = self._make_mesh(static=False)
        self._crop_mesh: Any = None
        self._far_detector: Any = None

    def detect(self, image: UInt8[np.ndarray, "height width 3"]) -> list[Face]:
        return _run_mesh(self._video_mesh, image) or self._detect_small(image)

    def _detect_small(self, image: UInt8[np.ndarray, "height width 3"]) -> list[Face]:
        if self._far_detector is None:
            self._far_detector = start_quietly(
                lambda: self._solutions.face_detection.FaceDetection(
                    model_selection=1, min_detection_confidence=self.config.min_detection_confidence
                )
            )
            self._crop_mesh = self._make_mesh(static=True)
        height, width = image.shape[:2]
        boxes = self._find_boxes(image, [(0, 0, width, height)]) or self._find_boxes(image, _tiles(width, height))
        faces = []
        for x, y, size in boxes[: self.config.max_faces]:
            half = self.config.crop_enlargement * size / 2
            left, top = max(0, int(x - half)), max(0, int(y - half))
            crop = image[top : int(np.ceil(y + half)), left : int(np.ceil(x + half))]
            if min(crop.shape[:2]) < LEAST_CROP:
                continue
            scale = max(1.0, MESH_INPUT_SIZE / max(crop.shape[:2]))
            enlarged = cv2.resize(crop, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
            for face in _run_mesh(self._crop_mesh, enlarged)[:1]:
                faces.append(face * crop.shape[1] / enlarged.shape[1] + np.array([left, top, 0.0]))
        return faces

    def _find_boxes(
        self, image: UInt8[np.ndarray, "height width 3"], windows: list[tuple[int, int, int, int]]
    ) -> list[tuple[float, float, float]]:
        """Centre and size of the faces in parts of the picture, each face once and the surest first; pixels."""
        found = []
        for left, top, width, height in windows:
            window = np.ascontiguousarray(image[top : top + height, left : left + width])
            for detection in self._far_detector.process(window).detections or []:
                box = detection.location_data.relative_bounding_box
                center_x, center_y = box.xmin + box.width / 2, box.ymin + box.height / 2
                size = max(box.width * width, box.height * height)
                found.append((detection.score[0], left + center_x * width, top + center_y * height, size))
        kept: list[tuple[float, float, float]] = []
        for _, x, y, size in sorted(found, reverse=True):
            if all(np.hypot(x - other_x, y - other_y) > max(size, other) / 2 for other_x, other_y, other in kept):
                kept.append((x, y, size))
        return kept

    def _make_mesh(self, static: bool) -> Any:
        return start_quietly(
            lambda: self._solutions.face_mesh.FaceMesh(
                static_image_mode=static,
                max_num_faces=self.config.max_faces,
                refine_landmarks=True,
                min_detection_confidence=self.config.min_detection_confidence,
                min_tracking_confidence=self.config.min_detection_confidence,
            )
        )


def _tiles(width: int, height: int) -> list[tuple[int, int, int, int]]:
    """Overlapping squares that cover a picture: left, top, width, height."""
    side = round(TILE_SHARE * min(width, height))
    columns = np.linspace(0, width - side, int(np.ceil(2 * width / side)) - 1).astype(int)
    rows = np.linspace(0, height - side, int(np.ceil(2 * height / side)) - 1).astype(int)
    return [(int(left), int(top), side, side) for top in rows for left in columns]


def _run_mesh(mesh: Any, image: UInt8[np.ndarray, "height width 3"]) -> list[Face]:
    height, width = image.shape[:2]
    faces = mesh.process(np.ascontiguousarray(image)).multi_face_landmarks or []
    # MediaPipe's depth is in units of the image's width.
    return [np.array([[p.x * width, p.y * height, p.z * width] for p in face.landmark]) for face in faces]


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


def face_size(landmarks: Float[np.ndarray, "*batch points 3"]) -> Float[np.ndarray, "*batch"]:
    """Root mean square distance of the landmarks from their centre in the image, times two: about a face's width."""
    points = landmarks[..., :2]
    offsets = points - points.mean(axis=-2, keepdims=True)
    return 2 * np.sqrt(np.mean(np.sum(offsets**2, axis=-1), axis=-1))


def link_longest_face(detections: Sequence[Sequence[Face]], config: FaceLinkingConfig | None = None) -> FaceTrack:
    """Follow every face through the frames and keep the one seen in most; of equals, the largest.

    Args:
        detections: the faces of every frame, in any order.
    """
    config = config or FaceLinkingConfig()
    tracks: list[dict[int, Face]] = []
    for frame, faces in enumerate(detections):
        alive = [track for track in tracks if frame - max(track) <= config.max_gap]
        last = [track[max(track)] for track in alive]
        matched = set()
        for row, column in _match(last, faces, config):
            alive[row][frame] = faces[column]
            matched.add(column)
        tracks += [{frame: face} for index, face in enumerate(faces) if index not in matched]
    landmarks = np.full((len(detections), LANDMARK_COUNT, 3), np.nan)
    if tracks:
        best = max(tracks, key=lambda track: (len(track), np.mean([face_size(face) for face in track.values()])))
        for frame, face in best.items():
            landmarks[frame] = face
    seen = np.isfinite(landmarks[:, 0, 0])
    return FaceTrack(landmarks, seen & ~_is_outlier(landmarks, config))


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
