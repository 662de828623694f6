"""Noise that sticks to the tracked surface, so that what grows out of it moves with the person.

After "How I Warped Your Noise" (Chang et al. 2024, ICLR, section 3): noise lives on cells finer than the latents'; a
frame's latent cell gathers the fine cells that its surface points come from, and their sum is scaled so that the
variance is exactly 1. Interpolating noise instead would smooth it, which a denoiser takes for a blurred picture.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from stage1_edit.correspondences import surface_places
from stage1_edit.frame_geometry import FrameGeometry
from stage1_edit.starting_noise import Noise, gaussian
from tracking.cameras import project
from tracking.clip import Intrinsics

FINENESS = 4
"""Fine cells along a side of a latent cell."""


class WarpedNoise:
    """One noise for the clip, carried from one frame, the reference, into the others by the track.

    Pictures of another size, such as heads cut out, have one of their own. Where neither frame shows the person, the
    noise stands still. What the reference does not show has a second noise, that stands still as well: a new one in
    every frame would be what flickers most.
    """

    def __init__(self, seed: int, reference: FrameGeometry | None = None) -> None:
        """
        Args:
            reference: the frame, the same whenever the clip is edited: a run that goes on draws the noise that it began
                with. Without one it is the first frame drawn for.
        """
        self.seed = seed
        self.reference = reference
        # Whole frames and cut-out heads have one each: looked up in a smaller picture, noise would be enlarged.
        self._references: dict[tuple[float, int, int], FrameGeometry] = {}

    def draw(
        self,
        shape: tuple[int, int, int],
        generators: Sequence[torch.Generator],
        geometry: Sequence[FrameGeometry | None],
    ) -> Noise:
        """The clip's noise as each frame shows it; frames without geometry get it unmoved.

        Nothing of it is a frame's own, and the generators' later noise is made alike too.
        """
        channels, height, width = shape
        fine_size = (height * FINENESS, width * FINENESS)
        device = generators[0].device
        drawing = torch.Generator(device).manual_seed(self.seed)
        fine, second = (gaussian((channels, *fine_size), drawing) for _ in range(2))
        noises = []
        # Schedulers that add noise at every step add the same to all frames.
        later = int(torch.randint(2**62, (), generator=drawing, device=device))
        for generator, here in zip(generators, geometry, strict=True):
            generator.manual_seed(later)
            if here is None:
                cells, known = np.arange(fine[0].numel()).reshape(fine_size), np.ones(fine_size, bool)
            else:
                cells, known = source_cells(here, self._reference_at(here), fine_size)
            noises.append(gather(fine, second, torch.from_numpy(cells).to(device), torch.from_numpy(known).to(device)))
        return torch.stack(noises)

    def _reference_at(self, here: FrameGeometry) -> FrameGeometry:
        """The reference as a picture of this one's size and scale shows it."""
        camera = here.intrinsics
        scale = camera.focal_length, camera.width, camera.height
        if scale not in self._references:
            self._references[scale] = here if self.reference is None else shown_at(self.reference, camera)
        return self._references[scale]


def shown_at(geometry: FrameGeometry, camera: Intrinsics) -> FrameGeometry:
    """The same shape in a picture of another size or scale, with the head in its middle."""
    own = geometry.intrinsics
    if (camera.focal_length, camera.width, camera.height) == (own.focal_length, own.width, own.height):
        return geometry
    head = geometry.vertices[np.unique(geometry.triangles[: geometry.head_triangles])]
    points = project(head, replace(camera, center_x=0.0, center_y=0.0))
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    moved = replace(camera, center_x=float(camera.width / 2 - middle[0]), center_y=float(camera.height / 2 - middle[1]))
    before, after = (np.array([one.center_x, one.center_y]) for one in (own, moved))
    landmarks = (geometry.landmarks - before) * (camera.focal_length / own.focal_length) + after
    return replace(geometry, intrinsics=moved, landmarks=landmarks, _seen={})


def source_cells(
    here: FrameGeometry, reference: FrameGeometry, size: tuple[int, int]
) -> tuple[Int64[np.ndarray, "rows columns"], Bool[np.ndarray, "rows columns"]]:
    """For each cell of a frame the number of the reference's cell that shows the same, and whether there is one."""
    rows, columns = size
    places, seen = surface_places(here, reference, size)
    row, column = (
        np.clip((places[..., axis] * count).astype(np.int64), 0, count - 1) for axis, count in ((1, rows), (0, columns))
    )
    still = ~here.seen(size).covered & ~reference.seen(size).covered
    own = np.arange(rows * columns).reshape(size)
    return np.where(still, own, row * columns + column), seen | still


def gather(
    fine: Float[Tensor, "channels fine_rows fine_columns"],
    second: Float[Tensor, "channels fine_rows fine_columns"],
    cells: Int64[Tensor, "fine_rows fine_columns"],
    known: Bool[Tensor, "fine_rows fine_columns"],
) -> Float[Tensor, "channels rows columns"]:
    """Sum the fine noise of each latent cell to unit variance.

    A fine cell that is met m times counts m times in the sum, which then has variance sum m^2: the number of pairs of
    places that meet the same cell.

    Args:
        fine: the noise of all frames.
        second: the noise of what is not known.
        cells: numbers of the fine cells met.
        known: where they are met.
    """
    count = fine[0].numel()
    # The second's cells are numbered after the shared ones.
    numbers = torch.where(known, cells, count + torch.arange(count, device=cells.device).view_as(cells))
    blocks = numbers.unfold(0, FINENESS, FINENESS).unfold(1, FINENESS, FINENESS).flatten(2)
    variance = (blocks[..., :, None] == blocks[..., None, :]).sum((-1, -2))
    values = torch.cat([fine.flatten(1), second.flatten(1)], dim=1)[:, blocks]
    return values.sum(-1) / variance.sqrt().to(values)
