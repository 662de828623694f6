"""What is drawn lies where it belongs: meshes on faces, axes on heads, everything legible on small pictures."""

from collections.abc import Callable

import numpy as np
import pytest

from tracking.cameras import rigid, rigid_inverse, rotation_from_vector
from tracking.clip import TrackedClip
from tracking.fitted_face import faces_camera, fitted_face, unique_edges
from tracking.head_angles import head_angles
from tracking.head_model import HeadModel
from tracking.overlay import (
    LANDMARK_COLOR,
    draw_points,
    draw_tracking,
    legible_scale,
)

MakeClip = Callable[..., TrackedClip]


def test_mesh_lies_on_the_landmarks(make_clip: MakeClip) -> None:
    talking = {"jawOpen": np.linspace(0, 1, 10), "mouthSmileLeft": np.linspace(1, 0, 10)}
    clip = make_clip(frames=10, yaw=np.linspace(-30, 30, 10), pitch=5.0, expressions=talking)
    for frame in range(10):
        face = fitted_face(clip, frame)
        np.testing.assert_allclose(face.points, clip.track.landmarks[frame], atol=1e-3)
        # Origin of head space, right at the left of the picture or left at the right: x is the person's left.
        origin, x, y, _ = face.axes
        assert x[0] > origin[0] + 5
        assert y[1] < origin[1] - 5


def test_back_faces_are_culled(make_clip: MakeClip) -> None:
    model = HeadModel.load()
    frontal = fitted_face(make_clip("frontal", frames=10, pitch=0.0), 0)
    turned = fitted_face(make_clip("turned", frames=10, yaw=60.0), 0)
    behind = fitted_face(make_clip("behind", frames=10, yaw=180.0), 0)
    everything = len(unique_edges(model.triangles))
    assert len(frontal.edges) > 0.9 * everything
    assert len(turned.edges) < 0.85 * len(frontal.edges)
    assert len(behind.edges) < 0.2 * everything


def test_a_triangle_faces_the_camera_from_one_side_only() -> None:
    corners = np.array([[0.0, 0.0, -5.0], [1.0, 0.0, -5.0], [0.0, 1.0, -5.0]])
    assert faces_camera(corners, np.array([[0, 1, 2], [0, 2, 1]])).tolist() == [True, False]


def test_edges_are_drawn_once() -> None:
    edges = unique_edges(np.array([[0, 1, 2], [2, 1, 3]]))
    assert edges.tolist() == [[0, 1], [0, 2], [1, 2], [1, 3], [2, 3]]


def test_dots_are_centred_on_their_points_and_unknown_ones_left_out() -> None:
    canvas = np.zeros((200, 200, 3), np.uint8)
    draw_points(canvas, np.array([[50.0, 60.0], [150.0, 20.0], [np.nan, np.nan], [1e9, -1e9]]))
    lit = canvas[..., 0].astype(float) / LANDMARK_COLOR[0]
    for x, y in ((50, 60), (150, 20)):
        patch = lit[y - 8 : y + 8, x - 8 : x + 8]
        rows, columns = np.indices(patch.shape) + 0.5
        center = np.array([(patch * columns).sum(), (patch * rows).sum()]) / patch.sum()
        np.testing.assert_allclose(center, [8, 8], atol=0.1)
    assert lit.sum() == pytest.approx(lit[52:68, 42:58].sum() + lit[12:28, 142:158].sum())
    draw_points(canvas, np.full((3, 2), np.nan))


def test_small_pictures_are_enlarged_and_large_ones_are_not() -> None:
    assert legible_scale(176, 144) * 176 == pytest.approx(480)
    assert legible_scale(1920, 1080) == 1


def test_drawing_leaves_the_given_picture_alone(make_clip: MakeClip) -> None:
    clip = make_clip(frames=10, size=480)
    image = clip.image(0)
    drawn = draw_tracking(image, fitted_face(clip, 0), clip.track.landmarks[0], axes=True)
    np.testing.assert_array_equal(image, clip.image(0))
    changed = np.abs(drawn.astype(int) - image).max(2) > 0
    person = clip.matte(0) > 0
    assert changed[person].mean() > 0.2
    assert changed[~person].mean() < 0.01


@pytest.mark.parametrize(
    ("angles", "expected"),
    [((0, 0, 0), (0, 0, 0)), ((25, 0, 0), (25, 0, 0)), ((0, 15, 0), (0, 15, 0)), ((30, -20, 10), (30, -20, 10))],
)
@pytest.mark.parametrize("position", [(0.0, 0.0, -60.0), (25.0, -10.0, -60.0)])
def test_angles_are_those_of_the_rotation_seen_along_the_line_of_sight(
    angles: tuple[float, ...], expected: tuple[float, ...], position: tuple[float, ...]
) -> None:
    yaw, pitch, roll = np.radians(angles)
    backward = -np.array(position) / np.linalg.norm(position)
    right = np.cross([0, 1, 0], backward) / np.linalg.norm(np.cross([0, 1, 0], backward))
    looking = np.stack([right, np.cross(backward, right), backward], 1)
    turn = [rotation_from_vector(np.array(vector)) for vector in ([0, yaw, 0], [-pitch, 0, 0], [0, 0, -roll])]
    head_to_camera = rigid(looking @ turn[0] @ turn[1] @ turn[2], np.array(position))
    measured = head_angles(rigid_inverse(head_to_camera[None]))
    np.testing.assert_allclose([measured.yaw[0], measured.pitch[0], measured.roll[0]], expected, atol=1e-9)
    assert measured.distance[0] == pytest.approx(np.linalg.norm(position))


def test_unknown_poses_have_unknown_angles() -> None:
    assert all(np.isnan(values).all() for values in head_angles(np.full((2, 4, 4), np.nan)))
