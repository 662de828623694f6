"""The hull that the mattes allow."""

import cv2
import numpy as np

from stage2_nerf.proxy_grid import build_proxy, carve_hull, voxel_centres
from tracking.clip import Intrinsics

CAMERA = Intrinsics(focal_length=100.0, center_x=50.0, center_y=40.0, width=100, height=80)


def space_to_camera(distance):
    transform = np.eye(4)
    transform[2, 3] = -distance
    return transform


def disc(radius):
    """The matte of a ball around the picture's middle."""
    y, x = np.mgrid[:80, :100] + 0.5
    return ((x - 50) ** 2 + (y - 40) ** 2 <= radius**2).astype(np.float32)


def test_points_within_the_silhouette_stay_and_others_go():
    points = np.array([[0.0, 0, 0], [0.9, 0, 0], [1.8, 0, 0], [0, -0.9, 0], [0, 1.8, 0.0]])
    allowed = carve_hull(points, disc(10)[None], space_to_camera(10)[None], CAMERA, margin=0.0)
    assert allowed.tolist() == [True, True, False, True, False]


def test_a_point_that_most_frames_deny_goes_and_one_that_a_few_deny_stays():
    mattes = np.stack([disc(10)] * 9 + [disc(2)])
    transforms = np.stack([space_to_camera(10)] * 10)
    assert carve_hull(np.array([[0.8, 0, 0]]), mattes, transforms, CAMERA, margin=0.0).all()
    mattes = np.stack([disc(10)] * 5 + [disc(2)] * 5)
    assert not carve_hull(np.array([[0.8, 0, 0]]), mattes, transforms, CAMERA, margin=0.0).any()


def test_smaller_mattes_never_carve_more():
    points = np.random.default_rng(0).uniform(-2, 2, (500, 3))
    full = carve_hull(points, disc(20)[None], space_to_camera(10)[None], CAMERA, margin=0.0)
    smaller = cv2.resize(disc(20), (50, 40), interpolation=cv2.INTER_AREA)
    half = carve_hull(points, smaller[None], space_to_camera(10)[None], CAMERA, margin=0.0)
    assert half[full].all()
    assert half.sum() < 1.3 * full.sum()


def test_unseen_points_go():
    assert not carve_hull(np.array([[0.0, 0, 20]]), disc(60)[None], space_to_camera(10)[None], CAMERA).any()


def test_voxels_run_x_first_and_reach_the_corners():
    box = np.array([[-1.0, -2, -3], [1, 2, 3]])
    centres = voxel_centres(box, 3)
    assert centres[0].tolist() == [-1, -2, -3]
    assert centres[1].tolist() == [0, -2, -3]
    assert centres[-1].tolist() == [1, 2, 3]


def test_density_is_highest_at_the_tracked_surface():
    box = np.array([[-1.0, -1, -1], [1, 1, 1]])
    proxy = build_proxy(
        box, 21, np.array([[0.0, 0, 0.5]]), disc(30)[None], space_to_camera(10)[None], CAMERA, thickness=0.1
    )
    depth, height, width = np.unravel_index(int(proxy.density.argmax()), (21, 21, 21))
    assert (depth, height, width) == (15, 10, 10)
