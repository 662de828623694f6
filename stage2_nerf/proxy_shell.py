"""What the tracked shells of head and torso say of where the person is, beyond what the mattes say.

A clip in which the head hardly turns carves next to no depth: before and behind every part of the person the mattes
allow a fog that the filmed views cannot tell from a surface, and that smears as soon as the camera moves to the side.
So depth comes from the shell: outside of it the person may only be where the filmed silhouette is wider than the
shells', as with long hair, a hat or wide clothes.
"""

import cv2
import numpy as np
import trimesh
from jaxtyping import Bool, Float, Float32, Int

from stage2_nerf.proxy_grid import carve_hull
from tracking.clip import Intrinsics


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
    for picture, transform in zip(covered, space_to_camera, strict=True):
        camera = vertices @ transform[:3, :3].T + transform[:3, 3]
        depth = np.maximum(-camera[:, 2], 1e-6)
        focal = intrinsics.focal_length / depth
        pixels = np.stack([focal * camera[:, 0] + intrinsics.center_x, intrinsics.center_y - focal * camera[:, 1]], 1)
        corners = (pixels * scale - 0.5).clip(-1e4, 1e4).round().astype(np.int32)
        for triangle in triangles[(camera[:, 2] < 0)[triangles].all(axis=1)]:
            cv2.fillConvexPoly(picture, corners[triangle], (1,))
    return covered.astype(bool)


def keep_near_shell(
    points: Float[np.ndarray, "points 3"],
    inside: Bool[np.ndarray, "points"],
    mattes: Float32[np.ndarray, "frames height width"],
    covered: Bool[np.ndarray, "frames height width"],
    space_to_camera: Float[np.ndarray, "frames 4 4"],
    intrinsics: Intrinsics,
    agreement: float = 0.15,
) -> Bool[np.ndarray, "points"]:
    """Points inside the shell, and those seen in some frames where the person is but no shell.

    Args:
        points: in the space that the person is rigid in.
        inside: whether each is inside the shell.
        mattes: of some frames, in [0, 1].
        covered: pixels of the same frames that any shell covers.
        space_to_camera: of the same frames; OpenGL cameras.
        intrinsics: of the frames.
        agreement: share of the frames that see a point which must show the person there and no shell.
    """
    beyond = np.where(covered, 0, mattes).astype(np.float32)
    return inside | carve_hull(points, beyond, space_to_camera, intrinsics, agreement)
