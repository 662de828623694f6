"""Gaps between the hulls of a person's parts, closed: no ray through the person may miss them all.

Each part's hull is where that part is seen and where its shell, or the lack of any shell, lets it be. What is one part
before the shell of the other is neither's: the tips of long hair hang before the shoulders, and the scene shone through
them. So pixels of the mattes are looked for onto which no hull falls, and there the parts get back what the mattes
allow: the part that is seen there, and both where that leaves a gap still.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32

from stage2_nerf.proxy_grid import seen_points
from tracking.clip import Intrinsics

LEAST_MATTE = 0.5
"""A pixel that the person covers less is not missed."""


@dataclass(frozen=True)
class PartHull:
    """One part's hull, on its voxels."""

    points: Float[np.ndarray, "points 3"]
    """The voxels' centres, in the space that the part is rigid in."""
    spacing: float
    """Distance of neighbouring centres, along the longest side."""
    space_to_camera: Float[np.ndarray, "frames 4 4"]
    kept: Bool[np.ndarray, "points"]
    shown: Bool[np.ndarray, "points"]
    """Where the mattes allow the person and the part is seen."""
    allowed: Bool[np.ndarray, "points"]
    """Where the mattes allow the person."""


def close_gaps(
    parts: Sequence[PartHull], mattes: Float32[np.ndarray, "frames height width"], intrinsics: Intrinsics
) -> list[Bool[np.ndarray, "points"]]:
    """The parts' hulls, with what the mattes allow wherever all of them miss the person.

    Args:
        parts: all of the person's, seen by the same frames.
        mattes: of those frames, in [0, 1].
        intrinsics: of the frames; the mattes may be smaller than its size.
    """
    hulls = [part.kept for part in parts]
    for candidates in ([part.shown for part in parts], [part.allowed for part in parts]):
        missed = (mattes > LEAST_MATTE) & ~covered_by(parts, hulls, mattes, intrinsics)
        if not missed.any():
            break
        hulls = [
            hull | (candidate & falls_on(part, missed, intrinsics))
            for part, hull, candidate in zip(parts, hulls, candidates, strict=True)
        ]
    return hulls


def covered_by(
    parts: Sequence[PartHull],
    hulls: Sequence[Bool[np.ndarray, "points"]],
    mattes: Float32[np.ndarray, "frames height width"],
    intrinsics: Intrinsics,
) -> Bool[np.ndarray, "frames height width"]:
    """Pixels of the mattes onto which a voxel of any hull falls, as large as it is seen."""
    covered = np.zeros_like(mattes, bool)
    height, width = mattes.shape[1:]
    for part, hull in zip(parts, hulls, strict=True):
        views = seen_points(part.points[hull], part.space_to_camera, intrinsics, (width, height))
        for picture, view in zip(covered, views, strict=True):
            if not len(view.row):
                continue
            centres = np.zeros(picture.shape, np.uint8)
            centres[view.row, view.column] = 1
            side = intrinsics.focal_length * width / intrinsics.width * part.spacing / float(np.median(view.depth))
            # A little more than a voxel's side: between neighbours there is no gap.
            reach = int(np.ceil(side / 2))
            picture |= cv2.dilate(centres, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) > 0
    return covered


def falls_on(
    part: PartHull, pixels: Bool[np.ndarray, "frames height width"], intrinsics: Intrinsics
) -> Bool[np.ndarray, "points"]:
    """Which of a part's voxels fall on or beside one of the pixels, in any frame."""
    found = np.zeros(len(part.points), bool)
    views = seen_points(part.points, part.space_to_camera, intrinsics, (pixels.shape[2], pixels.shape[1]))
    for picture, view in zip(pixels, views, strict=True):
        near = cv2.dilate(picture.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        found[view.seen] |= near[view.row, view.column]
    return found
