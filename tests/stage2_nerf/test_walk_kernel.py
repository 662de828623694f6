"""The compiled walk sees what the walk with tensors sees, and skips only what neither would."""

import numpy as np
import pytest
import torch

from stage2_nerf.canonical_field import BlendedFrames, CanonicalField, CanonicalFieldConfig
from stage2_nerf.encodings import BlendedEncodingConfig
from stage2_nerf.proxy_sampler import ProxySampler, ProxySamplerConfig
from stage2_nerf.proxy_walk import possible_cells

BOX = torch.tensor([[-1.0, -1, -1], [1, 1.5, 1]])
MOMENTS = 3


@pytest.fixture
def field() -> CanonicalField:
    torch.manual_seed(0)
    encoding = BlendedEncodingConfig(kind="planes", static_resolutions=(4,), blended_resolution=4)
    config = CanonicalFieldConfig(encoding=encoding, code_size=2, deformation_resolution=6)
    field = CanonicalField(config, BOX, torch.rand(8, 4), None)
    torch.nn.init.normal_(field.deformation.learned_basis, std=0.1)
    return field


@pytest.fixture
def blended(field: CanonicalField) -> BlendedFrames:
    with torch.no_grad():
        return field.blend(torch.rand(MOMENTS, 4))


@pytest.fixture
def sampler() -> ProxySampler:
    """A ball and a box of unlike density, and thin air around them."""
    axis = torch.linspace(-1, 1, 20)
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    density = 30.0 * ((x**2 + y**2 + z**2) < 0.2) + 3.0 * ((x > 0.5) & (y > 0.1)) + 0.03 * (y < 0)
    return ProxySampler(ProxySamplerConfig(uniform_share=0.1), density > 0, density)


def rays(count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    origins = torch.randn(count, 3, generator=generator) * 0.2 + torch.tensor([0.0, 0, 5])
    directions = torch.randn(count, 3, generator=generator) * 0.2 - torch.tensor([0.0, 0, 1])
    return origins, directions / directions.norm(dim=1, keepdim=True), torch.arange(count) % MOMENTS


@pytest.mark.parametrize("training", [True, False])
def test_compiled_walk_draws_what_the_walk_with_tensors_draws(
    training: bool, sampler: ProxySampler, field: CanonicalField, blended: BlendedFrames
) -> None:
    sampler.train(training)
    origins, directions, frame = rays(1500)
    end = torch.where(torch.arange(1500) % 5 == 0, 5.0, torch.inf)
    shares = sampler.shares(1500, origins.device)
    with torch.no_grad():
        expected = sampler.walk(origins, directions, frame, field, blended, end, shares)
        compiled = sampler.walk_compiled(origins, directions, frame, field, blended, end, shares)
    assert 300 < len(expected.ray) < 1500
    assert torch.equal(compiled.ray, expected.ray)
    difference = (compiled.edges - expected.edges).abs()
    # The last edge is where the last 1/100,000 of the mass begins, which rounding moves.
    assert float(difference[:, :-1].max()) < 2e-3
    assert float(difference.mean()) < 1e-4


def test_no_step_through_a_cell_that_is_passed_over_finds_density(
    sampler: ProxySampler, field: CanonicalField, blended: BlendedFrames
) -> None:
    sampler.eval()
    possible = possible_cells(BOX.numpy(), blended.displacement.numpy(), sampler.occupied())
    assert 0.1 < possible.mean() < 0.8
    sides = np.array(possible.shape[:0:-1])
    for moment in range(MOMENTS):
        points = torch.rand(20_000, 3) * (BOX[1] - BOX[0]) + BOX[0]
        cell = ((points - BOX[0]) / (BOX[1] - BOX[0])).numpy() * sides
        x, y, z = np.minimum(cell.astype(int), sides - 1).T
        frame = torch.full((20_000,), moment)
        with torch.no_grad():
            density = sampler.look_up(field.to_canonical(points, frame, blended))
        assert float(density[~possible[moment, z, y, x]].max()) <= sampler.least_density + 1e-6


def test_rays_that_see_nothing_before_their_end_are_not_sampled(
    sampler: ProxySampler, field: CanonicalField, blended: BlendedFrames
) -> None:
    sampler.eval()
    origins, directions, frame = rays(800)
    all_hits = sampler(origins, directions, frame, field, blended).ray
    end = torch.full((800,), 1.0)
    end[:400] = torch.inf
    hits = sampler(origins, directions, frame, field, blended, end).ray
    assert torch.equal(hits, all_hits[all_hits < 400])
