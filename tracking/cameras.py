"""Rotations, rigid transforms and the pinhole camera, as pure functions on arrays.

Inside the project cameras are OpenGL's: x right, y up, looking along -z. OpenCV's (x right, y down, looking along +z)
appear only in the functions named for them.
"""

import numpy as np
from jaxtyping import Float

from tracking.clip import Intrinsics

OPENCV_FROM_OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])
"""Turns OpenGL camera axes into OpenCV's, and back: it is its own inverse."""


def rotation_from_vector(vector: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 3 3"]:
    """The rotation by |vector| radians about the vector: Rodrigues' formula,

    R = I + sin(a)/a K + (1 - cos(a))/a^2 K^2 with K = [vector]_x and a = |vector|, by its Taylor series near a = 0.
    """
    squared = (vector**2).sum(-1)[..., None, None]
    angle = np.sqrt(squared)
    small = squared < 1e-8
    safe = np.where(small, 1.0, angle)
    first = np.where(small, 1.0 - squared / 6.0, np.sin(safe) / safe)
    second = np.where(small, 0.5 - squared / 24.0, (1.0 - np.cos(safe)) / safe**2)
    cross = cross_matrix(vector)
    return np.eye(3, dtype=vector.dtype) + first * cross + second * (cross @ cross)


def vector_from_rotation(rotation: Float[np.ndarray, "*batch 3 3"]) -> Float[np.ndarray, "*batch 3"]:
    """The inverse of `rotation_from_vector`, of length at most pi.

    Goes by the unit quaternion's largest component (Shepperd 1978), and is therefore exact at half turns too.
    """
    r = rotation
    trace = r[..., 0, 0] + r[..., 1, 1] + r[..., 2, 2]
    # Row i of this symmetric matrix is the quaternion (w, x, y, z) times four times its i-th component.
    products = np.empty((*r.shape[:-2], 4, 4), r.dtype)
    products[..., 0, 0] = 1 + trace
    for i, (j, k) in enumerate(((1, 2), (2, 0), (0, 1))):
        products[..., i + 1, i + 1] = 1 + 2 * r[..., i, i] - trace
        products[..., 0, i + 1] = products[..., i + 1, 0] = r[..., k, j] - r[..., j, k]
        products[..., i + 1, j + 1] = products[..., j + 1, i + 1] = r[..., i, j] + r[..., j, i]
    largest = np.diagonal(products, axis1=-2, axis2=-1).argmax(-1)
    quaternion = np.take_along_axis(products, largest[..., None, None], -2)[..., 0, :]
    quaternion = quaternion / np.linalg.norm(quaternion, axis=-1, keepdims=True)
    quaternion = np.where(quaternion[..., :1] < 0, -quaternion, quaternion)
    sine = np.linalg.norm(quaternion[..., 1:], axis=-1, keepdims=True)
    angle = 2 * np.arctan2(sine, quaternion[..., :1])
    return quaternion[..., 1:] * np.where(sine < 1e-8, 2.0, angle / np.maximum(sine, 1e-8))


def cross_matrix(vector: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 3 3"]:
    """The matrix K with K x = vector cross x."""
    x, y, z = np.moveaxis(vector, -1, 0)
    zero = np.zeros_like(x)
    return np.stack([np.stack([zero, -z, y], -1), np.stack([z, zero, -x], -1), np.stack([-y, x, zero], -1)], -2)


def mean_rotation(rotations: Float[np.ndarray, "batch 3 3"]) -> Float[np.ndarray, "3 3"]:
    """The rotation nearest to the average matrix (the chordal mean; Hartley et al., IJCV 2013, section 5.3)."""
    left, _, right = np.linalg.svd(rotations.mean(0))
    return left @ np.diag([1.0, 1.0, np.linalg.det(left @ right)]) @ right


def rigid(
    rotation: Float[np.ndarray, "*batch 3 3"], translation: Float[np.ndarray, "*batch 3"]
) -> Float[np.ndarray, "*batch 4 4"]:
    """The matrix that rotates, then translates."""
    matrix = np.zeros((*rotation.shape[:-2], 4, 4), rotation.dtype)
    matrix[..., :3, :3] = rotation
    matrix[..., :3, 3] = translation
    matrix[..., 3, 3] = 1
    return matrix


def rigid_inverse(matrix: Float[np.ndarray, "*batch 4 4"]) -> Float[np.ndarray, "*batch 4 4"]:
    """The inverse of a rotation and translation, exactly rigid."""
    rotation = matrix[..., :3, :3].swapaxes(-1, -2)
    return rigid(rotation, np.negative(rotation @ matrix[..., :3, 3:])[..., 0])


def transform(
    matrix: Float[np.ndarray, "*batch 4 4"], points: Float[np.ndarray, "*batch points 3"]
) -> Float[np.ndarray, "*batch points 3"]:
    """Take points through rigid transforms."""
    return points @ matrix[..., :3, :3].swapaxes(-1, -2) + matrix[..., None, :3, 3]


def opencv_to_opengl(camera_to_world: Float[np.ndarray, "*batch 4 4"]) -> Float[np.ndarray, "*batch 4 4"]:
    """The pose of the same camera, its axes named as OpenGL does."""
    return camera_to_world @ OPENCV_FROM_OPENGL


def opengl_to_opencv(camera_to_world: Float[np.ndarray, "*batch 4 4"]) -> Float[np.ndarray, "*batch 4 4"]:
    """The pose of the same camera, its axes named as OpenCV does."""
    return camera_to_world @ OPENCV_FROM_OPENGL


def project(points_in_camera: Float[np.ndarray, "*batch 3"], intrinsics: Intrinsics) -> Float[np.ndarray, "*batch 2"]:
    """Where points before an OpenGL camera (z < 0) are seen, in pixels.

    x runs to the right, y down, and (0, 0) is the top left corner of the top left pixel.
    """
    depth = -points_in_camera[..., 2:]
    scaled = points_in_camera[..., :2] * np.array([1.0, -1.0]) * (intrinsics.focal_length / depth)
    return scaled + np.array([intrinsics.center_x, intrinsics.center_y])


def similarity_transform(
    source: Float[np.ndarray, "points 3"],
    targets: Float[np.ndarray, "batch points 3"],
    weights: Float[np.ndarray, "points"],
) -> tuple[Float[np.ndarray, "batch"], Float[np.ndarray, "batch 3 3"], Float[np.ndarray, "batch 3"]]:
    """Scale, rotation and translation that bring the source nearest to each target (Umeyama, TPAMI 1991)."""
    weights = weights / weights.sum()
    source_center = weights @ source
    target_centers = np.einsum("v,nvi->ni", weights, targets)
    centered, centered_targets = source - source_center, targets - target_centers[:, None]
    left, values, right = np.linalg.svd(np.einsum("nvi,v,vj->nij", centered_targets, weights, centered))
    signs = np.ones_like(values)
    signs[:, 2] = np.linalg.det(left @ right)
    rotation = (left * signs[:, None]) @ right
    scale = (values * signs).sum(1) / np.einsum("vi,v,vi->", centered, weights, centered)
    return scale, rotation, target_centers - scale[:, None] * (rotation @ source_center)
