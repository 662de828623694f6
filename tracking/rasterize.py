"""Which triangle of a mesh every pixel sees, and where in it.

Visibility comes from Embree by way of trimesh and embreex, or from pytorch3d; what is seen in a triangle is then
computed here, in double precision and alike for both. A pixel is seen along the ray d through its centre. The ray
meets the plane of a triangle with corners a, b, c at a point whose barycentric coordinates are proportional to

    d . (b x c),  d . (c x a),  d . (a x b)

because the camera is at the origin: they need no correction for perspective.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from tracking.cameras import project
from tracking.clip import Intrinsics

NOTHING = -1
"""Stands where a pixel sees no triangle."""

Rasterizer = Literal["auto", "embree", "pytorch3d"]


@dataclass(frozen=True)
class Visibility:
    """What every pixel sees of a mesh."""

    triangle: Int[np.ndarray, "height width"]
    """Number of the nearest triangle, or `NOTHING`."""
    barycentric: Float[np.ndarray, "height width 3"]
    """Weights of the triangle's corners where the pixel's centre falls, of sum 1; 0 where nothing is seen."""
    depth: Float[np.ndarray, "height width"]
    """Distance from the camera's plane, in the mesh's unit of length; infinite where nothing is seen."""

    @property
    def covered(self) -> Bool[np.ndarray, "height width"]:
        """Where the mesh is seen."""
        return self.triangle != NOTHING

    def interpolate(
        self, attributes: Float[np.ndarray, "vertices channels"], triangles: Int[np.ndarray, "triangles 3"]
    ) -> Float[np.ndarray, "height width channels"]:
        """What the vertices bear, spread linearly over the triangles; 0 where nothing is seen."""
        values = np.zeros((*self.triangle.shape, attributes.shape[1]), np.result_type(attributes, np.float32))
        covered = self.covered
        corners = attributes[triangles[self.triangle[covered]]]
        values[covered] = (self.barycentric[covered][:, None].astype(values.dtype) @ corners)[:, 0]
        return values

    def interpolate_corners(
        self, attributes: Float[np.ndarray, "triangles 3 channels"]
    ) -> Float[np.ndarray, "height width channels"]:
        """The same for what the triangles' corners bear each by itself, as texture coordinates do along seams."""
        corner = np.arange(3 * len(attributes)).reshape(-1, 3)
        return self.interpolate(attributes.reshape(-1, attributes.shape[-1]), corner)


def rasterize(
    vertices: Float[np.ndarray, "vertices 3"],
    triangles: Int[np.ndarray, "triangles 3"],
    intrinsics: Intrinsics,
    cull_back_faces: bool = False,
    rasterizer: Rasterizer = "auto",
) -> Visibility:
    """See a mesh through a pinhole camera.

    Args:
        vertices: in the axes of an OpenGL camera: x right, y up, and seen where z < 0.
        triangles: corners, counterclockwise as seen from the side that is their front.
        intrinsics: the camera. The centre of the top left pixel is at (0.5, 0.5).
        cull_back_faces: let rays through triangles that turn their backs to the camera.
        rasterizer: `auto` takes pytorch3d where it is installed with a GPU, and Embree otherwise, which is many times
            faster than pytorch3d on a CPU.

    Raises:
        ValueError: a triangle reaches behind the camera.
        ImportError: pytorch3d was asked for and is not installed.
    """
    drawn = np.arange(len(triangles))
    corners = vertices.astype(np.float64)[triangles]
    if len(triangles) and corners[..., 2].max() >= 0:
        raise ValueError("The mesh reaches behind the camera: only what has z < 0 can be seen.")
    if cull_back_faces:
        drawn = np.flatnonzero(np.einsum("ti,ti->t", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) < 0)
    if rasterizer == "auto":
        rasterizer = "pytorch3d" if _can_use_pytorch3d_on_gpu() else "embree"
    seen = np.full((intrinsics.height, intrinsics.width), NOTHING)
    if len(drawn):
        find = _first_hits_by_pytorch3d if rasterizer == "pytorch3d" else _first_hits_by_embree
        hits = find(vertices, triangles[drawn], intrinsics)
        seen[hits >= 0] = drawn[hits[hits >= 0]]
    covered = seen != NOTHING
    barycentric = np.zeros((*seen.shape, 3))
    depth = np.full(seen.shape, np.inf)
    barycentric[covered], depth[covered] = _where_rays_meet(pixel_rays(intrinsics)[covered], corners[seen[covered]])
    return Visibility(seen, barycentric, depth)


def pixel_rays(intrinsics: Intrinsics) -> Float[np.ndarray, "height width 3"]:
    """Directions from an OpenGL camera through the pixels' centres, scaled to z = -1."""
    x = (np.arange(intrinsics.width) + 0.5 - intrinsics.center_x) / intrinsics.focal_length
    y = (intrinsics.center_y - np.arange(intrinsics.height) - 0.5) / intrinsics.focal_length
    rays = np.full((intrinsics.height, intrinsics.width, 3), -1.0)
    rays[..., 0], rays[..., 1] = x, y[:, None]
    return rays


def scale_intrinsics(intrinsics: Intrinsics, factor: float) -> Intrinsics:
    """The camera that shows the same on an image enlarged by a factor, to whole pixels."""
    width, height = round(intrinsics.width * factor), round(intrinsics.height * factor)
    return Intrinsics(
        intrinsics.focal_length * factor, intrinsics.center_x * factor, intrinsics.center_y * factor, width, height
    )


def vertex_normals(
    vertices: Float[np.ndarray, "vertices 3"], triangles: Int[np.ndarray, "triangles 3"]
) -> Float[np.ndarray, "vertices 3"]:
    """Unit normals at the vertices: the mean over their triangles by area; 0 at a vertex without any."""
    a, b, c = (vertices[triangles[:, corner]] for corner in range(3))
    areas = np.repeat(np.cross(b - a, c - a), 3, axis=0)
    sums = [np.bincount(triangles.ravel(), areas[:, axis], len(vertices)) for axis in range(3)]
    normals = np.stack(sums, 1)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-20)


def _where_rays_meet(
    rays: Float[np.ndarray, "pixels 3"], corners: Float[np.ndarray, "pixels 3 3"]
) -> tuple[Float[np.ndarray, "pixels 3"], Float[np.ndarray, "pixels"]]:
    """Barycentric coordinates in, and depth of, the triangles that the rays were found to hit.

    Coordinates are kept in [0, 1]: a rasteriser decides about edges by rounding of its own.
    """
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    opposite = np.stack([np.cross(b, c), np.cross(c, a), np.cross(a, b)], 1)
    weights = np.einsum("pci,pi->pc", opposite, rays)
    # All three have the sign of the triangle's facing; a triangle seen edge-on counts as seen at its middle.
    total = weights.sum(1, keepdims=True)
    weights = np.where(total == 0, 1 / 3, weights / np.where(total == 0, 1, total)).clip(0, 1)
    weights /= weights.sum(1, keepdims=True)
    return weights, -np.einsum("pc,pc->p", weights, corners[..., 2])


def _first_hits_by_embree(
    vertices: np.ndarray, triangles: np.ndarray, intrinsics: Intrinsics
) -> Int[np.ndarray, "height width"]:
    """Number of the nearest triangle for every pixel, -1 for none."""
    from trimesh import Trimesh
    from trimesh.ray.ray_pyembree import RayMeshIntersector

    hits = np.full((intrinsics.height, intrinsics.width), -1)
    pixels = project(vertices[np.unique(triangles)].astype(np.float64), intrinsics)
    size = np.array([intrinsics.width, intrinsics.height])
    left, top = np.floor(pixels.min(0)).clip(0, size).astype(int)
    right, bottom = np.ceil(pixels.max(0)).clip(0, size).astype(int)
    rays = pixel_rays(intrinsics)[top:bottom, left:right]
    if rays.size:
        intersector: Any = RayMeshIntersector(Trimesh(vertices, triangles, process=False))
        flat = rays.reshape(-1, 3)
        first = intersector.intersects_first(np.zeros_like(flat), flat)
        hits[top:bottom, left:right] = first.reshape(rays.shape[:2])
    return hits


def _first_hits_by_pytorch3d(
    vertices: np.ndarray, triangles: np.ndarray, intrinsics: Intrinsics
) -> Int[np.ndarray, "height width"]:
    """The same by pytorch3d's rasteriser, on the GPU where there is one.

    It takes x and y in its normalised device coordinates: x to the left, y up, and the shorter side of the image from
    -1 to 1 between the outer edges of its pixels (https://pytorch3d.org/docs/cameras); z is the depth.
    """
    try:
        import torch
        from pytorch3d.renderer.mesh.rasterize_meshes import (  # pyright: ignore[reportMissingImports]
            rasterize_meshes,
        )
        from pytorch3d.structures import Meshes  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ImportError(
            "pytorch3d is not installed: leave the rasterizer to Embree, or build pytorch3d from its repository."
        ) from error
    size = np.array([intrinsics.width, intrinsics.height])
    device_coordinates = (size - 2 * project(vertices.astype(np.float64), intrinsics)) / size.min()
    points = np.concatenate([device_coordinates, -vertices[:, 2:]], 1)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    mesh = Meshes(
        [torch.as_tensor(points, dtype=torch.float32, device=device)],
        [torch.as_tensor(np.ascontiguousarray(triangles), dtype=torch.int64, device=device)],
    )
    # Bin size 0 is the exact rasteriser without bins, which could overflow where many triangles are small.
    hits = rasterize_meshes(
        mesh,
        image_size=(intrinsics.height, intrinsics.width),
        blur_radius=0.0,
        faces_per_pixel=1,
        bin_size=0,
        perspective_correct=True,
    )[0]
    return hits[0, ..., 0].cpu().numpy()


def _can_use_pytorch3d_on_gpu() -> bool:
    if find_spec("pytorch3d") is None:
        return False
    import torch

    return torch.cuda.is_available()
