"""Light: its colour, and where it comes from."""

from collections.abc import Callable

import numpy as np

from stage1_edit.effects_material import carved_shading, lambert, relief_normals
from stage1_edit.portrait import Picture, Plane, Portrait, from_lab, hex_to_rgb, mix, smoothstep, to_lab


def _normals(portrait: Portrait) -> Picture:
    """The person's broad relief, without wrinkles: the picture shows how those are lit already."""
    return portrait.blur(relief_normals(portrait, carved_shading(portrait, 0.5), 0.35), 0.01)


def _lit(
    portrait: Portrait,
    normals: Picture,
    direction: tuple[float, float, float],
    color: str,
    ambient: str,
    hardness: float,
) -> Picture:
    """Relight: the picture's own colours under a lamp and an ambient light, on a guess of the person's relief.

    Args:
        direction: towards the lamp; x right, y down, z to the viewer.
        hardness: 0 keeps the picture's own light, 1 leaves the far side to the ambient light alone.
    """
    # A lamp beside the head reaches its own side first.
    x, y = portrait.head_coordinates[..., 0], portrait.head_coordinates[..., 1]
    across = np.clip(x * direction[0] + y * direction[1], -1.2, 1.2)
    lamp = lambert(normals, direction) * (0.55 + 0.6 * smoothstep(-0.7, 0.6, across))
    linear = portrait.image**2.2
    light = mix(np.ones_like(lamp), 2.1 * lamp, hardness)[..., None] * _linear(color)
    light = light + hardness * 0.5 * _linear(ambient)
    lit = _shoulder(linear * light)
    return np.clip(lit, 0, 1) ** np.float32(1 / 2.2)


def _linear(color: str) -> np.ndarray:
    """A lamp's colour as linear gains; the luminance of white light is kept to a third."""
    gains = hex_to_rgb(color) ** 2.2
    return gains / gains.max()


def _shoulder(linear: Picture) -> Picture:
    """Roll off what is brighter than 0.6 of white instead of clipping it."""
    over = np.maximum(linear - 0.6, 0)
    return np.minimum(linear, 0.6) + 0.4 * (1 - np.exp(-over / 0.4))


def _cast(portrait: Portrait, shadow: tuple[float, float], light: tuple[float, float], exposure: float) -> Picture:
    """A colour cast that differs between shadows and lights, as CIELAB offsets, and a gamma for exposure."""
    lab = portrait.lab
    brightness = smoothstep(10, 90, lab[..., 0])[..., None]
    ab = lab[..., 1:] + mix(np.array(shadow, np.float32), np.array(light, np.float32), brightness)
    return from_lab(np.dstack([100 * (lab[..., 0] / 100) ** exposure, ab]))


def _warm(portrait: Portrait) -> Picture:
    return _cast(portrait, (3, 5), (5, 20), 0.96)


def _cold(portrait: Portrait) -> Picture:
    return _cast(portrait, (0, -9), (-3, -17), 1.0)


def _from_left(portrait: Portrait) -> Picture:
    return _lit(portrait, _normals(portrait), (-1.0, -0.25, 0.3), "fff4e2", "7c8cb4", 0.95)


def _from_right(portrait: Portrait) -> Picture:
    return _lit(portrait, _normals(portrait), (1.0, -0.25, 0.3), "fff4e2", "7c8cb4", 0.95)


def _golden_hour(portrait: Portrait) -> Picture:
    """A low sun from the left, sky light in the shadows, a glow in the highlights."""
    lit = portrait.showing(_lit(portrait, _normals(portrait), (-1.0, -0.1, 0.6), "ffc27a", "a97f93", 0.6))
    warm = _cast(lit, (6, 4), (8, 26), 0.92)
    return np.clip(warm + 0.25 * portrait.blur(np.maximum(warm - 0.55, 0), 0.03), 0, 1)


def _moonlight(portrait: Portrait) -> Picture:
    """Day for night: underexposed, blue, drained, a pale light from the upper right."""
    lit = to_lab(_lit(portrait, _normals(portrait), (0.7, -0.7, 0.5), "cfdcff", "3f5a9a", 0.55))
    lightness = 100 * (np.clip(lit[..., 0], 0, 100) / 100) ** 1.25 * 0.8
    ab = 0.3 * lit[..., 1:] + mix(np.array([3, -22], np.float32), np.array([-3, -20], np.float32), _upper(lightness))
    return from_lab(np.dstack([lightness, ab]))


def _upper(lightness: Plane) -> np.ndarray:
    return smoothstep(10, 80, lightness)[..., None]


def _neon(portrait: Portrait) -> Picture:
    """Magenta from the left and cyan from the right."""
    normals = _normals(portrait)
    left = _lit(portrait, normals, (-1.0, -0.1, 0.35), "ff2fa0", "3a1f66", 0.95)
    right = _lit(portrait, normals, (1.0, -0.1, 0.35), "18d8ff", "201f66", 0.95)
    return 1 - (1 - left) * (1 - 0.9 * right)


def _candlelight(portrait: Portrait) -> Picture:
    """A small warm flame below and in front."""
    return _lit(portrait, _normals(portrait), (-0.25, 0.7, 0.6), "ffa95a", "4a2a1a", 0.8)


LIGHTS: dict[str, Callable[[Portrait], Picture]] = {
    "warm light": _warm,
    "cold light": _cold,
    "light from the left": _from_left,
    "light from the right": _from_right,
    "golden hour": _golden_hour,
    "moonlight": _moonlight,
    "neon light": _neon,
    "candlelight": _candlelight,
}
"""Lights, each a function of the portrait; left and right are the picture's."""
