"""The proxy of a person on voxel grids: where the mattes allow anything, and where the tracked mesh expects it."""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64
from scipy.spatial import KDTree
from torch import Tensor

from tracking.cameras import project
from tracking.clip import Intrinsics


@dataclass
class ProxyGrid:
    """A box in one space, the hull of the person in it and a first guess of density, on a grid [z, y, x]."""

    box: Float[Tensor, "2 3"]
    hull: Bool[Tensor, "depth height width"]
    density: Float[Tensor, "depth height width"]


def voxel_centres(box: Float[np.ndarray, "2 3"], resolution: int) -> Float[np.ndarray, "voxels 3"]:
    """Centres of a grid whose outermost voxels are centred on the box's corners, in the order [z, y, x]."""
    sides = [np.linspace(box[0, axis], box[1, axis], resolution) for axis in range(3)]
    z, y, x = np.meshgrid(sides[2], sides[1], sides[0], indexing="ij")
    return np.stack([x, y, z], axis=-1).reshape(-1, 3)


@dataclass
class SeenPoints:
    """The points that one frame sees."""

    seen: Bool[np.ndarray, "points"]
    """Which of them are before the camera and within its picture."""
    row: Int64[np.ndarray, "seen"]
    """Of those, in a picture of the size that was asked for."""
    column: Int64[np.ndarray, "seen"]
    depth: Float[np.ndarray, "seen"]
    """Along the camera's axis, in the points' unit."""


def seen_points(
    points: Float[np.ndarray, "points 3"],
    space_to_camera: Float[np.ndarray, "frames 4 4"],
    intrinsics: Intrinsics,
    size: tuple[int, int],
) -> Iterator[SeenPoints]:
    """Where each frame sees points.

    Args:
        points: in the space that the cameras see.
        space_to_camera: OpenGL cameras.
        intrinsics: of the frames.
        size: width and height of the pictures asked for, which may be smaller than the frames.
    """
    width, height = size
    scale = width / intrinsics.width
    for transform in space_to_camera:
        camera = points @ transform[:3, :3].T + transform[:3, 3]
        is_before = camera[:, 2] < 0
        camera[:, 2] = np.minimum(camera[:, 2], -1e-6)
        column, row = np.floor(project(camera, intrinsics) * scale).astype(np.int64).T
        seen = (column >= 0) & (column < width) & (row >= 0) & (row < height) & is_before
        yield SeenPoints(seen, row[seen], column[seen], -camera[seen, 2])


def carve_hull(
    points: Float[np.ndarray, "points 3"],
    mattes: Float32[np.ndarray, "frames height width"],
    space_to_camera: Float[np.ndarray, "frames 4 4"],
    intrinsics: Intrinsics,
    agreement: float = 0.85,
    margin: float = 0.02,
) -> Bool[np.ndarray, "points"]:
    """Points that the mattes allow to be part of the person: the visual hull (Laurentini 1994), with tolerance.

    Args:
        points: in the space that the person is rigid in.
        mattes: of some frames, in [0, 1].
        space_to_camera: of the same frames; OpenGL cameras.
        intrinsics: of the frames; the mattes may be smaller than its size.
        agreement: share of the frames that see a point which must hold the person there.
        margin: how far outside of the matte a point may still fall, as a share of its height.
    """
    height, width = mattes.shape[1:]
    reach = max(1, round(margin * height))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    seen, held = np.zeros(len(points), np.int32), np.zeros(len(points), np.int32)
    views = seen_points(points, space_to_camera, intrinsics, (width, height))
    for matte, view in zip(mattes, views, strict=True):
        allowed = cv2.dilate((matte > 0.02).astype(np.uint8), kernel)
        seen += view.seen
        held[view.seen] += allowed[view.row, view.column]
    return (held >= agreement * seen) & (seen > 0)


def build_proxy(
    box: Float[np.ndarray, "2 3"],
    resolution: int,
    surface: Float[np.ndarray, "vertices 3"],
    mattes: Float32[np.ndarray, "frames height width"],
    space_to_camera: Float[np.ndarray, "frames 4 4"],
    intrinsics: Intrinsics,
    thickness: float,
) -> ProxyGrid:
    """Hull and first density of one space.

    Density is high within `thickness` of the tracked surface and thin elsewhere in the hull, so that the first samples
    fall where the mesh says that there is something, and space still starts nearly empty.
    """
    points = voxel_centres(box, resolution)
    hull = carve_hull(points, mattes, space_to_camera, intrinsics)
    distance, _ = KDTree(surface).query(points)
    density = 0.3 + 3.0 * np.exp(-0.5 * (distance / thickness) ** 2)
    shape = (resolution, resolution, resolution)
    return ProxyGrid(
        torch.from_numpy(box.astype(np.float32)),
        torch.from_numpy(hull.reshape(shape)),
        torch.from_numpy(density.reshape(shape).astype(np.float32)),
    )
