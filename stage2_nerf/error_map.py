"""Where the avatar is still wrong: a coarse map of each frame's error, kept by the batches' own rays.

Nothing is rendered for it. Every training ray reports how far its colour was off, and the cell of its frame that it
went through follows. The pixel sampler draws more where the map is high, as prioritised replay does (Schaul et al.
2016, arXiv 1511.05952), but never so much more that a few pixels which nothing explains, a hand or a mislabelled
strand, take the batch over.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

FINEST_CELL = 8
"""Pixels along the side of the smallest cells."""
MOST_CELLS_A_SIDE = 32
"""Cells along a large frame's longer side: ten thousand frames' maps take 40 megabytes."""
FOLLOW = 0.2
"""How far one ray moves its cell's error towards its own; n rays move it by 1 - (1 - FOLLOW)^n."""
FOLLOW_FRAME = 0.3
"""How far one batch moves a drawn frame's error towards what its rays found."""
FOLLOW_AVERAGE = 0.02
"""How far one batch moves the average that all errors are compared with."""


class ErrorMap:
    """Mean absolute colour error of each frame and of its cells, as last seen."""

    def __init__(self, frames: int, height: int, width: int) -> None:
        """Start without knowledge: every cell counts as average.

        Args:
            frames: how many there are.
            height: of a frame, in pixels.
            width: of a frame, in pixels.
        """
        self.cell = max(FINEST_CELL, -(-max(height, width) // MOST_CELLS_A_SIDE))
        # 0 stands for never seen.
        self.errors = torch.zeros(frames, -(-height // self.cell), -(-width // self.cell))
        self.frame_errors = torch.zeros(frames)
        self.average = 0.0

    def observe(
        self, frame: Int[Tensor, "rays"], y: Int[Tensor, "rays"], x: Int[Tensor, "rays"], error: Float[Tensor, "rays"]
    ) -> None:
        """Take in the errors of a batch's rays, in [0, 1]."""
        error = error.clamp(min=1e-6)
        cells, mean, count = mean_of_each(self.index(frame, y, x), error)
        follow(self.errors.view(-1), cells, mean, 1 - (1 - FOLLOW) ** count)
        frames, mean, count = mean_of_each(frame, error)
        follow(self.frame_errors, frames, mean, torch.full_like(mean, FOLLOW_FRAME))
        batch = float(error.mean())
        self.average = batch if self.average == 0 else self.average + FOLLOW_AVERAGE * (batch - self.average)

    def around(
        self, frame: Int[Tensor, "pixels"], y: Int[Tensor, "pixels"], x: Int[Tensor, "pixels"]
    ) -> Float[Tensor, "pixels"]:
        """The error around pixels, over the average; 1 where nothing is known yet."""
        return self.relative(self.errors.view(-1)[self.index(frame, y, x)])

    def of_frames(self, frame: Int[Tensor, "some"]) -> Float[Tensor, "some"]:
        """Frames' errors, over the average; 1 where nothing is known yet."""
        return self.relative(self.frame_errors[frame])

    def relative(self, errors: Float[Tensor, "some"]) -> Float[Tensor, "some"]:
        """Errors over the average; 1 for those never seen."""
        return torch.where(errors > 0, errors / max(self.average, 1e-6), 1.0)

    def index(
        self, frame: Int[Tensor, "pixels"], y: Int[Tensor, "pixels"], x: Int[Tensor, "pixels"]
    ) -> Int[Tensor, "pixels"]:
        """Flat numbers of the cells that pixels fall into."""
        _, rows, columns = self.errors.shape
        return (frame * rows + y // self.cell) * columns + x // self.cell


def mean_of_each(
    keys: Int[Tensor, "values"], values: Float[Tensor, "values"]
) -> tuple[Int[Tensor, "distinct"], Float[Tensor, "distinct"], Int[Tensor, "distinct"]]:
    """The distinct keys, the mean of each one's values, and how many those are."""
    distinct, place, count = torch.unique(keys, return_inverse=True, return_counts=True)
    return distinct, torch.zeros(len(distinct)).index_add_(0, place, values) / count, count


def follow(
    table: Float[Tensor, "all"],
    places: Int[Tensor, "some"],
    values: Float[Tensor, "some"],
    rate: Float[Tensor, "some"],
) -> None:
    """Move some of a table's entries towards values; those still 0 take them whole."""
    known = table[places]
    table[places] = torch.where(known > 0, torch.lerp(known, values, rate), values)
