"""What the tracked shells of head and torso say of where the person is, beyond what the mattes say.

A clip in which the head hardly turns carves next to no depth: before and behind every part of the person the mattes
allow a fog that the filmed views cannot tell from a surface, and that smears as soon as the camera moves to the side.
So depth comes from elsewhere. Outside of the shells a part may only be where it is seen to be wider than they are, as
with long hair, a hat or wide clothes (`keep_near_shell`). A body is round: near its outline it is thin, and lies about
the plane that the outline lies in (`round_behind_outline`).
"""

import cv2
import numpy as np
import trimesh
from jaxtyping import Bool, Float, Float32, Int

from stage2_nerf.proxy_grid import carve_hull, seen_points
from tracking.cameras import project, transform
from tracking.clip import Intrinsics

ROUNDNESS = 12.0
"""Radius, in centimetres, of the balls that head and torso are taken for near their outlines."""
OUTLINE_MARGIN = {"head": 2.5, "torso": 5.0}
"""How far before and behind its plane each part's outline may lie, in centimetres."""
LEAST_SHOWN = 0.15
"""Share of the frames that see a point which must show a part of the person there."""


def inside_shell(
    points: Float[np.ndarray, "points 3"],
    vertices: Float[np.ndarray, "vertices 3"],
    triangles: Int[np.ndarray, "triangles 3"],
    margin: float,
) -> Bool[np.ndarray, "points"]:
    """Points within a closed mesh that is inflated by a margin. trimesh asks Embree."""
    mesh = trimesh.Trimesh(vertices, triangles, process=False)
    # Outward, whichever way round the triangles are.
    outward = np.sign(mesh.volume) * np.asarray(mesh.vertex_normals)
    inflated = trimesh.Trimesh(vertices + margin * outward, triangles, process=False)
    return np.asarray(inflated.contains(points))


def silhouettes(
    vertices: Float[np.ndarray, "vertices 3"],
    triangles: Int[np.ndarray, "triangles 3"],
    space_to_camera: Float[np.ndarray, "frames 4 4"],
    intrinsics: Intrinsics,
    size: tuple[int, int],
) -> Bool[np.ndarray, "frames height width"]:
    """Pixels that a mesh covers in some frames, in pictures of this width and height.

    Triangles with a corner behind the camera are left out.
    """
    scale = size[0] / intrinsics.width
    covered = np.zeros((len(space_to_camera), size[1], size[0]), np.uint8)
    for picture, to_camera in zip(covered, space_to_camera, strict=True):
        seen = transform(to_camera, vertices)
        before = seen[:, 2] < 0
        pixels = project(np.where(before[:, None], seen, [0.0, 0.0, -1.0]), intrinsics)
        corners = (pixels * scale - 0.5).clip(-1e4, 1e4).round().astype(np.int32)
        for triangle in triangles[before[triangles].all(axis=1)]:
            cv2.fillConvexPoly(picture, corners[triangle], (1,))
    return covered.astype(bool)


def where_shown(
    points: Float[np.ndarray, "points 3"],
    mattes: Float32[np.ndarray, "frames height width"],
    space_to_camera: Float[np.ndarray, "frames 4 4"],
    intrinsics: Intrinsics,
) -> Bool[np.ndarray, "points"]:
    """Points where a part of the person is seen; arguments as `keep_near_shell` has them."""
    return carve_hull(points, mattes, space_to_camera, intrinsics, LEAST_SHOWN, margin=0.03)


def keep_near_shell(
    points: Float[np.ndarray, "points 3"],
    inside: Bool[np.ndarray, "points"],
    shown: Bool[np.ndarray, "points"],
    mattes: Float32[np.ndarray, "frames height width"],
    covered: Bool[np.ndarray, "frames height width"],
    space_to_camera: Float[np.ndarray, "frames 4 4"],
    intrinsics: Intrinsics,
    agreement: float = LEAST_SHOWN,
) -> Bool[np.ndarray, "points"]:
    """Points where a part of the person is seen: inside its shell, or beside all shells.

    Args:
        points: in the space that the part is rigid in.
        inside: whether each is inside the part's shell.
        shown: whether the part is seen there (`where_shown`).
        mattes: of some frames, in [0, 1]: where they show this part.
        covered: pixels of the same frames that any shell covers.
        space_to_camera: of the same frames; OpenGL cameras.
        intrinsics: of the frames.
        agreement: share of the frames that see a point which must show the part there.
    """
    beyond = np.where(covered, 0, mattes).astype(np.float32)
    beside = carve_hull(points, beyond, space_to_camera, intrinsics, agreement)
    return (inside | beside) & shown


def round_behind_outline(
    points: Float[np.ndarray, "points 3"],
    mattes: Float32[np.ndarray, "frames height width"],
    space_to_camera: Float[np.ndarray, "frames 4 4"],
    intrinsics: Intrinsics,
    middle: Float[np.ndarray, "3"],
    margin: float,
    agreement: float = 0.5,
) -> Bool[np.ndarray, "points"]:
    """Points that are no farther from their outline's plane than a ball's surface would be.

    A body bulges the more, the farther from its outline: as drawn outlines are inflated (Teddy, Igarashi et al. 1999),
    but only as a bound. A ball's outline lies in the plane through its middle, across the view; a point seen at a
    distance d inside of the outline of a ball of radius r is within sqrt(d (2 r - d)) of it.

    Args:
        points: in the space that the part is rigid in, in centimetres.
        mattes: of some frames, in [0, 1]; the whole person's. A picture's edge is no outline.
        space_to_camera: of the same frames; OpenGL cameras.
        intrinsics: of the frames; the mattes may be smaller than its size.
        middle: of the part.
        margin: how far from its plane the outline itself may lie, in centimetres.
        agreement: share of the frames that see a point which must allow it.
    """
    height, width = mattes.shape[1:]
    seen, held = np.zeros(len(points), np.int32), np.zeros(len(points), np.int32)
    views = seen_points(points, space_to_camera, intrinsics, (width, height))
    for matte, to_camera, view in zip(mattes, space_to_camera, views, strict=True):
        distance = -(to_camera[2, :3] @ middle + to_camera[2, 3])
        inside = np.pad((matte > 0.5).astype(np.uint8), 1, mode="edge")
        from_outline = cv2.distanceTransform(inside, cv2.DIST_L2, 5)[1:-1, 1:-1]
        from_outline = (
            from_outline[view.row, view.column] * distance * intrinsics.width / (intrinsics.focal_length * width)
        )
        from_outline = from_outline.clip(max=ROUNDNESS)
        bulge = np.sqrt(from_outline * (2 * ROUNDNESS - from_outline))
        seen += view.seen
        held[view.seen] += np.abs(view.depth - distance) < margin + bulge
    return held >= agreement * seen
