"""Colour, tone and make-up: what a hairdresser and a make-up artist do.

All of it happens in CIELAB, where lightness can be kept while the hue moves.
"""

import cv2
import numpy as np

from stage1_edit.portrait import (
    Picture,
    Plane,
    Portrait,
    blur,
    from_lab,
    hex_to_lab,
    length,
    mix,
    noise,
    smoothstep,
)
from tracking.guided_filter import GuidedFilter
from tracking.regions import Label

COLORS: dict[str, str] = {
    "black": "1b1a1d",
    "white": "f1f1ef",
    "grey": "8d9096",
    "silver": "c3c8d0",
    "platinum": "e6dcc6",
    "blonde": "ccb078",
    "strawberry": "cf8a5b",
    "ginger": "b5551c",
    "copper": "a8502a",
    "auburn": "70301f",
    "brunette": "4d3222",
    "chestnut": "63391f",
    "brown": "5f4230",
    "burgundy": "641a2c",
    "red": "b3161d",
    "crimson": "a3122f",
    "orange": "e07a18",
    "coral": "ec6f5b",
    "peach": "f0b08a",
    "yellow": "e8cf2e",
    "gold": "cfa034",
    "bronze": "8f6230",
    "beige": "d6c3a1",
    "lime": "8fce30",
    "green": "2c9444",
    "olive": "6d7430",
    "mint": "9adcb8",
    "emerald": "118a5c",
    "teal": "12898c",
    "turquoise": "2fc4bf",
    "cyan": "2bb6dd",
    "blue": "2453c0",
    "navy": "1d2a63",
    "lavender": "b39be0",
    "violet": "7c45cf",
    "purple": "74309f",
    "magenta": "c3268f",
    "pink": "ec7fb4",
    "rose": "d4617f",
    "pale": "f0dccd",
}
"""What each colour word means, as sRGB."""

_LIGHTNESS_SHARE = {"hair": 0.92, "brows": 0.5, "lips": 0.55, "eyes": 0.3, "clothes": 0.75}
"""How far a region's typical lightness moves to the colour's own; skin keeps more, or the face would look painted."""
_SKIN_LIGHTNESS_SHARE = 0.4
_CHROMA_SHARE = {"hair": 0.95, "clothes": 0.95, "lips": 0.9, "brows": 0.7, "eyes": 0.75}
"""How much of the colour's saturation a region takes on; 0.7 for skin, which is never as vivid as dye."""

MAKEUP: dict[str, str] = {
    "lipstick": "b0122a",
    "lip gloss": "cf6374",
    "blush": "e0576b",
    "eyeshadow": "6d4fa0",
    "eyeliner": "141214",
    "freckles": "8a5230",
    "tan": "b57a48",
}
"""The colour that each piece of make-up has when the instruction names none."""

TONES: dict[str, tuple[float, float, float]] = {
    "darker": (-0.16, 1.0, 1.0),
    "lighter": (0.15, 1.0, 1.0),
    "more saturated": (0.0, 1.55, 1.0),
    "less saturated": (0.0, 0.5, 1.0),
    "more contrast": (0.0, 1.05, 1.4),
    "less contrast": (0.0, 0.95, 0.68),
}
"""What each word does: lightness added, factor on saturation, factor on contrast."""


def recolor(portrait: Portrait, weights: Plane, region: str, color: str, shade: float, strength: float) -> Picture:
    """Give a region another colour and keep its texture, shading and highlights.

    The region's typical lightness moves to the colour's as if its reflectance had changed: by CIE's definition
    L* + 16 is proportional to the cube root of luminance, so a change of reflectance scales L* + 16. The large tones
    are stretched by that factor; fine detail less, or lightening dark hair would mostly lighten its noise.

    Args:
        color: a name in `COLORS`.
        shade: lightness added to the colour, in [-1, 1]: "dark" is below 0, "light" above.
        strength: below 1 the colour is mixed with the region's own; above 1 it is more saturated.
    """
    if region == "eyes":
        weights = weights * iris(portrait)
    elif region == "hair":
        weights = follow_strands(portrait, weights)
    target = _shaded(hex_to_lab(COLORS[color]), shade)
    lab = portrait.lab
    lightness = lab[..., 0]
    core = weights > 0.6
    if core.sum() < 8:
        core = weights > 0
    if not core.any():
        return portrait.image
    low, middle, high = np.percentile(lightness[core], [8, 50, 92])
    share = _LIGHTNESS_SHARE.get(region, _SKIN_LIGHTNESS_SHARE)
    new_middle = middle + share * (target[0] - middle)
    factor = float(np.clip((new_middle + 16) / (middle + 16), 0.45, 2.4))
    base = portrait.blur(lightness, 0.006) if factor > 1 else lightness
    # The stretch of the tones is bounded by what is left above and below the new middle.
    up = min(factor, (97 - new_middle) / max(high - middle, 4.0))
    down = min(factor, (new_middle - 4) / max(middle - low, 4.0) * 0.85)
    offset = base - middle
    # What is much brighter than the region's lights is no part of it, but skin or wall shining through its border.
    span_up = min(max(98 - new_middle, 3.0), 1.7 * max(high - middle, 4.0) * max(up, 0.3))
    span_down = max(new_middle - 2, 3.0)
    stretched = np.where(
        offset > 0,
        span_up * np.tanh(offset * max(up, 0.3) / span_up),
        span_down * np.tanh(offset * max(down, 0.3) / span_down),
    )
    new_lightness = np.clip(new_middle + stretched + min(factor, 1.3) * (lightness - base), 0, 100)
    # Highlights are the lamp's colour rather than the surface's, and shadows hold little colour.
    relative = new_lightness / max(float(target[0]), 5.0)
    chroma = np.clip(relative, 0, 1) ** 0.7 * (1 - 0.55 * smoothstep(max(float(target[0]), 55), 104, new_lightness))
    chroma = chroma * max(1.0, min(strength, 1.3))
    own = lab[..., 1:] - np.median(lab[..., 1:][core], axis=0)
    ab = target[1:] * _CHROMA_SHARE.get(region, 0.7) * chroma[..., None] + 0.2 * own
    edited = from_lab(np.dstack([new_lightness, ab]))
    return mix(portrait.image, edited, weights * min(strength, 1.0))


def _shaded(color: np.ndarray, shade: float) -> np.ndarray:
    lightness = color[0] + (22 * shade if shade > 0 else 0.55 * color[0] * shade)
    return np.array([np.clip(lightness, 4, 97), *(color[1:] * (1 - 0.25 * abs(shade)))], np.float32)


def follow_strands(portrait: Portrait, weights: Plane) -> Plane:
    """Keep a hair mask to what looks like hair.

    Labels are drawn with a broad pen: pixels much nearer to the skin's colour than to the hair's are taken out, then
    the soft border is drawn along the edges that the picture shows (guided filter, He et al. 2010).
    """
    hair, skin = weights > 0.6, portrait.weights("face") > 0.9
    if hair.sum() >= 8 and skin.sum() >= 8:
        lab = portrait.blur(portrait.lab, 0.003)
        hair_color, skin_color = np.median(lab[hair], axis=0), np.median(lab[skin], axis=0)
        nearness = length(lab - skin_color) / (length(lab - hair_color) + 1e-3)
        # Where hair and skin have nearly one colour, colour tells nothing.
        separable = smoothstep(12, 30, length(hair_color - skin_color))
        weights = weights * mix(np.ones_like(nearness), smoothstep(0.6, 1.4, nearness), float(separable))
    radius = max(2, round(portrait.pixels(0.02)))
    guided = GuidedFilter(portrait.image, radius, 2e-4).smooth(weights.astype(np.float32))
    # Strands lower the filter's answer inside as well: what is mostly hair is all hair.
    return np.clip((guided - 0.08) / 0.6, 0, 1) * np.minimum(weights * 2.5, 1) * portrait.matte


def iris(portrait: Portrait) -> Plane:
    """How much of each pixel of the eyes is iris rather than white, lash or lid.

    The iris is a dark disc about 0.42 eye widths across; its middle is where the opening is darkest.
    """
    opening = (portrait.labels == Label.EYES).astype(np.uint8)
    count, parts, boxes, _ = cv2.connectedComponentsWithStats(opening, connectivity=8)
    total = np.zeros(opening.shape, np.float32)
    if count < 2:
        return total
    lightness = portrait.lightness
    rows, columns = np.indices(opening.shape, np.float32)
    for part in sorted(range(1, count), key=lambda part: -boxes[part, cv2.CC_STAT_AREA])[:2]:
        inside = parts == part
        left, top, width, height = boxes[part, :4]
        bright = float(np.percentile(lightness[inside], 85))
        # Corners are dark too, and so are lashes: the middle of the opening counts most.
        near_middle = np.clip(1 - ((columns - left - (width - 1) / 2) / (0.6 * width)) ** 2, 0, 1)
        darkness = inside * near_middle * np.maximum(bright - lightness, 0.01) ** 2
        x = float((columns * darkness).sum() / darkness.sum())
        y = float(top + (height - 1) / 2)
        radius = 0.23 * width
        distance = np.hypot(columns - x, rows - y)
        disc = 1 - smoothstep(radius - 0.5 - 0.15 * radius, radius + 0.5 + 0.15 * radius, distance)
        total = np.maximum(total, disc * smoothstep(0.02, 0.16, bright - lightness))
    return total


def adjust(portrait: Portrait, weights: Plane, tone: str, strength: float) -> Picture:
    """Make a region darker, lighter, more or less saturated, of more or less contrast."""
    lift, saturation, contrast = TONES[tone]
    lightness = portrait.lightness
    if lift:
        # A gamma on lightness leaves black and white where they are.
        lightness = lightness ** float(2 ** (-lift * 5 * strength))
    if contrast != 1:
        pivot = portrait.blur_inside(lightness, 0.5)
        lightness = pivot + (lightness - pivot) * contrast**strength
        lightness = np.clip(lightness, 0, 1)
    ab = portrait.lab[..., 1:] * saturation**strength
    return mix(portrait.image, from_lab(np.dstack([lightness * 100, ab])), weights)


def apply_makeup(portrait: Portrait, kind: str, color: str | None, shade: float, strength: float) -> Picture:
    """Put on make-up. A colour name replaces the kind's own colour."""
    target = _shaded(hex_to_lab(COLORS[color] if color else MAKEUP[kind]), shade)
    if kind in ("lipstick", "lip gloss"):
        return _lipstick(portrait, target, strength, glossy=kind == "lip gloss")
    if kind == "tan":
        weights = portrait.weights("skin") * 0.6
    elif kind == "blush":
        weights = portrait.weights("skin") * _cheeks(portrait) * 0.42
    elif kind == "freckles":
        spots = smoothstep(0.9, 1.6, noise(portrait.head_coordinates, 0.13, seed=5))
        weights = portrait.weights("skin") * np.maximum(_cheeks(portrait), 0.5 * _nose(portrait)) * spots * 0.85
    elif kind == "eyeshadow":
        weights = _around_eyes(portrait, 0.03, upward=0.025) * (1 - portrait.weights("eyes")) * 0.8
    else:
        weights = _around_eyes(portrait, 0.005, upward=0.0) * (1 - portrait.weights("eyes")) * 0.8
    lab = portrait.lab
    depth = 0.85 if kind == "eyeliner" else 0.3
    lightness = lab[..., 0] + depth * np.minimum(target[0] - lab[..., 0], 0)
    edited = from_lab(np.dstack([lightness, mix(lab[..., 1:], np.broadcast_to(target[1:], lab[..., 1:].shape), 0.9)]))
    return mix(portrait.image, edited, np.clip(weights * strength, 0, 1))


def _lipstick(portrait: Portrait, target: np.ndarray, strength: float, glossy: bool) -> Picture:
    weights = portrait.weights("lips")
    core = weights > 0.5
    if not core.any():
        return portrait.image
    lab = portrait.lab
    middle = float(np.median(lab[..., 0][core]))
    contrast = 1.5 if glossy else 1.15
    lightness = middle + 0.6 * (target[0] - middle) + contrast * (lab[..., 0] - middle)
    if glossy:
        lightness = lightness + 22 * smoothstep(4, 16, lab[..., 0] - portrait.blur(lab[..., 0], 0.02))
    ab = np.broadcast_to(target[1:], lab[..., 1:].shape) * (0.65 + 0.35 * np.clip(lightness / 50, 0, 1))[..., None]
    edited = from_lab(np.dstack([np.clip(lightness, 3, 97), ab]))
    return mix(portrait.image, edited, np.clip(weights * 0.9 * strength, 0, 1))


def _cheeks(portrait: Portrait) -> Plane:
    x, y = portrait.head_coordinates[..., 0], portrait.head_coordinates[..., 1]
    return np.exp(-(((np.abs(x) - 0.29) / 0.13) ** 2) - ((y - 0.08) / 0.12) ** 2)


def _nose(portrait: Portrait) -> Plane:
    x, y = portrait.head_coordinates[..., 0], portrait.head_coordinates[..., 1]
    return np.exp(-((x / 0.1) ** 2) - ((y - 0.05) / 0.12) ** 2)


def _around_eyes(portrait: Portrait, reach: float, upward: float) -> Plane:
    """A soft band around the eye openings, reaching farther towards the brows."""
    opening = (portrait.labels == Label.EYES).astype(np.float32)
    sigma = max(portrait.pixels(reach), 0.6)
    band = blur(opening, sigma)
    shift = portrait.pixels(upward)
    if shift:
        down = np.array([portrait.head_frame[1, 0], portrait.head_frame[1, 1]])
        down = down / np.linalg.norm(down)
        move = np.array([[1, 0, -down[0] * shift], [0, 1, -down[1] * shift]])
        band = np.maximum(band, cv2.warpAffine(band, move, band.shape[::-1]))
    return np.clip(band * 3, 0, 1) * portrait.weights("face")
