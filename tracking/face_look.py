"""What one frame shows of the face: an unwrapped picture of it, how sharp it is and how bright.

Unwrapping takes pose and expression out: a texel shows the same spot of skin in every frame, or what lies before it.
"""

from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, Int, UInt8

from tracking.face_regions import FACE_OVAL, inside
from tracking.face_shape import face_size
from tracking.head_model import HeadModel

TEXTURE_SIZE = 40
"""Side of the unwrapped face, in texels."""
LEAST_FACING = 0.15
"""How much of its frontal area a triangle must show for what is seen there to count."""
SHARPNESS_FACE_SIZE = 160
"""Larger faces are reduced to this size, in pixels, before their sharpness is measured."""


class FaceLook(NamedTuple):
    """What one frame shows of the face."""

    colors: UInt8[np.ndarray, "texels texels 3"]
    """The unwrapped face; see `is_face` for which texels are any."""
    is_seen: Bool[np.ndarray, "texels texels"]
    """Whether the spot is turned to the camera, and in the picture."""
    sharpness: tuple[float, float]
    """Detail across and down, relative to contrast."""
    brightness: float
    """Median brightness in [0, 1]."""


def look_at_face(image: UInt8[np.ndarray, "height width 3"], landmarks: Float[np.ndarray, "478 3"]) -> FaceLook:
    """Unwrap the face and measure it.

    Args:
        landmarks: pixels of the image.
    """
    height, width = image.shape[:2]
    size = max(float(face_size(landmarks[list(FACE_OVAL)])), 1.0)
    low = np.floor(landmarks[:, :2].min(axis=0) - 2).astype(int).clip(0, [width - 1, height - 1])
    high = np.ceil(landmarks[:, :2].max(axis=0) + 2).astype(int).clip(low + 1, [width, height])
    box = image[low[1] : high[1], low[0] : high[0]]
    points = landmarks - np.array([*low, 0])
    blur = max(1, round(size / TEXTURE_SIZE))
    colors, is_seen = _unwrap(cv2.blur(box, (blur, blur)), points)
    gray = cv2.cvtColor(box, cv2.COLOR_RGB2GRAY)
    face = gray[inside(points, FACE_OVAL, gray.shape[1], gray.shape[0])]
    brightness = float(np.median(face if face.size else gray)) / 255
    return FaceLook(colors, is_seen, _sharpness(gray, points, size), brightness)


def _sharpness(
    gray: UInt8[np.ndarray, "height width"], points: Float[np.ndarray, "478 3"], size: float
) -> tuple[float, float]:
    """Mean sizes of the two second derivatives inside the face's outline, over the brightness' deviation there."""
    scale = min(1.0, SHARPNESS_FACE_SIZE / size)
    if scale < 1:
        gray = cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        points = points * scale
    face = inside(points, FACE_OVAL, gray.shape[1], gray.shape[0])
    if face.sum() < 16:
        return 0.0, 0.0
    contrast = max(float(gray[face].std()), 1.0)
    across, down = (np.abs(cv2.Sobel(gray, cv2.CV_32F, *order, ksize=1)) for order in ((2, 0), (0, 2)))
    return float(across[face].mean()) / contrast, float(down[face].mean()) / contrast


def _unwrap(
    image: UInt8[np.ndarray, "height width 3"], points: Float[np.ndarray, "478 3"]
) -> tuple[UInt8[np.ndarray, "texels texels 3"], Bool[np.ndarray, "texels texels"]]:
    atlas = _atlas()
    corners = points[:, :2][HeadModel.load().triangles]
    places = np.einsum("yxk,yxkd->yxd", atlas.weights, corners[atlas.triangle]).astype(np.float32)
    colors = cv2.remap(
        image, places[..., 0] - 0.5, places[..., 1] - 0.5, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    # How much of its frontal area a triangle shows, were the face as large as the model's: negative from behind.
    area = _signed_area(corners) / np.maximum(np.abs(_signed_area(corners)).sum(), 1e-6) * np.abs(atlas.area).sum()
    facing = (area / atlas.area)[atlas.triangle]
    height, width = image.shape[:2]
    in_picture = ((places >= 0) & (places <= [width, height])).all(axis=-1)
    return colors, atlas.is_face & in_picture & (facing > LEAST_FACING)


class _Atlas(NamedTuple):
    """Which triangle of the head model every texel lies in, and where."""

    is_face: Bool[np.ndarray, "texels texels"]
    triangle: Int[np.ndarray, "texels texels"]
    weights: Float32[np.ndarray, "texels texels 3"]
    """Barycentric coordinates."""
    area: Float[np.ndarray, "triangles"]
    """Of the triangles seen from the front, as in a picture with y down; never 0."""


def is_face() -> Bool[np.ndarray, "texels texels"]:
    """Which texels of an unwrapped face show some of it."""
    return _atlas().is_face


@cache
def _atlas() -> _Atlas:
    """The head model seen from the front fills the texture from edge to edge."""
    model = HeadModel.load()
    flat = model.mean[:, :2] * [1.0, -1.0]
    low, high = flat.min(axis=0), flat.max(axis=0)
    flat = (flat - low) / (high - low) * TEXTURE_SIZE
    corners = flat[model.triangles]
    area = _signed_area(corners)
    # A texel may lie in several triangles, of lips or lids that fold: the one nearest to the viewer is seen.
    nearness = model.mean[model.triangles, 2].mean(axis=1)
    triangle = np.full((TEXTURE_SIZE, TEXTURE_SIZE), -1)
    weights = np.zeros((TEXTURE_SIZE, TEXTURE_SIZE, 3), dtype=np.float32)
    centers = np.stack(np.meshgrid(np.arange(TEXTURE_SIZE) + 0.5, np.arange(TEXTURE_SIZE) + 0.5), axis=-1)
    facing = np.median(np.sign(area))
    for number in np.argsort(nearness):
        if area[number] * facing <= 1e-3:
            continue
        a, b, c = corners[number]
        inverse = np.linalg.inv(np.stack([b - a, c - a], axis=1))
        second, third = np.moveaxis((centers - a) @ inverse.T, -1, 0)
        within = (second >= 0) & (third >= 0) & (second + third <= 1)
        triangle[within] = number
        weights[within] = np.stack([1 - second - third, second, third], axis=-1)[within]
    return _Atlas(triangle >= 0, np.maximum(triangle, 0), weights, np.where(np.abs(area) < 1e-6, 1e-6, area))


def _signed_area(corners: Float[np.ndarray, "*batch 3 2"]) -> Float[np.ndarray, "*batch"]:
    first, second = corners[..., 1, :] - corners[..., 0, :], corners[..., 2, :] - corners[..., 0, :]
    return 0.5 * (first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0])
