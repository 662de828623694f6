"""The shoulders' motion, on drawn clothes whose motion is known."""

import cv2
import numpy as np
import pytest
from jaxtyping import Float, UInt8

from tracking.cameras import project, rigid, rigid_inverse, rotation_from_vector, transform
from tracking.clip import Intrinsics
from tracking.regions import Label
from tracking.torso_flow import TorsoPicture, follow_torso
from tracking.torso_motion import TorsoConfig, measured_torso_poses, torso_poses

WIDTH, HEIGHT, FRAMES, FRAME_RATE = 240, 240, 40, 25.0
CAMERA = Intrinsics(400.0, 120.0, 120.0, WIDTH, HEIGHT)
CONFIG = TorsoConfig()


def head_poses() -> Float[np.ndarray, "frames 4 4"]:
    """A still head, 60 cm before the camera."""
    return rigid(np.tile(np.eye(3), (FRAMES, 1, 1)), np.tile([0.0, 4.0, -60.0], (FRAMES, 1)))


def swaying_torso() -> Float[np.ndarray, "frames 4 4"]:
    """Torso to camera: a slow sway of centimetres, a nod to one side, and a lean forward."""
    time = np.arange(FRAMES) / FRAME_RATE
    base = np.add(CONFIG.neck_base, [0.0, 4.0, -60.0])
    sway = np.stack([2 * np.sin(4 * time), np.cos(3 * time) - 1, 3 * np.sin(1.5 * time)], axis=-1)
    roll = np.stack([0 * time, 0 * time, 0.06 * np.sin(5 * time)], axis=-1)
    return rigid(rotation_from_vector(roll), base + sway)


def drawn_frame(
    torso_to_camera: Float[np.ndarray, "4 4"], texture: UInt8[np.ndarray, "h w 3"] | None
) -> tuple[UInt8[np.ndarray, "height width 3"], UInt8[np.ndarray, "height width"]]:
    """A cloth before and 2 to 14 cm below the neck base, 30 cm wide, as the camera sees it; a plain wall behind."""
    before = CONFIG.clothes_before
    corners = np.array([[-15.0, -2, before], [15, -2, before], [15, -14, before], [-15, -14, before]])
    seen = project(transform(torso_to_camera, corners), CAMERA).astype(np.float32)
    side = np.array([[0, 0], [400, 0], [400, 160], [0, 160]], np.float32)
    cloth = np.full((160, 400, 3), 90, np.uint8) if texture is None else texture
    warp = cv2.getPerspectiveTransform(side, seen - 0.5)
    image = cv2.warpPerspective(cloth, warp, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR, borderValue=(200, 200, 200))
    mask = cv2.warpPerspective(np.ones((160, 400), np.uint8), warp, (WIDTH, HEIGHT), flags=cv2.INTER_NEAREST)
    return image, (mask * int(Label.CLOTHES)).astype(np.uint8)


def knitted() -> UInt8[np.ndarray, "h w 3"]:
    noise = np.random.default_rng(0).normal(128, 300, (160, 400, 3)).astype(np.float32)
    return cv2.GaussianBlur(noise, (0, 0), 3).clip(0, 255).astype(np.uint8)


def measured(truth: Float[np.ndarray, "frames 4 4"], texture: UInt8[np.ndarray, "h w 3"] | None, **unlabelled: range):
    """What is measured of a drawn clip, the frames of `unlabelled` showing no clothes."""
    frames = [drawn_frame(pose, texture) for pose in truth]
    for hidden in unlabelled.values():
        for frame in hidden:
            frames[frame][1][:] = 0
            frames[frame][0][:] = 200
    similarities = follow_torso(TorsoPicture.of(*frame) for frame in frames)
    return similarities, measured_torso_poses(
        similarities, head_poses(), np.arange(FRAMES), FRAMES, CAMERA, FRAME_RATE, CONFIG
    )


def about_median(positions: Float[np.ndarray, "frames 3"]) -> Float[np.ndarray, "frames 3"]:
    return positions - np.median(positions, axis=0)


def test_known_motion_of_the_shoulders_is_recovered() -> None:
    truth = swaying_torso()
    similarities, found = measured(truth, knitted())
    assert np.isfinite(similarities).all()
    poses = rigid_inverse(found)
    error = np.abs(about_median(poses[:, :3, 3]) - about_median(truth[:, :3, 3]))
    assert error[:, :2].max() < 0.2, "centimetres, of a sway of 4"
    assert error[:, 2].max() < 0.2
    roll = np.arctan2(poses[:, 1, 0], poses[:, 0, 0])
    true_roll = np.arctan2(truth[:, 1, 0], truth[:, 0, 0])
    assert np.abs(about_median(roll) - about_median(true_roll)).max() < 0.01
    # The head is still: the old guess knows nothing of all this.
    guess = rigid_inverse(torso_poses(head_poses(), np.arange(FRAMES), FRAMES, FRAME_RATE, CONFIG))
    assert np.ptp(guess[:, :3, 3], axis=0).max() < 1e-6


def test_there_and_back_leaves_no_drift() -> None:
    truth = np.concatenate([swaying_torso()[: FRAMES // 2], swaying_torso()[: FRAMES // 2][::-1]])
    similarities, _ = measured(truth, knitted())
    np.testing.assert_allclose(similarities[-1], similarities[0], atol=0.05)


@pytest.mark.parametrize("hidden", [range(FRAMES), range(8, FRAMES)])
def test_unseen_shoulders_follow_the_head(hidden: range) -> None:
    similarities, found = measured(swaying_torso(), knitted(), hidden=hidden)
    assert np.isnan(similarities[list(hidden)]).all()
    if len(hidden) == FRAMES:
        guess = torso_poses(head_poses(), np.arange(FRAMES), FRAMES, FRAME_RATE, CONFIG)
        np.testing.assert_array_equal(found, guess)
    np.testing.assert_allclose(found[-1, :3, :3], np.eye(3), atol=1e-3)


def test_plain_clothes_are_not_followed() -> None:
    similarities, found = measured(swaying_torso(), None)
    # The cloth's own outline is no texture: what is near it is left out.
    assert np.isnan(similarities).all()
    assert np.isfinite(found).all()


def test_a_gap_is_bridged_without_a_leap() -> None:
    truth = swaying_torso()
    _, found = measured(truth, knitted(), hidden=range(15, 19))
    positions = rigid_inverse(found)[:, :3, 3]
    steps = np.linalg.norm(np.diff(positions, axis=0), axis=1)
    assert steps.max() < 3 * np.linalg.norm(np.diff(truth[:, :3, 3], axis=0), axis=1).max()
