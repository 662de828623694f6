"""What is behind the person: over the whole clip, and in one frame."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8

from tracking.masked_median import masked_median

NEARLY_CLEAR = 12
"""A matte below this, of 255, counts as background."""
BAND_HEIGHT = 32
"""Rows whose medians are taken at a time; bounds the memory used."""

MOVING_SPREAD = 0.06
"""A pixel of the scene whose colours, in [0, 1], have a greater standard deviation than this moves."""
MOST_MOVING = 0.4
"""A scene of which a greater share of pixels moves is no plate: a car's window may, a hand-held camera's all does."""

BackgroundKind = Literal["plate", "per-frame"]
"""Whether the clip's plate shows what is behind the person, or only each frame does: the camera or the scene moves."""


@dataclass(frozen=True)
class BackgroundPlate:
    """The scene without the person, as far as it was ever seen."""

    image: UInt8[np.ndarray, "height width 3"]
    spread: Float32[np.ndarray, "height width"]
    """How much a pixel of the scene changes over the clip: the standard deviation of colours in [0, 1]; infinite where
    the scene was hardly ever seen."""

    @property
    def moving_share(self) -> float:
        """The share of the scene, as far as it was seen, that changes over the clip."""
        seen = np.isfinite(self.spread)
        return float((self.spread[seen] > MOVING_SPREAD).mean()) if seen.any() else 1.0

    @property
    def kind(self) -> BackgroundKind:
        """Whether the plate is to be used. Flat walls make one however the camera moves."""
        return "plate" if self.moving_share <= MOST_MOVING else "per-frame"


def background_plate(
    images: Sequence[UInt8[np.ndarray, "height width 3"]],
    mattes: Sequence[UInt8[np.ndarray, "height width"]],
    margin: int,
) -> BackgroundPlate:
    """The per-pixel median over the frames in which a pixel is clear of the person, filled in where it never is.

    Args:
        images: frames spread over the clip; all are held in memory at once, and sixty are enough.
        mattes: how much of each pixel is the person, from 0 to 255.
        margin: how far from the person a pixel counts as clear, in pixels.
    """
    height, width = images[0].shape[:2]
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * margin + 1, 2 * margin + 1))
    clear = np.stack([cv2.dilate(matte, kernel) < NEARLY_CLEAR for matte in mattes])
    seen = clear.any(axis=0)
    if not seen.any():
        return BackgroundPlate(
            np.median(np.stack(images), axis=0).astype(np.uint8), np.full((height, width), np.inf, np.float32)
        )
    plate = np.zeros((height, width, 3), dtype=np.float32)
    spread = np.full((height, width), np.inf, dtype=np.float32)
    for top in range(0, height, BAND_HEIGHT):
        rows = slice(top, top + BAND_HEIGHT)
        if not seen[rows].any():
            continue
        stack = np.stack([image[rows][seen[rows]] for image in images])
        median, deviation = masked_median(stack, clear[:, rows][:, seen[rows]])
        # 1.48 median absolute deviations are one standard deviation of normal noise.
        deviation = 1.48 * deviation.mean(axis=-1) / 255
        rarely_seen = clear[:, rows].sum(axis=0)[seen[rows]] < 3
        plate[rows][seen[rows]] = median
        spread[rows][seen[rows]] = np.where(rarely_seen, np.inf, deviation)
    return BackgroundPlate(np.rint(fill_smoothly(plate, seen.astype(np.float32))).astype(np.uint8), spread)


def fill_smoothly(
    image: Float32[np.ndarray, "height width 3"], known: Float32[np.ndarray, "height width"]
) -> Float32[np.ndarray, "height width 3"]:
    """Fill what is not known from coarser and coarser averages of what is: pull-push (Gortler et al. 1996, 3.4).

    Where `known` is one the image is returned exactly.
    """
    height, width = known.shape
    if min(height, width) <= 2:
        total = max(float(known.sum()), 1e-6)
        mean = (image * known[..., None]).sum(axis=(0, 1)) / total
        coarse = np.broadcast_to(mean, image.shape)
    else:
        half = ((width + 1) // 2, (height + 1) // 2)
        weight = cv2.resize(known, half, interpolation=cv2.INTER_AREA)
        pulled = cv2.resize(np.multiply(image, known[..., None]), half, interpolation=cv2.INTER_AREA)
        pulled /= np.maximum(weight, 1e-6)[..., None]
        filled = fill_smoothly(pulled, np.minimum(2 * weight, 1))
        coarse = cv2.resize(filled, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.where(known[..., None] >= 1, image, image * known[..., None] + coarse * (1 - known[..., None]))


def local_background(
    image: Float[np.ndarray, "height width 3"],
    matte: Float[np.ndarray, "height width"],
    plate: Float[np.ndarray, "height width 3"] | None,
) -> Float32[np.ndarray, "height width 3"]:
    """What one frame would show without the person. All values are in [0, 1].

    Exactly the image where the matte is 0. Near the person's edge, the frame's own background carried inwards
    (normalised convolution, Knutsson & Westin 1993); deep inside the plate, or where there is none the frame's own
    background continued smoothly.
    """
    image = np.asarray(image, dtype=np.float32)
    blend = background_blend(image, matte)
    height, width = matte.shape
    if plate is None:
        plate = cv2.resize(continued_background(image, matte), (width, height), interpolation=cv2.INTER_LINEAR)
    blend = cv2.resize(blend, (width, height), interpolation=cv2.INTER_LINEAR)
    background = blend[..., 3:] * np.asarray(plate, dtype=np.float32) + blend[..., :3]
    return np.asarray(cv2.copyTo(image, (matte == 0).astype(np.uint8), background))


def background_blend(
    image: Float32[np.ndarray, "height width 3"], matte: Float[np.ndarray, "height width"]
) -> Float32[np.ndarray, "half_height half_width 4"]:
    """What a frame knows of the background near the person, at half its size.

    Returns:
        A colour, in [0, 1], and the share of the plate that is to be added to it; the share is 1 deep inside the
        person, where the frame knows nothing.
    """
    height, width = matte.shape
    size = max(height, width)
    source = _clear_of_person(matte)
    half = (max(1, width // 2), max(1, height // 2))
    weight = cv2.resize(source.astype(np.float32), half, interpolation=cv2.INTER_AREA)[..., None]
    colors = cv2.resize(cv2.copyTo(image, source), half, interpolation=cv2.INTER_AREA)
    weighted = np.concatenate([colors, weight], axis=-1)
    # The share of the plate, and what is added to it. From far to near, each pass wins where it has enough support.
    share, added = np.ones_like(weight), np.zeros_like(colors)
    for reach in (size // 32, size // 128):
        window = (2 * reach + 1, 2 * reach + 1)
        spread = cv2.blur(cv2.blur(weighted, window, borderType=cv2.BORDER_REPLICATE), window)
        support = spread[..., 3:]
        confidence = np.minimum(8 * support, 1)
        share = share * (1 - confidence)
        added += confidence * (spread[..., :3] / np.maximum(support, 1e-6) - added)
    return np.concatenate([added, share], axis=-1)


def continued_background(
    image: Float32[np.ndarray, "height width 3"], matte: Float[np.ndarray, "height width"]
) -> Float32[np.ndarray, "quarter_height quarter_width 3"]:
    """A smooth continuation of what is known of one frame, at a quarter of its size; its mean colour if nothing is."""
    height, width = matte.shape
    known = _clear_of_person(matte)
    quarter = (max(1, width // 4), max(1, height // 4))
    if not known.any():
        return np.broadcast_to(image.mean(axis=(0, 1)), (quarter[1], quarter[0], 3))
    weight = cv2.resize(known.astype(np.float32), quarter, interpolation=cv2.INTER_AREA)
    colors = cv2.resize(cv2.copyTo(image, known), quarter, interpolation=cv2.INTER_AREA)
    return fill_smoothly(colors / np.maximum(weight, 1e-6)[..., None], weight)


def _clear_of_person(matte: Float[np.ndarray, "height width"]) -> UInt8[np.ndarray, "height width"]:
    """Where a frame shows its background: just outside the matte some of the person's colour remains."""
    clear = (matte == 0).astype(np.uint8)
    return np.asarray(cv2.erode(clear, np.ones((3, 3), np.uint8), iterations=max(1, max(clear.shape) // 128)))
