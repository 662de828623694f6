"""From head space to canonical space: an expression's displacement is taken back.

A displacement basis lives on a coarse voxel grid. It starts as the head model's expression deltas, spread into space
around the surface that they move, and a small learned basis is added to it. The blend is linear in the code, which the
published comparisons find as good as a network (GPAvatar, Feng et al. 2025, table 4).
"""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from scipy.spatial import KDTree
from torch import Tensor, nn


def spread_displacements(
    vertices: Float[np.ndarray, "vertices 3"],
    deltas: Float[np.ndarray, "expressions vertices 3"],
    box: Float[np.ndarray, "2 3"],
    resolution: int,
    reach: float,
) -> Float[np.ndarray, "expressions 3 depth height width"]:
    """Displacements of a surface, spread to the voxels around it.

    A voxel takes the mean of its eight nearest vertices' displacements, weighted by a Gaussian of distance, and fades
    out with its distance to the nearest of them.

    Args:
        vertices: the neutral surface.
        deltas: how far each expression moves each vertex.
        box: lowest and highest corner of the grid, whose outermost voxels are centred there.
        resolution: voxels along each side.
        reach: standard deviation of the fading, in the vertices' unit.
    """
    sides = [np.linspace(box[0, axis], box[1, axis], resolution) for axis in range(3)]
    z, y, x = np.meshgrid(sides[2], sides[1], sides[0], indexing="ij")
    voxels = np.stack([x, y, z], axis=-1).reshape(-1, 3)
    distance, nearest = KDTree(vertices).query(voxels, k=8)
    bandwidth = np.maximum(distance[:, :1], 0.25 * reach)
    weights = np.exp(-0.5 * (distance / bandwidth) ** 2)
    weights /= weights.sum(axis=1, keepdims=True)
    weights *= np.exp(-0.5 * (distance[:, :1] / reach) ** 2)
    spread = np.einsum("vn,evnc->ecv", weights, deltas[:, nearest])
    return spread.reshape(len(deltas), 3, resolution, resolution, resolution).astype(np.float32)


def sample_atlas_volumes(
    atlas: Float[Tensor, "frames channels depth height width"],
    coordinates: Float[Tensor, "points 3"],
    frame: Int[Tensor, "points"],
) -> Float[Tensor, "points channels"]:
    """Trilinear look-up in volumes that differ from frame to frame, every point in its own frame's.

    As `encodings.sample_atlas_planes`: the frames are stacked along depth, and look-ups stay within their own slices.

    Args:
        atlas: the volumes.
        coordinates: x, y, z in [-1, 1], from centre to centre of the outermost voxels.
        frame: which frame each point belongs to.
    """
    frames, channels, depth, height, width = atlas.shape
    tall = atlas.permute(1, 0, 2, 3, 4).reshape(1, channels, frames * depth, height, width)
    inside = coordinates.clamp(-1, 1)
    slice_index = (inside[:, 2] + 1) * (0.5 * (depth - 1)) + frame * depth
    grid = torch.stack([inside[:, 0], inside[:, 1], slice_index * (2 / (frames * depth - 1)) - 1], dim=-1)
    values = F.grid_sample(tall, grid[None, :, None, None], mode="bilinear", padding_mode="border", align_corners=True)
    return values[0, :, :, 0, 0].T


class Deformation(nn.Module):
    """Displacement from observed to canonical space, linear in a condition and in its reduced code."""

    def __init__(
        self,
        known_basis: Float[Tensor, "conditions 3 depth height width"] | None,
        code_size: int,
        learned_resolution: int,
    ) -> None:
        """Start as the known basis alone.

        Args:
            known_basis: what one unit of each condition moves the surface by; none where nothing is known.
            code_size: the reduced code's numbers.
            learned_resolution: voxels along a side of the learned part; as the known basis where there is one.
        """
        super().__init__()
        self.register_buffer("known_basis", known_basis)
        size = learned_resolution if known_basis is None else known_basis.shape[-1]
        self.learned_basis = nn.Parameter(torch.zeros(code_size, 3, size, size, size))

    def blend(
        self, conditions: Float[Tensor, "frames conditions"], codes: Float[Tensor, "frames code"]
    ) -> Float[Tensor, "frames 3 depth height width"]:
        """Each frame's displacement, from observed to canonical space."""
        displacement = torch.einsum("fk,kcdhw->fcdhw", codes, self.learned_basis)
        if self.known_basis is not None:
            displacement = displacement - torch.einsum("fe,ecdhw->fcdhw", conditions, self.known_basis)
        return displacement
