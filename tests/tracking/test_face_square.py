"""A face's square is cut out and mapped back to where it was."""

import cv2
import numpy as np
import pytest

from tracking.face_square import FaceSquare


def picture_of_a_dot(x: float, y: float, spread: float) -> np.ndarray:
    """A bright blob whose centre of mass is at (x, y), in pixels from the picture's corner."""
    columns, rows = np.meshgrid(np.arange(400) + 0.5, np.arange(300) + 0.5)
    blob = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * spread**2))
    return np.repeat(np.rint(250 * blob)[..., None], 3, axis=2).astype(np.uint8)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("size", [60.0, 150.0, 280.0])
def test_what_is_seen_in_the_cut_is_mapped_back_to_its_place(size: float, mirrored: bool) -> None:
    square = FaceSquare(190.3, 150.8, size, rotation=0.4)
    x, y = 190.3 + 0.2 * size, 150.8 - 0.1 * size
    patch = square.cut(picture_of_a_dot(x, y, size / 25), 64, mirrored)[..., 0].astype(float)
    rows, columns = np.mgrid[:64, :64] + 0.5
    seen = np.array([[(patch * columns).sum(), (patch * rows).sum(), 0]]) / patch.sum() / 64
    np.testing.assert_allclose(square.to_picture(seen, mirrored)[0, :2], [x, y], atol=0.012 * size)


def test_a_turned_face_is_cut_out_upright_and_the_mirrored_cut_is_its_mirror_image() -> None:
    face = np.zeros((478, 3))
    face[33, :2], face[263, :2], face[10, :2] = (180, 130), (220, 160), (190, 180)
    square = FaceSquare.around(face)
    picture = np.zeros((300, 400, 3), np.uint8)
    cv2.line(picture, (180, 130), (220, 160), (255, 255, 255), 3)
    bright = np.argwhere(square.cut(picture, 128)[..., 0] > 128)
    assert np.ptp(bright[:, 0]) < 0.2 * np.ptp(bright[:, 1])
    straight, mirrored = (square.cut(picture, 128, mirrored)[:, :: -1 if mirrored else 1] for mirrored in (False, True))
    np.testing.assert_allclose(straight.astype(int), mirrored.astype(int), atol=16)


def test_large_squares_are_averaged_not_picked() -> None:
    stripes = np.zeros((300, 400, 3), np.uint8)
    stripes[:, ::2] = 255
    patch = FaceSquare(200, 150, 256).cut(stripes, 64)
    np.testing.assert_allclose(patch, 127.5, atol=2)


def test_reduction_keeps_the_place() -> None:
    square = FaceSquare(200, 120, 160, rotation=0.2)
    points = np.array([[0.1, 0.7, 0.2]])
    np.testing.assert_allclose(4 * square.reduced(4).to_picture(points), square.to_picture(points))


def test_shift_is_along_the_squares_own_axes() -> None:
    square = FaceSquare(10, 20, 40, rotation=np.pi / 2).shifted(0.5, 0.25, 2.0, 0.1)
    expected = [0, 40, 80, np.pi / 2 + 0.1]
    np.testing.assert_allclose([square.x, square.y, square.size, square.rotation], expected, atol=1e-9)
