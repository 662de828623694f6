"""Facial landmarks of one picture: what a detector gives, and what is asked of it."""

from typing import NamedTuple, Protocol

import numpy as np
from jaxtyping import Float, UInt8

LANDMARK_COUNT = 478
"""MediaPipe's face mesh of 468 points, and two irises of five."""

Face = Float[np.ndarray, "478 3"]
"""Landmarks of one face in pixels: x right and y down from the image's top left corner, z (relative) into the scene.

Points that a detector does not have are NaN.
"""


class DetectedFace(NamedTuple):
    """One face in one picture."""

    landmarks: Face
    expression_scores: Float[np.ndarray, "expressions"] | None = None
    """How strongly each of the head model's expressions shows, in [0, 1], from detectors that say; see
    `HeadModel.expression_names`. A score is a classifier's: it grows with the expression, and is no coefficient."""


class LandmarkDetector(Protocol):
    """Finds the faces of one frame."""

    def detect(self, image: UInt8[np.ndarray, "height width 3"]) -> list[DetectedFace]:
        """The faces in an RGB image. Frames are given in the order of the video."""
        ...


def face_size(landmarks: Float[np.ndarray, "*batch points 3"]) -> Float[np.ndarray, "*batch"]:
    """Root mean square distance of the landmarks from their centre in the image, times two: about a face's width."""
    points = landmarks[..., :2]
    offsets = points - points.mean(axis=-2, keepdims=True)
    return 2 * np.sqrt(np.mean(np.sum(offsets**2, axis=-1), axis=-1))
