"""Features of points in three axis-aligned planes (EG3D, Chan et al. 2022), of several levels at once.

On the CPU all levels are looked up by compiled loops; on other devices by `grid_sample`.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from stage2_nerf import look_up_kernels
from stage2_nerf.kernels import in_slices, pool

Sizes = tuple[int, int, int]

PLANE_AXES = ((0, 1), (0, 2), (1, 2))
"""The coordinates that each of the three planes is spanned by: the first along its width, the second down."""


def look_up_planes(
    positions: Float[Tensor, "points 3"],
    frame: Int[Tensor, "points"],
    levels: Sequence[Float[Tensor, "frames 3 height width channels"]],
) -> Float[Tensor, "points features"]:
    """Bilinear look-up of every point in its frame's planes, of each level: level by level, plane by plane.

    Gradients reach positions and levels.

    Args:
        positions: in [-1, 1], from centre to centre of the outermost texels, beyond which nothing changes.
        frame: which frame each point belongs to.
        levels: square planes with a multiple of four channels; with one frame alone all points share it.
    """
    if positions.device.type == "cpu":
        features = PlaneLookUp.apply(positions, frame, *levels)
        assert isinstance(features, Tensor)
        return features
    return torch.cat([sample_planes(positions, frame, level) for level in levels], dim=1)


def sample_planes(
    positions: Float[Tensor, "points 3"],
    frame: Int[Tensor, "points"],
    level: Float[Tensor, "frames 3 height width channels"],
) -> Float[Tensor, "points features"]:
    """The same of one level, by `grid_sample`.

    The frames' planes are laid one below the other in one tall picture. Coordinates are kept within the outermost
    texels' centres, so no look-up touches a neighbouring frame.
    """
    frames, planes, height, width, channels = level.shape
    tall = level.permute(1, 4, 0, 2, 3).reshape(planes, channels, frames * height, width)
    grid = torch.stack([positions[:, axes] for axes in PLANE_AXES]).clamp(-1, 1)
    if frames > 1:
        row = (grid[..., 1] + 1) * (0.5 * (height - 1)) + frame * height
        grid = torch.stack([grid[..., 0], row * (2 / (frames * height - 1)) - 1], dim=-1)
    values = F.grid_sample(tall, grid[:, None], mode="bilinear", padding_mode="border", align_corners=True)
    return values[:, :, 0].permute(2, 0, 1).flatten(1)


class PlaneLookUp(torch.autograd.Function):
    """`look_up_planes` on the CPU."""

    @staticmethod
    def forward(ctx: Any, positions: Tensor, frame: Tensor, *levels: Tensor) -> Tensor:
        positions, frame = positions.contiguous(), frame.contiguous()
        levels = tuple(level.contiguous() for level in levels)
        check_frames(frame, min((len(level) for level in levels if len(level) > 1), default=None))
        ctx.save_for_backward(positions, frame, *levels)
        widths = [3 * level.shape[-1] for level in levels]
        features = torch.empty(len(positions), sum(widths))
        columns = np.cumsum([0, *widths])
        points, moments, found = as_array(positions), as_array(frame), as_array(features)
        for level, column in zip(levels, columns, strict=False):
            table, sizes = as_array(level).reshape(-1), describe(level)

            def look(start: int, stop: int, table: Any = table, sizes: Sizes = sizes, column: int = column) -> None:
                look_up_kernels.planes_forward(start, stop, points, moments, table, *sizes, found, column)

            in_slices(look, len(points))
        return features

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        positions, frame, *levels = ctx.saved_tensors
        points, moments, pulls = as_array(positions), as_array(frame), as_array(gradient.contiguous())
        columns = np.cumsum([0, *(3 * level.shape[-1] for level in levels)])
        moves_wanted = ctx.needs_input_grad[0]
        moves = torch.empty(len(levels), 3, len(points) if moves_wanted else 0, 2)
        level_gradients = [
            torch.zeros_like(level) if wanted else None
            for level, wanted in zip(levels, ctx.needs_input_grad[2:], strict=True)
        ]

        def pull(task: tuple[int, int]) -> None:
            number, plane = task
            found = level_gradients[number]
            look_up_kernels.planes_backward(
                plane,
                points,
                moments,
                as_array(levels[number]).reshape(-1),
                *describe(levels[number]),
                pulls,
                columns[number],
                as_array(moves.new_empty(0) if found is None else found).reshape(-1),
                as_array(moves[number, plane]),
            )

        in_parallel([partial(pull, task) for task in product(range(len(levels)), range(3))])
        if not moves_wanted:
            return None, None, *level_gradients
        position_gradient = torch.zeros_like(positions)
        for axes, move in zip(PLANE_AXES, moves.sum(0), strict=True):
            position_gradient[:, axes] += move
        return position_gradient, None, *level_gradients


def describe(level: Float[Tensor, "frames 3 size size channels"]) -> Sizes:
    """Channels, texels along a side, and numbers from one frame's planes to the next one's: 0 for a single frame."""
    frames, planes, height, width, channels = level.shape
    assert planes == 3 and height == width and channels % 4 == 0, f"planes of shape {tuple(level.shape)}"
    return channels, height, 0 if frames == 1 else level[0].numel()


def check_frames(frame: Int[Tensor, "points"], frames: int | None) -> None:
    """Raise IndexError for a frame that is not there: compiled loops would read past the table's end."""
    if frames is not None and len(frame) and not 0 <= int(frame.min()) <= int(frame.max()) < frames:
        raise IndexError(f"a point is in frame {int(frame.max())} of {frames}")


def as_array(tensor: Tensor) -> Any:
    """The tensor's memory as a numpy array."""
    return tensor.detach().numpy()


def in_parallel(tasks: Sequence[Callable[[], None]]) -> None:
    """Run independent tasks on as many threads as torch may use. The first error is raised once all have ended."""
    if torch.get_num_threads() == 1:
        for task in tasks:
            task()
        return
    running = [pool().submit(task) for task in tasks]
    for task in running:
        task.exception()
    for task in running:
        task.result()
