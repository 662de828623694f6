"""What a pixel sampler sees of the frames: one column for each thing a pixel has, looked up for the pixels it draws.

nerfstudio hands its samplers a dictionary of whole tensors; these stand in for them and hold nothing.
"""

from collections.abc import Callable

import torch
from jaxtyping import Int
from torch import Tensor

PixelLookUp = Callable[[Int[Tensor, "*pixels"], Int[Tensor, "*pixels"], Int[Tensor, "*pixels"]], Tensor]
"""Values of pixels, given their frames among all tracked ones, their rows and their columns in the picture."""


class FrameColumn:
    """One thing that every pixel of some frames has, as if it were a tensor of all of them."""

    def __init__(
        self, look_up: PixelLookUp, frames: Int[Tensor, "rows"], height: int, width: int, channels: int
    ) -> None:
        """
        Args:
            look_up: where the values come from.
            frames: the frames among all tracked ones that are rows of the column.
        """
        self.look_up = look_up
        self.frames = frames
        self.shape = torch.Size((len(frames), height, width, channels))

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: tuple[Int[Tensor, "*pixels"], ...]) -> Tensor:
        """Values at (row, y, x), with their channels, or at (row, y, x, channel); the indices are broadcast."""
        row, y, x = index[:3]
        values = self.look_up(self.frames[row], y, x)
        return values[(..., *index[3:])] if len(index) > 3 else values
