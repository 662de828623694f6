"""The way from observed to canonical space."""

import numpy as np
import torch
from torch.testing import assert_close

from stage2_nerf.canonical_field import CanonicalField, CanonicalFieldConfig
from stage2_nerf.deformation import Deformation, sample_volumes, spread_displacements, warp
from stage2_nerf.encodings import BlendedEncodingConfig

BOX = np.array([[-1.0, -1, -1], [1, 1, 1]])
FIELD = CanonicalFieldConfig(
    encoding=BlendedEncodingConfig(kind="planes", static_resolutions=(8,), blended_resolution=8), code_size=3
)


def sheet():
    """Points of a plane through the middle of the box."""
    side = np.linspace(-0.8, 0.8, 17)
    x, y = np.meshgrid(side, side)
    return np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], axis=1)


def test_a_surface_that_moves_as_one_moves_the_space_at_it_alike_and_leaves_the_far_space_alone():
    vertices = sheet()
    deltas = np.broadcast_to(np.array([0.1, -0.2, 0.3]), (1, *vertices.shape))
    grid = torch.from_numpy(spread_displacements(vertices, deltas, BOX, resolution=21, reach=0.2))
    at_surface = sample_volumes(grid, torch.tensor([[0.3, -0.4, 0.0]]), torch.tensor([0]))
    far = sample_volumes(grid, torch.tensor([[0.0, 0.0, 1.0]]), torch.tensor([0]))
    assert_close(at_surface, torch.tensor([[0.1, -0.2, 0.3]]), atol=1e-5, rtol=1e-4)
    assert far.abs().max() < 1e-4


def test_deformation_starts_as_the_identity_where_nothing_is_known():
    deformation = Deformation(None, code_size=3, learned_resolution=4)
    assert deformation.blend(torch.randn(2, 6), torch.randn(2, 3)).abs().max() == 0


def test_expression_is_taken_back():
    """A vertex that an expression moved is carried to where it rests."""
    vertices = sheet()
    deltas = np.zeros((2, *vertices.shape))
    deltas[1, :, 1] = -0.15
    known = torch.from_numpy(spread_displacements(vertices, deltas, BOX, resolution=33, reach=0.4))
    field = CanonicalField(FIELD, torch.from_numpy(BOX).float(), torch.rand(10, 2), known)
    resting = torch.tensor([[0.1, 0.2, 0.0], [-0.3, 0.1, 0.0]])
    conditions = torch.tensor([[0.0, 0.0], [0.0, 1.0]])
    observed = torch.stack([resting[0], resting[1] + torch.tensor([0.0, -0.15, 0.0])])
    canonical = field.to_canonical(observed, torch.tensor([0, 1]), field.blend(conditions))
    # The displacement fades by half a percent at voxels that lie between vertices.
    assert_close(canonical, resting, atol=2e-3, rtol=0)


def test_volumes_of_different_frames_do_not_mix():
    """Only the second frame moves anything, by a quarter of the box's side."""
    volumes = torch.zeros(3, 4, 4, 4, 3)
    volumes[1] = 0.5
    points = torch.tensor([[0.0, 0, -1], [0, 0, 1], [0, 0, 0]])
    box = torch.from_numpy(BOX).float()
    for number, value in ((0, 0.0), (1, 0.5), (2, 0.0)):
        frame = torch.full((3,), number)
        assert_close(sample_volumes(volumes, points, frame), torch.full((3, 3), value))
        assert_close(warp(points, frame, volumes, box), points + value)
