"""Plates and each frame's own background, before scenes that are known."""

import cv2
import numpy as np
import pytest
from jaxtyping import UInt8

from tracking.background import background_plate, fill_smoothly, local_background


def test_background_is_the_image_itself_outside_the_matte() -> None:
    generator = np.random.default_rng(0)
    image, plate = generator.random((2, 90, 120, 3), dtype=np.float32)
    matte = np.zeros((90, 120), np.float32)
    matte[20:60, 30:80] = generator.random((40, 50))
    background = local_background(image, matte, plate)
    assert background.dtype == np.float32
    np.testing.assert_array_equal(background[matte == 0], image[matte == 0])
    assert background.min() >= 0
    assert background.max() <= 1


def test_background_near_the_edge_is_this_frames_and_deep_inside_the_plates() -> None:
    image = np.full((256, 256, 3), 0.4, np.float32)
    plate = np.full_like(image, 0.8)
    matte = np.zeros((256, 256), np.float32)
    matte[40:216, 40:216] = 1
    image[matte > 0] = 0
    background = local_background(image, matte, plate)
    np.testing.assert_allclose(background[128, 40:43], 0.4, atol=0.02)
    np.testing.assert_allclose(background[128, 128], 0.8, atol=0.02)


def test_without_a_plate_the_background_continues_the_frames_own() -> None:
    columns = np.linspace(0.2, 0.8, 120, dtype=np.float32)
    scene = np.repeat(np.broadcast_to(columns, (90, 120))[..., None], 3, axis=-1)
    matte = np.zeros((90, 120), np.float32)
    matte[20:90, 40:80] = 1
    image = np.where(matte[..., None] > 0, np.float32(0), scene)
    background = local_background(image, matte, None)
    np.testing.assert_array_equal(background[matte == 0], image[matte == 0])
    assert np.abs(background - scene).max() < 0.12
    everywhere = local_background(image, np.ones_like(matte), None)
    np.testing.assert_allclose(everywhere, np.broadcast_to(image.mean(axis=(0, 1)), image.shape), atol=1e-5)


def textured_scene(width: int, height: int) -> UInt8[np.ndarray, "height width 3"]:
    noise = np.random.default_rng(6).normal(128, 400, (height, width, 3)).astype(np.float32)
    return cv2.GaussianBlur(noise, (0, 0), 3).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(("pan", "kind"), [(0, "plate"), (4, "per-frame")])
def test_a_panning_camera_makes_no_plate(pan: int, kind: str) -> None:
    scene = textured_scene(300, 90)
    images, mattes = [], []
    for i in range(20):
        image, matte = scene[:, pan * i : pan * i + 120].copy(), np.zeros((90, 120), np.uint8)
        cv2.circle(matte, (60 + i % 5, 50), 22, [255], -1)
        image[matte > 0] = 200
        images.append(image)
        mattes.append(matte)
    assert background_plate(images, mattes, margin=2).kind == kind


def test_a_window_in_a_still_room_leaves_the_plate() -> None:
    scene = textured_scene(300, 90)
    images = []
    for i in range(20):
        image = scene[:, :120].copy()
        image[10:40, :50] = scene[10:40, 4 * i : 4 * i + 50]
        images.append(image)
    plate = background_plate(images, [np.zeros((90, 120), np.uint8)] * 20, margin=2)
    assert plate.kind == "plate"
    assert 0.05 < plate.moving_share < 0.2


def test_background_of_a_frame_that_is_all_person_is_the_plate() -> None:
    plate = np.random.default_rng(0).random((40, 50, 3), dtype=np.float32)
    background = local_background(np.zeros_like(plate), np.ones((40, 50), np.float32), plate)
    np.testing.assert_allclose(background, plate, atol=1e-6)


def test_plate_is_the_scene_where_it_was_ever_seen() -> None:
    scene = np.random.default_rng(1).integers(0, 255, (60, 100, 3), dtype=np.uint8)
    images, mattes = [], []
    for x in range(30, 71, 5):
        matte = np.zeros((60, 100), np.uint8)
        cv2.circle(matte, (x, 30), 12, [255], -1)
        images.append(np.where(matte[..., None] > 0, np.uint8(200), scene))
        mattes.append(matte)
    plate = background_plate(images, mattes, margin=1)
    np.testing.assert_array_equal(plate.image, scene)
    assert plate.spread.max() == 0


def test_plate_where_the_person_never_leaves_continues_the_scene() -> None:
    images = [np.full((64, 64, 3), 90, np.uint8)] * 5
    matte = np.zeros((64, 64), np.uint8)
    matte[20:50, 20:50] = 255
    plate = background_plate([np.where(matte[..., None] > 0, np.uint8(10), image) for image in images], [matte] * 5, 2)
    np.testing.assert_array_equal(plate.image, images[0])
    assert np.isinf(plate.spread[30, 30])
    assert plate.spread[5, 5] == 0


def test_plate_of_a_moving_scene_knows_that_it_is_unsure() -> None:
    generator = np.random.default_rng(2)
    images = [generator.integers(0, 255, (16, 16, 3), dtype=np.uint8) for _ in range(20)]
    plate = background_plate(images, [np.zeros((16, 16), np.uint8)] * 20, margin=1)
    assert plate.spread.min() > 0.05


def test_filling_leaves_what_is_known() -> None:
    image = np.random.default_rng(3).random((37, 53, 3), dtype=np.float32)
    known = (np.random.default_rng(4).random((37, 53)) < 0.2).astype(np.float32)
    filled = fill_smoothly(image, known)
    np.testing.assert_array_equal(filled[known > 0], image[known > 0])
    assert filled.min() >= image.min() - 1e-6
    assert filled.max() <= image.max() + 1e-6
