"""Depth that the mattes do not carve comes from the shell."""

import numpy as np
import trimesh

from stage2_nerf.proxy_shell import inside_shell, keep_near_shell, silhouettes
from tracking.clip import Intrinsics

CAMERA = Intrinsics(focal_length=100.0, center_x=50.0, center_y=40.0, width=100, height=80)
BALL = trimesh.creation.icosphere(subdivisions=3)
AHEAD = np.eye(4)
AHEAD[2, 3] = -10


def test_inside_is_inside_the_inflated_mesh_whichever_way_its_triangles_turn():
    points = np.array([[0, 0, 0.95], [0, 0, 1.15], [0, 0, 1.3], [0.9, 0.9, 0.0]])
    for triangles in (BALL.faces, BALL.faces[:, ::-1]):
        assert inside_shell(points, BALL.vertices, triangles, 0.2).tolist() == [True, True, False, False]


def test_a_balls_silhouette_is_its_disc():
    covered = silhouettes(BALL.vertices, BALL.faces, AHEAD[None], CAMERA, (100, 80))[0]
    y, x = np.nonzero(covered)
    # A ball of radius 1 at a distance of 10 is seen under tan(asin(1 / 10)).
    assert abs(covered.sum() - np.pi * (100 / 99**0.5) ** 2) < 40
    assert abs(x.mean() + 0.5 - 50) < 0.3
    assert abs(y.mean() + 0.5 - 40) < 0.3
    smaller = silhouettes(BALL.vertices, BALL.faces, AHEAD[None], CAMERA, (50, 40))[0]
    assert abs(4 * smaller.sum() - covered.sum()) < 40
    behind = np.diag([1.0, 1, -1, 1]) @ AHEAD
    assert not silhouettes(BALL.vertices, BALL.faces, behind[None], CAMERA, (100, 80)).any()


def test_outside_of_the_shell_only_what_the_shell_does_not_cover_is_kept():
    points = np.array([[0.0, 0, 0], [0.2, 0, 2.0], [0.2, 0, -2.0], [2.0, 0, 0], [2.0, 0, 1.0], [3.5, 0, 0]])
    inside = np.array([True, False, False, False, False, False])
    covered = silhouettes(BALL.vertices, BALL.faces, AHEAD[None], CAMERA, (100, 80))
    matte = np.zeros((1, 80, 100), np.float32)
    matte[0, 20:60, 20:80] = 1
    kept = keep_near_shell(points, inside, matte, covered, AHEAD[None], CAMERA)
    # Before and behind the ball nothing is kept; beside it the matte says that there is more.
    assert kept.tolist() == [True, False, False, True, True, False]
