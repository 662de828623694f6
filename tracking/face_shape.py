"""Sizes and shapes of faces from their landmarks, of which some may be missing."""

import numpy as np
from jaxtyping import Bool, Float


def face_center(landmarks: Float[np.ndarray, "*batch points 3"]) -> Float[np.ndarray, "*batch 2"]:
    """The mean of the landmarks in the image, in pixels; NaN where there are none."""
    points = landmarks[..., :2]
    there = np.isfinite(points[..., :1])
    count = there.sum(axis=-2)
    return np.where(there, points, 0.0).sum(axis=-2) / np.where(count, count, np.nan)


def face_size(landmarks: Float[np.ndarray, "*batch points 3"]) -> Float[np.ndarray, "*batch"]:
    """Root mean square distance of the landmarks from their centre in the image, times two: about a face's width."""
    offsets = landmarks[..., :2] - face_center(landmarks)[..., None, :]
    there = np.isfinite(offsets[..., 0])
    count = there.sum(axis=-1)
    squares = np.where(there, np.sum(offsets**2, axis=-1), 0.0)
    return 2 * np.sqrt(squares.sum(axis=-1) / np.where(count, count, np.nan))


def placed_shape(landmarks: Float[np.ndarray, "*batch points 3"]) -> Float[np.ndarray, "*batch points 2"]:
    """Landmarks in the image with position and size taken out: centre 0, size 1."""
    return (landmarks[..., :2] - face_center(landmarks)[..., None, :]) / np.maximum(
        face_size(landmarks)[..., None, None], 1e-6
    )


def aligned(
    points: Float[np.ndarray, "points dimensions"],
    target: Float[np.ndarray, "points dimensions"],
    there: Bool[np.ndarray, "points"],
) -> Float[np.ndarray, "points dimensions"]:
    """Points moved, turned and scaled onto a target as well as can be (Umeyama 1991), going by those that are there."""
    offsets, target_offsets = points - points[there].mean(axis=0), target - target[there].mean(axis=0)
    left, singular, right = np.linalg.svd(target_offsets[there].T @ offsets[there])
    signs = np.ones(len(singular))
    signs[-1] = np.sign(np.linalg.det(left @ right)) or 1.0
    scale = (singular * signs).sum() / max(np.square(offsets[there]).sum(), 1e-12)
    return scale * offsets @ (left * signs @ right).T + target[there].mean(axis=0)
