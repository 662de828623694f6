"""Where faces seem to be in a picture: MediaPipe's face detectors, near and far."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from tracking.face_square import BOX_GROWTH, FaceSquare
from tracking.mediapipe_models import load_solutions, start_quietly
from tracking.picture_pyramid import PicturePyramid

FINDER_PIXELS = 512
"""Longer side, at least, of the pictures in which faces are looked for; the models that look see 128 and 192 pixels."""
TILE_SHARE = 0.6
"""Side of the squares in which very small faces are looked for, as a share of the picture's shorter side."""
SAME_FACE = 0.3
"""Squares closer than this, as a share of their side, are around one face."""
SURROUNDINGS = 1.4
"""How much of what is around a small face is looked at, in multiples of its square."""
CLOSER_PIXELS = 256
"""To how many pixels that is enlarged."""

Window = tuple[int, int, int, int]
"""A part of a picture: left, top, width, height."""


class FaceFinder:
    """Finds faces of any size. Pictures have nothing to do with each other."""

    def __init__(self, least_confidence: float) -> None:
        """
        Args:
            least_confidence: least score, in [0, 1], with which a face counts as found.

        Raises:
            ImportError: MediaPipe with bundled models is not installed.
        """
        self._least_confidence = least_confidence
        self._near = self._start(model_selection=0)
        self._far: Any = None

    def find(self, picture: PicturePyramid, small_too: bool) -> list[FaceSquare]:
        """The faces' squares, the surest first.

        Args:
            small_too: look for small faces if there are no others, which takes five to twenty times as long.
        """
        whole = (0, 0, picture.width, picture.height)
        near = self._run(self._near, picture, [whole])
        if near or not small_too:
            return near
        if self._far is None:
            self._far = self._start(model_selection=1)
        far = self._run(self._far, picture, [whole])
        far = far or self._run(self._far, picture, _tiles(picture.width, picture.height))
        return [self._look_closer(picture, square) for square in far]

    def _look_closer(self, picture: PicturePyramid, square: FaceSquare) -> FaceSquare:
        """A small face's square as the other model sees it enlarged: from few pixels the first guess is crude."""
        around = replace(square, size=SURROUNDINGS * square.size, rotation=0.0)
        reduction = picture.reduction_to(around.size, CLOSER_PIXELS)
        patch = around.reduced(reduction).cut(picture.reduced(reduction), CLOSER_PIXELS)
        seen = self._run(self._near, PicturePyramid(patch), [(0, 0, CLOSER_PIXELS, CLOSER_PIXELS)])
        if not seen:
            return square
        places = np.array([[face.x, face.y, 0.0] for face in seen]) / CLOSER_PIXELS
        nearest = int(np.argmin(np.linalg.norm(places[:, :2] - 0.5, axis=1)))
        x, y, _ = around.to_picture(places)[nearest]
        return FaceSquare(x, y, seen[nearest].size / CLOSER_PIXELS * around.size, seen[nearest].rotation)

    def _run(self, model: Any, picture: PicturePyramid, windows: list[Window]) -> list[FaceSquare]:
        found = []
        for left, top, width, height in windows:
            reduction = picture.reduction_to(max(width, height), FINDER_PIXELS)
            rows = slice(top // reduction, (top + height) // reduction)
            columns = slice(left // reduction, (left + width) // reduction)
            window = np.ascontiguousarray(picture.reduced(reduction)[rows, columns])
            for detection in model.process(window).detections or []:
                box, points = detection.location_data.relative_bounding_box, detection.location_data.relative_keypoints
                size = BOX_GROWTH * max(box.width * width, box.height * height)
                # The first two points are the eyes.
                rotation = np.arctan2((points[1].y - points[0].y) * height, (points[1].x - points[0].x) * width)
                x, y = left + (box.xmin + box.width / 2) * width, top + (box.ymin + box.height / 2) * height
                found.append((detection.score[0], FaceSquare(x, y, size, float(rotation))))
        kept: list[FaceSquare] = []
        for _, square in sorted(found, key=lambda pair: -pair[0]):
            if all(square.distance(other) > SAME_FACE for other in kept):
                kept.append(square)
        return kept

    def _start(self, model_selection: int) -> Any:
        solution = load_solutions().face_detection.FaceDetection
        confidence = self._least_confidence
        return start_quietly(lambda: solution(model_selection=model_selection, min_detection_confidence=confidence))


def _tiles(width: int, height: int) -> list[Window]:
    """Overlapping squares that cover a picture."""
    side = round(TILE_SHARE * min(width, height))
    columns = np.linspace(0, width - side, int(np.ceil(2 * width / side)) - 1).astype(int)
    rows = np.linspace(0, height - side, int(np.ceil(2 * height / side)) - 1).astype(int)
    return [(int(left), int(top), side, side) for top in rows for left in columns]


@cache
def shared_face_finder(least_confidence: float) -> FaceFinder:
    """One for the whole process, for no call remembers another: MediaPipe does not give back all that a model took."""
    return FaceFinder(least_confidence)
