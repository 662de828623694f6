"""MediaPipe's FaceLandmarker as it comes: landmarks, blendshape scores and the head's rotation of every frame.

The project's own tracking averages several looks at a face and fits one head to the whole clip. Numbers that others
published were measured without any of that, so what is to stand beside them reads the face this way.
"""

import atexit
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float

from evaluation.measurement import Picture
from tracking.errors import UserError
from tracking.mediapipe_models import silenced_native_log

MILLISECONDS_A_FRAME = 40
"""The landmarker smooths by time stamps, which are counted: both videos are read at the same pace."""


@dataclass(frozen=True)
class FaceReading:
    """One face as the landmarker sees it."""

    landmarks: Float[np.ndarray, "478 2"]
    """In pixels of the picture."""
    scores: dict[str, float]
    """Blendshape scores in [0, 1], by ARKit's names."""
    rotation: Float[np.ndarray, "3 3"]
    """From the canonical face to the camera."""


class FaceReader(Protocol):
    """Reads the face of one video, frame after frame."""

    def read(self, picture: Picture) -> FaceReading | None:
        """The face of the video's next frame; none where there is none."""
        ...

    def close(self) -> None:
        """Let go of what the reader holds; it reads nothing any more."""
        ...


class LandmarkerReader:
    """MediaPipe's FaceLandmarker in its mode for videos, one face."""

    def __init__(self, task: Path) -> None:
        """
        Args:
            task: `face_landmarker.task`.

        Raises:
            UserError: it is no face landmarker with blendshape scores.
        """
        self._landmarker = _open(task)
        # Its threads must end before the interpreter does.
        atexit.register(self._landmarker.close)
        self._frames = 0

    def read(self, picture: Picture) -> FaceReading | None:
        """The face of the next frame."""
        import mediapipe

        image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(picture))
        result = self._landmarker.detect_for_video(image, self._frames * MILLISECONDS_A_FRAME)
        self._frames += 1
        if not result.face_landmarks:
            return None
        height, width = picture.shape[:2]
        landmarks = np.array([[point.x * width, point.y * height] for point in result.face_landmarks[0]])
        scores = {category.category_name: category.score for category in result.face_blendshapes[0]}
        transform = np.asarray(result.facial_transformation_matrixes[0], np.float64)[:3, :3]
        # The transform scales as well; the nearest rotation is what remains without.
        left, _, right = np.linalg.svd(transform)
        return FaceReading(landmarks, scores, left @ right)

    def close(self) -> None:
        """End the landmarker's threads."""
        atexit.unregister(self._landmarker.close)
        self._landmarker.close()


def _open(task: Path) -> Any:
    from mediapipe.tasks.python import BaseOptions, vision

    options = vision.FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_buffer=task.read_bytes()),
        running_mode=vision.RunningMode.VIDEO,
        output_face_blendshapes=True,
        output_facial_transformation_matrixes=True,
    )
    try:
        with silenced_native_log():
            return vision.FaceLandmarker.create_from_options(options)
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"{task} is no face landmarker with blendshape scores: give MediaPipe's face_landmarker.task."
        ) from error
