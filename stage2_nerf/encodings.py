"""Feature encodings of canonical space, blended by a code: `sum_k code_k * E_k(x)`.

Blending whole tables before they are looked up follows NeRFBlendShape (Gao et al. 2022, arXiv 2210.06108, eq. 4); a
reduced, learned basis follows RGBAvatar (Li et al. 2025). Two forms stand behind one interface: feature planes, looked
up by `grid_sample`, which a CPU does well, and hash grids, which tiny-cuda-nn does well.
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from nerfstudio.field_components.encodings import HashEncoding
from nerfstudio.utils.external import TCNN_EXISTS
from torch import Tensor, nn

from stage2_nerf.plane_look_up import look_up_planes


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
    """Hash grids: levels, from 16 to `hash_max_resolution` cells a side."""
    hash_max_resolution: int = 1024
    """Hash grids: cells along a side of the finest level."""
    log2_hashmap_size: int = 16
    """Hash grids: logarithm of the entries per level."""
    hash_implementation: Literal["tcnn", "torch"] = "tcnn"
    """Hash grids: tiny-cuda-nn, or nerfstudio's own in torch (slow; for checking one against the other)."""


def build_encoding(config: BlendedEncodingConfig, code_size: int) -> "BlendedPlanes | BlendedHashGrids":
    """The encoding that the configuration names, for codes of `code_size` numbers."""
    has_fast_hash = torch.cuda.is_available() and TCNN_EXISTS
    if config.kind == "hash" or (config.kind == "auto" and has_fast_hash):
        return BlendedHashGrids(config, code_size)
    return BlendedPlanes(config, code_size)


class BlendedPlanes(nn.Module):
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
        codes: Float[Tensor, "frames code"],
    ) -> Float[Tensor, "points features"]:
        """Features at canonical positions in [-1, 1], each blended for its own frame."""
        return look_up_planes(positions, frame, [*self.static_levels, blended])


class BlendedHashGrids(nn.Module):
    """Multi-resolution hash grids (Mueller et al. 2022), one per entry of the code and one that all codes share.

    Grids are packed four to a table of eight features, so that one fused look-up fetches four of them.
    """

    features_per_grid = 2
    grids_per_table = 4

    def __init__(self, config: BlendedEncodingConfig, code_size: int) -> None:
        super().__init__()
        tables = -(-(code_size + 1) // self.grids_per_table)
        self.levels = config.hash_levels
        self.tables = nn.ModuleList(
            HashEncoding(
                num_levels=config.hash_levels,
                min_res=16,
                max_res=config.hash_max_resolution,
                log2_hashmap_size=config.log2_hashmap_size,
                features_per_level=self.features_per_grid * self.grids_per_table,
                implementation=config.hash_implementation,
            )
            for _ in range(tables)
        )
        self.unused_weights = tables * self.grids_per_table - (code_size + 1)
        self.out_dim = config.hash_levels * self.features_per_grid

    def blend(self, codes: Float[Tensor, "frames code"]) -> Float[Tensor, "frames grids"]:
        """The weight of every grid in each frame: 1 for the shared one, then the code, then zeros for the padding."""
        return F.pad(F.pad(codes, (1, 0), value=1.0), (0, self.unused_weights))

    def forward(
        self,
        positions: Float[Tensor, "points 3"],
        frame: Int[Tensor, "points"],
        blended: Float[Tensor, "frames grids"],
        codes: Float[Tensor, "frames code"],
    ) -> Float[Tensor, "points features"]:
        """Features at canonical positions in [-1, 1], each blended for its own frame."""
        unit = (positions * 0.5 + 0.5).clamp(0, 1)
        values = torch.stack([table(unit).float() for table in self.tables], dim=1)
        values = values.reshape(-1, len(self.tables), self.levels, self.grids_per_table, self.features_per_grid)
        weights = blended[frame].reshape(-1, len(self.tables), self.grids_per_table)
        return torch.einsum("ptg,ptlgf->plf", weights, values).flatten(1)
