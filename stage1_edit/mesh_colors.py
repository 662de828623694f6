"""Colours on a mesh without an atlas: every triangle carries a lattice of texels of its own.

Mesh colours (Yuksel, Keyser and House 2010, ACM Transactions on Graphics 29:2). A triangle whose edges are cut into R
parts has texels at the barycentric coordinates (R - i - j, i, j) / R with i, j >= 0 and i + j <= R: there is no
parametrisation and so no seam, and each triangle is as fine as it is seen. Between texels colours are linear, so what
varies linearly over a triangle is kept exactly.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from tracking.rasterize import Visibility

GREATEST_RESOLUTION = 64
"""Parts that an edge is cut into at most."""


@dataclass(frozen=True)
class MeshTexels:
    """Which texels there are."""

    resolution: Int[np.ndarray, "triangles"]
    """Parts that each triangle's edges are cut into; at least 1."""
    first: Int[np.ndarray, "triangles"]
    """The number of each triangle's first texel."""
    triangle: Int[np.ndarray, "texels"]
    """The triangle that each texel lies on."""
    barycentric: Float[np.ndarray, "texels 3"]
    """Where on it."""

    @classmethod
    def of_resolution(cls, resolution: Int[np.ndarray, "triangles"]) -> "MeshTexels":
        """Lattices of given fineness."""
        resolution = resolution.clip(1, GREATEST_RESOLUTION)
        counts = (resolution + 1) * (resolution + 2) // 2
        first = np.concatenate([[0], np.cumsum(counts)[:-1]])
        triangle = np.repeat(np.arange(len(resolution)), counts)
        barycentric = np.zeros((counts.sum(), 3))
        for parts in np.unique(resolution):
            chosen = np.flatnonzero(resolution == parts)
            places = (first[chosen][:, None] + np.arange(int(counts[chosen[0]]))).ravel()
            barycentric[places] = np.tile(lattice(int(parts)), (len(chosen), 1))
        return cls(resolution, first, triangle, barycentric)

    def __len__(self) -> int:
        return len(self.triangle)

    def on(
        self, vertices: Float[np.ndarray, "vertices 3"], triangles: Int[np.ndarray, "triangles 3"]
    ) -> Float[np.ndarray, "texels 3"]:
        """Where the texels lie."""
        corners = vertices[triangles]
        return sum(self.barycentric[:, corner, None] * corners[self.triangle, corner] for corner in range(3))  # pyright: ignore

    def look_up(
        self, colors: Float[np.ndarray, "texels channels"], visibility: Visibility
    ) -> Float[np.ndarray, "height width channels"]:
        """What each pixel sees of the colours; 0 where it sees no mesh."""
        picture = np.zeros((*visibility.triangle.shape, colors.shape[1]), np.float32)
        covered = visibility.covered
        texels, weights = self.around(visibility.triangle[covered], visibility.barycentric[covered])
        picture[covered] = np.einsum("pn,pnc->pc", weights.astype(np.float32), colors[texels])
        return picture

    def around(
        self, triangle: Int[np.ndarray, "points"], barycentric: Float[np.ndarray, "points 3"]
    ) -> tuple[Int[np.ndarray, "points 3"], Float[np.ndarray, "points 3"]]:
        """The three texels around points on triangles, and their shares in what lies there."""
        parts = self.resolution[triangle]
        along = barycentric[:, 1:] * parts[:, None]
        # A point on the far edge belongs to the last cell.
        cell = np.minimum(np.floor(along + 1e-9), np.maximum(parts - 1, 0)[:, None]).astype(np.int64)
        cell[:, 1] = np.minimum(cell[:, 1], np.maximum(parts - 1 - cell[:, 0], 0))
        inside = (along - cell).clip(0, 1)
        i, j = cell.T
        u, v = inside.T
        is_upper = (u + v > 1) & (i + j < parts - 1)
        # The lower triangle of a cell has corners (0, 0), (1, 0), (0, 1), and the upper one (1, 1), (1, 0), (0, 1).
        corner = np.where(is_upper, 1, 0)
        numbers = [
            self._number(triangle, i + corner, j + corner),
            self._number(triangle, i + 1, j),
            self._number(triangle, i, j + 1),
        ]
        shares = np.where(is_upper[:, None], np.stack([u + v - 1, 1 - v, 1 - u], 1), np.stack([1 - u - v, u, v], 1))
        shares = shares.clip(0, 1)
        return np.stack(numbers, 1), shares / shares.sum(1, keepdims=True)

    def _number(
        self, triangle: Int[np.ndarray, "points"], i: Int[np.ndarray, "points"], j: Int[np.ndarray, "points"]
    ) -> Int[np.ndarray, "points"]:
        """A texel's number: rows of constant i come one after another, each one texel shorter than the one before."""
        parts = self.resolution[triangle]
        return self.first[triangle] + i * (parts + 1) - i * (i - 1) // 2 + j


def lattice(parts: int) -> Float[np.ndarray, "texels 3"]:
    """Barycentric coordinates of one triangle's texels, in order."""
    i, j = np.nonzero(np.arange(parts + 1)[:, None] + np.arange(parts + 1)[None] <= parts)
    return np.stack([parts - i - j, i, j], 1) / parts


def fitting_resolution(
    pixels: Float[np.ndarray, "views vertices 2"],
    triangles: Int[np.ndarray, "triangles 3"],
    seen: Bool[np.ndarray, "triangles"],
) -> Int[np.ndarray, "triangles"]:
    """Texels at least as close as pixels, in every view; 1 where a triangle is never seen.

    Args:
        pixels: where the views show the vertices.
        seen: which triangles any view shows.
    """
    resolution = np.ones(len(triangles), np.int64)
    corners = pixels[:, triangles[seen]]
    edges = np.linalg.norm(corners - np.roll(corners, 1, axis=2), axis=3)
    resolution[seen] = np.ceil(edges.max(axis=(0, 2), initial=1.0)).clip(1, GREATEST_RESOLUTION)
    return resolution
