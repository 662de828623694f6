"""What of the person each part's proxy may hold, and where the torso's ends."""

import numpy as np
import pytest

from stage2_nerf.clip_dataparser import LEAST_TORSO, bounding_box, lowest_shown, shows
from tracking.cameras import rotation_from_vector
from tracking.clip import Intrinsics, TrackedClip
from tracking.proxy_mesh import torso_shell
from tracking.regions import Label

CAMERA = Intrinsics(focal_length=200.0, center_x=50.0, center_y=40.0, width=100, height=80)


def test_a_pixel_is_of_the_head_or_of_the_torso_and_an_unnamed_one_of_both() -> None:
    labels = np.array(
        [[Label.HAIR, Label.FACE_SKIN, Label.NECK, Label.CLOTHES, Label.OTHER, Label.BACKGROUND]], np.uint8
    )
    assert shows("head", labels).tolist() == [[1, 1, 0, 0, 1, 0]]
    assert shows("torso", labels).tolist() == [[0, 0, 1, 1, 1, 0]]


@pytest.mark.parametrize("nod", [0.0, 0.2, -0.2])
def test_the_lowest_height_shown_is_seen_at_the_pictures_lower_edge(nod: float) -> None:
    camera_to_space = np.eye(4)
    camera_to_space[:3, :3] = rotation_from_vector(np.array([nod, 0.0, 0.0]))
    camera_to_space[:3, 3] = camera_to_space[:3, :3] @ [1.0, 2.0, 70.0]
    back = -15.0
    height = lowest_shown(CAMERA, camera_to_space, back)
    # On the ray of the lower edge, 15 cm farther than the origin: where is it seen?
    space_to_camera = np.linalg.inv(camera_to_space)
    depth = -space_to_camera[2, 3] - back
    at = camera_to_space[:3, :3] @ [0, -depth * 40 / 200, -depth] + camera_to_space[:3, 3]
    assert height == pytest.approx(at[1])
    seen = space_to_camera[:3, :3] @ at + space_to_camera[:3, 3]
    assert CAMERA.center_y - CAMERA.focal_length * seen[1] / -seen[2] == pytest.approx(CAMERA.height)


def test_the_torsos_box_ends_below_the_pictures_and_not_far_below(tiny_clip: TrackedClip) -> None:
    frames = tiny_clip.frames
    to_space = tiny_clip.track.camera_to_torso[frames]
    shell = torso_shell()[0]
    low, high = bounding_box(tiny_clip, frames, to_space, shell, "torso")
    lowest = min(lowest_shown(tiny_clip.intrinsics, one, low[2]) for one in to_space)
    assert low[1] == pytest.approx(lowest - 1.5) and low[1] > shell[:, 1].min() + 10
    assert high[1] - low[1] >= LEAST_TORSO
