"""Lattices of texels on triangles."""

import numpy as np
import pytest

from stage1_edit.mesh_colors import MeshTexels, fitting_resolution, lattice
from tracking.rasterize import Visibility

RESOLUTION = np.array([1, 2, 5, 13])


def points(count: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    return random.integers(0, len(RESOLUTION), count), random.dirichlet((1, 1, 1), count)


def test_a_lattice_has_the_corners_and_all_sums_are_1() -> None:
    for parts in (1, 2, 7):
        places = lattice(parts)
        assert len(places) == (parts + 1) * (parts + 2) // 2
        np.testing.assert_allclose(places.sum(1), 1)
        assert all(any(np.allclose(place, corner) for place in places) for corner in np.eye(3))


def test_colours_that_are_linear_on_each_triangle_are_kept_exactly() -> None:
    texels = MeshTexels.of_resolution(RESOLUTION)
    corner_colors = np.random.default_rng(1).uniform(size=(len(RESOLUTION), 3, 3))

    def colors(triangle: np.ndarray, barycentric: np.ndarray) -> np.ndarray:
        return np.einsum("pc,pcx->px", barycentric, corner_colors[triangle])

    triangle, barycentric = points()
    numbers, shares = texels.around(triangle, barycentric)
    kept = colors(texels.triangle, texels.barycentric)
    found = np.einsum("pn,pnc->pc", shares, kept[numbers])
    np.testing.assert_allclose(found, colors(triangle, barycentric), atol=1e-9)


def test_at_a_texel_there_is_its_colour_alone() -> None:
    texels = MeshTexels.of_resolution(RESOLUTION)
    numbers, shares = texels.around(texels.triangle, texels.barycentric)
    own = np.where(numbers == np.arange(len(texels))[:, None], shares, 0).sum(1)
    np.testing.assert_allclose(own, 1, atol=1e-6)


def test_the_texels_around_a_point_are_its_triangles_nearest() -> None:
    texels = MeshTexels.of_resolution(RESOLUTION)
    triangle, barycentric = points()
    numbers, shares = texels.around(triangle, barycentric)
    assert (texels.triangle[numbers] == triangle[:, None]).all()
    away = np.abs(texels.barycentric[numbers] - barycentric[:, None]).max((1, 2))
    assert (away <= 1 / RESOLUTION[triangle] + 1e-9).all()
    assert (shares >= 0).all() and np.allclose(shares.sum(1), 1)


def test_pixels_that_see_nothing_have_no_colour() -> None:
    texels = MeshTexels.of_resolution(np.array([3]))
    visibility = Visibility(np.array([[0, -1]]), np.array([[[0.2, 0.3, 0.5], [0, 0, 0]]]), np.array([[5.0, np.inf]]))
    seen = texels.look_up(np.full((len(texels), 2), 0.7, np.float32), visibility)
    np.testing.assert_allclose(seen, [[[0.7, 0.7], [0, 0]]], atol=1e-6)


@pytest.mark.parametrize(("edge", "expected"), [(0.5, 1), (6.2, 7), (1000, 64)])
def test_texels_are_as_close_as_the_closest_views_pixels(edge: float, expected: int) -> None:
    pixels = np.array([[[0, 0], [1, 0], [0, 1]], [[0, 0], [edge, 0], [0, edge / 2]]])
    both = np.array([[0, 1, 2], [0, 1, 2]])
    longest = np.hypot(edge, edge / 2)
    resolution = fitting_resolution(pixels, both, np.array([True, False]))
    assert resolution.tolist() == [min(64, int(np.ceil(max(longest, np.sqrt(2))))), 1]
    assert abs(resolution[0] - expected) <= 2 or expected == 64
