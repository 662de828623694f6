"""From head space to canonical space: an expression's displacement is taken back.

A displacement basis lives on a coarse voxel grid. It starts as the head model's expression deltas, spread into space
around the surface that they move, and a small learned basis is added to it. The blend is linear in the code, which the
published comparisons find as good as a network (GPAvatar, Feng et al. 2025, table 4).
"""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from scipy.spatial import KDTree
from torch import Tensor, nn

from stage2_nerf import look_up_kernels
from stage2_nerf.kernels import in_slices
from stage2_nerf.losses import smoothness_loss
from stage2_nerf.plane_look_up import as_array, check_frames, in_parallel


def spread_displacements(
    vertices: Float[np.ndarray, "vertices 3"],
    deltas: Float[np.ndarray, "expressions vertices 3"],
    box: Float[np.ndarray, "2 3"],
    resolution: int,
    reach: float,
) -> Float[np.ndarray, "expressions depth height width 3"]:
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
    spread = np.einsum("vn,evnc->evc", weights, deltas[:, nearest])
    return np.ascontiguousarray(spread.reshape(len(deltas), resolution, resolution, resolution, 3), np.float32)


def warp(
    positions: Float[Tensor, "points 3"],
    frame: Int[Tensor, "points"],
    displacement: Float[Tensor, "frames depth height width 3"],
    box: Float[Tensor, "2 3"],
) -> Float[Tensor, "points 3"]:
    """Observed positions, in scene units, carried to canonical space: to positions in [-1, 1] within the box.

    Gradients reach positions and displacements. On the CPU this is one compiled loop.

    Args:
        positions: observed.
        frame: which frame each point is observed in.
        displacement: from observed to canonical space, on a cube of voxels over the box; its outermost voxels are
            centred on the box's sides, and hold beyond them.
        box: lowest and highest corner.
    """
    if positions.device.type == "cpu":
        canonical = Warp.apply(positions, frame, displacement, box)
        assert isinstance(canonical, Tensor)
        return canonical
    moved = positions + sample_volumes(displacement, normalise(positions, box), frame)
    return normalise(moved, box)


def normalise(positions: Float[Tensor, "points 3"], box: Float[Tensor, "2 3"]) -> Float[Tensor, "points 3"]:
    """Scene units to [-1, 1] within the box."""
    return (positions - box[0]) / (box[1] - box[0]) * 2 - 1


def sample_volumes(
    volumes: Float[Tensor, "frames depth height width channels"],
    coordinates: Float[Tensor, "points 3"],
    frame: Int[Tensor, "points"],
) -> Float[Tensor, "points channels"]:
    """Trilinear look-up in volumes that differ from frame to frame, every point in its own frame's, by `grid_sample`.

    As `plane_look_up.sample_planes`: the frames are stacked along depth, and look-ups stay within their own slices.

    Args:
        volumes: the volumes.
        coordinates: x, y, z in [-1, 1], from centre to centre of the outermost voxels.
        frame: which frame each point belongs to.
    """
    frames, depth, height, width, channels = volumes.shape
    tall = volumes.permute(4, 0, 1, 2, 3).reshape(1, channels, frames * depth, height, width)
    inside = coordinates.clamp(-1, 1)
    slice_index = (inside[:, 2] + 1) * (0.5 * (depth - 1)) + frame * depth
    grid = torch.stack([inside[:, 0], inside[:, 1], slice_index * (2 / (frames * depth - 1)) - 1], dim=-1)
    values = F.grid_sample(tall, grid[None, :, None, None], mode="bilinear", padding_mode="border", align_corners=True)
    return values[0, :, :, 0, 0].T


class Warp(torch.autograd.Function):
    """`warp` on the CPU."""

    @staticmethod
    def forward(ctx: Any, positions: Tensor, frame: Tensor, displacement: Tensor, box: Tensor) -> Tensor:
        positions, frame, displacement = positions.contiguous(), frame.contiguous(), displacement.contiguous()
        frames, depth, height, width, _ = displacement.shape
        assert depth == height == width, f"a displacement of shape {tuple(displacement.shape)}"
        check_frames(frame, frames)
        scale = 2 / (box[1] - box[0])
        ctx.save_for_backward(positions, frame, displacement, box, scale)
        canonical = torch.empty_like(positions)
        arguments = (as_array(positions), as_array(frame), as_array(displacement).reshape(-1), width)
        arguments = (*arguments, as_array(box[0]), as_array(scale), as_array(canonical))
        in_slices(lambda start, stop: look_up_kernels.warp_forward(start, stop, *arguments), len(positions))
        return canonical

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        positions, frame, displacement, box, scale = ctx.saved_tensors
        points, moments, width = as_array(positions), as_array(frame), displacement.shape[1]
        space = (width, as_array(box[0]), as_array(scale), as_array(gradient.contiguous()))
        position_gradient = displacement_gradient = None
        if ctx.needs_input_grad[0]:
            position_gradient = torch.empty_like(positions)
            arguments = (points, moments, as_array(displacement).reshape(-1), *space, as_array(position_gradient))
            in_slices(
                lambda start, stop: look_up_kernels.warp_backward_positions(start, stop, *arguments), len(positions)
            )
        if ctx.needs_input_grad[2]:
            displacement_gradient = torch.zeros_like(displacement)
            pulled = (points, moments, *space, as_array(displacement_gradient).reshape(-1))
            parts = min(torch.get_num_threads(), len(displacement))
            in_parallel(
                [
                    lambda part=part: look_up_kernels.warp_backward_displacement(part, parts, *pulled)
                    for part in range(parts)
                ]
            )
        return position_gradient, None, displacement_gradient, None


class Deformation(nn.Module):
    """Displacement from observed to canonical space, linear in a condition and in its reduced code."""

    known_basis: Tensor | None

    def __init__(
        self,
        known_basis: Float[Tensor, "conditions depth height width 3"] | None,
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
        size = learned_resolution if known_basis is None else known_basis.shape[1]
        self.learned_basis = nn.Parameter(torch.zeros(code_size, size, size, size, 3))

    def cost(self) -> Float[Tensor, ""]:
        """The learned part's roughness and mean square."""
        # As volumes of one number each.
        return smoothness_loss(self.learned_basis.movedim(-1, 1)) + (self.learned_basis**2).mean()

    def blend(
        self, conditions: Float[Tensor, "frames conditions"], codes: Float[Tensor, "frames code"]
    ) -> Float[Tensor, "frames depth height width 3"]:
        """Each frame's displacement, from observed to canonical space."""
        displacement = codes @ self.learned_basis.flatten(1)
        if self.known_basis is not None:
            displacement = torch.addmm(displacement, conditions, self.known_basis.flatten(1), alpha=-1)
        return displacement.view(-1, *self.learned_basis.shape[1:])
