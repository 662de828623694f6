"""Drawing, painting and film styles.

Strokes and paper come from the picture itself, never from a pattern fixed to the screen: such a pattern would seem to
stand still behind a moving head, and training on many frames would average it away.
"""

from collections.abc import Callable

import cv2
import numpy as np

from stage1_edit.portrait import (
    Picture,
    Plane,
    Portrait,
    dot,
    from_lab,
    grey,
    hex_to_rgb,
    mix,
    ramp,
    smoothstep,
    to_lab,
)


def _pencil_sketch(portrait: Portrait) -> Picture:
    """Graphite on paper: smooth modelling, darker hair and cloth, drawn contours, hatching in the shadows."""
    tone = _local_tone(portrait, 0.3)
    soft = portrait.blur(tone, 0.006)
    # Colour dodge leaves the contours; the modelling of the forms is laid over it, lighter than life.
    dodged = np.clip(tone / np.maximum(portrait.blur(tone, 0.02), 0.02), 0, 1) ** 1.6
    modelling = 0.3 + 0.7 * smoothstep(0.0, 0.62, soft)
    lines = 0.45 + 0.55 * _ink_lines(portrait, soft, 0.0035, 9.0)
    # Hatching: the picture's own grain, drawn out along one direction.
    grain = tone - portrait.blur(tone, 0.006)
    grain = grain / (np.sqrt(portrait.blur(grain * grain, 0.05)) + 0.02)
    hatching = 1 + 0.16 * (1 - modelling) * np.tanh(2 * _streak(grain, portrait.pixels(0.016), -0.9))
    graphite = dodged * modelling * lines * hatching
    return ramp(np.clip(graphite, 0, 1).astype(np.float32), ("202125", "58595c", "8e8e8f", "c4c3c0", "f6f4ee"))


def _charcoal(portrait: Portrait) -> Picture:
    """Broad, smudged black on warm paper."""
    tone = _local_tone(portrait, 0.65)
    flow = _edge_flow(portrait, tone)
    smudged = _along_flow(tone, flow, portrait.pixels(0.02))
    lines = _along_flow(_ink_lines(portrait, tone, 0.008, 10.0), flow, portrait.pixels(0.012))
    dark = smoothstep(0.12, 0.72, smudged) * (0.15 + 0.85 * lines)
    return ramp(dark.astype(np.float32), ("0f0e0e", "2f2d2c", "77736e", "c9c3b8", "ece6da"))


def _oil_painting(portrait: Portrait) -> Picture:
    """Flat touches of the brush laid along the forms, rich warm colour, furrows of bristles lit from the upper left."""
    painted = _kuwahara(portrait, portrait.image, 0.016)
    flow = _edge_flow(portrait, portrait.lightness)
    # The furrows' noise moves with the head; drawn out along the flow it becomes strokes.
    grain = portrait.solid_noise(0.1, seed=73, octaves=2)
    drawn = _along_flow(np.dstack([painted, grain]), flow, portrait.pixels(0.024))
    painted, bristles = _with_features(portrait, drawn[..., :3], 0.55), drawn[..., 3]
    lab = to_lab(np.clip(painted, 0, 1))
    lightness = lab[..., 0]
    steps = _soft_steps(lightness / 100, 11, 0.55) * 100
    lightness = mix(lightness, steps, 0.6)
    lightness = 50 + 1.12 * (lightness - 50)
    bristles = bristles / (np.sqrt(portrait.blur(bristles * bristles, 0.05)) + 1e-3)
    relief = 3.5 * np.tanh(bristles) + 9 * np.tanh(1.5 * _emboss(bristles))
    warm = lab[..., 1:] * 1.45 + np.array([1.5, 4], np.float32)
    return from_lab(np.dstack([np.clip(lightness + relief * (0.4 + 0.6 * lightness / 100), 0, 100), warm]))


def _van_gogh(portrait: Portrait) -> Picture:
    """Long swirling strokes of broken colour, blue shadows, yellow lights."""
    flow = _edge_flow(portrait, portrait.lightness, 0.03)
    painted = _kuwahara(portrait, portrait.image, 0.012)
    grain = portrait.solid_noise(0.12, seed=71, octaves=2)
    drawn = _along_flow(np.dstack([painted, grain]), flow, portrait.pixels(0.03))
    painted = _with_features(portrait, mix(painted, drawn[..., :3], 0.6), 0.5)
    lab = to_lab(np.clip(painted, 0, 1))
    strokes = drawn[..., 3] / (np.sqrt(portrait.blur(drawn[..., 3] ** 2, 0.05)) + 1e-3)
    strokes = np.tanh(strokes) + 1.5 * np.tanh(1.5 * _emboss(strokes))
    light = smoothstep(15, 85, lab[..., 0])
    lightness = 8 + 0.95 * lab[..., 0] + 6 * strokes
    ab = 1.5 * lab[..., 1:] + mix(np.array([2, -30], np.float32), np.array([-4, 26], np.float32), light[..., None])
    return from_lab(np.dstack([np.clip(lightness, 0, 100), ab * (1 + 0.2 * strokes)[..., None]]))


def _watercolor(portrait: Portrait) -> Picture:
    """Washes: flat pale areas, paper showing through the lights, pigment gathered at the edges."""
    flat = _with_features(portrait, _kuwahara(portrait, portrait.image, 0.011), 0.4)
    flat = np.clip(flat, 0, 1)
    lab = to_lab(flat)
    tone = lab[..., 0] / 100
    washes = mix(tone, _soft_steps(tone, 6, 0.4), 0.7)
    edge = np.clip(portrait.blur(washes, 0.008) - washes, -0.05, 0.12)
    lightness = 12 + 89 * washes**0.8 - 140 * np.maximum(-edge, 0) - 60 * np.maximum(edge, 0)
    clouds = 2.2 * portrait.solid_noise(0.5, seed=72, octaves=5)
    lightness = lightness + clouds * (1 - tone)
    thin = smoothstep(0.25, 0.95, washes)
    return from_lab(np.dstack([np.clip(lightness, 0, 98), lab[..., 1:] * (1.55 - 0.75 * thin)[..., None]]))


def _cartoon(portrait: Portrait) -> Picture:
    """Flat bright colours in a few tones, clean dark outlines."""
    return _inked(portrait, steps=6, saturation=1.5, line_width=0.0045, line_strength=0.85)


def _comic(portrait: Portrait) -> Picture:
    """Heavier ink, blacks filled in, fewer tones."""
    inked = _inked(portrait, steps=4, saturation=1.7, line_width=0.0065, line_strength=1.0)
    black = 1 - smoothstep(0.1, 0.24, _local_tone(portrait, 0.3))
    return mix(inked, np.full_like(inked, 0.04), 0.9 * black)


def _anime(portrait: Portrait) -> Picture:
    """Pale even skin, two tones of shade, thin lines."""
    inked = _inked(portrait, steps=5, saturation=1.35, line_width=0.0035, line_strength=0.75)
    lab = to_lab(inked)
    skin = portrait.weights("skin")
    lifted = np.clip(lab[..., 0] * 0.75 + 29, 0, 97)
    lab = np.dstack([mix(lab[..., 0], lifted, 0.8 * skin), lab[..., 1:] * (1 - 0.2 * skin)[..., None]])
    return from_lab(lab)


def _pop_art(portrait: Portrait) -> Picture:
    """A screen print in five flat inks."""
    tone = _local_tone(portrait, 0.75)
    tone = cv2.bilateralFilter(tone, 7, 0.2, max(portrait.pixels(0.012), 1.0))
    inks = ("201a4a", "c4216e", "f2643d", "ffc93c", "fff3c9")
    flat = ramp(_soft_steps(tone, 5, 0.12).astype(np.float32), inks)
    lines = _ink_lines(portrait, tone, 0.007, 12.0)
    return mix(np.broadcast_to(hex_to_rgb("1c1638"), flat.shape), flat, 0.15 + 0.85 * lines)


def _black_and_white(portrait: Portrait) -> Picture:
    """Panchromatic film: neutral grey, a gentle S curve."""
    tone = _s_curve(portrait.lightness, 0.35)
    return np.repeat(tone[..., None], 3, axis=2).astype(np.float32)


def _film_noir(portrait: Portrait) -> Picture:
    """Hard black and white, half of the face in shadow."""
    side = smoothstep(-0.75, 0.55, -portrait.head_coordinates[..., 0])
    tone = _local_tone(portrait, 0.35)
    tone = _s_curve(tone * (0.38 + 0.85 * side), 0.85)
    glow = portrait.blur(np.maximum(tone - 0.6, 0), 0.02)
    return np.repeat(np.clip(tone + 0.5 * glow, 0, 1)[..., None], 3, axis=2).astype(np.float32)


def _sepia(portrait: Portrait) -> Picture:
    """A toned print."""
    tone = _s_curve(portrait.lightness, 0.25)
    return ramp(tone, ("170d06", "4b321d", "8c6a45", "c9aa7e", "f4e6c8"))


def _old_film(portrait: Portrait) -> Picture:
    """Orthochromatic stock of the silent era: dark lips, pale eyes, glowing lights, lifted blacks, a warm print."""
    image = portrait.image
    # It does not see red, so skin darkens, and every blemish and the lips with it.
    linear = image**2.2
    seen = 0.08 * linear[..., 0] + 0.5 * linear[..., 1] + 0.42 * linear[..., 2]
    tone = np.maximum(seen, 0) ** (1 / 2.2)
    soft = mix(tone, portrait.blur(tone, 0.006), 0.65)
    halo = portrait.blur(np.maximum(soft - 0.45, 0), 0.03)
    tone = _s_curve(np.clip(soft * 1.15 - 0.03, 0, 1), 0.8)
    tone = np.clip(0.05 + 0.9 * tone + 0.6 * halo, 0, 1)
    return ramp(tone.astype(np.float32), ("16120e", "4a4238", "8b8172", "c8bda9", "f5ecd9"))


def _faded_film(portrait: Portrait) -> Picture:
    """A colour print of the seventies: yellowed lights, reddish lifted blacks, little contrast."""
    lab = portrait.lab
    lightness = 13 + 0.78 * lab[..., 0]
    light = smoothstep(10, 90, lab[..., 0])[..., None]
    cast = mix(np.array([9, -2], np.float32), np.array([1, 17], np.float32), light)
    return from_lab(np.dstack([lightness, 0.72 * lab[..., 1:] + cast]))


def _technicolor(portrait: Portrait) -> Picture:
    """Three-strip dye transfer: each record loses what the others hold, so pure colours glow."""
    red, green, blue = np.moveaxis(portrait.image, -1, 0)
    separated = np.dstack(
        [red - 0.22 * (green + blue - red), green - 0.2 * (red + blue - green), blue - 0.2 * (red + green - blue)]
    )
    lab = to_lab(np.clip(mix(portrait.image, separated + 0.08, 0.7), 0, 1))
    lab[..., 0] = 100 * _s_curve(lab[..., 0] / 100, 0.3)
    lab[..., 1:] *= 1.25
    return from_lab(lab)


STYLES: dict[str, Callable[[Portrait], Picture]] = {
    "pencil sketch": _pencil_sketch,
    "charcoal": _charcoal,
    "oil painting": _oil_painting,
    "van gogh": _van_gogh,
    "watercolor": _watercolor,
    "cartoon": _cartoon,
    "comic": _comic,
    "anime": _anime,
    "pop art": _pop_art,
    "black and white": _black_and_white,
    "film noir": _film_noir,
    "sepia": _sepia,
    "old film": _old_film,
    "faded film": _faded_film,
    "technicolor": _technicolor,
}
"""Styles, each a function of the portrait."""


def _with_features(portrait: Portrait, painted: Picture, amount: float) -> Picture:
    """Eyes, brows and mouth drawn finer than the rest, as painters do: broad strokes would lose the expression."""
    features = portrait.weights("eyes") + portrait.weights("brows") + portrait.weights("mouth")
    features = np.clip(1.5 * portrait.blur(features, 0.008), 0, 1)
    return mix(painted, portrait.image, amount * features)


def _s_curve(tone: Plane, amount: float) -> Plane:
    return mix(tone, smoothstep(0.0, 1.0, tone), amount).astype(np.float32)


def _local_tone(portrait: Portrait, amount: float) -> Plane:
    """Lightness with the broad light evened out: dark suits keep their folds, and the face its full range.

    The reference is the person's blurred lightness, not a statistic of the frame, which would flicker.
    """
    broad = portrait.blur_inside(portrait.lightness, 0.12)
    target = 0.55
    return np.clip(portrait.lightness * ((target + 0.12) / (broad + 0.12)) ** amount, 0, 1).astype(np.float32)


def _soft_steps(tone: Plane, steps: int, softness: float) -> Plane:
    """Quantise to a number of levels with soft risers; hard ones would flicker along every gradient."""
    scaled = np.clip(tone, 0, 1) * (steps - 1)
    floor = np.floor(scaled)
    return (floor + smoothstep(0.5 - softness / 2, 0.5 + softness / 2, scaled - floor)) / (steps - 1)


def _ink_lines(portrait: Portrait, tone: Plane, width: float, sharpness: float) -> Plane:
    """1 on paper, 0 on a line: extended difference of Gaussians (Winnemoeller et al. 2012)."""
    fine, coarse = portrait.blur(tone, width), portrait.blur(tone, 1.6 * width)
    response = (fine - 0.985 * coarse) / (coarse + 0.12)
    return np.where(response > 0, 1, 1 + np.tanh(sharpness * response * 2)).astype(np.float32)


def _inked(portrait: Portrait, steps: int, saturation: float, line_width: float, line_strength: float) -> Picture:
    """Flat areas of colour with lines around them."""
    flat = portrait.image
    for _ in range(3):
        flat = cv2.bilateralFilter(flat, 7, 0.12, max(portrait.pixels(0.012), 1.0))
    lab = to_lab(flat)
    tone = lab[..., 0] / 100
    tone = 0.04 + 0.96 * mix(tone, _soft_steps(tone, steps, 0.25), 0.85)
    colored = from_lab(np.dstack([np.clip(100 * tone**0.92, 0, 100), lab[..., 1:] * saturation]))
    smooth = cv2.bilateralFilter(_local_tone(portrait, 0.5), 5, 0.1, max(portrait.pixels(0.006), 1.0))
    flow = _edge_flow(portrait, smooth)
    lines = _along_flow(_ink_lines(portrait, smooth, line_width, 16.0), flow, portrait.pixels(0.012))
    lines = smoothstep(0.35, 0.85, lines)
    return colored * (1 - line_strength * (1 - lines))[..., None]


def _streak(plane: Plane, length: float, angle: float) -> Plane:
    """Motion blur of a plane, `length` pixels along `angle`."""
    offsets = np.linspace(-length, length, 9)
    total = np.zeros_like(plane)
    for offset in offsets:
        move = np.array([[1, 0, offset * np.cos(angle)], [0, 1, offset * np.sin(angle)]])
        total += cv2.warpAffine(plane, move, plane.shape[::-1], borderMode=cv2.BORDER_REFLECT)
    return total / len(offsets)


def _edge_flow(portrait: Portrait, tone: Plane, smoothing: float = 0.014) -> np.ndarray:
    """Unit vectors along the picture's edges: the minor eigenvector of the smoothed structure tensor."""
    x = cv2.Sobel(tone, cv2.CV_32F, 1, 0, ksize=3)
    y = cv2.Sobel(tone, cv2.CV_32F, 0, 1, ksize=3)
    tensor = portrait.blur(np.dstack([x * x, x * y, y * y]), smoothing)
    xx, xy, yy = tensor[..., 0], tensor[..., 1], tensor[..., 2]
    angle = 0.5 * np.arctan2(2 * xy, xx - yy) + np.pi / 2
    return np.dstack([np.cos(angle), np.sin(angle)]).astype(np.float32)


def _along_flow(picture: np.ndarray, flow: np.ndarray, length: float) -> np.ndarray:
    """Average along the flow, `length` pixels to either side (line integral convolution)."""
    height, width = flow.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    steps = 4
    stride = length / steps
    total, weight = picture.astype(np.float32), 1.0
    for sign in (-1.0, 1.0):
        px, py, direction = x, y, sign * flow
        for step in range(1, steps + 1):
            px, py = px + stride * direction[..., 0], py + stride * direction[..., 1]
            sample = cv2.remap(picture, px, py, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
            fade = 1 - step / (steps + 1)
            total, weight = total + fade * sample, weight + fade
            following = cv2.remap(flow, px, py, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT)
            # The flow has no sign: keep going the way we came.
            agreement = np.where(dot(following, direction) < 0, np.float32(-1), np.float32(1))[..., None]
            direction = following * agreement
    return (total / weight).astype(np.float32)


def _kuwahara(portrait: Portrait, picture: Picture, radius: float) -> Picture:
    """Generalised Kuwahara filter (Papari et al. 2007): the calmest of six sectors gives the colour."""
    pixels = max(2, round(portrait.pixels(radius)))
    y, x = np.mgrid[-pixels : pixels + 1, -pixels : pixels + 1].astype(np.float32)
    around = np.exp(-(x * x + y * y) / (2 * (0.5 * pixels) ** 2))
    total, weight = np.zeros_like(picture), np.zeros(picture.shape[:2], np.float32)
    thirds = np.full(3, 1 / 3, np.float32)
    both = np.dstack([picture, grey(picture) ** 2])
    for sector in range(6):
        angle = 2 * np.pi * sector / 6
        facing = np.maximum(x * np.cos(angle) + y * np.sin(angle), 0) / np.maximum(np.hypot(x, y), 1e-6)
        kernel = around * (facing**3 + (np.hypot(x, y) < 0.5) * 0.5)
        mean = cv2.filter2D(both, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT)
        variance = np.maximum(mean[..., 3] - dot(mean[..., :3], thirds) ** 2, 0)
        share = 1 / (1 + (variance * 65025 / 16) ** 2)
        total += mean[..., :3] * share[..., None]
        weight += share
    return total / weight[..., None]


def _emboss(plane: Plane) -> Plane:
    """Slope towards the upper left."""
    kernel = np.array([[1, 1, 0], [1, 0, -1], [0, -1, -1]], np.float32) / 6
    return cv2.filter2D(plane, -1, kernel, borderType=cv2.BORDER_REFLECT)
