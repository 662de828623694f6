"""Rotations and cameras obey their laws."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tracking import cameras
from tracking.clip import Intrinsics


@pytest.fixture
def vectors() -> np.ndarray:
    random = np.random.default_rng(0)
    directions = random.normal(size=(200, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    angles = np.concatenate([random.uniform(0, np.pi, 196), [0.0, 1e-9, 1e-5, np.pi - 1e-7]])
    return directions * angles[:, None]


def test_rotation_and_its_vector_are_inverse(vectors):
    rotation = cameras.rotation_from_vector(vectors)
    np.testing.assert_allclose(rotation, Rotation.from_rotvec(vectors).as_matrix(), atol=1e-12)
    np.testing.assert_allclose(cameras.vector_from_rotation(rotation), vectors, atol=1e-7)


def test_half_turns_keep_their_axis():
    axes = np.eye(3)
    back = cameras.vector_from_rotation(cameras.rotation_from_vector(np.pi * axes))
    np.testing.assert_allclose(np.abs(back), np.pi * axes, atol=1e-7)


def test_rigid_inverse_undoes(vectors):
    matrix = cameras.rigid(cameras.rotation_from_vector(vectors), vectors[::-1])
    np.testing.assert_allclose(
        cameras.rigid_inverse(matrix) @ matrix, np.broadcast_to(np.eye(4), matrix.shape), atol=1e-12
    )
    points = np.random.default_rng(1).normal(size=(len(vectors), 7, 3))
    there = cameras.transform(matrix, points)
    np.testing.assert_allclose(cameras.transform(cameras.rigid_inverse(matrix), there), points, atol=1e-12)


def test_opencv_and_opengl_name_the_same_camera(vectors):
    pose = cameras.rigid(cameras.rotation_from_vector(vectors), vectors)
    opencv = cameras.opengl_to_opencv(pose)
    np.testing.assert_allclose(cameras.opencv_to_opengl(opencv), pose)
    np.testing.assert_allclose(opencv[:, :3, 2], -pose[:, :3, 2])
    np.testing.assert_allclose(opencv[:, :3, 3], pose[:, :3, 3])
    assert np.linalg.det(opencv[:, :3, :3]) == pytest.approx(1)


def test_projection_puts_right_to_the_right_and_up_to_the_top():
    camera = Intrinsics(focal_length=100.0, center_x=50.0, center_y=40.0, width=100, height=80)
    points = np.array([[0.0, 0.0, -10.0], [1.0, 0.0, -10.0], [0.0, 1.0, -10.0], [1.0, 1.0, -20.0]])
    expected = [[50, 40], [60, 40], [50, 30], [55, 35]]
    np.testing.assert_allclose(cameras.project(points, camera), expected)


def test_similarity_transform_is_recovered():
    random = np.random.default_rng(2)
    source = random.normal(size=(50, 3))
    rotation = Rotation.from_rotvec(random.normal(size=(4, 3))).as_matrix()
    scale, shift = random.uniform(0.5, 3, 4), random.normal(size=(4, 3))
    targets = scale[:, None, None] * source @ rotation.swapaxes(1, 2) + shift[:, None]
    found = cameras.similarity_transform(source, targets, random.uniform(0.1, 1, 50))
    for value, truth in zip(found, (scale, rotation, shift), strict=True):
        np.testing.assert_allclose(value, truth, atol=1e-10)


def test_mean_rotation_lies_in_the_middle():
    angles = Rotation.from_rotvec([[0, 0.4, 0], [0, -0.2, 0], [0, 0.1, 0]]).as_matrix()
    assert cameras.vector_from_rotation(cameras.mean_rotation(angles)) == pytest.approx([0, 0.1, 0], abs=0.01)
