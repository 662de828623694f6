"""Landmarks laid onto others by a similarity: turned, scaled and moved, but never deformed."""

import numpy as np
from jaxtyping import Float

IRISES = (468, 473)
"""The centres of the irises among MediaPipe's points: the picture's left one first."""


def similarity_onto(
    points: Float[np.ndarray, "points 2"], targets: Float[np.ndarray, "points 2"]
) -> Float[np.ndarray, "2 3"]:
    """The turn, scale and shift in the picture that bring points nearest to their targets, by least squares.

    In the plane, with points as complex numbers, the best turn and scale are one complex factor: the projection of the
    centred targets onto the centred points.

    Returns:
        The matrix that takes (x, y, 1) to (x, y), as OpenCV's `warpAffine` wants it.
    """
    origin, goal = points.mean(axis=0), targets.mean(axis=0)
    centred, wanted = ((array - array.mean(axis=0)) @ np.array([1, 1j]) for array in (points, targets))
    factor = np.vdot(centred, wanted) / np.vdot(centred, centred).real
    turn = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
    return np.concatenate([turn, (goal - turn @ origin)[:, None]], axis=1)


def moved(points: Float[np.ndarray, "points 2"], matrix: Float[np.ndarray, "2 3"]) -> Float[np.ndarray, "points 2"]:
    """The points, carried by the matrix."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def inverted(matrix: Float[np.ndarray, "2 3"]) -> Float[np.ndarray, "2 3"]:
    """The matrix that takes the moved points back."""
    back = np.linalg.inv(matrix[:, :2])
    return np.concatenate([back, -(back @ matrix[:, 2:])], axis=1)


def iris_distance(landmarks: Float[np.ndarray, "478 2"]) -> float:
    """Pixels between the centres of the irises."""
    return float(np.linalg.norm(landmarks[IRISES[0], :2] - landmarks[IRISES[1], :2]))
