"""Landmarks by the models that come inside MediaPipe's package."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from tracking.landmarks import DetectedFace, Face
from tracking.mediapipe_models import load_solutions, start_quietly

LEAST_CROP = 16
"""Faces in smaller crops, in pixels, are left alone."""
MESH_INPUT_SIZE = 256
"""Smaller crops are enlarged to this many pixels before the mesh model sees them."""
TILE_SHARE = 0.6
"""Side of the squares in which very small faces are looked for, as a share of the picture's shorter side."""


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

    def detect(self, image: UInt8[np.ndarray, "height width 3"]) -> list[DetectedFace]:
        faces = _run_mesh(self._video_mesh, image) or self._detect_small(image)
        return [DetectedFace(face) for face in faces]

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
