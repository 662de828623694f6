"""Rays that are swung aside: where they go, and what they teach."""

import math

import pytest
import torch
from nerfstudio.cameras.rays import RayBundle
from torch.testing import assert_close

from stage2_nerf.losses import undecided_loss
from stage2_nerf.near_side import near_side_end, near_side_margin
from stage2_nerf.side_rays import with_rays_aside

RAYS = 40
PIVOT = torch.tensor([0.1, 0.3, -0.4])


@pytest.fixture
def rays() -> RayBundle:
    random = torch.Generator().manual_seed(0)
    origins = torch.randn(RAYS, 3, generator=random) + torch.tensor([0.0, 0.0, 8.0])
    directions = torch.nn.functional.normalize(torch.randn(RAYS, 3, generator=random), dim=-1)
    times = torch.arange(RAYS)[:, None].float()
    return RayBundle(origins, directions, torch.ones(RAYS, 1), times=times, metadata={"worn": times.repeat(1, 4)})


def test_rays_turn_together_about_the_heads_vertical(rays):
    angles = []
    for seed in range(20):
        torch.manual_seed(seed)
        found = with_rays_aside(rays, PIVOT, 0.25, 30.0)
        for values, own in ((found.origins, rays.origins), (found.directions, rays.directions)):
            assert len(values) == RAYS + 10
            assert_close(values[:RAYS], own)
        assert found.times is not None and found.worn is not None
        # Their times tell which rays they were.
        row = found.times[RAYS:, 0].long()
        assert len(row.unique()) == 10
        assert_close(found.worn[RAYS:], rays.metadata["worn"][row])
        assert found.expression is None
        before, after = rays.origins[row] - PIVOT, found.origins[RAYS:] - PIVOT
        assert_close(after[:, 1], before[:, 1])
        assert_close(after.norm(dim=-1), before.norm(dim=-1))
        # What a ray is to its pivot it stays: the same turn takes both.
        assert_close((after * found.directions[RAYS:]).sum(-1), (before * rays.directions[row]).sum(-1))
        angle = torch.atan2(after[:, 0], after[:, 2]) - torch.atan2(before[:, 0], before[:, 2])
        angle = torch.remainder(angle + math.pi, 2 * math.pi) - math.pi
        assert_close(angle, angle[:1].expand(10), atol=1e-5, rtol=0)
        degrees = math.degrees(float(angle[0]))
        assert abs(degrees) <= 30
        assert torch.isinf(found.margin[:RAYS]).all()
        assert found.margin[RAYS:].tolist() == pytest.approx(10 * [near_side_margin(degrees)], abs=1e-4)
        angles.append(degrees)
    assert min(angles) < -10 and max(angles) > 10


def test_one_ray_at_least(rays):
    assert len(with_rays_aside(rays, PIVOT, 1e-6, 30.0).origins) == RAYS + 1


def test_each_ray_ends_by_its_own_margin(rays):
    margins = torch.linspace(0, 1, 40)
    margins[7] = math.inf
    ends = near_side_end(rays.origins, rays.directions, "head", margins)
    for row in (0, 7, 39):
        place = slice(row, row + 1)
        one = near_side_end(rays.origins[place], rays.directions[place], "head", float(margins[row]))
        assert_close(ends[row : row + 1], one)
    assert math.isinf(float(ends[7]))


def test_undecided_opacity_costs_and_no_other():
    assert float(undecided_loss(torch.tensor([[0.0], [1.0]]))) == 0
    assert float(undecided_loss(torch.tensor([[0.5], [0.5], [1.0], [0.0]]))) == pytest.approx(1 / 8)
