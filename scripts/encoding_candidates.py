"""Forms of encoding that were tried on a CPU and lost, so that the table of their measurements can be made again.

Each stands behind the interface of `stage2_nerf.encodings`. They share its idea, features that all codes share and
some that the code blends, and are about as large in what they can resolve; only how a point is looked up differs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numba
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from nerfstudio.field_components.encodings import HashEncoding
from torch import Tensor, nn

from stage2_nerf.deformation import sample_volumes
from stage2_nerf.encodings import BlendedEncoding, BlendedEncodingConfig, BlendedHashGrids, BlendedPlanes
from stage2_nerf.plane_look_up import PLANE_AXES

CandidateName = Literal["planes", "planes-grid-sample", "dense-grids", "hash-numba", "hash-torch", "hash-nerfstudio"]

WHAT: dict[CandidateName, str] = {
    "planes": "planes, channels side by side, compiled loops",
    "planes-grid-sample": "planes, grid_sample",
    "dense-grids": "dense 3D grids of 16, 32 and 64 cells, grid_sample",
    "hash-numba": "hash grid of 8 levels, compiled loops",
    "hash-torch": "hash grids in tiny-cuda-nn's order, torch",
    "hash-nerfstudio": "hash grids of nerfstudio, torch",
}


@dataclass
class CandidateConfig(BlendedEncodingConfig):
    """An encoding by its candidate's name."""

    candidate: CandidateName = "planes"
    """Which."""

    def build(self, code_size: int) -> BlendedEncoding:
        """The candidate."""
        return BUILDERS[self.candidate](self, code_size)


class GridSamplePlanes(BlendedEncoding):
    """The planes as they were: a channel is a picture, and `grid_sample` looks up each level by itself."""

    def __init__(self, config: BlendedEncodingConfig, code_size: int) -> None:
        super().__init__()
        self.static_levels = nn.ParameterList(
            nn.Parameter(0.1 * torch.randn(3, config.static_channels, 1, resolution, resolution))
            for resolution in config.static_resolutions
        )
        size, channels = config.blended_resolution, config.blended_channels
        self.blended_mean = nn.Parameter(0.1 * torch.randn(3, channels, 1, size, size))
        self.blended_basis = nn.Parameter(0.01 * torch.randn(code_size, 3, channels, size, size))
        self.out_dim = 3 * (len(config.static_resolutions) * config.static_channels + channels)

    def blend(self, codes: Float[Tensor, "frames code"]) -> Float[Tensor, "3 channels frames size size"]:
        return self.blended_mean + torch.einsum("fk,kpcyx->pcfyx", codes, self.blended_basis)

    def forward(self, positions: Tensor, frame: Tensor, blended: Tensor) -> Tensor:
        coordinates = torch.stack([positions[:, axes] for axes in PLANE_AXES]).clamp(-1, 1)
        levels = [self.look_up(level, coordinates, torch.zeros_like(frame)) for level in self.static_levels]
        levels.append(self.look_up(blended, coordinates, frame))
        return torch.cat([level.flatten(0, 1) for level in levels]).T

    def look_up(
        self,
        atlas: Float[Tensor, "planes channels frames height width"],
        coordinates: Float[Tensor, "planes points 2"],
        frame: Int[Tensor, "points"],
    ) -> Float[Tensor, "planes channels points"]:
        """The frames' planes as one tall picture."""
        planes, channels, frames, height, width = atlas.shape
        tall = atlas.reshape(planes, channels, frames * height, width)
        row = (coordinates[..., 1] + 1) * (0.5 * (height - 1)) + frame * height
        grid = torch.stack([coordinates[..., 0], row * (2 / (frames * height - 1)) - 1], dim=-1)
        values = F.grid_sample(tall, grid[:, None], mode="bilinear", padding_mode="border", align_corners=True)
        return values[:, :, 0]


class DenseGrids(BlendedEncoding):
    """Three grids of four features that all codes share, and one of eight that the code blends."""

    def __init__(self, config: BlendedEncodingConfig, code_size: int) -> None:
        super().__init__()
        self.static_levels = nn.ParameterList(
            nn.Parameter(0.1 * torch.randn(1, size, size, size, config.static_channels)) for size in (16, 32, 64)
        )
        shape = (24, 24, 24, config.blended_channels)
        self.blended_mean = nn.Parameter(0.1 * torch.randn(shape))
        self.blended_basis = nn.Parameter(0.01 * torch.randn(code_size, *shape))
        self.out_dim = len(self.static_levels) * config.static_channels + config.blended_channels

    def blend(self, codes: Float[Tensor, "frames code"]) -> Float[Tensor, "frames depth height width channels"]:
        grids = torch.addmm(self.blended_mean.flatten()[None], codes, self.blended_basis.flatten(1))
        return grids.view(-1, *self.blended_mean.shape)

    def forward(self, positions: Tensor, frame: Tensor, blended: Tensor) -> Tensor:
        shared = [sample_volumes(level, positions, torch.zeros_like(frame)) for level in self.static_levels]
        return torch.cat([*shared, sample_volumes(blended, positions, frame)], dim=1)


class CompiledHashGrid(BlendedEncoding):
    """Eight levels of four features, 8 to 256 cells a side, that all codes share, and a dense one that they blend."""

    levels, entries, features = 8, 1 << 15, 4

    def __init__(self, config: BlendedEncodingConfig, code_size: int) -> None:
        super().__init__()
        del config
        self.sides = np.geomspace(8, 256, self.levels).round().astype(np.int64)
        self.table = nn.Parameter(0.1 * torch.randn(1, self.levels, self.entries, self.features))
        # One level of 24 cells a side is dense in as many entries.
        self.blended_side = np.array([24, 24], dtype=np.int64)
        self.blended_mean = nn.Parameter(0.1 * torch.randn(2, 1 << 14, self.features))
        self.blended_basis = nn.Parameter(0.01 * torch.randn(code_size, 2, 1 << 14, self.features))
        self.out_dim = (self.levels + 2) * self.features

    def blend(self, codes: Float[Tensor, "frames code"]) -> Float[Tensor, "frames levels entries features"]:
        tables = torch.addmm(self.blended_mean.flatten()[None], codes, self.blended_basis.flatten(1))
        return tables.view(-1, *self.blended_mean.shape)

    def forward(self, positions: Tensor, frame: Tensor, blended: Tensor) -> Tensor:
        shared = HashLookUp.apply(positions, torch.zeros_like(frame), self.table, self.sides)
        own = HashLookUp.apply(positions, frame, blended, self.blended_side)
        return torch.cat([shared, own], dim=1)  # pyright: ignore[reportArgumentType, reportCallIssue]


class HashLookUp(torch.autograd.Function):
    """Trilinear look-up in hash tables."""

    @staticmethod
    def forward(ctx: Any, positions: Tensor, frame: Tensor, tables: Tensor, sides: np.ndarray) -> Tensor:
        ctx.save_for_backward(positions, frame, tables)
        ctx.sides = sides
        found = torch.zeros(len(positions), tables.shape[1] * tables.shape[3])
        gather(positions.detach().numpy(), frame.numpy(), tables.detach().numpy(), sides, found.numpy())
        return found

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        positions, frame, tables = ctx.saved_tensors
        moved, found = torch.zeros_like(positions), torch.zeros_like(tables)
        arrays = (tensor.detach().contiguous().numpy() for tensor in (positions, frame, tables, gradient, moved, found))
        scatter(ctx.sides, *arrays)
        return moved, None, found, None


@numba.njit(cache=True, nogil=True, error_model="numpy")
def cell_along(coordinate, side):
    """Along one axis: the cell that a coordinate in [-1, 1] is in, and how far it is on the way through it."""
    one = np.float32(1)
    scaled = min(max((coordinate + one) * np.float32(0.5), np.float32(0)), one) * np.float32(side)
    low = min(np.int64(scaled), side - 1)
    return low, scaled - np.float32(low)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def hash_corner(positions, point, corner, side, entries):
    """The entry of one of the eight corners around a point, and its share along each axis."""
    one = np.float32(1)
    x, right = cell_along(positions[point, 0], side)
    y, up = cell_along(positions[point, 1], side)
    z, deep = cell_along(positions[point, 2], side)
    dx, dy, dz = corner & 1, (corner >> 1) & 1, corner >> 2
    x, y, z = x + dx, y + dy, z + dz
    if (side + 1) ** 3 <= entries:
        entry = x + (side + 1) * (y + (side + 1) * z)
    else:
        entry = (x ^ (y * 2654435761) ^ (z * 805459861)) & (entries - 1)
    return entry, (right if dx else one - right, up if dy else one - up, deep if dz else one - deep)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def gather(positions, frame, tables, sides, features):
    """Fill in every point's features."""
    count = tables.shape[3]
    for level in range(len(sides)):
        for point in range(len(positions)):
            for corner in range(8):
                entry, share = hash_corner(positions, point, corner, sides[level], tables.shape[2])
                weight = share[0] * share[1] * share[2]
                for feature in range(count):
                    value = weight * tables[frame[point], level, entry, feature]
                    features[point, level * count + feature] += value


@numba.njit(cache=True, nogil=True, error_model="numpy")
def scatter(sides, positions, frame, tables, gradient, moved, table_gradient):
    """Add every point's gradient to the tables', and its own."""
    count = tables.shape[3]
    for level in range(len(sides)):
        half = np.float32(0.5) * np.float32(sides[level])
        for point in range(len(positions)):
            for corner in range(8):
                entry, share = hash_corner(positions, point, corner, sides[level], tables.shape[2])
                weight = share[0] * share[1] * share[2]
                pulled = np.float32(0)
                for feature in range(count):
                    pull = gradient[point, level * count + feature]
                    pulled += pull * tables[frame[point], level, entry, feature]
                    table_gradient[frame[point], level, entry, feature] += weight * pull
                for axis in range(3):
                    sign = half if (corner >> axis) & 1 else -half
                    moved[point, axis] += sign * share[(axis + 1) % 3] * share[(axis + 2) % 3] * pulled


class NerfstudioHashGrids(BlendedHashGrids):
    """The product's hash grids, each table nerfstudio's own in torch."""

    def __init__(self, config: BlendedEncodingConfig, code_size: int) -> None:
        super().__init__(config, code_size)
        self.tables = nn.ModuleList(
            HashEncoding(
                num_levels=config.hash_levels,
                min_res=16,
                max_res=config.hash_max_resolution,
                log2_hashmap_size=config.log2_hashmap_size,
                features_per_level=self.features_per_grid * self.grids_per_table,
                implementation="torch",
            )
            for _ in self.tables
        )


BUILDERS: dict[CandidateName, Callable[[BlendedEncodingConfig, int], BlendedEncoding]] = {
    "planes": BlendedPlanes,
    "planes-grid-sample": GridSamplePlanes,
    "dense-grids": DenseGrids,
    "hash-numba": CompiledHashGrid,
    "hash-torch": BlendedHashGrids,
    "hash-nerfstudio": NerfstudioHashGrids,
}
