"""A camera on an orbit looks at the same place from the side."""

import math

import pytest
import torch
from nerfstudio.cameras.cameras import Cameras, CameraType
from torch.testing import assert_close

from stage2_nerf.camera_rays import picture_rays
from stage2_nerf.orbit import Swing, orbit, orbited


def camera(count: int = 2) -> Cameras:
    generator = torch.Generator().manual_seed(0)
    rotation, _ = torch.linalg.qr(torch.randn(count, 3, 3, generator=generator))
    rotation = rotation * torch.det(rotation)[:, None, None]
    pose = torch.cat([rotation, torch.randn(count, 3, 1, generator=generator)], dim=2)
    return Cameras(
        pose, fx=80.0, fy=90.0, cx=11.0, cy=7.5, width=20, height=16, camera_type=CameraType.PERSPECTIVE,
        times=torch.rand(count, 1, generator=generator),
    )  # fmt: skip


def test_no_yaw_is_the_camera_itself() -> None:
    cameras = camera()
    turned = orbited(cameras, torch.tensor([0.1, 0.2, 0.3]), 0.0)
    assert torch.equal(turned.camera_to_worlds, cameras.camera_to_worlds)
    assert torch.equal(turned.times, cameras.times)


def test_the_pivot_stays_where_it_was_in_the_picture() -> None:
    pose, pivot = camera().camera_to_worlds, torch.tensor([0.4, -0.2, 0.1])
    turned = orbit(pose, pivot, 25.0)
    seen = [(p[:, :, :3].transpose(1, 2) @ (pivot - p[:, :, 3])[..., None])[..., 0] for p in (pose, turned)]
    assert_close(seen[0], seen[1])
    assert_close(turned[:, :, :3] @ turned[:, :, :3].transpose(1, 2), torch.eye(3).expand(2, 3, 3))
    # Right, seen from above: the camera's backward axis moves towards its right one.
    assert_close((turned[..., 2] * pose[..., 0]).sum(-1), torch.full((2,), math.sin(math.radians(25))))
    assert_close(orbit(turned, pivot, -25.0), pose, atol=1e-5, rtol=1e-5)


def test_a_swing_goes_to_both_sides_and_back() -> None:
    swing = Swing(25.0, 8.0)
    assert [swing.yaw_at(second) for second in (0, 2, 4, 6, 8)] == pytest.approx([0, 25, 0, -25, 0], abs=1e-9)


def test_picture_rays_are_nerfstudios() -> None:
    cameras = camera()
    origins, directions = picture_rays(cameras)
    for i in range(2):
        bundle = cameras.generate_rays(i, keep_shape=True)
        assert_close(origins[i], bundle.origins)
        assert_close(directions[i], bundle.directions, atol=1e-6, rtol=1e-6)


def test_a_lens_with_distortion_is_heeded() -> None:
    cameras = camera(1)
    distorted = Cameras(
        cameras.camera_to_worlds, 80.0, 90.0, 11.0, 7.5, 20, 16,
        distortion_params=torch.tensor([[0.2, 0, 0, 0, 0, 0]]),
    )  # fmt: skip
    _, straight = picture_rays(cameras)
    _, bent = picture_rays(distorted)
    assert float((straight - bent).abs().max()) > 3e-4
