"""Another person's head motion: carried over as it is, and kept to what the avatar's clip shows."""

from dataclasses import replace

import numpy as np
import pytest

from stage2_nerf.pose_transfer import ROOM, TURNING_RADIUS, Limited, drawn_near, limit_poses, offsets, transfer_poses
from stage2_nerf.render_motion import DrivenMotion, ExpressionChange
from tracking.cameras import rigid, rigid_inverse, rotation_from_vector
from tracking.clip import TrackedClip


def nodding(distance: float, tilt: float) -> np.ndarray:
    angles = 0.2 * np.sin(np.linspace(0, 12, 90))
    turns = rotation_from_vector(np.column_stack([angles, np.zeros(90), np.zeros(90)]))
    resting = rotation_from_vector(np.array([0.0, tilt, 0.0]))
    places = np.column_stack([distance / 20 * np.sin(np.linspace(0, 5, 90)), np.zeros(90), np.full(90, -distance)])
    return rigid(turns @ resting, places)


def turned(yaw: np.ndarray) -> np.ndarray:
    """Heads that turn by so many radians and stay where they are."""
    zero = np.zeros_like(yaw)
    return rigid(rotation_from_vector(np.column_stack([zero, yaw, zero])), np.zeros((len(yaw), 3)))


def yaw_of(poses: np.ndarray) -> np.ndarray:
    return np.arctan2(poses[:, 0, 2], poses[:, 2, 2])


@pytest.fixture
def seen() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(60, 6)) * [3, 2, 2, 1, 0.5, 0.2]


def test_a_clip_drives_its_own_avatar_to_its_own_poses() -> None:
    poses = nodding(60, 0.3)
    carried = transfer_poses(poses, poses, poses)
    np.testing.assert_allclose(carried, poses, atol=1e-9)
    np.testing.assert_allclose(limit_poses(carried, poses), poses, atol=1e-6)


def test_a_nod_stays_a_nod_about_the_avatars_own_resting_pose() -> None:
    driving, own = nodding(120, 0.0), nodding(60, 0.4)
    moved = transfer_poses(driving, driving, own)
    np.testing.assert_allclose(moved[:, :3, :3], own[:, :3, :3], atol=1e-6)
    # Twice as near, half the way: as wide in the picture.
    np.testing.assert_allclose(moved[:, :3, 3], own[:, :3, 3], atol=1e-9)


def test_what_lies_between_seen_poses_stays_as_it_is(seen: np.ndarray) -> None:
    weights = np.random.default_rng(1).dirichlet(np.full(len(seen), 0.1), size=50)
    np.testing.assert_allclose(drawn_near(weights @ seen, seen), weights @ seen, atol=1e-4)


def test_nothing_comes_farther_out_than_the_room(seen: np.ndarray) -> None:
    directions = np.random.default_rng(2).normal(size=(40, 6))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    far = drawn_near(100 * directions, seen)
    # The hull's extent in a direction is that of the seen point that lies farthest there.
    extent = (seen @ directions.T).max(axis=0)
    reached = (far * directions).sum(axis=1)
    assert (reached <= extent + ROOM + 1e-3).all() and (reached > extent).all()


def test_no_motion_is_turned_round_or_made_faster(seen: np.ndarray) -> None:
    generator = np.random.default_rng(3)
    one = 6 * generator.normal(size=(150, 6))
    other = one + generator.normal(size=(150, 6)) * generator.choice([0.01, 0.3, 5.0], size=(150, 1))
    way, made = other - one, drawn_near(other, seen) - drawn_near(one, seen)
    assert ((made * way).sum(1) > -1e-4).all()
    assert (np.linalg.norm(made, axis=1) <= np.linalg.norm(way, axis=1) + 1e-3).all()


def test_a_turn_beyond_what_was_seen_slows_down_and_comes_to_rest() -> None:
    own = turned(np.linspace(-0.2, 0.2, 41))
    asked = np.linspace(0, 1.0, 201)
    made = yaw_of(limit_poses(turned(asked), own))
    room = ROOM / TURNING_RADIUS
    np.testing.assert_allclose(
        made, np.where(asked <= 0.2, asked, 0.2 + room * np.tanh((asked - 0.2) / room)), atol=1e-4
    )
    # No corner: the slope changes little from one step to the next, and never grows.
    slopes = np.diff(made) / np.diff(asked)
    assert (np.diff(slopes) < 1e-2).all() and slopes[0] > 0.99 and slopes[-1] < 1e-3


def test_what_is_held_back_is_the_shift_rather_than_the_turn() -> None:
    """A head that was only seen turning with a shift, asked to turn without: it turns, and shifts as it was seen to."""
    yaw = np.linspace(-0.3, 0.3, 61)
    own = turned(yaw)
    own[:, 0, 3] = 10 * yaw
    made = limit_poses(turned(np.array([0.2])), own)
    assert yaw_of(made)[0] > 0.15
    assert made[0, 0, 3] > 1.0


def test_what_was_held_back_is_said_in_words() -> None:
    before = turned(np.array([0.0, 0.0, 0.3, 0.6]))
    after = turned(np.array([0.0, 0.001, 0.2, 0.25]))
    after[3, 1, 3] = 1.23
    limited = Limited.of(before, after)
    assert limited.share == 0.5
    assert "in 50% of the frames, by up to 20 degrees and 1.2 cm" in limited.in_words


def test_a_driven_head_stays_on_its_torso_as_the_clip_shows_it(tiny_clip: TrackedClip) -> None:
    """Whatever the driver does, and wherever the clip's torso is meanwhile."""
    frames = tiny_clip.frames
    lively = rigid_inverse(tiny_clip.track.camera_to_head)
    lively[frames, :3, :3] = lively[frames, :3, :3] @ turned(0.8 * np.sin(np.linspace(0, 9, len(frames))))[:, :3, :3]
    lively[frames, :3, 3] += 6 * np.sin(np.linspace(0, 5, len(frames)))[:, None]
    driver = replace(tiny_clip, track=replace(tiny_clip.track, camera_to_head=rigid_inverse(lively)))
    motion = DrivenMotion(tiny_clip, driver, "pose", ExpressionChange())
    assert motion.limited is not None and motion.limited.share > 0.5 and motion.limited.degrees > 5
    own = tiny_clip.track.camera_to_torso[frames] @ rigid_inverse(tiny_clip.track.camera_to_head[frames])
    usual = np.eye(3), np.median(own[:, :3, 3], axis=0)
    made = np.array(
        [
            tiny_clip.track.camera_to_torso[frame] @ moment.head_to_camera
            for frame in frames
            for _, _, moment in motion._planned[int(frame)]
        ]
    )
    low, high = offsets(own, *usual).min(axis=0), offsets(own, *usual).max(axis=0)
    beyond = offsets(made, *usual)
    assert len(made) == len(frames)
    # About another rotation the same offsets are a little other numbers.
    assert (beyond > low - 1.3 * ROOM).all() and (beyond < high + 1.3 * ROOM).all()


def test_a_clip_that_drives_itself_is_not_held_back(tiny_clip: TrackedClip) -> None:
    motion = DrivenMotion(tiny_clip, tiny_clip, "both", ExpressionChange())
    assert motion.limited is not None and motion.limited.share == 0
    assert DrivenMotion(tiny_clip, tiny_clip, "expression", ExpressionChange()).limited is None
