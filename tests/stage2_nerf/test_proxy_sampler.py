"""Samples fall where the person is."""

import torch
from torch.testing import assert_close

from stage2_nerf.canonical_field import CanonicalField, CanonicalFieldConfig
from stage2_nerf.encodings import BlendedEncodingConfig
from stage2_nerf.proxy_sampler import ProxySampler, ProxySamplerConfig, draw_edges, intersect_box

BOX = torch.tensor([[-1.0, -1, -1], [1, 1, 1]])


def field():
    config = CanonicalFieldConfig(
        encoding=BlendedEncodingConfig(kind="planes", static_resolutions=(4,), blended_resolution=4), code_size=1
    )
    return CanonicalField(config, BOX, torch.rand(4, 2), None)


def slab_sampler(low, high, density=100.0, **settings):
    """A proxy that is solid for low <= z <= high."""
    z = torch.linspace(-1, 1, 65)
    hull = ((z >= low) & (z <= high))[:, None, None].expand(65, 65, 65).clone()
    return ProxySampler(ProxySamplerConfig(**settings), hull, torch.full((65, 65, 65), density))


def look(sampler, origins, directions):
    space = field()
    return sampler(
        origins, directions, torch.zeros(len(origins), dtype=torch.long), space, space.blend(torch.zeros(1, 2))
    )


def test_box_is_entered_and_left_where_geometry_says():
    origins = torch.tensor([[0.0, 0, 5], [3, 0, 5], [0, 0, 0]])
    directions = torch.tensor([[0.0, 0, -1], [0, 0, -1], [0, 0, -1]])
    enter, leave = intersect_box(origins, directions, BOX)
    assert_close(enter[[0, 2]], torch.tensor([4.0, 1e-3]))
    assert_close(leave[[0, 2]], torch.tensor([6.0, 1.0]))
    assert leave[1] < enter[1]


def test_edges_hold_equal_shares_of_the_mass():
    mass = torch.tensor([[1.0, 3.0, 0.0, 4.0]])
    walk = torch.tensor([[0.0, 1, 2, 3, 4]])
    edges = draw_edges(mass, walk, torch.linspace(0, 1, 5)[None])
    assert_close(edges, torch.tensor([[0.0, 1 + 1 / 3, 3, 3.5, 4]]), atol=1e-3, rtol=1e-3)


def test_samples_fall_on_the_surface_and_not_behind_it():
    sampler = slab_sampler(-0.5, 0.5, uniform_share=0.0).eval()
    segments = look(sampler, torch.tensor([[0.1, 0.2, 5.0]]), torch.tensor([[0.0, 0, -1]]))
    hit = 5 - segments.middles[0]
    assert hit.max() < 0.65
    assert hit.min() > 0.3


def test_rays_that_miss_the_hull_cost_nothing():
    sampler = slab_sampler(-0.5, 0.5)
    origins = torch.tensor([[0.0, 0, 5], [4, 0, 5], [0, 0, 5]])
    directions = torch.tensor([[0.0, 0, -1], [0, 0, -1], [0, 0, 1]])
    assert look(sampler, origins, directions).ray.tolist() == [0]


def test_the_grid_rises_at_once_sinks_slowly_and_never_leaves_the_hull():
    sampler = slab_sampler(-0.5, 0.5, density=1.0, decay=0.5)
    inside, outside = torch.tensor([[0.0, 0, 0]]), torch.tensor([[0.0, 0, 0.9]])
    sampler.learn(torch.cat([inside, outside]), torch.tensor([40.0, 40.0]))
    assert_close(sampler.look_up(inside), torch.tensor([40.0]))
    assert_close(sampler.look_up(outside), torch.tensor([0.0]))
    sampler.learn(inside, torch.tensor([2.0]))
    assert_close(sampler.look_up(inside), torch.tensor([20.0]))
    for _ in range(60):
        sampler.learn(inside, torch.tensor([0.0]))
    assert_close(sampler.look_up(inside), torch.tensor([0.01]))


def test_stretches_are_in_order_and_jitter_keeps_them_so():
    torch.manual_seed(0)
    sampler = slab_sampler(-0.5, 0.5, uniform_share=0.3).train()
    origins = torch.rand(50, 3) * 0.5 + torch.tensor([0.0, 0, 4])
    segments = look(sampler, origins, torch.tensor([[0.0, 0, -1]]).expand(50, 3))
    assert (segments.lengths >= 0).all()
