"""Feature encodings of canonical space, blended by a code: `sum_k code_k * E_k(x)`.

Blending whole tables before they are looked up follows NeRFBlendShape (Gao et al. 2022, arXiv 2210.06108, eq. 4); a
reduced, learned basis follows RGBAvatar (Li et al. 2025). Two forms stand behind one interface: feature planes, looked
up by compiled loops, which a CPU does well, and hash grids, which tiny-cuda-nn does well on a GPU. What else was tried
on a CPU, and how it compares, is measured by `scripts/benchmark_encodings.py`. A checkpoint of one form is fitted anew
where a run asks for the other (`refit`).
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from stage2_nerf.plane_look_up import look_up_planes
from stage2_nerf.tiny_cuda import HashGrid, Implementation, has_tiny_cuda

HASH_COARSEST = 16
"""Vertices along a side of the hash grids' first level."""

KNOWN_POINTS = 16
"""Points whose values hash grids carry, so that it shows when they are read in another order."""


@dataclass
class BlendedEncodingConfig:
    """How canonical space is described."""

    kind: Literal["auto", "planes", "hash"] = "auto"
    """Feature planes, or hash grids; auto takes hash grids where CUDA and tiny-cuda-nn are there, else planes."""
    static_resolutions: tuple[int, ...] = (64, 128, 256)
    """Planes: texels along a side, of each level that all codes share."""
    static_channels: int = 4
    """Planes: features per level that all codes share."""
    blended_resolution: int = 64
    """Planes: texels along a side of the blended level."""
    blended_channels: int = 8
    """Planes: features of the blended level."""
    hash_levels: int = 16
    """Hash grids: levels, from 16 to `hash_max_resolution` vertices a side."""
    hash_max_resolution: int = 1024
    """Hash grids: vertices along a side of the finest level."""
    log2_hashmap_size: int = 16
    """Hash grids: logarithm of the entries per level."""
    hash_implementation: Implementation = "auto"
    """Hash grids: who computes on a CUDA device, tiny-cuda-nn or torch (slow); auto takes the first where it is."""

    def build(self, code_size: int) -> "BlendedEncoding":
        """The encoding, for codes of `code_size` numbers.

        Raises:
            UserError: it asks for tiny-cuda-nn, which is not here.
        """
        if self.kind == "hash" or (self.kind == "auto" and has_tiny_cuda()):
            return BlendedHashGrids(self, code_size)
        return BlendedPlanes(self, code_size)


class BlendedEncoding(nn.Module):
    """Features of canonical positions, blended for each moment: the interface of all forms."""

    out_dim: int
    """Features of a position."""

    def blend(self, codes: Float[Tensor, "frames code"]) -> Tensor:
        """What the look-ups at some moments need, made once for all of their points."""
        raise NotImplementedError

    def forward(
        self, positions: Float[Tensor, "points 3"], frame: Int[Tensor, "points"], blended: Tensor
    ) -> Float[Tensor, "points features"]:
        """Features at canonical positions in [-1, 1], each blended for its own frame."""
        raise NotImplementedError


class BlendedPlanes(BlendedEncoding):
    """Three axis-aligned feature planes (EG3D, Chan et al. 2022): several shared levels and one blended by the code."""

    def __init__(self, config: BlendedEncodingConfig, code_size: int) -> None:
        super().__init__()
        self.static_levels = nn.ParameterList(
            nn.Parameter(0.1 * torch.randn(1, 3, resolution, resolution, config.static_channels))
            for resolution in config.static_resolutions
        )
        size, channels = config.blended_resolution, config.blended_channels
        self.blended_mean = nn.Parameter(0.1 * torch.randn(3, size, size, channels))
        self.blended_basis = nn.Parameter(0.01 * torch.randn(code_size, 3, size, size, channels))
        self.out_dim = 3 * (len(config.static_resolutions) * config.static_channels + channels)

    def blend(self, codes: Float[Tensor, "frames code"]) -> Float[Tensor, "frames 3 size size channels"]:
        """The blended level of each frame."""
        planes = torch.addmm(self.blended_mean.flatten()[None], codes, self.blended_basis.flatten(1))
        return planes.view(-1, *self.blended_mean.shape)

    def forward(
        self,
        positions: Float[Tensor, "points 3"],
        frame: Int[Tensor, "points"],
        blended: Float[Tensor, "frames 3 size size channels"],
    ) -> Float[Tensor, "points features"]:
        """Features at canonical positions in [-1, 1], each blended for its own frame."""
        return look_up_planes(positions, frame, [*self.static_levels, blended])


class BlendedHashGrids(BlendedEncoding):
    """Multi-resolution hash grids (Mueller et al. 2022), one per entry of the code and one that all codes share.

    Grids are packed four to a table of eight features, so that one fused look-up fetches four of them. Blending what
    was looked up is the same as looking up in blended grids, and needs no table for every frame.
    """

    features_per_grid = 2
    grids_per_table = 4
    sizes: Tensor
    known_values: Tensor

    def __init__(self, config: BlendedEncodingConfig, code_size: int) -> None:
        super().__init__()
        tables = -(-(code_size + 1) // self.grids_per_table)
        self.levels = config.hash_levels
        self.tables = nn.ModuleList(
            HashGrid(
                levels=config.hash_levels,
                coarsest=HASH_COARSEST,
                finest=config.hash_max_resolution,
                log2_entries=config.log2_hashmap_size,
                features=self.features_per_grid * self.grids_per_table,
                implementation=config.hash_implementation,
            )
            for _ in range(tables)
        )
        self.unused_weights = tables * self.grids_per_table - (code_size + 1)
        self.out_dim = config.hash_levels * self.features_per_grid
        sizes = [config.hash_levels, config.hash_max_resolution, config.log2_hashmap_size]
        self.register_buffer("sizes", torch.tensor(sizes))
        self.register_buffer("known_values", torch.zeros(KNOWN_POINTS, tables * config.hash_levels * 8))
        self.register_state_dict_pre_hook(keep_known_values)

    def blend(self, codes: Float[Tensor, "frames code"]) -> Float[Tensor, "frames grids"]:
        """The weight of every grid in each frame: 1 for the shared one, then the code, then zeros for the padding."""
        return F.pad(F.pad(codes, (1, 0), value=1.0), (0, self.unused_weights))

    def forward(
        self,
        positions: Float[Tensor, "points 3"],
        frame: Int[Tensor, "points"],
        blended: Float[Tensor, "frames grids"],
    ) -> Float[Tensor, "points features"]:
        """Features at canonical positions in [-1, 1], each blended for its own frame."""
        unit = (positions * 0.5 + 0.5).clamp(0, 1)
        values = torch.stack([table(unit) for table in self.tables], dim=1)
        values = values.reshape(-1, len(self.tables), self.levels, self.grids_per_table, self.features_per_grid)
        weights = blended[frame].reshape(-1, len(self.tables), self.grids_per_table)
        return torch.einsum("ptg,ptlgf->plf", weights, values).flatten(1)

    @torch.no_grad()
    def values_at_known_points(self) -> Float[Tensor, "points values"]:
        """What every table holds at a few fixed points."""
        generator = torch.Generator().manual_seed(0)
        points = torch.rand(KNOWN_POINTS, 3, generator=generator).to(self.known_values.device)
        return torch.cat([table(points) for table in self.tables], dim=1)

    def is_read_rightly(self) -> bool:
        """Whether the tables give here, within half precision, what they gave where they were saved."""
        here, there = self.values_at_known_points(), self.known_values
        return bool((here - there).abs().max() <= 0.01 * there.abs().max() + 1e-6)


def keep_known_values(module: nn.Module, *_: Any) -> None:
    """Before the tables are saved: note what they hold at a few points."""
    assert isinstance(module, BlendedHashGrids)
    module.known_values.copy_(module.values_at_known_points())
