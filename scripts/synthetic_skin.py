"""A painted skin for synthetic heads: tone, blotches, cheeks, brows, lips, stubble, hair and clothes, all procedural.

The painting is a picture of the average head at rest, unrolled around a vertical axis: u is the angle about the axis
from the middle of the face, toward the person's left, v the height. Every vertex keeps its place in the picture
whatever the person's shape or expression, so that the skin moves with the face.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float
from synthetic_heads import LANDMARKS_68, SyntheticHeads

AXIS_Z = 2.0
"""Where the axis stands, in centimetres of head space."""
LOWEST, HIGHEST = -19.5, 15.0
"""Heights in centimetres at the picture's edges."""
PIXELS_PER_CENTIMETER = 36.0
PICTURE_RADIUS = 8.5
"""Centimetres from the axis at which the picture is as fine across as it is up."""
WIDTH = round(2 * np.pi * PICTURE_RADIUS * PIXELS_PER_CENTIMETER)
HEIGHT = round((HIGHEST - LOWEST) * PIXELS_PER_CENTIMETER)

JAW, BROWS, NOSE_TIP = LANDMARKS_68[:17], (LANDMARKS_68[17:22], LANDMARKS_68[22:27]), LANDMARKS_68[30]
EYES = (LANDMARKS_68[36:42], LANDMARKS_68[42:48])
OUTER_LIPS, INNER_LIPS = LANDMARKS_68[48:60], LANDMARKS_68[60:68]

Layer = Float[np.ndarray, "height width"]
Painting = Float[np.ndarray, "height width 3"]


@dataclass(frozen=True)
class Complexion:
    """Colours of one person: RGB in [0, 1]."""

    skin: tuple[float, float, float]
    lips: tuple[float, float, float]
    hair: tuple[float, float, float]
    iris: tuple[float, float, float]
    clothes: tuple[float, float, float]
    stubble: float
    """How much darker the shaved skin is, in [0, 1]."""
    hairline: float
    """Height of the hair's edge above the middle of the forehead, in centimetres of head space."""
    seed: int
    """Of everything irregular."""


def texture_coordinates(rest: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 2"]:
    """Columns and rows in the painting of points of the average head at rest."""
    angle = np.arctan2(rest[..., 0], rest[..., 2] - AXIS_Z)
    column = (angle / (2 * np.pi) + 0.5) * WIDTH
    row = (HIGHEST - rest[..., 1]) * PIXELS_PER_CENTIMETER
    return np.stack([column, row], -1).astype(np.float32)


def paint(heads: SyntheticHeads, complexion: Complexion) -> Painting:
    """Paint a person's skin, hair and clothes."""
    random = np.random.default_rng(complexion.seed)
    place = texture_coordinates(heads.mean)
    skin = np.ones((HEIGHT, WIDTH, 3), np.float32) * np.array(complexion.skin, np.float32)
    blotches = 0.05 * _noise(random, 24) + 0.03 * _noise(random, 90) + 0.03 * _noise(random, 500)
    skin *= 1 + blotches[..., None]
    skin *= 1 + 0.04 * _noise(random, 40)[..., None] * np.array([0.3, 1, 1], np.float32)
    for vertex, radius in ((NOSE_TIP, 1.2), (1888, 2.2), (4088, 2.2), (JAW[8], 1.4)):
        # Blood shows at nose, cheeks and chin.
        skin = _blend(skin, skin * np.array([1.06, 0.86, 0.86], np.float32), _spot(place[vertex], radius))
    for eye in EYES:
        skin *= 1 - 0.18 * _spot(place[list(eye)].mean(0), 1.5)[..., None]
    beard = np.clip(_below_jaw_and_lips(place) * (0.75 + 0.35 * _noise(random, 700)), 0, 1) * complexion.stubble
    skin = _blend(skin, np.float32(0.45) * skin + np.array(complexion.hair, np.float32) * 0.3, beard)
    skin = _blend(skin, _varied(complexion.lips, random, 0.10, 150), _soft(_polygon(place, OUTER_LIPS), 0.07))
    skin = _blend(skin, np.float32(0.45) * _varied(complexion.lips, random, 0.05, 60), _polygon(place, INNER_LIPS))
    for brow in BROWS:
        skin = _blend(skin, _varied(complexion.hair, random, 0.2, 300), 0.85 * _brow(place, brow, random))
    for eye in EYES:
        lashes = _line(place[[*eye[:4]]], 0.13) + 0.6 * _line(place[[eye[3], eye[4], eye[5], eye[0]]], 0.08)
        skin = _blend(skin, np.full_like(skin, 0.09), 0.85 * np.clip(_soft(lashes, 0.03), 0, 1))
    hair = _varied(complexion.hair, random, 0.35, 400, stretch=8)
    skin = _blend(skin, hair, _hair_region(complexion.hairline, random))
    rows = (HIGHEST - (np.arange(HEIGHT) + 0.5) / PIXELS_PER_CENTIMETER)[:, None]
    collar = np.clip((-14.2 - rows) * 6, 0, 1).astype(np.float32) * np.ones((1, WIDTH), np.float32)
    return _blend(skin, _varied(complexion.clothes, random, 0.15, 60), collar).clip(0, 1)


def sample(painting: Painting, coordinates: Float[np.ndarray, "rows columns 2"]) -> Float[np.ndarray, "rows columns 3"]:
    """The painting's colours at some places, bilinearly."""
    columns, rows = np.moveaxis(coordinates - 0.5, -1, 0)
    return cv2.remap(painting, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _noise(random: np.random.Generator, cells: int, stretch: int = 1) -> Layer:
    """Smooth noise of unit deviation, with so many cells around the head."""
    rows = max(2, cells * HEIGHT // (WIDTH * stretch))
    field = random.normal(size=(rows, cells)).astype(np.float32)
    field = cv2.resize(field, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    return field / field.std()


def _varied(
    color: tuple[float, float, float], random: np.random.Generator, amount: float, cells: int, stretch: int = 1
) -> Painting:
    return np.array(color, np.float32) * (1 + amount * _noise(random, cells, stretch))[..., None].clip(0.2)


def _blend(below: Painting, above: Painting, opacity: Layer) -> Painting:
    return below + (above - below) * opacity[..., None].astype(np.float32)


def _soft(layer: Layer, centimeters: float) -> Layer:
    return cv2.GaussianBlur(layer, (0, 0), centimeters * PIXELS_PER_CENTIMETER)


def _spot(place: Float[np.ndarray, "2"], radius: float) -> Layer:
    columns, rows = np.arange(WIDTH, dtype=np.float32), np.arange(HEIGHT, dtype=np.float32)[:, None]
    squared = (columns - place[0]) ** 2 + (rows - place[1]) ** 2
    return np.exp(-squared / (2 * (radius * PIXELS_PER_CENTIMETER) ** 2))


def _polygon(place: Float[np.ndarray, "vertices 2"], vertices: tuple[int, ...]) -> Layer:
    layer = np.zeros((HEIGHT, WIDTH), np.float32)
    cv2.fillPoly(layer, [np.round(place[list(vertices)] * 16).astype(np.int32)], (1.0,), cv2.LINE_AA, 4)
    return layer


def _line(points: Float[np.ndarray, "points 2"], thickness: float) -> Layer:
    layer = np.zeros((HEIGHT, WIDTH), np.float32)
    line = np.round(points * 16).astype(np.int32)
    cv2.polylines(layer, [line], False, (1.0,), round(thickness * PIXELS_PER_CENTIMETER), cv2.LINE_8, 4)
    return layer


def _brow(place: np.ndarray, brow: tuple[int, ...], random: np.random.Generator) -> Layer:
    """Strokes along the brow, slanting outward, thinner at its tail."""
    points = place[list(brow)]
    if points[0, 0] < WIDTH / 2:
        points = points[::-1]
    layer = np.zeros((HEIGHT, WIDTH), np.float32)
    outward = np.sign(points[-1, 0] - points[0, 0])
    for position in np.sort(random.uniform(0, 1, 260)):
        along = position * (len(points) - 1)
        before = min(int(along), len(points) - 2)
        root = points[before] + (along - before) * (points[before + 1] - points[before])
        spread = 0.28 * (1 - 0.6 * position) * PIXELS_PER_CENTIMETER
        root = root + np.array([0, spread * random.uniform(-1.0, 1.2)])
        tip = root + np.array([outward * (0.3 + 0.3 * position), -0.35 * (1 - position)]) * PIXELS_PER_CENTIMETER
        ends = np.round(np.stack([root, tip]) * 16).astype(np.int32)
        cv2.line(layer, ends[0].tolist(), ends[1].tolist(), (1.0,), 3, cv2.LINE_AA, 4)
    return _soft(layer, 0.03).clip(0, 1)


def _below_jaw_and_lips(place: np.ndarray) -> Layer:
    """Where men shave: moustache, chin and jaw down to the throat."""
    jaw = place[list(JAW[1:-1])]
    throat = jaw[::-1] + np.array([0, 2.0 * PIXELS_PER_CENTIMETER])
    upper = place[[JAW[3], 1140, 3360, JAW[-4]]] + np.array([0, 0.5 * PIXELS_PER_CENTIMETER])
    layer = np.zeros((HEIGHT, WIDTH), np.float32)
    outline = np.concatenate([upper, place[[JAW[14]]], throat[1:-1], place[[JAW[2]]]])
    cv2.fillPoly(layer, [np.round(outline).astype(np.int32)], (1.0,))
    return _soft(layer, 0.5)


def _hair_region(hairline: float, random: np.random.Generator) -> Layer:
    """The scalp: above the hairline in front, down before the ears, and over the back of the head to the neck."""
    angles = np.abs((np.arange(WIDTH) + 0.5) / WIDTH - 0.5) * 2 * np.pi
    corner_angles = np.array([0.0, 0.5, 0.85, 1.05, 1.3, 1.5, 1.75, 2.0, np.pi])
    corner_heights = np.array([hairline, hairline - 0.2, hairline - 1.4, 5.5, 3.0, 2.6, 5.0, -4.0, -6.5])
    edge = np.interp(angles, corner_angles, corner_heights)
    heights = (HIGHEST - (np.arange(HEIGHT) + 0.5) / PIXELS_PER_CENTIMETER)[:, None]
    ragged = 0.2 * _noise(random, 300, stretch=4)
    return _soft(np.clip((heights - edge + ragged) * 4, 0, 1).astype(np.float32), 0.04)
