"""How far MediaPipe's landmarks are to be trusted, point by point."""

import numpy as np
from jaxtyping import Float

from tracking.face_regions import FACE_OVAL, INNER_LIPS, LEFT_EYE, OUTER_LIPS, RIGHT_EYE

IRISES = tuple(range(468, 478))
POINT_WEIGHTS = ((0.15, FACE_OVAL), (2.0, OUTER_LIPS + INNER_LIPS), (2.5, RIGHT_EYE + LEFT_EYE), (2.5, IRISES))
"""Weights of groups of points against 1 for the rest. The silhouette slides along the face as the head turns."""
INDEPENDENT_PATCHES = 30
"""Into how many patches of the face the landmarks' jumps fall that have nothing to do with each other: a guess, used
only to bound how noisy a pose can be."""
OUTER_EYE_CORNERS = (33, 263)
EYES = (
    ((33, 133), ((160, 144), (159, 145), (158, 153)), slice(468, 473)),
    ((362, 263), ((385, 380), (386, 374), (387, 373)), slice(473, 478)),
)
"""The right and the left eye: corners, opposite points of the upper and the lower lid, points of the iris."""


def point_weights(points: int) -> Float[np.ndarray, "points"]:
    """The weight that each point has in every frame."""
    weights = np.ones(points, np.float32)
    for weight, group in POINT_WEIGHTS:
        weights[list(group)] = weight
    return weights


def iris_confidence(landmarks: Float[np.ndarray, "frames points 3"]) -> Float[np.ndarray, "frames points"]:
    """1, except at the irises of closing eyes: there MediaPipe goes on guessing what the lids hide."""
    confidence = np.ones(landmarks.shape[:2], np.float32)
    for (left, right), lids, iris in EYES:
        width = np.linalg.norm(landmarks[:, left, :2] - landmarks[:, right, :2], axis=1)
        gaps = [np.linalg.norm(landmarks[:, upper, :2] - landmarks[:, lower, :2], axis=1) for upper, lower in lids]
        openness = np.mean(gaps, 0) / np.maximum(width, 1e-6)
        confidence[:, iris] = np.clip((openness - 0.1) / 0.1, 0.02, 1)[:, None]
    return confidence
