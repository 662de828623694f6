"""Points on the head's surface, where they are seen in a frame, and what the picture shows there.

Samples lie on the skin, evenly by area, and on the irises, each a disc in the plane of the model's five points of the
iris. Every sample is a fixed blend of vertices, so it moves linearly with the expressions, the gaze included.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from tracking.cameras import project
from tracking.clip import Intrinsics
from tracking.face_regions import FACE_OVAL, INNER_LIPS, LEFT_EYE, RIGHT_EYE
from tracking.head_model import HeadModel
from tracking.rasterize import rasterize, scale_intrinsics

MESH_POINTS = 468
"""Vertices of the face; the irises' come after them."""
IRISES = ((RIGHT_EYE, range(468, 473)), (LEFT_EYE, range(473, 478)))
"""Outlines of the eyes, and the centre and four rim points of their irises."""
IRIS_REACH = 1.25
"""How far samples go out from an iris's centre, in radii: far enough to see its rim."""
IRIS_SAMPLES = 60
HIDDEN_DEPTH = 0.35
"""Centimetres by which a sample must lie behind what is seen to count as hidden."""
LEAST_FACING = 0.3
"""Least cosine between the surface's normal and the line of sight."""
WINDOW_MARGIN = 0.12
"""What is kept around the face, in multiples of its size."""


@dataclass(frozen=True)
class SurfaceSamples:
    """Samples as blends of three vertices each."""

    corners: Int[np.ndarray, "samples 3"]
    weights: Float[np.ndarray, "samples 3"]
    """Of sum 1; an iris's rim is reached from its centre by weights beyond [0, 1]."""
    eye: Int[np.ndarray, "samples"]
    """Which of `IRISES` a sample is on, or -1 for the skin."""

    @classmethod
    def spread(cls, model: HeadModel, count: int) -> "SurfaceSamples":
        """So many samples on the skin, evenly by the mean head's area, and `IRIS_SAMPLES` on each iris.

        Left out are the insides of mouth and eyes, whose content changes, and the triangles at the face's outline.
        """
        random = np.random.default_rng(0)
        triangles = model.triangles[(model.triangles < MESH_POINTS).all(1)]
        openings = [np.isin(triangles, part).all(1) for part in (INNER_LIPS, RIGHT_EYE, LEFT_EYE)]
        rim = np.isin(triangles, FACE_OVAL).any(1)
        skin = triangles[~(np.any(openings, axis=0) | rim)]
        a, b, c = (model.mean[skin[:, corner]] for corner in range(3))
        area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
        # Systematic sampling by area: the counts of equal triangles differ by one at most.
        places = (np.arange(count) + 0.5) / count * area.sum()
        corners = [skin[np.searchsorted(np.cumsum(area), places)]]
        first, second = random.uniform(size=(2, count))
        root = np.sqrt(first)
        weights = [np.stack([1 - root, root * (1 - second), root * second], 1)]
        eye = [np.full(count, -1)]
        for number, (_, points) in enumerate(IRISES):
            center, right, top, left, bottom = points
            # Sunflower seeds: even over the disc.
            radius = IRIS_REACH * np.sqrt((np.arange(IRIS_SAMPLES) + 0.5) / IRIS_SAMPLES)
            angle = np.arange(IRIS_SAMPLES) * np.pi * (3 - np.sqrt(5))
            across, up = radius * np.cos(angle), radius * np.sin(angle)
            side, height = np.where(across >= 0, right, left), np.where(up >= 0, top, bottom)
            corners.append(np.stack([np.full(IRIS_SAMPLES, center), side, height], 1))
            weights.append(np.stack([1 - np.abs(across) - np.abs(up), np.abs(across), np.abs(up)], 1))
            eye.append(np.full(IRIS_SAMPLES, number))
        return cls(np.concatenate(corners), np.concatenate(weights), np.concatenate(eye))

    def on(self, vertices: Float[np.ndarray, "*batch vertices 3"]) -> Float[np.ndarray, "*batch samples 3"]:
        """Where the samples are, or how they move, given the same of the vertices."""
        return np.einsum("sc,...sci->...si", self.weights, vertices[..., self.corners, :])


@dataclass(frozen=True)
class FaceWindow:
    """The part of a frame around the face, at the size worked at."""

    intrinsics: Intrinsics
    """Of the window's own pixels."""
    image: Float[np.ndarray, "height width"]
    """Brightness in levels of 255."""


def cut_window(
    image: UInt8[np.ndarray, "height width 3"],
    intrinsics: Intrinsics,
    vertices_in_camera: Float[np.ndarray, "vertices 3"],
    scale: float,
) -> FaceWindow:
    """Cut out the face and reduce it.

    Args:
        image: the frame, RGB.
        intrinsics: the frame's.
        vertices_in_camera: the face.
        scale: of the window over the frame.
    """
    pixels = project(vertices_in_camera, intrinsics)
    low, high = pixels.min(0), pixels.max(0)
    margin = WINDOW_MARGIN * (high - low).max()
    size = np.array([intrinsics.width, intrinsics.height])
    left, top = np.floor(low - margin).clip(0, size - 2).astype(int)
    right, bottom = np.ceil(high + margin).clip((left + 2, top + 2), size).astype(int)
    gray = cv2.cvtColor(np.ascontiguousarray(image[top:bottom, left:right]), cv2.COLOR_RGB2GRAY).astype(np.float32)
    width, height = max(2, round((right - left) * scale)), max(2, round((bottom - top) * scale))
    # The window is a whole number of pixels, so its scale is not exactly the one asked for.
    exact = width / (right - left)
    cut = Intrinsics(
        intrinsics.focal_length, intrinsics.center_x - left, intrinsics.center_y - top, right - left, bottom - top
    )
    matrix = np.array([[exact, 0, (exact - 1) / 2], [0, exact, (exact - 1) / 2]])
    if scale < 1:
        gray = cv2.GaussianBlur(gray, (0, 0), 0.4 / scale)
    reduced = cv2.warpAffine(gray, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    scaled = scale_intrinsics(cut, exact)
    return FaceWindow(Intrinsics(scaled.focal_length, scaled.center_x, scaled.center_y, width, height), reduced)


def seen_samples(
    samples: SurfaceSamples,
    model: HeadModel,
    vertices_in_camera: Float[np.ndarray, "vertices 3"],
    intrinsics: Intrinsics,
) -> Bool[np.ndarray, "samples"]:
    """Which samples are before the camera: not hidden, not seen edge-on; of the irises, what the lids leave open."""
    points = samples.on(vertices_in_camera)
    pixels = project(points, intrinsics)
    column, row = np.floor(pixels).astype(int).T
    inside = (column >= 1) & (row >= 1) & (column < intrinsics.width - 1) & (row < intrinsics.height - 1)
    column, row = column.clip(0, intrinsics.width - 1), row.clip(0, intrinsics.height - 1)
    visible = rasterize(vertices_in_camera, model.triangles, intrinsics)
    hidden = -points[:, 2] > visible.depth[row, column] + HIDDEN_DEPTH
    a, b, c = (vertices_in_camera[samples.corners[:, corner]] for corner in range(3))
    normal = np.cross(b - a, c - a)
    facing = -(normal * points).sum(1) / np.maximum(
        np.linalg.norm(normal, axis=1) * np.linalg.norm(points, axis=1), 1e-12
    )
    seen = inside & ~hidden & (facing > LEAST_FACING)
    for number, (outline, _) in enumerate(IRISES):
        on_iris = samples.eye == number
        opening = np.zeros((intrinsics.height, intrinsics.width), np.uint8)
        corners = np.round(16 * (project(vertices_in_camera[list(outline)], intrinsics) - 0.5)).astype(np.int32)
        cv2.fillPoly(opening, [corners], (1,), cv2.LINE_8, 4)
        opening = cv2.erode(opening, np.ones((3, 3), np.uint8))
        seen[on_iris] = inside[on_iris] & (opening[row[on_iris], column[on_iris]] > 0)
    return seen


def normalize_locally(
    image: Float[np.ndarray, "height width"], blur: float, neighborhood: float, contrast_floor: float = 6.0
) -> Float[np.ndarray, "height width"]:
    """Brightness less its local mean, over its local deviation.

    What light does to a face is smooth, and goes away; edges and spots stay.

    Args:
        image: in levels of 255.
        blur: standard deviation in pixels of what is smoothed away beforehand.
        neighborhood: standard deviation in pixels of the neighbourhood.
        contrast_floor: levels below which deviations count as noise.
    """
    smooth = cv2.GaussianBlur(image, (0, 0), blur) if blur else image
    centered = smooth - cv2.GaussianBlur(smooth, (0, 0), neighborhood)
    deviation = np.sqrt(cv2.GaussianBlur(centered**2, (0, 0), neighborhood))
    return centered / (deviation + contrast_floor)


def with_slopes(feature: Float[np.ndarray, "height width"]) -> Float[np.ndarray, "height width 3"]:
    """An image with its derivatives along x and y."""
    slope = np.gradient(feature)
    return np.dstack([feature, slope[1], slope[0]]).astype(np.float32)


def look_up(
    feature: Float[np.ndarray, "height width channels"], pixels: Float[np.ndarray, "samples 2"]
) -> Float[np.ndarray, "samples channels"]:
    """What an image holds at some places, bilinearly."""
    columns, rows = np.ascontiguousarray((pixels - 0.5).astype(np.float32).T[..., None])
    values = cv2.remap(feature, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return values.reshape(len(pixels), -1)
