"""Small square patches of pixels among a batch's rays: what a loss on structure looks at.

A batch's rays begin with its patches, each row by row; single pixels follow.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def patch_pixels(
    row: Int[Tensor, "patches"],
    y: Int[Tensor, "patches"],
    x: Int[Tensor, "patches"],
    side: int,
    height: int,
    width: int,
) -> tuple[Int[Tensor, "pixels"], Int[Tensor, "pixels"], Int[Tensor, "pixels"]]:
    """The pixels of patches that each hold a given pixel, at a random place, and lie within the frame.

    Args:
        row: the frame of each.
        y: row of the pixel that each holds.
        x: column of that pixel.
        side: pixels along a patch's side, at most the frame's height and width.
        height: of the frames.
        width: of the frames.
    """
    top = (y - torch.randint(side, y.shape)).clamp(0, height - side)
    left = (x - torch.randint(side, x.shape)).clamp(0, width - side)
    along = torch.arange(side)
    shape = (len(row), side, side)
    return (
        row[:, None, None].expand(shape).flatten(),
        (top[:, None, None] + along[:, None]).expand(shape).flatten(),
        (left[:, None, None] + along).expand(shape).flatten(),
    )


def to_patches(
    values: Float[Tensor, "rays channels"], patches: int, side: int
) -> Float[Tensor, "patches channels side side"]:
    """What the first rays of a batch show, as pictures."""
    return values[: patches * side * side].view(patches, side, side, -1).permute(0, 3, 1, 2)
