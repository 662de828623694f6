"""Depth that the mattes do not carve comes from the shell."""

import numpy as np
import trimesh

from stage2_nerf.proxy_shell import (
    ROUNDNESS,
    inside_shell,
    keep_near_shell,
    round_behind_outline,
    silhouettes,
    where_shown,
)
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
    shown = where_shown(points, matte, AHEAD[None], CAMERA)
    kept = keep_near_shell(points, inside, shown, matte, covered, AHEAD[None], CAMERA)
    # Before and behind the ball nothing is kept; beside it the matte says that there is more.
    assert kept.tolist() == [True, False, False, True, True, False]


def test_what_shows_another_part_is_none_of_this_one_even_within_the_shell():
    points = np.array([[-0.5, 0, 0], [0.5, 0, 0], [-2.0, 0, 0], [2.0, 0, 0]])
    inside = np.array([True, True, False, False])
    covered = silhouettes(BALL.vertices, BALL.faces, AHEAD[None], CAMERA, (100, 80))
    matte = np.zeros((1, 80, 100), np.float32)
    matte[0, 20:60, 20:50] = 1
    # To the right of the middle the other part is seen: inside of the shell as beside it.
    shown = where_shown(points, matte, AHEAD[None], CAMERA)
    kept = keep_near_shell(points, inside, shown, matte, covered, AHEAD[None], CAMERA)
    assert kept.tolist() == [True, False, True, False]


def ball(radius, distance):
    """The matte of a large ball, and the camera that sees its middle at a distance."""
    away = np.eye(4)
    away[2, 3] = -distance
    vertices = BALL.vertices * radius / np.linalg.norm(BALL.vertices, axis=1, keepdims=True)
    return silhouettes(vertices, BALL.faces, away[None], CAMERA, (100, 80)).astype(np.float32), away[None]


def test_a_ball_is_within_its_own_bound_and_a_fog_along_its_outline_is_not():
    # From afar, so that its outline lies in the plane through its middle.
    matte, camera = ball(ROUNDNESS, 60.0)
    surface = BALL.vertices / np.linalg.norm(BALL.vertices, axis=1, keepdims=True) * ROUNDNESS
    middle = np.zeros(3)
    # Pixels are as wide as 0.6 cm, and rays are not quite parallel.
    assert round_behind_outline(surface * 0.97, matte, camera, CAMERA, middle, 2.0).all()
    outline = np.array([[0.95 * ROUNDNESS, 0, depth] for depth in (-9.0, -3.0, 3.0, 9.0)])
    kept = round_behind_outline(outline, matte, camera, CAMERA, middle, 1.0)
    assert kept.tolist() == [False, True, True, False]


def test_the_pictures_edge_is_no_outline():
    matte = np.zeros((1, 80, 100), np.float32)
    matte[0, 20:, 30:70] = 1
    away = np.eye(4)
    away[2, 3] = -60
    # Near the lower edge, far from the outline: half as deep as the person is wide. Near the upper outline: thin.
    points = np.array([[0, -22.0, 8.0], [0, 11.5, 8.0]])
    assert round_behind_outline(points, matte, away[None], CAMERA, np.zeros(3), 1.0).tolist() == [True, False]


def test_the_plane_of_an_outline_turns_with_the_view():
    matte, camera = ball(ROUNDNESS, 60.0)
    turn = np.eye(4)
    turn[:3, :3] = [[0, 0, 1], [0, 1, 0], [-1, 0, 0]]
    point = np.array([[0.95 * ROUNDNESS, 0, 5.5]])
    assert not round_behind_outline(point, matte, camera, CAMERA, np.zeros(3), 1.0).any()
    assert round_behind_outline(point, matte, camera @ turn, CAMERA, np.zeros(3), 1.0).all()
