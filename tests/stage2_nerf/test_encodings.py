"""Blended encodings: linear in the code, and every point in its own frame's tables."""

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from stage2_nerf.encodings import BlendedEncodingConfig, BlendedHashGrids, BlendedPlanes
from stage2_nerf.plane_look_up import PLANE_AXES, sample_planes

SMALL = BlendedEncodingConfig(
    static_resolutions=(8,), blended_resolution=8, hash_levels=4, log2_hashmap_size=8, hash_implementation="torch"
)


def encode(encoding, positions, codes):
    """All positions under each frame's code in turn."""
    frame = torch.arange(len(codes)).repeat_interleave(len(positions))
    points = positions.repeat(len(codes), 1)
    return encoding(points, frame, encoding.blend(codes)).view(len(codes), len(positions), -1)


@pytest.mark.parametrize("kind", [BlendedPlanes, BlendedHashGrids])
def test_features_are_affine_in_the_code(kind):
    torch.manual_seed(0)
    encoding = kind(SMALL, code_size=5)
    for parameter in encoding.parameters():
        torch.nn.init.normal_(parameter)
    positions = torch.rand(30, 3) * 2 - 1
    first, second = torch.randn(2, 5)
    features = encode(encoding, positions, torch.stack([first, second, 0.25 * first + 0.75 * second]))
    assert_close(features[2], 0.25 * features[0] + 0.75 * features[1], atol=1e-4, rtol=1e-4)
    assert not torch.allclose(features[0], features[1], atol=1e-2)


@pytest.mark.parametrize("kind", [BlendedPlanes, BlendedHashGrids])
def test_a_frame_among_others_is_the_frame_alone(kind):
    torch.manual_seed(0)
    encoding = kind(SMALL, code_size=3)
    positions = torch.cat([torch.rand(40, 3) * 2 - 1, torch.tensor([[1.0, 1, 1], [-1, -1, -1], [1, -1, 1]])])
    codes = torch.randn(4, 3)
    together = encode(encoding, positions, codes)
    for number, code in enumerate(codes):
        assert_close(together[number], encode(encoding, positions, code[None])[0], atol=1e-5, rtol=1e-5)


def test_planes_of_many_frames_equal_one_grid_sample_for_each_frame():
    torch.manual_seed(0)
    level = torch.randn(4, 3, 5, 5, 2)
    positions = torch.rand(20, 3) * 2 - 1
    frame = torch.randint(4, (20,))
    found = sample_planes(positions, frame, level).view(20, 3, 2)
    for point in range(20):
        for plane, axes in enumerate(PLANE_AXES):
            grid = positions[point, axes].view(1, 1, 1, 2)
            picture = level[frame[point], plane].permute(2, 0, 1)[None]
            expected = F.grid_sample(picture, grid, align_corners=True, padding_mode="border").flatten()
            assert_close(found[point, plane], expected, atol=1e-5, rtol=1e-5)


def test_gradients_reach_only_the_frames_that_were_seen():
    encoding = BlendedPlanes(SMALL, code_size=2)
    codes = torch.eye(2)
    positions = torch.rand(10, 3) * 2 - 1
    encoding(positions, torch.zeros(10, dtype=torch.long), encoding.blend(codes)).sum().backward()
    assert encoding.blended_basis.grad[0].abs().sum() > 0
    assert encoding.blended_basis.grad[1].abs().sum() == 0
