"""Materials: the person cast in metal, carved in stone or wood, or no longer quite human.

A statue has one colour, so the picture is first freed of what hair, skin, lips and cloth differ in. What remains, the
shading, is joined with the light on a rough guess of the person's relief and mapped to the material's colours.

A face lives by its lines, and a guessed relief would draw others: light from the side moved the landmarks that a
detector finds in a statue's face. So the face keeps the light that it was filmed in, as patina would
show it: brows, lids and lips stay darker than the skin around them, and the relief adds but little.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from stage1_edit.effects_color import follow_strands, recolor
from stage1_edit.portrait import (
    Picture,
    Plane,
    Portrait,
    dot,
    from_lab,
    grey,
    hex_to_rgb,
    length,
    mix,
    noise,
    ramp,
    smoothstep,
)
from tracking.regions import Label

Texture = Callable[[Portrait, Picture], Picture]

HOLLOW = 0.25
"""How much darker than its surroundings the inside of an open mouth is carved; teeth are not."""
FILMED_FEATURES, FILMED_FACE = 1.0, 0.6
"""How much of the shading of brows, eyes and lips, and of the rest of the face, is the film's own."""
RELIEF_ON_FACE = 0.3
"""How strongly the face's fine shading is embossed, against 1 elsewhere: its lines stay where they are."""
KEY_ON_FACE = 0.2
"""How much of the key light on the guessed relief falls on the face, against 1 elsewhere."""
CONTRAST_ON_FACE = 1.35
"""Factor on the face's shading, for the light that it does not get: metal and stone are harsher than skin."""
PATINA_OF_HAIR = 0.45
"""How much of the way from the skin's lightness to darker hair's is kept, as if locks held more patina than cheeks."""
LUSTRE = 0.35
"""How much of the reflections on a face lie where it shone in the film."""


@dataclass(frozen=True)
class Material:
    """How a solid looks."""

    colors: tuple[str, ...]
    """Its colour from deepest shadow to brightest light."""
    highlight: str
    """The colour of its reflections."""
    gloss: float
    """Strength of the reflections."""
    sharpness: float
    """Exponent of the reflections' lobe: large is polished."""
    relief: float
    """How strongly the picture's fine detail is chiselled."""
    contrast: float = 1.0
    """Factor on the shading."""
    texture: Literal["plain", "veins", "grain", "wood", "mottled", "patina"] = "plain"
    """What lies in the solid, besides its colour."""


MATERIALS: dict[str, Material] = {
    "bronze": Material(
        ("0d0704", "2e180b", "5c3415", "94602a", "cf9a52", "f7dca2"), "fff0cf", 0.62, 22, 1.0, 1.1, "patina"
    ),
    "copper": Material(("120504", "431409", "862f17", "c55f38", "ee9f78", "ffdcc8"), "fff0e6", 0.65, 24, 1.0, 1.1),
    "gold": Material(("1c0f00", "5a3703", "a86f0c", "dca52a", "f9d767", "fff7cf"), "fffbe6", 0.85, 28, 1.0, 1.2),
    "silver": Material(("0c0d10", "34373d", "6d7178", "a6aab0", "d9dce0", "ffffff"), "ffffff", 0.85, 28, 1.0, 1.25),
    "marble": Material(
        ("6a6866", "989592", "c0bdb8", "dcdad5", "efeeea", "fdfdfb"), "ffffff", 0.2, 18, 0.9, 1.1, "veins"
    ),
    "stone": Material(
        ("2b2a29", "4f4d4a", "757370", "96938f", "b5b2ad", "d3d0ca"), "ffffff", 0.04, 6, 1.15, 0.95, "grain"
    ),
    "jade": Material(
        ("06281c", "0e4a33", "2a7a57", "57a67d", "95cfa9", "dff4df"), "f4fff4", 0.5, 34, 0.85, 1.15, "mottled"
    ),
    "wood": Material(
        ("1d0e06", "40220f", "6d3f1d", "98622f", "c08c52", "e3bb85"), "fff0d8", 0.14, 10, 1.0, 1.0, "wood"
    ),
}
"""The materials that a person can be made of."""


def apply_material(portrait: Portrait, name: str) -> Picture:
    """Show the whole picture as if everything in it were made of the material."""
    material = MATERIALS[name]
    shading = carved_shading(portrait, material.relief)
    normals = relief_normals(portrait, shading, 0.9 * material.relief)
    key = lambert(normals, (-0.45, -0.6, 0.66))
    rim = lambert(normals, (0.9, -0.15, 0.1))
    face = softened_face(portrait)
    own = 0.75 * (1 + (CONTRAST_ON_FACE - 1) * face) * (shading - 0.5)
    lamp = 0.5 * (1 + (KEY_ON_FACE - 1) * face) * (key - 0.66)
    tone = 0.52 + material.contrast * (own + lamp + 0.1 * rim)
    # As in a gallery, the lamp is on the face.
    tone = tone + 0.13 * portrait.blur(portrait.weights("head"), 0.03) + 0.04 * face - 0.05
    tone = 0.5 + 0.52 * np.tanh((tone - 0.5) / 0.5)
    solid = ramp(tone.astype(np.float32), material.colors)
    solid = _TEXTURES[material.texture](portrait, solid)
    # Blinn's half-way vectors of a key light from the upper left and a weaker one from the right.
    spark = lambert(normals, (-0.3, -0.42, 0.856)) ** material.sharpness
    spark = spark + 0.5 * lambert(normals, (0.55, -0.2, 0.81)) ** material.sharpness
    spark = spark * smoothstep(0.25, 0.75, shading)
    spark = material.gloss * mix(spark, LUSTRE * smoothstep(0.62, 0.95, shading), face)
    return 1 - (1 - solid) * (1 - np.clip(spark, 0, 1)[..., None] * hex_to_rgb(material.highlight))


def carved_shading(portrait: Portrait, relief: float) -> Plane:
    """The picture's light and shade around 0.5, without the colours of hair, skin and cloth."""
    lightness = portrait.lightness
    lightness = cv2.bilateralFilter(lightness, 5, 0.06, max(portrait.pixels(0.006), 1.0))
    hair = portrait.weights("hair")
    strands = follow_strands(portrait, hair)
    parts = {region: portrait.weights(region) for region in ("skin", "brows", "eyes", "mouth", "clothes")}
    # What was labelled hair but looks like skin is carved as skin.
    parts |= {"hair": strands, "skin": parts["skin"] + np.maximum(hair - strands, 0)}
    albedo, covered = np.zeros_like(lightness), np.full_like(lightness, 1e-4)
    typical: dict[str, float] = {}
    for region, weights in parts.items():
        core = weights > 0.6
        if core.sum() >= 4:
            typical[region] = float(np.median(lightness[core]))
            albedo += weights * typical[region]
            covered += weights
    # L* + 16 is proportional to the cube root of luminance: a ratio of reflectances is a ratio of these.
    flat = (lightness + 0.16) / (albedo / covered + 0.16) - 1
    flat = 0.5 * np.tanh(flat / 0.5)
    # Brows are of the same metal; irises stay, as if incised: where they look is part of the expression.
    flat = flat * (1 - 0.3 * parts["brows"])
    broad = portrait.blur_inside(flat, 0.07)
    detail = flat - broad
    energy = np.sqrt(portrait.blur_inside(detail * detail, 0.1))
    detail = detail / (energy + 0.1)
    fine = flat - portrait.blur_inside(flat, 0.012)
    fine = fine / (np.sqrt(portrait.blur_inside(fine * fine, 0.08)) + 0.06)
    combined = 0.55 * np.tanh(1.6 * broad) + 0.2 * np.tanh(detail) + 0.1 * relief * np.tanh(fine)
    # Evened out, these would hardly show: eyes have their own light and shade, and an open mouth is a hollow.
    combined = mix(combined, 0.9 * flat, 0.8 * parts["eyes"])
    hollow = portrait.blur((portrait.labels == Label.MOUTH_INTERIOR).astype(np.float32), 0.004)
    combined = combined - HOLLOW * hollow * smoothstep(0.45, 0.15, lightness)
    if "hair" in typical and "skin" in typical:
        combined = combined + PATINA_OF_HAIR * min(typical["hair"] - typical["skin"], 0.0) * strands
    combined = mix(combined, *filmed_face(portrait))
    return np.clip(0.5 + combined, 0, 1).astype(np.float32)


def softened_face(portrait: Portrait) -> Plane:
    """How much of each pixel is face, ear or neck, without a sharp edge."""
    return portrait.blur(np.maximum(portrait.weights("face"), portrait.weights("skin")), 0.012)


def filmed_face(portrait: Portrait) -> tuple[Plane, Plane]:
    """The face's light and shade as it was filmed, around 0 at the skin's typical tone, and how much of it to keep.

    Unlike elsewhere, darker parts stay darker: without their colours nothing of brows, lids and lips would be
    left where the light is flat.
    """
    face = portrait.weights("face")
    skin = (portrait.labels == Label.FACE_SKIN) & (face > 0.6)
    if skin.sum() < 4:
        return np.zeros_like(face), np.zeros_like(face)
    typical = float(np.median(portrait.lightness[skin]))
    filmed = (portrait.lightness + 0.16) / (typical + 0.16) - 1
    features = np.isin(portrait.labels, [Label.BROWS, Label.EYES, Label.LIPS, Label.MOUTH_INTERIOR])
    near = np.clip(2.5 * portrait.blur(features.astype(np.float32), 0.012), 0, 1)
    share = (FILMED_FACE + (FILMED_FEATURES - FILMED_FACE) * near) * face
    return 0.6 * np.tanh(filmed / 0.6), share


def relief_normals(portrait: Portrait, shading: Plane, strength: float) -> Picture:
    """Unit normals of a guessed surface, x right, y down, z to the viewer.

    The outline is inflated like a cushion (the square root of summed blurs approximates the solution of Poisson's
    equation), head and torso apart; on it the shading is embossed, bright being high.
    """
    head = portrait.weights("head")
    size = portrait.pixels(1.0)
    height = np.zeros_like(head)
    for part in (head, portrait.matte - head):
        swollen = sum(portrait.blur(part, fraction) * fraction for fraction in (0.02, 0.04, 0.08, 0.16))
        height += np.sqrt(np.maximum(swollen, 0) + 1e-4) * part
    height = 0.36 * size * portrait.blur(height, 0.012)
    x, y = portrait.head_coordinates[..., 0], portrait.head_coordinates[..., 1]
    pixels_per_unit = 1 / float(np.linalg.norm(portrait.head_frame[0, :2]))
    # Faces curve mostly from ear to ear; cheeks and mouth look straight ahead and the brow tilts up.
    skull = np.sqrt(np.maximum(1 - (x / 0.72) ** 2 - ((y - 0.5) / 1.5) ** 2, 0.02))
    height += 0.36 * pixels_per_unit * portrait.blur(skull, 0.02) * portrait.blur(head, 0.01)
    embossed = 0.045 * portrait.blur(shading, 0.012) + 0.022 * portrait.blur(shading, 0.004)
    height += strength * size * embossed * (1 + (RELIEF_ON_FACE - 1) * softened_face(portrait))
    slope_x = cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8)
    slope_y = cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8)
    normals = np.dstack([-slope_x, -slope_y, np.ones_like(height)])
    return normals / length(normals)[..., None]


def lambert(normals: Picture, direction: tuple[float, float, float]) -> Plane:
    """Light that arrives from a direction: x right, y down, z to the viewer."""
    unit = np.array(direction, np.float32)
    return np.maximum(dot(normals, unit / np.linalg.norm(unit)), 0)


def _plain(portrait: Portrait, solid: Picture) -> Picture:
    return solid


def _veins(portrait: Portrait, solid: Picture) -> Picture:
    """Soft grey veins: where smooth noise passes through zero."""
    broad = 1 - np.abs(portrait.solid_noise(2.6, seed=13, octaves=4, stretch=(1.0, 0.7))) / 0.22
    fine = 1 - np.abs(portrait.solid_noise(1.7, seed=14, octaves=4, stretch=(0.7, 1.0))) / 0.09
    patchy = smoothstep(-0.8, 0.8, portrait.solid_noise(1.3, seed=15, octaves=2))
    veins = (0.5 * np.clip(broad, 0, 1) ** 1.5 + 0.25 * np.clip(fine, 0, 1)) * (0.2 + 0.8 * patchy)
    cloud = 1 + 0.02 * portrait.solid_noise(1.2, seed=16, octaves=3)
    return mix(solid, solid * hex_to_rgb("8b8f90"), veins) * cloud[..., None]


def _grain(portrait: Portrait, solid: Picture) -> Picture:
    speckle = 0.05 * portrait.solid_noise(0.1, seed=21, octaves=3) + 0.035 * portrait.solid_noise(
        0.6, seed=22, octaves=3
    )
    return solid * (1 + speckle[..., None])


def _mottled(portrait: Portrait, solid: Picture) -> Picture:
    """Cloudy, and lit a little from within: light spreads under the surface, but leaves the face its lines."""
    cloud = 0.07 * portrait.solid_noise(0.9, seed=31, octaves=4)
    spread = 0.35 * (1 - 0.8 * softened_face(portrait))
    return mix(solid, portrait.blur(solid, 0.015), spread) * (1 + cloud[..., None]) + 0.02


def _wood(portrait: Portrait, solid: Picture) -> Picture:
    """Rings of a trunk cut lengthwise: stretched noise as height lines, with fine fibres along them."""
    rings = np.sin(7 * portrait.solid_noise(1.6, seed=41, octaves=2, stretch=(1.0, 0.22)))
    fibres = portrait.solid_noise(0.16, seed=43, octaves=3, stretch=(1.0, 0.08))
    return solid * (1 + 0.11 * rings + 0.05 * fibres)[..., None]


def _patina(portrait: Portrait, solid: Picture) -> Picture:
    """A trace of green where rain does not wash: in the dark hollows, in patches."""
    hollows = 1 - smoothstep(0.06, 0.32, grey(solid))
    patches = smoothstep(0.0, 1.6, portrait.solid_noise(0.9, seed=51, octaves=4))
    return mix(solid, solid * 0.4 + 0.5 * hex_to_rgb("2f5a4a") * (0.35 + solid), 0.4 * hollows * patches)


_TEXTURES: dict[str, Texture] = {
    "plain": _plain,
    "veins": _veins,
    "grain": _grain,
    "mottled": _mottled,
    "wood": _wood,
    "patina": _patina,
}


def _zombie(portrait: Portrait) -> Picture:
    """Grey-green skin, sunken eyes, blotches, drained hair and clothes."""
    skin = np.clip(portrait.weights("skin") + portrait.weights("lips") + portrait.weights("brows") * 0.5, 0, 1)
    lab = portrait.lab.copy()
    where = portrait.head_coordinates
    blotches = noise(where, 0.5, seed=61)
    lightness = lab[..., 0]
    lightness = portrait.blur_inside(lightness, 0.08) * 0.82 + 1.35 * (
        lightness - portrait.blur_inside(lightness, 0.08)
    )
    lightness = lightness - 3.5 * np.clip(blotches, 0, 2)
    veins = np.clip(1 - np.abs(noise(where, 0.45, seed=62)) / 0.1, 0, 1)
    lightness = lightness - 6 * veins
    dead = np.dstack([lightness, -11 + 3 * blotches, 13 + 2 * blotches])
    drained = lab * np.array([0.9, 0.35, 0.35], np.float32)
    lab = mix(drained, dead, skin)
    sockets = portrait.blur((portrait.labels == Label.EYES).astype(np.float32), 0.032)
    sockets = np.clip(2.2 * sockets, 0, 1) * portrait.weights("face")
    dark = lab * np.array([0.5, 0.2, 0.3], np.float32) + np.array([0, 5, -2], np.float32)
    lab = mix(lab, dark, 0.8 * sockets * (1 - portrait.weights("eyes")))
    eyes = portrait.weights("eyes")
    lab = mix(lab, lab * np.array([1.1, 0.2, 0.2], np.float32) + np.array([8, 0, 6], np.float32), 0.8 * eyes)
    return from_lab(lab)


def _alien(portrait: Portrait) -> Picture:
    """Smooth green skin, black eyes."""
    skin = np.clip(portrait.weights("skin") + portrait.weights("lips") + portrait.weights("brows"), 0, 1)
    green = recolor(portrait, skin, "skin", "lime", -0.3, 1.0)
    smooth = cv2.bilateralFilter(green, 7, 0.12, max(portrait.pixels(0.01), 1.0))
    return mix(smooth, np.full_like(smooth, 0.03), 0.85 * portrait.weights("eyes"))


def _vampire(portrait: Portrait) -> Picture:
    """Pale skin, dark lips, shadowed eyes."""
    skin = portrait.weights("skin")
    lab = portrait.lab
    pale = np.dstack([np.clip(lab[..., 0] * 1.06 + 6, 0, 97), lab[..., 1] * 0.25, lab[..., 2] * 0.25 - 2])
    lab = mix(lab, pale, 0.85 * skin)
    sockets = np.clip(1.8 * portrait.blur((portrait.labels == Label.EYES).astype(np.float32), 0.025), 0, 1)
    shadow = lab * np.array([0.7, 0.5, 0.5], np.float32) + np.array([0, 10, -3], np.float32)
    lab = mix(lab, shadow, 0.7 * sockets * portrait.weights("face") * (1 - portrait.weights("eyes")))
    blood = np.dstack([lab[..., 0] * 0.55, np.full_like(skin, 34), np.full_like(skin, 14)])
    return from_lab(mix(lab, blood, 0.85 * portrait.weights("lips")))


CHARACTERS: dict[str, Callable[[Portrait], Picture]] = {"zombie": _zombie, "alien": _alien, "vampire": _vampire}
"""Whom a person can be turned into."""
