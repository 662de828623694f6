"""The losing forms of encoding are what the table says they are: else the winner would have beaten straw men."""

import pytest
import torch
from encoding_candidates import CandidateConfig, CompiledHashGrid, GridSamplePlanes
from torch.testing import assert_close

from stage2_nerf.encodings import BlendedPlanes

SIZES = {"static_resolutions": (8, 16), "blended_resolution": 8}


def points(count=300):
    torch.manual_seed(0)
    return (1.8 * torch.rand(count, 3) - 0.9).requires_grad_(), torch.arange(count) % 2


def test_planes_by_grid_sample_are_the_products_planes():
    ours = BlendedPlanes(CandidateConfig(**SIZES), 3)
    theirs = CandidateConfig(candidate="planes-grid-sample", **SIZES).build(3)
    assert isinstance(theirs, GridSamplePlanes)
    with torch.no_grad():
        for own, other in zip(ours.static_levels, theirs.static_levels, strict=True):
            other.copy_(own[0].permute(0, 3, 1, 2)[:, :, None])
        theirs.blended_mean.copy_(ours.blended_mean.permute(0, 3, 1, 2)[:, :, None])
        theirs.blended_basis.copy_(ours.blended_basis.permute(0, 1, 4, 2, 3))
    codes = torch.randn(2, 3)
    positions, frame = points()
    found = [encoding(positions, frame, encoding.blend(codes)) for encoding in (ours, theirs)]
    assert_close(*found, atol=1e-4, rtol=1e-3)


def test_the_compiled_hash_grids_gradients_are_differences():
    encoding = CompiledHashGrid(CandidateConfig(), 3)
    positions, frame = points()
    codes = torch.randn(2, 3)

    def total(moved):
        return encoding(moved, frame, encoding.blend(codes)).sum(1)

    (gradient,) = torch.autograd.grad(total(positions).sum(), positions)
    step = 1e-3
    for axis in range(3):
        move = step * torch.eye(3)[axis]
        with torch.no_grad():
            difference = (total(positions + move) - total(positions - move)) / (2 * step)
        # A few steps cross into the next cell of some level.
        error = (gradient[:, axis] - difference).abs()
        assert error.median() < 0.01 * difference.abs().median()
    table = torch.autograd.grad(total(positions)[0], encoding.table)[0]
    # Each of the eight levels gives its corners' shares, which are 1 together, to each of four features.
    assert_close(table.sum(), torch.tensor(32.0), atol=1e-3, rtol=0)


@pytest.mark.parametrize("name", ["dense-grids", "hash-numba", "planes-grid-sample"])
def test_candidates_are_affine_in_the_code(name):
    encoding = CandidateConfig(candidate=name, **SIZES).build(3)
    positions, _ = points(20)
    first, second = torch.randn(2, 3)
    found = [
        encoding(positions, torch.zeros(20, dtype=torch.long), encoding.blend(code[None]))
        for code in (first, second, 0.25 * first + 0.75 * second)
    ]
    assert_close(found[2], 0.25 * found[0] + 0.75 * found[1], atol=1e-4, rtol=1e-3)
