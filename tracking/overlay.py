"""Drawing what was tracked onto pictures: landmarks, the fitted face as a wireframe, the head's axes."""

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

from tracking.fitted_face import FittedFace

LEGIBLE_SIZE = 480
"""Smaller pictures are enlarged until their longer side has this many pixels, so that lines can be told apart."""
SUBPIXEL_BITS = 4
WIREFRAME_COLOR = (86, 225, 233)
LANDMARK_COLOR = (255, 214, 0)
AXIS_COLORS = ((230, 80, 60), (70, 200, 90), (80, 140, 255))
WIREFRAME_OPACITY = 0.45
DOTS_ACROSS_FACE = 340
"""The height of a face over the radius of the dots on it."""

Picture = UInt8[np.ndarray, "height width 3"]


def legible_scale(width: int, height: int) -> float:
    """How much a picture is to be enlarged before it is drawn on; 1 for large ones."""
    return max(1.0, LEGIBLE_SIZE / max(width, height))


def enlarge(picture: Picture, scale: float) -> Picture:
    """The picture with both sides multiplied, rounded to even numbers; a copy in any case."""
    height, width = picture.shape[:2]
    size = even_size(width, height, scale)
    if size == (width, height):
        return picture.copy()
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA))


def even_size(width: int, height: int, scale: float) -> tuple[int, int]:
    """Width and height times the scale, as even numbers."""
    return max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)


def draw_tracking(
    picture: Picture, face: FittedFace | None, landmarks: Float[np.ndarray, "points 2"], axes: bool = False
) -> Picture:
    """The picture of a frame, enlarged to a legible size, with what was found in it.

    Args:
        picture: an image of the clip, at the clip's size.
        face: the fit, if there is one.
        landmarks: detected points in pixels of the picture; those that are NaN are left out.
        axes: whether to draw the head's axes too.
    """
    height, width = picture.shape[:2]
    canvas = enlarge(picture, legible_scale(width, height))
    scale = np.array([canvas.shape[1] / width, canvas.shape[0] / height])
    if face is not None:
        draw_wireframe(canvas, face.points * scale, face.edges)
    draw_points(canvas, landmarks * scale)
    if face is not None and axes:
        draw_axes(canvas, face.axes * scale)
    return canvas


def draw_wireframe(canvas: Picture, points: Float[np.ndarray, "vertices 2"], edges: Int[np.ndarray, "edges 2"]) -> None:
    """Draw thin translucent lines, in place."""
    drawn = canvas.copy()
    lines = _subpixel(points)[edges]
    cv2.polylines(drawn, list(lines), False, WIREFRAME_COLOR, 1, cv2.LINE_AA, SUBPIXEL_BITS)
    cv2.addWeighted(drawn, WIREFRAME_OPACITY, canvas, 1 - WIREFRAME_OPACITY, 0, dst=canvas)


def draw_points(canvas: Picture, points: Float[np.ndarray, "points 2"]) -> None:
    """Draw small dots, in place, the smaller the closer together they lie; those that are NaN are left out."""
    known = points[np.isfinite(points).all(axis=1)]
    if not len(known):
        return
    radius = round(np.clip(np.ptp(known[:, 1]) / DOTS_ACROSS_FACE, 0.5, 4) * 2**SUBPIXEL_BITS)
    for x, y in _subpixel(known):
        cv2.circle(canvas, (int(x), int(y)), radius, LANDMARK_COLOR, -1, cv2.LINE_AA, SUBPIXEL_BITS)


def draw_axes(canvas: Picture, axes: Float[np.ndarray, "4 2"]) -> None:
    """Draw the head's axes in place: x to the person's left in red, y up in green, z out of the face in blue."""
    thickness = max(2, round(max(canvas.shape[:2]) / 240))
    ends = _subpixel(axes)
    origin = (int(ends[0, 0]), int(ends[0, 1]))
    for name, color, (x, y) in zip("xyz", AXIS_COLORS, ends[1:], strict=True):
        end = (int(x), int(y))
        cv2.line(canvas, origin, end, color, thickness, cv2.LINE_AA, SUBPIXEL_BITS)
        place = (end[0] // 2**SUBPIXEL_BITS + 3, end[1] // 2**SUBPIXEL_BITS + 3)
        draw_text(canvas, name, place, color, 0.5)


def draw_text(
    canvas: Picture, text: str, place: tuple[int, int], color: tuple[int, int, int], size: float = 0.45
) -> None:
    """Write with a dark rim, so that it reads on any picture; `place` is the text's lower left corner."""
    cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, color, 1, cv2.LINE_AA)


def _subpixel(points: Float[np.ndarray, "points 2"]) -> Int[np.ndarray, "points 2"]:
    """Fixed-point coordinates as OpenCV draws them: its integers are pixel centres, ours are corners.

    Clipped far outside of any picture, so that a wild fit cannot overflow.
    """
    return np.rint(np.clip(points - 0.5, -1e5, 1e5) * 2**SUBPIXEL_BITS).astype(np.int32)
