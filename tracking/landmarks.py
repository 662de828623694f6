"""Facial landmarks of one picture: what a detector gives, and what is asked of it."""

from typing import NamedTuple, Protocol

import numpy as np
from jaxtyping import Float, UInt8

LANDMARK_COUNT = 478
"""MediaPipe's face mesh of 468 points, and two irises of five."""

Face = Float[np.ndarray, "478 3"]
"""Landmarks of one face in pixels: x right and y down from the image's top left corner, z (relative) into the scene.

Points that a detector does not have are NaN, and so is z where it knows none: ask x whether a point is there.
"""


class DetectedFace(NamedTuple):
    """One face in one picture."""

    landmarks: Face
    expression_scores: Float[np.ndarray, "expressions"] | None = None
    """How strongly each of the head model's expressions shows, in [0, 1], from detectors that say; see
    `HeadModel.expression_names`. NaN for single expressions without a score. A score grows with the expression, and is
    no coefficient of the model."""
    appearance: Float[np.ndarray, "bins"] | None = None
    """The face's colours, by which one person is told from another; see `face_appearance`."""
    eyes: UInt8[np.ndarray, "2 36 48 3"] | None = None
    """What the eyes look like; see `eye_pictures`."""
    skin: UInt8[np.ndarray, "128 128"] | None = None
    """What the face looks like; see `skin_picture`."""


class LandmarkDetector(Protocol):
    """Finds the faces of one frame."""

    def detect(self, image: UInt8[np.ndarray, "height width 3"]) -> list[DetectedFace]:
        """The faces in an RGB image. Frames are given in the order of the video."""
        ...
