"""A frame as the offline editor's effects see it, and the picture arithmetic that they share.

Everything here is NumPy, float32, RGB in [0, 1]. Sizes are fractions of the picture's shorter side, which does not
change within a clip: a size measured on each frame's face would make strokes and soft edges breathe.
"""

from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from stage1_edit.compositing import labelled, region_weights
from tracking.regions import Label

Picture = Float32[np.ndarray, "height width 3"]
Plane = Float32[np.ndarray, "height width"]


@dataclass(frozen=True)
class Portrait:
    """A frame, the person's matte, and the region that each pixel shows."""

    image: Picture
    matte: Plane
    labels: UInt8[np.ndarray, "height width"]
    _weights: dict[str, Plane] = field(default_factory=dict, repr=False)

    @cached_property
    def lab(self) -> Picture:
        """CIELAB: lightness in [0, 100], then green-red and blue-yellow."""
        return to_lab(self.image)

    @cached_property
    def lightness(self) -> Plane:
        """CIELAB lightness, scaled to [0, 1]."""
        return np.ascontiguousarray(self.lab[..., 0]) / 100

    def pixels(self, fraction: float) -> float:
        """A length in pixels, from a fraction of the picture's shorter side."""
        return fraction * min(self.labels.shape)

    def weights(self, region: str) -> Plane:
        """How much of each pixel belongs to a region. Not to be written to: it is computed once."""
        if region not in self._weights:
            self._weights[region] = region_weights(self.labels, self.matte, region)
        return self._weights[region]

    def showing(self, image: Picture) -> "Portrait":
        """The same frame with another picture."""
        return Portrait(image, self.matte, self.labels, self._weights)

    def blur(self, plane: np.ndarray, fraction: float) -> np.ndarray:
        """Gaussian blur with a standard deviation given as a fraction of the picture's shorter side."""
        return blur(plane, self.pixels(fraction))

    def blur_inside(self, plane: Plane, fraction: float) -> Plane:
        """Gaussian blur over the person only: the background does not bleed in."""
        return self.blur(plane * self.matte, fraction) / (self.blur(self.matte, fraction) + 1e-4)

    @cached_property
    def head_frame(self) -> Float32[np.ndarray, "2 3"]:
        """Takes a pixel (x, y, 1) to coordinates that move, turn and grow with the face.

        The origin is the middle of the face, the second axis points from mouth to brows reversed (down the face), and
        the unit is the side of a square of the face's area.
        """
        face = labelled(self.labels, "face")
        if face.sum() < 16:
            height, width = self.labels.shape
            unit = 0.35 * min(height, width)
            return np.array([[1, 0, -width / 2], [0, 1, -height / 2]], np.float32) / unit
        unit = np.sqrt(face.sum())
        middle = _centroid(face)
        upper = np.isin(self.labels, [Label.BROWS, Label.EYES])
        lower = np.isin(self.labels, [Label.LIPS, Label.MOUTH_INTERIOR])
        down = np.array([0.0, 1.0])
        if upper.any() and lower.any():
            down = _centroid(lower) - _centroid(upper)
            down /= max(float(np.linalg.norm(down)), 1e-6)
        rotation = np.array([[down[1], -down[0]], [down[0], down[1]]]) / unit
        return np.concatenate([rotation, -(rotation @ middle)[:, None]], axis=1).astype(np.float32)

    @cached_property
    def head_coordinates(self) -> Float32[np.ndarray, "height width 2"]:
        """Where each pixel lies in the head's frame."""
        height, width = self.labels.shape
        x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        (xx, xy, x0), (yx, yy, y0) = self.head_frame
        return np.stack([xx * x + xy * y + x0, yx * x + yy * y + y0], axis=-1)

    @cached_property
    def torso_coordinates(self) -> Float32[np.ndarray, "height width 2"]:
        """Where each pixel lies in the picture, in units of about a face."""
        height, width = self.labels.shape
        unit = self.pixels(0.35)
        return np.dstack(np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))) / unit

    def solid_noise(self, size: float, seed: int, octaves: int = 6, stretch: tuple[float, float] = (1, 1)) -> Plane:
        """Fractal noise that follows the head on the head, and stays put on the torso.

        Args:
            size: width of the largest features, in faces.
            stretch: factors on both coordinates; features grow along an axis whose factor is below 1.
        """
        scale = np.array(stretch, np.float32)
        on_torso = noise(self.torso_coordinates * scale, size, seed, octaves)
        on_head = noise(self.head_coordinates * scale, size, seed, octaves)
        return mix(on_torso, on_head, self.weights("head"))


def _centroid(inside: np.ndarray) -> np.ndarray:
    rows, columns = np.nonzero(inside)
    return np.array([columns.mean(), rows.mean()])


def to_lab(image: Picture) -> Picture:
    return cv2.cvtColor(image, cv2.COLOR_RGB2LAB)


def from_lab(lab: Picture) -> Picture:
    """sRGB in [0, 1]; colours out of gamut are clipped."""
    return np.clip(cv2.cvtColor(lab.astype(np.float32), cv2.COLOR_LAB2RGB), 0, 1)


def hex_to_rgb(code: str) -> Float32[np.ndarray, "3"]:
    """An RGB colour in [0, 1] from six hexadecimal digits."""
    return np.array([int(code[i : i + 2], 16) for i in (0, 2, 4)], np.float32) / 255


def hex_to_lab(code: str) -> Float32[np.ndarray, "3"]:
    return to_lab(hex_to_rgb(code)[None, None])[0, 0]


def blur(plane: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur; wide ones are computed on a smaller picture, which is not visible and much faster."""
    factor = int(sigma // 4)
    if factor < 2:
        return cv2.GaussianBlur(plane, (0, 0), max(sigma, 0.2), borderType=cv2.BORDER_REPLICATE)
    height, width = plane.shape[:2]
    small = cv2.resize(plane, (-(-width // factor), -(-height // factor)), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma / factor, borderType=cv2.BORDER_REPLICATE)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def smoothstep(low: float, high: float, values: np.ndarray) -> np.ndarray:
    """Hermite step: 0 below `low`, 1 above `high`."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def mix(first: np.ndarray, second: np.ndarray, weight: np.ndarray | float) -> np.ndarray:
    """Linear interpolation; a plane of weights is applied to every channel."""
    if isinstance(weight, np.ndarray) and weight.ndim < first.ndim:
        weight = weight[..., None]
    return first + (second - first) * weight


def dot(first: np.ndarray, second: np.ndarray) -> Plane:
    """Sum of products over the last axis (NumPy's own sums over so short an axis are slow)."""
    return np.einsum("...c,...c->...", first, second)


def length(vectors: np.ndarray) -> Plane:
    """Euclidean length over the last axis."""
    return np.sqrt(dot(vectors, vectors))


def grey(picture: Picture) -> Plane:
    """Mean of the channels."""
    return cv2.transform(picture, np.full((1, 3), 1 / 3, np.float32))


def ramp(values: Plane, colors: tuple[str, ...]) -> Picture:
    """Colours from a table of equally spaced stops, interpolated in CIELAB."""
    stops = np.linspace(0, 1, len(colors))
    table = np.stack([hex_to_lab(color) for color in colors])
    fine = np.stack([np.interp(np.linspace(0, 1, 256), stops, table[:, channel]) for channel in range(3)], axis=-1)
    table = from_lab(fine[None].astype(np.float32))[0]
    position = (np.clip(values, 0, 1) * 255).astype(np.float32)
    row = np.zeros_like(position)
    return cv2.remap(table[None], position, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


@lru_cache(maxsize=32)
def _noise_tile(seed: int, octaves: int) -> Float32[np.ndarray, "256 256"]:
    """Periodic fractal noise around 0 with unit deviation: each octave has half the size and weight of the last."""
    generator = np.random.RandomState(seed)
    total = np.zeros((256, 256), np.float32)
    for octave in range(octaves):
        cells = 4 << octave
        scale = 256 // cells
        lattice = np.pad(generator.randn(cells, cells).astype(np.float32), 2, mode="wrap")
        fine = cv2.resize(lattice, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        total += fine[2 * scale : 2 * scale + 256, 2 * scale : 2 * scale + 256] / (1 << octave)
    return (total - total.mean()) / total.std()


def noise(coordinates: Float32[np.ndarray, "height width 2"], size: float, seed: int, octaves: int = 6) -> Plane:
    """Fixed fractal noise at the given coordinates; `size` is the width of its largest features."""
    position = coordinates * (64 / size)
    x, y = np.ascontiguousarray(position[..., 0]), np.ascontiguousarray(position[..., 1])
    return cv2.remap(_noise_tile(seed, octaves), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
