"""What pixels see of a mesh agrees with projections worked out by hand."""

from importlib.util import find_spec

import numpy as np
import pytest
from trimesh.creation import icosphere

from tracking.cameras import project
from tracking.clip import Intrinsics
from tracking.rasterize import NOTHING, Rasterizer, rasterize, scale_intrinsics, vertex_normals

CAMERA = Intrinsics(focal_length=90.0, center_x=33.0, center_y=21.5, width=72, height=48)

RASTERIZERS = [
    "embree",
    pytest.param(
        "pytorch3d", marks=pytest.mark.skipif(find_spec("pytorch3d") is None, reason="pytorch3d is not installed")
    ),
]


@pytest.fixture(params=RASTERIZERS)
def rasterizer(request: pytest.FixtureRequest) -> Rasterizer:
    return request.param


def inside_triangle(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Signed distance of points from the nearest edge of a triangle in the plane, positive inside."""
    edges = np.roll(corners, -1, axis=0) - corners
    normals = np.stack([-edges[:, 1], edges[:, 0]], 1) / np.linalg.norm(edges, axis=1, keepdims=True)
    orientation = np.sign(edges[0, 0] * edges[1, 1] - edges[0, 1] * edges[1, 0])
    return np.einsum("pci,ci->pc", points[:, None] - corners, orientation * normals).min(1)


def pixel_centers(camera: Intrinsics) -> np.ndarray:
    x, y = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
    return np.stack([x, y], -1)


def test_triangle_covers_the_pixels_whose_centres_its_projection_contains(rasterizer):
    vertices = np.array([[-2.0, -1.0, -9.0], [3.0, -1.5, -12.0], [0.2, 2.0, -8.0]])
    visible = rasterize(vertices, np.array([[0, 1, 2]]), CAMERA, rasterizer=rasterizer)
    inside = inside_triangle(pixel_centers(CAMERA).reshape(-1, 2), project(vertices, CAMERA)).reshape(48, 72)
    clear = np.abs(inside) > 1e-3
    assert 300 < visible.covered.sum() < CAMERA.width * CAMERA.height
    np.testing.assert_array_equal(visible.covered[clear], (inside > 0)[clear])


def test_barycentric_coordinates_lead_back_to_the_pixel(rasterizer):
    vertices = np.array([[-2.0, -1.0, -9.0], [3.0, -1.5, -12.0], [0.2, 2.0, -8.0]])
    visible = rasterize(vertices, np.array([[0, 1, 2]]), CAMERA, rasterizer=rasterizer)
    points = visible.interpolate(vertices, np.array([[0, 1, 2]]))[visible.covered]
    np.testing.assert_allclose(project(points, CAMERA), pixel_centers(CAMERA)[visible.covered], atol=1e-4)
    np.testing.assert_allclose(visible.depth[visible.covered], -points[:, 2], rtol=1e-9)
    np.testing.assert_allclose(visible.barycentric.sum(-1), visible.covered)


def test_slanted_plane_has_its_depth(rasterizer):
    """z = -20 - x / 2 along the ray (u, v, -1) t: t = 20 / (1 - u / 2)."""
    corners = np.array([[-30.0, -30.0], [30.0, -30.0], [30.0, 30.0], [-30.0, 30.0]])
    vertices = np.column_stack([corners, -20 - corners[:, 0] / 2])
    visible = rasterize(vertices, np.array([[0, 1, 2], [0, 2, 3]]), CAMERA, rasterizer=rasterizer)
    u = (pixel_centers(CAMERA)[..., 0] - CAMERA.center_x) / CAMERA.focal_length
    assert visible.covered.all()
    np.testing.assert_allclose(visible.depth, 20 / (1 - u / 2), rtol=1e-6)


def test_sphere_is_a_disc_with_the_depth_of_its_near_side(rasterizer):
    sphere = icosphere(subdivisions=5, radius=2.0)
    vertices = np.asarray(sphere.vertices) + np.array([0.0, 0.0, -10.0])
    visible = rasterize(vertices, np.asarray(sphere.faces), CAMERA, rasterizer=rasterizer)
    offset = (pixel_centers(CAMERA) - [CAMERA.center_x, CAMERA.center_y]) / CAMERA.focal_length
    squared = 1 + (offset**2).sum(-1)
    # |t d - c|^2 = r^2 with d = (u, v, -1), c = (0, 0, -10).
    discriminant = 100 - squared * (100 - 4)
    depth = (10 - np.sqrt(np.maximum(discriminant, 0))) / squared
    clear = np.abs(discriminant) > 0.3
    np.testing.assert_array_equal(visible.covered[clear], (discriminant > 0)[clear])
    inside = (discriminant > 0) & clear
    np.testing.assert_allclose(visible.depth[inside], depth[inside], atol=0.01)


def test_the_nearer_triangle_hides_the_farther(rasterizer):
    corners = np.array([[-50.0, -50.0], [50.0, -50.0], [0.0, 80.0]])
    near, far = np.column_stack([corners * 0.05, [-5.0] * 3]), np.column_stack([corners, [-10.0] * 3])
    for first, second in ((near, far), (far, near)):
        vertices, triangles = np.concatenate([first, second]), np.array([[0, 1, 2], [3, 4, 5]])
        visible = rasterize(vertices, triangles, CAMERA, rasterizer=rasterizer)
        assert set(np.unique(visible.triangle)) == {0, 1}
        assert set(np.unique(visible.depth.round(9))) == {5.0, 10.0}
        assert visible.depth[21, 33] == pytest.approx(5)


def test_back_faces_are_seen_unless_they_are_culled(rasterizer):
    vertices = np.array([[-1.0, -1.0, -9.0], [1.0, -1.0, -9.0], [0.0, 1.0, -9.0]])
    front, back = np.array([[0, 1, 2]]), np.array([[0, 2, 1]])
    for triangles, seen in ((front, True), (back, False)):
        assert rasterize(vertices, triangles, CAMERA, rasterizer=rasterizer).covered.any()
        culled = rasterize(vertices, triangles, CAMERA, cull_back_faces=True, rasterizer=rasterizer)
        assert culled.covered.any() == seen


def test_numbers_are_those_of_the_whole_mesh_when_back_faces_are_culled():
    vertices = np.array([[-9.0, -9.0, -9.0], [9.0, -9.0, -9.0], [0.0, 9.0, -9.0]])
    visible = rasterize(vertices, np.array([[0, 2, 1], [0, 1, 2]]), CAMERA, cull_back_faces=True)
    assert set(np.unique(visible.triangle)) <= {NOTHING, 1}


def test_a_linear_function_of_space_stays_linear_across_triangles_and_seams():
    random = np.random.default_rng(0)
    sphere = icosphere(subdivisions=2, radius=2.0)
    vertices, triangles = np.asarray(sphere.vertices) + np.array([0.3, -0.2, -10.0]), np.asarray(sphere.faces)
    attributes = vertices @ random.normal(size=(3, 4)) + random.normal(size=4)
    visible = rasterize(vertices, triangles, CAMERA)
    by_vertex = visible.interpolate(attributes, triangles)
    points = visible.interpolate(vertices, triangles)
    expected = np.linalg.lstsq(np.column_stack([vertices, np.ones(len(vertices))]), attributes, rcond=None)[0]
    ones = visible.covered[..., None].astype(float)
    np.testing.assert_allclose(by_vertex, np.concatenate([points, ones], -1) @ expected * ones, atol=1e-9)
    np.testing.assert_allclose(visible.interpolate_corners(attributes[triangles]), by_vertex, atol=1e-12)


def test_a_mesh_outside_the_picture_is_not_seen():
    vertices = np.array([[90.0, -1.0, -9.0], [92.0, -1.0, -9.0], [91.0, 1.0, -9.0]])
    visible = rasterize(vertices, np.array([[0, 1, 2]]), CAMERA)
    assert not visible.covered.any() and np.isinf(visible.depth).all()


def test_a_mesh_behind_the_camera_is_refused():
    vertices = np.array([[-1.0, -1.0, -9.0], [1.0, -1.0, -9.0], [0.0, 1.0, 0.5]])
    with pytest.raises(ValueError, match="behind the camera"):
        rasterize(vertices, np.array([[0, 1, 2]]), CAMERA)


@pytest.mark.skipif(find_spec("pytorch3d") is not None, reason="pytorch3d is installed")
def test_asking_for_pytorch3d_where_it_is_missing_names_the_cure():
    vertices = np.array([[-1.0, -1.0, -9.0], [1.0, -1.0, -9.0], [0.0, 1.0, -9.0]])
    with pytest.raises(ImportError, match="Embree"):
        rasterize(vertices, np.array([[0, 1, 2]]), CAMERA, rasterizer="pytorch3d")


def test_scaled_intrinsics_project_to_scaled_pixels():
    points = np.random.default_rng(0).uniform([-3, -3, -12], [3, 3, -8], (20, 3))
    larger = scale_intrinsics(CAMERA, 2.5)
    np.testing.assert_allclose(project(points, larger), 2.5 * project(points, CAMERA))
    assert (larger.width, larger.height) == (180, 120)


def test_normals_of_a_sphere_point_from_its_centre():
    sphere = icosphere(subdivisions=3)
    vertices, triangles = np.asarray(sphere.vertices), np.asarray(sphere.faces)
    np.testing.assert_allclose(vertex_normals(3 * vertices + 5, triangles), vertices, atol=0.02)
