"""Landmarks by the models that come inside MediaPipe's package.

Faces are followed by looking where they were in the frame before, and looked for anew in every frame that has room for
more. What is kept from frame to frame is only where to look: the landmarks are measured afresh, from several slightly
different looks at the face, half of them mirrored, whose mean jumps less and does not prefer a side.
"""

from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from jaxtyping import UInt8

from tracking.face_mesh_model import MESH_INPUT_SIZE, FaceMeshModel
from tracking.face_square import BOX_GROWTH, FaceSquare
from tracking.head_model import HeadModel
from tracking.landmarks import DetectedFace, Face
from tracking.mediapipe_models import load_solutions, start_quietly

LEAST_SQUARE = 20
"""Faces that fill a smaller square, in pixels, are left alone."""
FINDER_PIXELS = 512
"""Longer side, about, of the pictures in which faces are looked for; the models that look see 128 and 192 pixels."""
TILE_SHARE = 0.6
"""Side of the squares in which very small faces are looked for, as a share of the picture's shorter side."""
SAME_FACE = 0.3
"""Squares closer than this, as a share of their side, are around one face."""
MOST_LOOKS = 4
"""How often the square is put right before the face is taken as it is."""
SETTLED = (0.06, 1.12, 0.12)
"""A square is right when the face in it is off by less than this: shares of its side, ratio of sizes, radians."""

LEAST_OVERSAMPLING = 1.2
"""Large pictures are halved as long as a face's square keeps this many times the pixels that the model sees."""

Look = tuple[float, float, float, float, bool]
"""Shift across and down as shares of the square's side, growth, turn in radians, and whether it is mirrored."""
STRAIGHT: Look = (0.0, 0.0, 1.0, 0.0, False)
LOOKS: dict[int, tuple[Look, ...]] = {
    1: (STRAIGHT,),
    2: (STRAIGHT, (0.0, 0.0, 1.0, 0.0, True)),
    3: (STRAIGHT, (0.03, 0.02, 1.05, 0.06, True), (-0.03, -0.02, 0.95, -0.06, True)),
}
"""The looks that are averaged. Of those tried, these come closest to the mean of 32 random ones for their number: see
scripts/benchmark_detectors.py."""


@dataclass
class MediaPipeDetectorConfig:
    """MediaPipe's face mesh with attention."""

    max_faces: int = 4
    """How many faces are looked for in a frame."""
    min_detection_confidence: float = 0.5
    """Least score, in [0, 1], with which a face counts as found."""
    samples: Literal[1, 2, 3] = 3
    """Looks at a face whose landmarks are averaged; each takes 7 ms of one core. Against one look, two lie 40 % closer
    to the mean of very many looks, and three 53 %."""


class MediaPipeDetector:
    """Landmarks by MediaPipe, for faces of any size."""

    def __init__(self, config: MediaPipeDetectorConfig | None = None) -> None:
        self.config = config or MediaPipeDetectorConfig()
        self._mesh = FaceMeshModel(self.config.min_detection_confidence)
        self._mirror = HeadModel.load().mirror
        self._near_finder = self._make_finder(model_selection=0)
        self._far_finder: Any = None
        self._squares: list[FaceSquare] = []

    def detect(self, image: UInt8[np.ndarray, "height width 3"]) -> list[DetectedFace]:
        picture = _Picture(image)
        faces: list[Face] = []
        for square in self._squares:
            self._add_face(faces, picture, square)
        if len(faces) < self.config.max_faces:
            for square in self._find(picture, anything_seen=bool(faces)):
                self._add_face(faces, picture, square)
        self._squares = [FaceSquare.around(face) for face in faces]
        return [DetectedFace(face) for face in faces]

    def _add_face(self, faces: list[Face], picture: "_Picture", square: FaceSquare) -> None:
        if len(faces) == self.config.max_faces or _is_one_of(square, faces):
            return
        face = self._measure(picture, square)
        if face is not None and not _is_one_of(FaceSquare.around(face), faces):
            faces.append(face)

    def _measure(self, picture: "_Picture", square: FaceSquare) -> Face | None:
        """The landmarks of the face in a square, which is moved until the face fills it as the model expects."""
        for _ in range(MOST_LOOKS):
            face = self._look(picture, square, STRAIGHT)
            if face is None:
                return None
            seen = FaceSquare.around(face)
            if seen.size < LEAST_SQUARE:
                return None
            if _is_settled(square, seen):
                break
            square = seen
        looks = [face] + [self._look(picture, square, look) for look in LOOKS[self.config.samples][1:]]
        return np.mean([look for look in looks if look is not None], axis=0)

    def _look(self, picture: "_Picture", square: FaceSquare, look: Look) -> Face | None:
        *change, mirrored = look
        square = square.shifted(*change)
        reduction = picture.reduction_to(square.size, LEAST_OVERSAMPLING * MESH_INPUT_SIZE)
        patch = square.reduced(reduction).cut(picture.reduced(reduction), MESH_INPUT_SIZE, mirrored)
        points = self._mesh.process(patch)
        if points is None:
            return None
        return square.to_picture(points[self._mirror] if mirrored else points, mirrored)

    def _find(self, picture: "_Picture", anything_seen: bool) -> list[FaceSquare]:
        """Where faces seem to be, the surest first. Small ones are looked for where there are no others."""
        whole = (0, 0, picture.width, picture.height)
        near = self._run_finder(self._near_finder, picture, [whole])
        if near or anything_seen:
            return near
        if self._far_finder is None:
            self._far_finder = self._make_finder(model_selection=1)
        far = self._run_finder(self._far_finder, picture, [whole])
        return far or self._run_finder(self._far_finder, picture, _tiles(picture.width, picture.height))

    def _run_finder(
        self, finder: Any, picture: "_Picture", windows: list[tuple[int, int, int, int]]
    ) -> list[FaceSquare]:
        found = []
        for left, top, width, height in windows:
            reduction = picture.reduction_to(max(width, height), FINDER_PIXELS)
            rows = slice(top // reduction, (top + height) // reduction)
            columns = slice(left // reduction, (left + width) // reduction)
            window = np.ascontiguousarray(picture.reduced(reduction)[rows, columns])
            for detection in finder.process(window).detections or []:
                box, points = detection.location_data.relative_bounding_box, detection.location_data.relative_keypoints
                size = BOX_GROWTH * max(box.width * width, box.height * height)
                rotation = np.arctan2((points[1].y - points[0].y) * height, (points[1].x - points[0].x) * width)
                x, y = left + (box.xmin + box.width / 2) * width, top + (box.ymin + box.height / 2) * height
                found.append((detection.score[0], FaceSquare(x, y, size, float(rotation))))
        kept: list[FaceSquare] = []
        for _, square in sorted(found, key=lambda pair: -pair[0]):
            if all(square.distance(other) > SAME_FACE for other in kept):
                kept.append(square)
        return kept

    def _make_finder(self, model_selection: int) -> Any:
        solution = load_solutions().face_detection.FaceDetection
        confidence = self.config.min_detection_confidence
        return start_quietly(lambda: solution(model_selection=model_selection, min_detection_confidence=confidence))


class _Picture:
    """A picture, and its copies reduced by powers of two, made when they are first asked for."""

    def __init__(self, image: UInt8[np.ndarray, "height width 3"]) -> None:
        self.height, self.width = image.shape[:2]
        self._reduced = {1: image}

    def reduction_to(self, length: float, wanted: float) -> int:
        """The greatest power of two that leaves `wanted` pixels of a length, and something of the picture."""
        ratio = min(length / wanted, self.height, self.width)
        return 1 << max(0, int(np.log2(max(ratio, 1))))

    def reduced(self, reduction: int) -> UInt8[np.ndarray, "height width 3"]:
        """The picture with `reduction` x `reduction` pixels averaged to one."""
        if reduction not in self._reduced:
            width, height = self.width // reduction, self.height // reduction
            whole = self._reduced[1][: height * reduction, : width * reduction]
            self._reduced[reduction] = cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)
        return self._reduced[reduction]


def _is_one_of(square: FaceSquare, faces: list[Face]) -> bool:
    return any(square.distance(FaceSquare.around(face)) < SAME_FACE for face in faces)


def _is_settled(square: FaceSquare, seen: FaceSquare) -> bool:
    distance, ratio, turn = SETTLED
    # The difference of two angles, in (-pi, pi].
    turned = abs((seen.rotation - square.rotation + np.pi) % (2 * np.pi) - np.pi)
    grown = max(square.size, seen.size) / min(square.size, seen.size)
    return square.distance(seen) < distance and grown < ratio and turned < turn


def _tiles(width: int, height: int) -> list[tuple[int, int, int, int]]:
    """Overlapping squares that cover a picture: left, top, width, height."""
    side = round(TILE_SHARE * min(width, height))
    columns = np.linspace(0, width - side, int(np.ceil(2 * width / side)) - 1).astype(int)
    rows = np.linspace(0, height - side, int(np.ceil(2 * height / side)) - 1).astype(int)
    return [(int(left), int(top), side, side) for top in rows for left in columns]
