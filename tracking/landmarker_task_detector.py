"""Landmarks and expression scores by a MediaPipe FaceLandmarker file, `face_landmarker.task`, that the user has."""

import atexit
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from tracking.errors import UserError
from tracking.face_finder import shared_face_finder
from tracking.face_following import FaceFollower, Samples
from tracking.head_model import HeadModel
from tracking.landmarks import LANDMARK_COUNT, DetectedFace
from tracking.mediapipe_models import silenced_native_log

LANDMARKER_PIXELS = 384
LANDMARKER_MARGIN = 1.5
"""The landmarker first finds the face in the picture by itself, for which it needs some of what is around it."""


@dataclass
class LandmarkerTaskConfig:
    """A face landmarker file with MediaPipe's Tasks interface."""

    max_faces: int = 4
    """How many faces are looked for in a frame."""
    min_detection_confidence: float = 0.5
    """Least score, in [0, 1], with which a face counts as found."""
    samples: Samples = 2
    """Slightly different looks at a face, half of them mirrored, that are averaged; each takes 20 ms of one core."""


class LandmarkerTaskDetector:
    """Landmarks with scores for the head model's expressions."""

    def __init__(self, task: Path, config: LandmarkerTaskConfig | None = None) -> None:
        """
        Args:
            task: the landmarker's file.

        Raises:
            UserError: there is no such file, or it is no face landmarker with scores.
        """
        config = config or LandmarkerTaskConfig()
        model = shared_landmarker(task, config.min_detection_confidence)
        finder = shared_face_finder(config.min_detection_confidence)
        self._follower = FaceFollower(model, finder, config.max_faces, config.samples)

    def detect(self, image: UInt8[np.ndarray, "height width 3"]) -> list[DetectedFace]:
        return self._follower.measure(image)


class LandmarkerTaskModel:
    """The landmarker, looking at one face. Calls have no memory of each other."""

    pixels = LANDMARKER_PIXELS
    margin = LANDMARKER_MARGIN

    def __init__(self, task: Path, least_confidence: float) -> None:
        self._task = task
        self._names = HeadModel.load().expression_names
        self._landmarker = _open_landmarker(task, least_confidence)

    def process(self, image: UInt8[np.ndarray, "pixels pixels 3"]) -> DetectedFace | None:
        """The face, its landmarks as shares of the picture; None where there is none.

        Raises:
            UserError: the landmarker has not the landmarks that the head model is made for.
        """
        import mediapipe

        picture = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(image))
        result = self._landmarker.detect(picture)
        if not result.face_landmarks:
            return None
        points = np.array([[point.x, point.y, point.z] for point in result.face_landmarks[0]])
        if len(points) != LANDMARK_COUNT:
            raise UserError(
                f"{self._task} gives {len(points)} landmarks instead of {LANDMARK_COUNT}: "
                "give MediaPipe's face_landmarker.task of 2023 or later."
            )
        return DetectedFace(points, expression_scores(result.face_blendshapes[0], self._names))

    def close(self) -> None:
        """End the landmarker's threads."""
        self._landmarker.close()


@cache
def shared_landmarker(task: Path, least_confidence: float) -> LandmarkerTaskModel:
    """One for the whole process, as of MediaPipe's other models. It must be closed before the interpreter goes."""
    model = LandmarkerTaskModel(task, least_confidence)
    atexit.register(model.close)
    return model


def expression_scores(categories: Iterable[Any], names: Sequence[str]) -> Float[np.ndarray, "expressions"]:
    """The landmarker's scores in the order of the head model's expressions.

    Args:
        categories: what has a `category_name`, one of ARKit's, and a `score` in [0, 1]; others, such as `_neutral`, are
            dropped.
        names: see `HeadModel.expression_names`.

    Returns:
        Scores in [0, 1]; NaN for expressions that have none. MediaPipe's has none for tongueOut.
    """
    scores = {category.category_name: category.score for category in categories}
    return np.array([scores.get(name, np.nan) for name in names], dtype=np.float64)


def _open_landmarker(task: Path, least_confidence: float) -> Any:
    try:
        content = task.read_bytes()
    except OSError as error:
        raise UserError(
            f"The landmarker file {task} cannot be read ({error.strerror}): give the path of MediaPipe's "
            "face_landmarker.task."
        ) from error
    from mediapipe.tasks.python import BaseOptions, vision

    options = vision.FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_buffer=content),
        min_face_detection_confidence=least_confidence,
        min_face_presence_confidence=least_confidence,
        output_face_blendshapes=True,
    )
    try:
        with silenced_native_log():
            return vision.FaceLandmarker.create_from_options(options)
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"{task} is no face landmarker with expression scores: give MediaPipe's face_landmarker.task."
        ) from error
