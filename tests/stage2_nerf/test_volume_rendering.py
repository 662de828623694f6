"""Accumulation along rays: closed forms, and the compiled loop against the tensors."""

import math

import pytest
import torch
from torch.testing import assert_close

from stage2_nerf.proxy_sampler import RaySegments
from stage2_nerf.volume_rendering import (
    FieldSamples,
    alone_weights,
    composite,
    composite_compiled,
    composite_tensors,
    used_up,
)


def slab(ray: list[int], near: float, far: float, density: float, colour: list[float], samples: int = 5):
    """A slab of one density and colour, cut into samples."""
    edges = torch.linspace(near, far, samples + 1).expand(len(ray), -1)
    colours = torch.tensor(colour).expand(len(ray), samples, -1)
    return FieldSamples(
        RaySegments(torch.tensor(ray, dtype=torch.long), edges), torch.full((len(ray), samples), density), colours
    )


def random_part(rays: int, generator: torch.Generator) -> FieldSamples:
    ray = torch.nonzero(torch.rand(rays, generator=generator) < 0.7)[:, 0]
    edges = (torch.rand(len(ray), 8, generator=generator) * 3 + 1).sort(dim=1).values
    density = torch.rand(len(ray), 7, generator=generator) * 4
    return FieldSamples(RaySegments(ray, edges), density, torch.rand(len(ray), 7, 6, generator=generator))


def test_a_slab_of_known_density_has_the_known_opacity_colour_and_depth() -> None:
    seen = composite(3, (slab([0, 2], 2.0, 3.5, 0.8, [0.2, 0.4, 0.6]), slab([], 0, 1, 0.0, [0.0, 0, 0])))
    opacity = 1 - math.exp(-0.8 * 1.5)
    assert_close(seen.accumulation[:, 0], torch.tensor([opacity, 0, opacity]))
    assert_close(seen.foreground[2], opacity * torch.tensor([0.2, 0.4, 0.6]))
    assert seen.foreground[1].abs().max() == 0
    fine = composite(1, (slab([0], 2.0, 3.5, 0.8, [1.0], 4000), slab([], 0, 1, 0.0, [0.0])))
    # The mean distance of an exponential that is cut off.
    expected = 2 + 1 / 0.8 - 1.5 * math.exp(-0.8 * 1.5) / opacity
    assert float(fine.depth) == pytest.approx(expected, abs=1e-3)


def test_what_is_in_front_hides_what_is_behind_whichever_part_it_is() -> None:
    near, far = slab([0], 1, 2, 50.0, [1.0, 0, 0]), slab([0], 3, 4, 50.0, [0.0, 1, 0])
    for parts in ((near, far), (far, near)):
        for seen in (composite_compiled(1, *parts), composite_tensors(1, parts)):
            assert_close(seen.foreground, torch.tensor([[1.0, 0, 0]]))


def test_compiled_accumulation_equals_the_one_with_tensors() -> None:
    generator = torch.Generator().manual_seed(0)
    parts = (random_part(3000, generator), random_part(3000, generator))
    compiled, expected = composite_compiled(3000, *parts), composite_tensors(3000, parts)
    assert_close(compiled.foreground, expected.foreground, atol=1e-5, rtol=1e-5)
    assert_close(compiled.accumulation, expected.accumulation, atol=1e-5, rtol=1e-5)
    assert_close(compiled.depth, expected.depth, atol=1e-4, rtol=1e-4)


def test_gradients_flow_where_they_are_asked_for() -> None:
    part = slab([0], 1, 2, 0.5, [0.3])
    part.density.requires_grad_()
    composite(1, (part, slab([], 0, 1, 0.0, [0.0]))).accumulation.sum().backward()
    # d/ds (1 - exp(-sum of s_i / 5)) = exp(-0.5) / 5 for each of the five samples.
    assert_close(part.density.grad, torch.full((1, 5), math.exp(-0.5) / 5))


def test_a_ray_is_used_up_where_its_optical_depth_says() -> None:
    thick, thin = slab([0], 1, 2, 20.0, [1.0], 10), slab([1], 1, 2, 1.0, [1.0], 10)
    # 20 a unit: 6 are exceeded in the fourth tenth.
    assert_close(used_up(3, thick), torch.tensor([1.4, torch.inf, torch.inf]))
    assert used_up(3, thin).isinf().all()
    assert used_up(2, slab([], 0, 1, 0.0, [0.0])).isinf().all()


def test_weights_alone_are_what_one_field_is_accumulated_by_and_no_less_than_beside_another() -> None:
    generator = torch.Generator().manual_seed(0)
    part, other = random_part(200, generator), random_part(200, generator)
    weights = alone_weights(part.density, part.segments.lengths)
    part = FieldSamples(part.segments, part.density, torch.eye(7).expand(len(weights), 7, 7))
    assert_close(composite_tensors(200, [part]).foreground[part.segments.ray], weights)
    other = FieldSamples(other.segments, other.density, torch.zeros(len(other.density), 7, 7))
    beside = composite_tensors(200, [part, other]).foreground[part.segments.ray]
    assert (beside <= weights + 1e-6).all() and (beside < weights - 1e-3).any()
