"""What ControlNets are shown: edges of the filmed frame, and what tracking knows of the person.

Each kind is drawn as the public weights for it were trained; nothing here needs diffusers.
"""

from typing import Literal, TypeAlias

import cv2
import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from stage1_edit.editor import EditRequest, Image
from stage1_edit.frame_geometry import FrameGeometry
from tracking.errors import UserError
from tracking.face_regions import FACE_OVAL, INNER_LIPS, LEFT_BROW, LEFT_EYE, OUTER_LIPS, RIGHT_BROW, RIGHT_EYE
from tracking.rasterize import vertex_normals

ControlName: TypeAlias = Literal["canny", "landmarks", "depth", "normals"]
Picture = Float32[np.ndarray, "height width 3"]

CANNY_THRESHOLDS = (100, 200)
"""Of the gradient's size for 8-bit pictures: those that the public weights' documentation uses."""
DEPTH_RANGE = 60.0
"""Centimetres behind the nearest point at which depth pictures turn black."""
BLACK = np.zeros(3, np.float32)
FRONT = np.array([0.5, 0.5, 1.0], np.float32)
"""What depth and normals show where nobody is: far away, and a wall that faces the camera."""
SUBPIXEL_BITS = 4

# Of the MediaPipe face ControlNet (CrucibleAI/ControlNetMediaPipeFace): RGB, left and right the person's.
FACE_LINES: tuple[tuple[tuple[int, ...], bool, tuple[int, int, int]], ...] = (
    (FACE_OVAL, True, (10, 200, 10)),
    (LEFT_EYE, True, (10, 200, 180)),
    (LEFT_BROW[:5], False, (10, 220, 180)),
    (LEFT_BROW[5:], False, (10, 220, 180)),
    (RIGHT_EYE, True, (180, 200, 10)),
    (RIGHT_BROW[:5], False, (180, 220, 10)),
    (RIGHT_BROW[5:], False, (180, 220, 10)),
    (OUTER_LIPS, True, (10, 180, 10)),
    (INNER_LIPS, True, (10, 180, 10)),
)
PUPILS = ((473, (10, 200, 250)), (468, (250, 200, 10)))
LINE_WIDTH, PUPIL_WIDTH = 2, 2
"""Pixels, at the size of the diffusion model."""


def control_picture(name: ControlName, request: EditRequest, size: tuple[int, int]) -> Float[Tensor, "3 height width"]:
    """The condition of one kind for a frame, in [0, 1].

    Raises:
        UserError: the frame's track is needed and was not given.
    """
    if name == "canny":
        picture = edges(request.original, size)
    elif request.geometry is None:
        raise UserError(
            f"Edits cannot be held to {name}, for the frame's track is not known here: use canny alone, or edit a "
            "tracked clip."
        )
    else:
        draw, outside = {"landmarks": (face_lines, None), "depth": (depth, BLACK), "normals": (normals, FRONT)}[name]
        picture = draw(request.geometry, size)
        if outside is not None:
            # The mesh is a hull about the person; the matte knows the outline.
            matte = cv2.resize(request.matte.cpu().numpy(), (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
            picture = outside + matte[..., None] * (picture - outside)
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))


def edges(image: Image, size: tuple[int, int]) -> Picture:
    """White edges by Canny on black."""
    levels = (image.detach().cpu().clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    height, width = size
    method = cv2.INTER_AREA if height * width < levels.shape[0] * levels.shape[1] else cv2.INTER_CUBIC
    scaled = cv2.resize(levels, (width, height), interpolation=method)
    found = cv2.Canny(cv2.cvtColor(scaled, cv2.COLOR_RGB2GRAY), *CANNY_THRESHOLDS)
    return np.repeat(found[..., None], 3, axis=2).astype(np.float32) / 255


def face_lines(geometry: FrameGeometry, size: tuple[int, int]) -> Picture:
    """The face's outline, brows, eyes, lips and pupils in colours on black."""
    height, width = size
    camera = geometry.intrinsics
    points = geometry.landmarks * [width / camera.width, height / camera.height]
    canvas = np.zeros((height, width, 3), np.uint8)
    # OpenCV's integers are pixel centres, ours are corners.
    fixed = np.rint(np.clip(points - 0.5, -1e5, 1e5) * 2**SUBPIXEL_BITS).astype(np.int32)
    for loop, closed, color in FACE_LINES:
        cv2.polylines(canvas, [fixed[list(loop)]], closed, color, LINE_WIDTH, cv2.LINE_AA, SUBPIXEL_BITS)
    for point, color in PUPILS:
        if point < len(points):
            x, y = (int(value) for value in fixed[point])
            cv2.circle(canvas, (x, y), PUPIL_WIDTH << SUBPIXEL_BITS, color, -1, cv2.LINE_AA, SUBPIXEL_BITS)
    return canvas.astype(np.float32) / 255


def depth(geometry: FrameGeometry, size: tuple[int, int]) -> Picture:
    """Inverse depth of the proxy mesh, as MiDaS shows it: the nearest point white, and black where there is none."""
    seen = geometry.seen(size)
    picture = np.zeros(size, np.float32)
    if seen.covered.any():
        near = seen.depth[seen.covered].min()
        far = 1 / (near + DEPTH_RANGE)
        picture[seen.covered] = np.clip((1 / seen.depth[seen.covered] - far) / (1 / near - far), 0, 1)
    return np.repeat(picture[..., None], 3, axis=2)


def normals(geometry: FrameGeometry, size: tuple[int, int]) -> Picture:
    """The proxy mesh's normals as colours: blue to the front, red to the picture's left, green up.

    So the documentation of ControlNet 1.1 asks for normals from a renderer. What is not covered faces the front.
    """
    seen = geometry.seen(size)
    vectors = seen.interpolate(vertex_normals(geometry.vertices, geometry.triangles), geometry.triangles)
    vectors[~seen.covered] = (0, 0, 1)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return ((vectors * (-1, 1, 1) + 1) / 2).astype(np.float32)
