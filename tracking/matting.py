"""How much of each pixel is the person: a soft matte that follows the picture's edges and does not flicker."""

from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

from tracking.background import BackgroundPlate
from tracking.guided_filter import GuidedFilter
from tracking.mediapipe_models import load_solutions, start_quietly

FLOW_SIZE = 256
"""Longer side, in pixels, of the pictures between which motion is estimated."""
COLOR_STATISTICS_SIZE = 256
"""Longer side, in pixels, at which the colours around a pixel are gathered."""
COLOR_NOISE = 0.03
PLATE_NOISE = 0.02
"""Least standard deviation of colours in [0, 1]."""


class PersonSegmenter(Protocol):
    """Makes a first, soft guess at where people are."""

    def segment(self, image: UInt8[np.ndarray, "height width 3"]) -> Float32[np.ndarray, "height width"]:
        """How likely each pixel of an RGB image shows a person, in [0, 1]."""
        ...


class MediaPipeSegmenter:
    """The mean of MediaPipe's two bundled segmentation models, which rarely make the same mistake."""

    def __init__(self) -> None:
        solution = load_solutions().selfie_segmentation.SelfieSegmentation
        self._models: list[Any] = [
            start_quietly(lambda selection=selection: solution(model_selection=selection)) for selection in (0, 1)
        ]

    def segment(self, image: UInt8[np.ndarray, "height width 3"]) -> Float32[np.ndarray, "height width"]:
        masks = [model.process(image).segmentation_mask for model in self._models]
        return np.mean(masks, axis=0, dtype=np.float32)


@dataclass
class MatteConfig:
    """How the first guess becomes a matte. Lengths are in multiples of the face's height."""

    color_reach: float = 0.12
    """How far the colours of person and background are looked for around an undecided pixel."""
    edge_width: float = 0.03
    """Radius of the guided filter: how wide a soft edge may be."""
    edge_smoothness: float = 1e-4
    """Variance, for colours in [0, 1], below which the guided filter takes the picture for flat."""
    color_trust: float = 0.75
    """How much colour, rather than the first guess, decides about undecided pixels."""
    black_point: float = 0.1
    """What is below becomes 0."""
    white_point: float = 0.88
    """What is above becomes 1."""


def refine_matte(
    image: UInt8[np.ndarray, "height width 3"],
    guess: Float32[np.ndarray, "height width"],
    face: Bool[np.ndarray, "height width"],
    face_height: float,
    config: MatteConfig,
    plate: BackgroundPlate | None = None,
) -> Float32[np.ndarray, "height width"]:
    """Sharpen a first guess by colour and by the picture's edges, and keep only the person that the face belongs to.

    Args:
        guess: how likely each pixel shows a person, in [0, 1].
        face: what is surely the followed person.
        face_height: pixels.
        plate: what is known of the background, if anything is yet.
    """
    colors = image.astype(np.float32) / 255
    guess = np.where(face, np.float32(1), guess)
    guess = guess * _person_of(face, guess)
    # Colour speaks where the guess is undecided, and at its edge, whose place the model knows to a few pixels only.
    radius = max(1, round(config.edge_width * face_height))
    undecided = np.minimum(cv2.blur(8 * guess * (1 - guess), (2 * radius + 1, 2 * radius + 1)), 1)
    where = undecided > 0.01
    by_color = _decide_by_color(colors, guess, where, max(2, round(config.color_reach * face_height)), plate)
    decided = guess.copy()
    decided[where] += config.color_trust * undecided[where] * (by_color - guess[where])
    matte = GuidedFilter(colors, radius, config.edge_smoothness).smooth(decided)
    matte = np.clip((matte - config.black_point) / (config.white_point - config.black_point), 0, 1)
    matte = np.where(face, np.float32(1), matte)
    return (matte * _person_of(face, matte)).astype(np.float32)


def _person_of(
    face: Bool[np.ndarray, "height width"], matte: Float32[np.ndarray, "height width"]
) -> UInt8[np.ndarray, "height width"]:
    """One where the matte hangs together with the face; other people and specks are left out."""
    body = (matte > 0.5).astype(np.uint8)
    _, components = cv2.connectedComponents(body, connectivity=4)
    own = np.zeros(components.max() + 1, dtype=np.uint8)
    own[np.unique(np.asarray(components)[face & (body > 0)])] = 1
    own[0] = 0
    # The soft edge around the body belongs to it.
    return cv2.dilate(
        own[np.asarray(components, dtype=np.int64)],
        np.ones((3, 3), np.uint8),
        iterations=max(2, min(matte.shape) // 64),
    )


def _decide_by_color(
    colors: Float32[np.ndarray, "height width 3"],
    guess: Float32[np.ndarray, "height width"],
    where: Bool[np.ndarray, "height width"],
    reach: int,
    plate: BackgroundPlate | None,
) -> Float32[np.ndarray, "pixels"]:
    """Which of the sure colours around, the person's or the background's, each chosen pixel is more alike.

    The background's colours are those nearby in this frame and, where the plate knows it, that of this very place.
    """
    person, person_known = _log_likelihood(colors, guess > 0.95, where, reach)
    scene, scene_known = _log_likelihood(colors, guess < 0.05, where, reach)
    if plate is not None:
        spread = plate.spread[where]
        known = np.isfinite(spread)
        variance = np.where(known, spread, 1.0) ** 2 + PLATE_NOISE**2
        difference = colors[where] - plate.image[where].astype(np.float32) / 255
        same_place = -0.5 * (difference**2).sum(axis=-1) / variance - 1.5 * np.log(variance)
        scene = np.where(scene_known & known, np.logaddexp(scene, same_place), np.where(known, same_place, scene))
        scene_known = scene_known | known
    likelihood = 1 / (1 + np.exp(np.clip(scene - person, -20, 20)))
    return np.where(person_known & scene_known, likelihood, guess[where]).astype(np.float32)


def _log_likelihood(
    colors: Float32[np.ndarray, "height width 3"],
    sure: Bool[np.ndarray, "height width"],
    where: Bool[np.ndarray, "height width"],
    reach: int,
) -> tuple[Float32[np.ndarray, "pixels"], Bool[np.ndarray, "pixels"]]:
    """How well each chosen pixel's colour fits that of the sure pixels around it, and where there are any."""
    height, width = sure.shape
    scale = min(1.0, COLOR_STATISTICS_SIZE / max(height, width))
    size = (round(width * scale), round(height * scale))
    window = (2 * max(1, round(reach * scale)) + 1,) * 2
    small = cv2.resize(colors, size, interpolation=cv2.INTER_AREA)
    weight = cv2.resize(sure.astype(np.float32), size, interpolation=cv2.INTER_AREA)[..., None]
    sums = cv2.blur(np.dstack([small * weight, small**2 * weight, weight]).astype(np.float32), window)
    chosen = cv2.resize(sums, (width, height), interpolation=cv2.INTER_LINEAR)[where]
    support = chosen[:, 6]
    moments = chosen[:, :6] / np.maximum(support, 1e-6)[:, None]
    mean = moments[:, :3]
    variance = np.maximum(moments[:, 3:] - mean**2, 0) + COLOR_NOISE**2
    fit = -0.5 * ((colors[where] - mean) ** 2 / variance + np.log(variance)).sum(axis=-1)
    return fit, support > 1e-3


class MotionBlend:
    """Averages per-pixel maps of a frame with those of its neighbours, moved along the optical flow."""

    def __init__(self, similarity: float = 0.06) -> None:
        """
        Args:
            similarity: colour difference, in [0, 1], at which a neighbour's pixel stops being taken for the same.
        """
        self._similarity = similarity
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)

    def blend(
        self,
        image: UInt8[np.ndarray, "height width 3"],
        maps: Float32[np.ndarray, "height width channels"],
        neighbors: list[tuple[UInt8[np.ndarray, "height width 3"], Float32[np.ndarray, "height width channels"]]],
    ) -> Float32[np.ndarray, "height width channels"]:
        """The maps, averaged with those of the neighbours wherever these show the same thing."""
        height, width = image.shape[:2]
        scale = min(1.0, FLOW_SIZE / max(height, width))
        size = (round(width * scale), round(height * scale))
        columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        small = cv2.cvtColor(cv2.resize(image, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
        # Without a guess OpenCV starts from rest.
        no_guess: Any = None
        total, weights = maps.copy(), np.ones((height, width, 1), dtype=np.float32)
        for other_image, other_maps in neighbors:
            other = cv2.cvtColor(cv2.resize(other_image, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
            flow = cv2.resize(self._flow.calc(small, other, no_guess), (width, height)) / np.float32(scale)
            source = (columns + flow[..., 0], rows + flow[..., 1])
            warped_image = cv2.remap(other_image, *source, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            warped = cv2.remap(other_maps, *source, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            difference = cv2.cvtColor(cv2.absdiff(image, warped_image), cv2.COLOR_RGB2GRAY).astype(np.float32)
            difference = cv2.blur(difference, (5, 5)) / 255
            weight = np.exp(-((difference / self._similarity) ** 2))[..., None]
            total += weight * warped.reshape(maps.shape)
            weights += weight
        return total / weights
