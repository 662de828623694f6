"""Where a place in one frame is seen in another, from the tracked surface."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from stage1_edit.frame_geometry import FrameGeometry
from tracking.cameras import project

TOLERANCE = 1.5
"""Centimetres that a point may lie behind what the other frame shows there, and still count as seen: the mesh is
coarse."""


class Correspondences(Protocol):
    """Per-pixel source coordinates between the frames of a batch."""

    def places(
        self, frame: int, source: int, grid: tuple[int, int]
    ) -> tuple[Float[Tensor, "rows columns 2"], Bool[Tensor, "rows columns"]]:
        """Where another frame shows what each cell of a frame's grid shows.

        Args:
            frame: in the batch.
            source: the other frame.
            grid: rows and columns that a picture is divided into.

        Returns:
            x and y in [0, 1] from the source picture's left and upper edge, and whether the place is known.
        """
        ...


class SurfaceCorrespondences:
    """By the tracked mesh: a cell shows a point of a triangle, and the triangle is known in every frame."""

    def __init__(self, geometry: Sequence[FrameGeometry | None]) -> None:
        """Take the batch's frames; where one has no geometry, nothing is known of it."""
        self.geometry = geometry

    def places(
        self, frame: int, source: int, grid: tuple[int, int]
    ) -> tuple[Float[Tensor, "rows columns 2"], Bool[Tensor, "rows columns"]]:
        """Where the source frame shows the same points of the surface, if they are not hidden there."""
        here, there = self.geometry[frame], self.geometry[source]
        if here is None or there is None:
            return torch.zeros(*grid, 2), torch.zeros(grid, dtype=torch.bool)
        places, seen = surface_places(here, there, grid)
        return torch.from_numpy(places).float(), torch.from_numpy(seen)


def surface_places(
    here: FrameGeometry, there: FrameGeometry, grid: tuple[int, int]
) -> tuple[Float[np.ndarray, "rows columns 2"], Bool[np.ndarray, "rows columns"]]:
    """Where one frame shows the points of the surface that another's cells show, and whether it does."""
    visibility = here.seen(grid)
    points = visibility.interpolate(there.vertices, here.triangles)
    covered = visibility.covered
    camera = there.intrinsics
    places = np.zeros((*grid, 2))
    places[covered] = project(points[covered], camera) / [camera.width, camera.height]
    inside = covered & ((places >= 0) & (places < 1)).all(-1)
    # The other frame's depth is looked up in its own pixels, finer than the grid.
    depths = there.seen((camera.height, camera.width)).depth
    row, column = (
        np.clip((places[inside][:, axis] * count).astype(int), 0, count - 1)
        for axis, count in ((1, camera.height), (0, camera.width))
    )
    shown = inside.copy()
    shown[inside] = -points[inside][:, 2] < depths[row, column] + TOLERANCE
    return places, shown
