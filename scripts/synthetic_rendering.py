"""Pictures of synthetic heads: rasterised at twice the size, lit by one lamp and the sky, over a photograph."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from synthetic_heads import DRAWN, EYEBALLS, SKIN_PARTS, SyntheticHeads
from synthetic_skin import Complexion, Painting, sample, texture_coordinates

from tracking.clip import Intrinsics
from tracking.rasterize import pixel_rays, rasterize, scale_intrinsics, vertex_normals

SUPERSAMPLING = 2
IRIS_ANGLE, PUPIL_ANGLE = 0.40, 0.15
"""Angles in radians, seen from the eyeball's centre, at which iris and pupil end: 11.7 mm across on a 30 mm eyeball."""
LIP_DEPTH = 10.8
"""z in head space from which the inside of the mouth gets darker inward, in centimetres."""


@dataclass(frozen=True)
class Lighting:
    """A lamp, and light from everywhere that is brighter from above."""

    direction: tuple[float, float, float]
    """To the lamp, in camera axes."""
    lamp: float
    ambient: float
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Camera:
    """What a sequence is filmed with."""

    intrinsics: Intrinsics
    noise: float
    """Standard deviation of the noise in levels of 255."""
    blur: float
    """Standard deviation of the blur, in pixels."""


def render(
    heads: SyntheticHeads,
    painting: Painting,
    complexion: Complexion,
    vertices_in_camera: Float[np.ndarray, "vertices 3"],
    lighting: Lighting,
    camera: Camera,
    background: UInt8[np.ndarray, "height width 3"],
    random: np.random.Generator,
) -> UInt8[np.ndarray, "height width 3"]:
    """One frame."""
    large = scale_intrinsics(camera.intrinsics, SUPERSAMPLING)
    visible = rasterize(vertices_in_camera, heads.triangles, large)
    normals = vertex_normals(vertices_in_camera.astype(np.float32), heads.triangles)
    attributes = np.concatenate([heads.mean, normals], 1).astype(np.float32)
    values = visible.interpolate(attributes, heads.triangles)
    rest, normal = values[..., :3], values[..., 3:]
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-9)
    part = np.where(visible.covered, heads.part[visible.triangle], -1)
    albedo = sample(painting, texture_coordinates(rest))
    gloss = np.where(np.isin(part, [DRAWN.index(name) for name in SKIN_PARTS]), 0.12, 0.0).astype(np.float32)
    for name, color in (("M_GumsTongue", (0.62, 0.25, 0.25)), ("M_Teeth", (0.86, 0.82, 0.74))):
        here = part == DRAWN.index(name)
        shade = np.exp((rest[here, 2] - LIP_DEPTH).clip(None, 0) / 1.6)
        albedo[here] = np.array(color, np.float32) * shade[:, None]
    for eyeball in EYEBALLS:
        here = part == DRAWN.index(eyeball)
        albedo[here] = _eyeball_colors(rest[here] - heads.mean_eye_centers[eyeball], complexion.iris)
        gloss[here] = 0.5
    highlight = gloss * _highlight(normal, pixel_rays(large), lighting)
    shaded = albedo * _irradiance(normal, lighting) + highlight[..., None]
    shaded = np.where(visible.covered[..., None], shaded, 0.0).astype(np.float32)
    size = (camera.intrinsics.width, camera.intrinsics.height)
    color = cv2.resize(shaded, size, interpolation=cv2.INTER_AREA)
    opacity = cv2.resize(visible.covered.astype(np.float32), size, interpolation=cv2.INTER_AREA)[..., None]
    picture = 255 * color.clip(0, 1) + (1 - opacity) * background
    if camera.blur:
        picture = cv2.GaussianBlur(picture, (0, 0), camera.blur)
    picture += random.normal(scale=camera.noise, size=picture.shape) if camera.noise else 0
    return np.rint(picture).clip(0, 255).astype(np.uint8)


def _eyeball_colors(
    offset: Float[np.ndarray, "pixels 3"], iris: tuple[float, float, float]
) -> Float[np.ndarray, "pixels 3"]:
    """Pupil, iris with its rim and rays, and a white that reddens to the sides, by the angle from straight ahead."""
    radius = np.linalg.norm(offset, axis=1)
    angle = np.arccos((offset[:, 2] / np.maximum(radius, 1e-9)).clip(-1, 1))
    around = np.arctan2(offset[:, 1], offset[:, 0])
    white = np.array([0.84, 0.81, 0.79]) - (angle[:, None] - 0.4).clip(0, 1) * np.array([0.05, 0.3, 0.3])
    rays = 1 + 0.25 * np.sin(23 * around) * np.sin(41 * around + 1)
    rim = 1 - 0.55 * np.clip((angle - 0.8 * IRIS_ANGLE) / (0.2 * IRIS_ANGLE), 0, 1)
    colored = np.array(iris) * (rays * rim)[:, None]
    is_iris = np.clip((IRIS_ANGLE - angle) / 0.03 + 0.5, 0, 1)[:, None]
    is_pupil = np.clip((PUPIL_ANGLE - angle) / 0.02 + 0.5, 0, 1)[:, None]
    return ((white * (1 - is_iris) + colored * is_iris) * (1 - is_pupil) + 0.03 * is_pupil).astype(np.float32)


def _irradiance(normal: Float[np.ndarray, "height width 3"], lighting: Lighting) -> Float[np.ndarray, "height width 3"]:
    """A lamp whose light wraps a little around the edge, as it does on skin, and the sky."""
    direction = np.array(lighting.direction, np.float32) / np.linalg.norm(lighting.direction)
    wrap = 0.25
    lamp = np.clip((normal @ direction + wrap) / (1 + wrap), 0, None)
    sky = 0.75 + 0.25 * normal[..., 1]
    return (lighting.lamp * lamp[..., None] + (lighting.ambient * sky)[..., None]) * np.array(lighting.tint, np.float32)


def _highlight(
    normal: Float[np.ndarray, "height width 3"], rays: Float[np.ndarray, "height width 3"], lighting: Lighting
) -> Float[np.ndarray, "height width"]:
    """Blinn and Phong's highlight of the lamp."""
    direction = np.array(lighting.direction, np.float32) / np.linalg.norm(lighting.direction)
    half = direction - rays.astype(np.float32) / np.linalg.norm(rays, axis=-1, keepdims=True).astype(np.float32)
    half /= np.linalg.norm(half, axis=-1, keepdims=True)
    return lighting.lamp * np.clip((normal * half).sum(-1), 0, 1) ** 32
