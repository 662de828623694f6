"""Small pictures of both eyes, laid out alike in every frame: by the corners of each eye, which lids do not move."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from tracking.landmark_trust import EYES
from tracking.landmarks import Face

EYE_WIDTH, EYE_HEIGHT = 48, 36
"""Pixels of an eye's picture: from the brow to below the lower lid."""
CORNERS = (10.0, 38.0)
"""Where the eye's corners are, from the picture's left edge, in pixels."""
CORNER_ROW = 20.0
"""How far from the picture's upper edge, in pixels."""

EyePictures = UInt8[np.ndarray, "2 36 48 3"]
"""The right eye, which is on the picture's left, and the left eye; RGB."""


def eye_pictures(image: UInt8[np.ndarray, "height width 3"], landmarks: Face) -> EyePictures | None:
    """Both eyes of a face; none where its eyes' corners are unknown, or fall into one.

    Args:
        landmarks: pixels of the image.
    """
    corners = landmarks[[list(eye[0]) for eye in EYES], :2]
    if not np.isfinite(corners).all() or np.linalg.norm(corners[:, 1] - corners[:, 0], axis=-1).min() < 1:
        return None
    return np.stack([_cut(image, to_eye_picture(landmarks, eye)) for eye in range(len(EYES))])


def to_eye_picture(landmarks: Face, eye: int) -> Float[np.ndarray, "2 3"]:
    """The similarity that takes pixels of the image to those of an eye's picture, both counted from the edges."""
    first, second = landmarks[list(EYES[eye][0]), :2]
    across = second - first
    cosine, sine = across * (CORNERS[1] - CORNERS[0]) / max(float(across @ across), 1e-6)
    turn = np.array([[cosine, sine], [-sine, cosine]])
    return np.column_stack([turn, np.array([CORNERS[0], CORNER_ROW]) - turn @ first])


def _cut(
    image: UInt8[np.ndarray, "height width 3"], to_picture: Float[np.ndarray, "2 3"]
) -> UInt8[np.ndarray, "36 48 3"]:
    turn, shift = to_picture[:, :2], to_picture[:, 2]
    # Only what is seen is smoothed, so that large pictures cost no more.
    edges = np.array([[0, 0], [EYE_WIDTH, 0], [0, EYE_HEIGHT], [EYE_WIDTH, EYE_HEIGHT]])
    seen = (edges - shift) @ np.linalg.inv(turn).T
    scale = float(np.sqrt(abs(np.linalg.det(turn))))
    margin = 2 + round(2 / scale)
    height, width = image.shape[:2]
    low = np.floor(seen.min(axis=0) - margin).astype(int).clip(0, [width - 1, height - 1])
    high = np.ceil(seen.max(axis=0) + margin).astype(int).clip(low + 1, [width, height])
    part = np.ascontiguousarray(image[low[1] : high[1], low[0] : high[0]])
    if scale < 0.8:
        part = cv2.GaussianBlur(part, (0, 0), 0.45 / scale)
    # OpenCV counts from the pixels' centres.
    shift = turn @ (low + 0.5) + shift - 0.5
    return np.asarray(
        cv2.warpAffine(part, np.column_stack([turn, shift]), (EYE_WIDTH, EYE_HEIGHT), borderMode=cv2.BORDER_REPLICATE)
    )
