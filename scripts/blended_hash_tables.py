"""Hash grids blended whole before they are looked up, as in NeRFBlendShape (Gao et al. 2022, arXiv 2210.06108, eq. 4).

One table of every level for each expression basis; a frame's table is their sum, weighted by the frame's expression,
and a point is looked up once, in its frame's table (Mueller et al. 2022). On a CPU the look-up is compiled by numba,
level by level, so that a level's table stays in the cache; elsewhere it is plain torch, which the tests hold the
other to.
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from numba import njit, prange
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable

PRIMES = (1, 2654435761, 805459861)
"""The spatial hash's factors (Mueller et al. 2022, eq. 4)."""


class BlendedHashTables(nn.Module):
    """One multi-resolution hash grid for each basis, blended linearly."""

    def __init__(
        self,
        bases: int,
        *,
        levels: int = 16,
        features: int = 4,
        log2_entries: int = 14,
        coarsest: int = 16,
        finest: int = 1024,
    ) -> None:
        """Start near zero, with the published sizes."""
        super().__init__()
        growth = (finest / coarsest) ** (1 / (levels - 1))
        self.resolutions = [int(np.floor(coarsest * growth**level + 1e-6)) for level in range(levels)]
        self.shape = levels, 1 << log2_entries, features
        self.tables = nn.Parameter(1e-4 * (2 * torch.rand(bases, int(np.prod(self.shape))) - 1))
        self.gradient: Tensor | None = None
        self.out_dim = levels * features

    def blend(self, weights: Float[Tensor, "frames bases"]) -> Float[Tensor, "frames levels entries features"]:
        """The frames' own tables."""
        if self.tables.device.type == "cpu":
            return KeptGradientBlend.apply(weights, self.tables, self).view(-1, *self.shape)  # pyright: ignore
        return (weights @ self.tables).view(-1, *self.shape)

    def forward(
        self,
        unit_positions: Float[Tensor, "points 3"],
        frame: Int[Tensor, "points"],
        blended: Float[Tensor, "frames levels entries features"],
    ) -> Float[Tensor, "points features"]:
        """Features at positions in [0, 1], each of its own frame's table; positions have no gradient."""
        if blended.device.type == "cpu":
            return CompiledLookUp.apply(unit_positions, frame, blended, self.resolutions)  # pyright: ignore
        return look_up(unit_positions, frame, blended, self.resolutions)


def look_up(
    unit_positions: Float[Tensor, "points 3"],
    frame: Int[Tensor, "points"],
    blended: Float[Tensor, "frames levels entries features"],
    resolutions: list[int],
) -> Float[Tensor, "points features"]:
    """Trilinear look-up in hash tables, in torch."""
    entries = blended.shape[2]
    features = []
    for level, resolution in enumerate(resolutions):
        scaled = unit_positions.clamp(0, 1) * resolution
        low = scaled.long().clamp(max=resolution - 1)
        fraction = scaled - low
        found = torch.zeros(len(scaled), blended.shape[3], device=blended.device)
        for corner in range(8):
            offset = torch.tensor([corner & 1, corner >> 1 & 1, corner >> 2], device=low.device)
            cell = low + offset
            if (resolution + 1) ** 3 <= entries:
                index = (cell[:, 2] * (resolution + 1) + cell[:, 1]) * (resolution + 1) + cell[:, 0]
            else:
                index = (cell[:, 0] * PRIMES[0] ^ cell[:, 1] * PRIMES[1] ^ cell[:, 2] * PRIMES[2]) & (entries - 1)
            weight = torch.where(offset.bool(), fraction, 1 - fraction).prod(-1, keepdim=True)
            found = found + weight * blended[frame, level, index]
        features.append(found)
    return torch.cat(features, dim=-1)


class KeptGradientBlend(torch.autograd.Function):
    """`weights @ tables`, whose gradient of the tables is written into the same memory every time.

    It is as large as all tables together, 193 MB as published: to ask the system for so much anew took longer than to
    compute it. The weights are data and have no gradient.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, weights: Tensor, tables: Tensor, owner: BlendedHashTables) -> Tensor:
        ctx.save_for_backward(weights)  # pyright: ignore[reportAttributeAccessIssue]
        ctx.owner = owner  # pyright: ignore[reportAttributeAccessIssue]
        return weights @ tables

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[None, None, None]:  # pyright: ignore
        (weights,) = ctx.saved_tensors  # pyright: ignore[reportAttributeAccessIssue]
        owner: BlendedHashTables = ctx.owner  # pyright: ignore[reportAttributeAccessIssue]
        if owner.gradient is None:
            owner.gradient = torch.empty_like(owner.tables)
        assert owner.tables.grad is None, "one look-up a step"
        owner.tables.grad = torch.mm(weights.T, gradient, out=owner.gradient)
        return None, None, None


class CompiledLookUp(torch.autograd.Function):
    """`look_up` on a CPU, compiled."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, unit_positions: Tensor, frame: Tensor, blended: Tensor, resolutions: list[int]
    ) -> Tensor:
        ctx.save_for_backward(unit_positions, frame)  # pyright: ignore[reportAttributeAccessIssue]
        ctx.shape, ctx.resolutions = blended.shape, np.array(resolutions)  # pyright: ignore
        features = torch.empty(len(frame), blended.shape[1] * blended.shape[3])
        positions, frames, tables = (values.detach().contiguous() for values in (unit_positions, frame, blended))
        gather(positions.numpy(), frames.numpy(), tables.numpy(), features.numpy(), np.array(resolutions))
        return features

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[None, None, Tensor, None]:  # pyright: ignore
        unit_positions, frame = ctx.saved_tensors  # pyright: ignore[reportAttributeAccessIssue]
        tables = torch.zeros(ctx.shape)  # pyright: ignore[reportAttributeAccessIssue]
        positions, frames, gradients = (values.contiguous().numpy() for values in (unit_positions, frame, gradient))
        scatter(positions, frames, tables.numpy(), gradients, ctx.resolutions)  # pyright: ignore
        return None, None, tables, None


@njit(fastmath=True, cache=True)
def axis_cell(coordinate, resolution):
    """Along one axis: the lower of the grid's lines around a coordinate in [0, 1], and how far above it that is."""
    scaled = min(max(coordinate, np.float32(0)), np.float32(1)) * np.float32(resolution)
    low = min(np.int64(scaled), resolution - 1)
    return low, np.float32(scaled - low)


@njit(fastmath=True, cache=True)
def entry(x, y, z, resolution, entries):
    """The entry of a level's table that holds a corner of the grid."""
    if (resolution + 1) ** 3 <= entries:
        return (z * (resolution + 1) + y) * (resolution + 1) + x
    return (x ^ (y * 2654435761) ^ (z * 805459861)) & (entries - 1)


@njit(parallel=True, fastmath=True, cache=True)
def gather(positions, frame, tables, features, resolutions):
    """Fill in every point's features."""
    entries, count, one = tables.shape[2], tables.shape[3], np.float32(1)
    for level in prange(len(resolutions)):
        resolution, first = resolutions[level], level * count
        for point in range(len(positions)):
            x, right = axis_cell(positions[point, 0], resolution)
            y, up = axis_cell(positions[point, 1], resolution)
            z, deep = axis_cell(positions[point, 2], resolution)
            for feature in range(count):
                features[point, first + feature] = 0
            for corner in range(8):
                dx, dy, dz = corner & 1, (corner >> 1) & 1, corner >> 2
                weight = (right if dx else one - right) * (up if dy else one - up) * (deep if dz else one - deep)
                index = entry(x + dx, y + dy, z + dz, resolution, entries)
                for feature in range(count):
                    features[point, first + feature] += weight * tables[frame[point], level, index, feature]


@njit(parallel=True, fastmath=True, cache=True)
def scatter(positions, frame, tables, gradient, resolutions):
    """Add every point's gradient to the tables': a level belongs to one thread, so none writes where another does."""
    entries, count, one = tables.shape[2], tables.shape[3], np.float32(1)
    for level in prange(len(resolutions)):
        resolution, first = resolutions[level], level * count
        for point in range(len(positions)):
            x, right = axis_cell(positions[point, 0], resolution)
            y, up = axis_cell(positions[point, 1], resolution)
            z, deep = axis_cell(positions[point, 2], resolution)
            for corner in range(8):
                dx, dy, dz = corner & 1, (corner >> 1) & 1, corner >> 2
                weight = (right if dx else one - right) * (up if dy else one - up) * (deep if dz else one - deep)
                index = entry(x + dx, y + dy, z + dz, resolution, entries)
                for feature in range(count):
                    tables[frame[point], level, index, feature] += weight * gradient[point, first + feature]
