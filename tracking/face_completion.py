"""Where the landmarks that a detector lacks should be, for what needs an outline: crops and region labels.

The fit of the head takes only what was measured. What is said here is a guess from the head model, made frame by frame.
"""

import numpy as np
from jaxtyping import Float

from tracking.head_model import HeadModel
from tracking.landmarks import LANDMARK_COUNT, Face

ROUNDS = 3
"""How often pose and shape are fitted in turns."""
SHAPE_STIFFNESS = 0.5
"""How strongly shapes are held near the mean: residuals in centimetres that weigh as much as a coefficient of 1."""


def completed(landmarks: Float[np.ndarray, "frames 478 3"]) -> Float[np.ndarray, "frames 478 3"]:
    """The landmarks, with the missing ones of every face put in; frames without a face stay NaN."""
    missing = np.isnan(landmarks)
    seen = ~missing[..., 0]
    result = landmarks.copy()
    for frame in np.flatnonzero(missing.any(axis=(1, 2)) & seen.any(axis=1)):
        result[frame] = np.where(missing[frame], _guess(landmarks[frame], seen[frame]), landmarks[frame])
    return result


def _guess(face: Face, seen: np.ndarray) -> Face:
    """All landmarks of a face of which some are known: the head model under an affine camera, in pixels."""
    model = HeadModel.load()
    mean = model.mean[:LANDMARK_COUNT].astype(np.float64)
    modes = np.concatenate([model.identity_basis, model.expression_deltas])[:, :LANDMARK_COUNT].astype(np.float64)
    shape, camera = mean, np.zeros((4, 2))
    for _ in range(ROUNDS):
        camera, *_ = np.linalg.lstsq(_homogeneous(shape[seen]), face[seen, :2], rcond=None)
        scale = np.sqrt(np.square(camera[:3]).sum() / 2)
        flat_modes = (modes[:, seen] @ camera[:3]).reshape(len(modes), -1) / scale
        residual = (face[seen, :2] - _homogeneous(mean[seen]) @ camera).ravel() / scale
        normal = flat_modes @ flat_modes.T + SHAPE_STIFFNESS**2 * np.eye(len(modes))
        shape = mean + np.tensordot(np.linalg.solve(normal, flat_modes @ residual), modes, 1)
    # Depth goes along the axis that is perpendicular to those of the image, into the scene.
    scale = np.sqrt(np.square(camera[:3]).sum() / 2)
    depth = (shape - shape.mean(axis=0)) @ (np.cross(camera[:3, 0], camera[:3, 1]) / max(scale, 1e-9))
    return np.column_stack([_homogeneous(shape) @ camera, depth])


def _homogeneous(points: Float[np.ndarray, "points 3"]) -> Float[np.ndarray, "points 4"]:
    return np.column_stack([points, np.ones(len(points))])
