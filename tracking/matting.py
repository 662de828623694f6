"""How much of each pixel is the person: a soft matte that follows the picture's edges and does not flicker."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Int64, UInt8

from tracking.background import MOVING_SPREAD, BackgroundPlate
from tracking.guided_filter import GuidedFilter
from tracking.mediapipe_models import load_solutions, start_quietly

WORKING_SIZE = 256
"""Longer side, in pixels, of the pictures in which person and background are told apart; edges are full size."""
SUREST = 0.001
"""How close to 0 and 1 a model's word is believed."""
WEIGHTS = (0.25, 0.25, 0.5)
"""Of the model for square pictures, the same of the mirrored picture, and the model for wide ones."""
WIDE_REACH = 8
"""Windows that reach so many pixels are wide."""
COLOR_NOISE = 0.03
PLATE_NOISE = 0.02
"""Least standard deviation of colours in [0, 1]."""


class PersonSegmenter(Protocol):
    """Makes a first, soft guess at where people are."""

    def segment(self, image: UInt8[np.ndarray, "height width 3"]) -> Float32[np.ndarray, "height width"]:
        """How likely each pixel of an RGB image shows a person, in [0, 1]."""
        ...


class MediaPipeSegmenter:
    """What MediaPipe's two bundled segmentation models agree on, which rarely make the same mistake.

    The one that sees more pixels is asked about the mirrored picture, too.
    """

    def __init__(self) -> None:
        solution = load_solutions().selfie_segmentation.SelfieSegmentation
        self._models: list[Any] = [
            start_quietly(lambda selection=selection: solution(model_selection=selection)) for selection in (0, 1)
        ]

    def masks(self, image: UInt8[np.ndarray, "height width 3"]) -> list[Float32[np.ndarray, "height width"]]:
        """What each of the models says of an RGB image."""
        return [np.asarray(model.process(image).segmentation_mask) for model in self._models]

    def segment(self, image: UInt8[np.ndarray, "height width 3"]) -> Float32[np.ndarray, "height width"]:
        square, landscape = self.masks(image)
        mirrored = self._models[0].process(np.ascontiguousarray(image[:, ::-1])).segmentation_mask
        return agreed([square, np.asarray(mirrored)[:, ::-1], landscape], WEIGHTS)


def agreed(
    masks: Sequence[Float32[np.ndarray, "height width"]], weights: Sequence[float]
) -> Float32[np.ndarray, "height width"]:
    """The weighted mean of the log odds: a mask that is in doubt leaves it to the others."""
    odds = np.zeros(masks[0].shape, np.float32)
    for mask, weight in zip(masks, weights, strict=True):
        likely = np.clip(mask, SUREST, 1 - SUREST)
        odds += weight * np.log(likely / (1 - likely))
    return 1 / (1 + np.exp(-odds))


@cache
def shared_segmenter() -> MediaPipeSegmenter:
    """One for the whole process, for no call remembers another: MediaPipe does not give back all that a model took."""
    return MediaPipeSegmenter()


@dataclass
class MatteConfig:
    """How the first guess becomes a matte. Lengths are in multiples of the face's height."""

    color_reach: float = 0.12
    """How far the colours of person and background are looked for around an undecided pixel."""
    edge_width: float = 0.03
    """Radius of the guided filter: how wide a soft edge may be."""
    edge_smoothness: float = 1e-4
    """Variance, for colours in [0, 1], below which the guided filter takes the picture for flat."""
    color_trust: float = 0.5
    """How much colour, rather than the first guess, decides about undecided pixels."""
    plate_trust: float = 0.9
    """The same where the scene was seen without the person and does not move."""
    black_point: float = 0.1
    """What is below becomes 0."""
    white_point: float = 0.88
    """What is above becomes 1."""


def refine_matte(
    image: UInt8[np.ndarray, "height width 3"],
    guess: Float32[np.ndarray, "rows columns"],
    face: Bool[np.ndarray, "height width"],
    face_height: float,
    config: MatteConfig,
    plate: BackgroundPlate | None = None,
) -> Float32[np.ndarray, "height width"]:
    """Sharpen a first guess by colour and by the picture's edges, and keep only the person that the face belongs to.

    Args:
        guess: how likely each pixel shows a person, in [0, 1], in a picture of any size.
        face: what is surely the followed person.
        face_height: pixels.
        plate: what is known of the background, if anything is yet.
    """
    height, width = face.shape
    size, scale = fit_within(width, height, WORKING_SIZE)
    colors = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    guess = cv2.resize(guess, size, interpolation=cv2.INTER_AREA)
    # A pixel of the smaller picture is the face's if all of it is.
    sure = cv2.resize(face.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.99
    guess = np.where(sure, np.float32(1), guess)
    guess = guess * _person_of(sure, guess)
    # Colour speaks where the guess is undecided, and at its edge, whose place the model knows to a few pixels only.
    radius = max(1, round(config.edge_width * face_height * scale))
    undecided = np.minimum(cv2.blur(8 * guess * (1 - guess), (2 * radius + 1, 2 * radius + 1)), 1)
    where = undecided > 0.01
    reach = max(2, round(config.color_reach * face_height * scale))
    by_color, plate_stands = _decide_by_color(colors, guess, where, reach, plate)
    trust = np.where(plate_stands, config.plate_trust, config.color_trust).astype(np.float32)
    decided = guess.copy()
    decided[where] += trust * undecided[where] * (by_color - guess[where])
    edges = GuidedFilter(colors, radius, config.edge_smoothness)
    matte = edges.smooth_at(decided, image)
    matte = np.clip((matte - config.black_point) / (config.white_point - config.black_point), 0, 1)
    matte[face] = 1
    small = cv2.resize(matte, size, interpolation=cv2.INTER_AREA)
    matte *= cv2.resize(_person_of(sure, small), (width, height), interpolation=cv2.INTER_NEAREST)
    return matte


def fit_within(width: int, height: int, size: int) -> tuple[tuple[int, int], float]:
    """Width and height of a picture whose longer side is made at most `size`, and by how much it shrinks."""
    scale = min(1.0, size / max(width, height))
    return (max(1, round(width * scale)), max(1, round(height * scale))), scale


def _person_of(
    face: Bool[np.ndarray, "height width"], matte: Float32[np.ndarray, "height width"]
) -> UInt8[np.ndarray, "height width"]:
    """One where the matte hangs together with the face; other people and specks are left out."""
    body = (matte > 0.5).astype(np.uint8)
    count, components = cv2.connectedComponents(body, connectivity=4)
    own = np.zeros(count, dtype=np.uint8)
    own[np.unique(np.asarray(components)[face & (body > 0)])] = 1
    own[0] = 0
    # The soft edge around the body belongs to it.
    reach = max(2, min(matte.shape) // 64)
    brush = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    return cv2.dilate(own[np.asarray(components, dtype=np.int64)], brush)


def _decide_by_color(
    colors: Float32[np.ndarray, "height width 3"],
    guess: Float32[np.ndarray, "height width"],
    where: Bool[np.ndarray, "height width"],
    reach: int,
    plate: BackgroundPlate | None,
) -> tuple[Float32[np.ndarray, "pixels"], Bool[np.ndarray, "pixels"]]:
    """Which of the sure colours around, the person's or the background's, each chosen pixel is more alike.

    The background's colours are those nearby in this frame and, where the plate knows it, that of this very place.

    Returns:
        How likely each pixel shows the person, and whether the plate is sure of what is behind it.
    """
    # In a wide window the colours around a pixel are much the same as around its neighbour: half the size will do.
    height, width = where.shape
    shrunk = 2 if reach >= WIDE_REACH else 1
    size = (max(1, width // shrunk), max(1, height // shrunk))
    planes = cv2.split(cv2.resize(colors, size, interpolation=cv2.INTER_AREA))
    rows, columns = np.nonzero(where)
    places = rows * size[1] // height * size[0] + columns * size[0] // width
    chosen = colors[rows, columns]
    window = 2 * max(1, reach // shrunk) + 1
    person, person_known = _log_likelihood(planes, guess > 0.95, chosen, places, window)
    scene, scene_known = _log_likelihood(planes, guess < 0.05, chosen, places, window)
    plate_stands = np.zeros(len(chosen), bool)
    if plate is not None:
        spread = cv2.resize(plate.spread, (width, height), interpolation=cv2.INTER_NEAREST)[where]
        known = np.isfinite(spread)
        plate_stands = spread < MOVING_SPREAD
        variance = np.where(known, spread, 1.0) ** 2 + PLATE_NOISE**2
        scenery = cv2.resize(plate.image, (width, height), interpolation=cv2.INTER_AREA)[where].astype(np.float32) / 255
        difference = chosen - scenery
        same_place = -0.5 * np.einsum("pc,pc->p", difference, difference) / variance - 1.5 * np.log(variance)
        scene = np.where(scene_known & known, np.logaddexp(scene, same_place), np.where(known, same_place, scene))
        scene_known = scene_known | known
    likelihood = 1 / (1 + np.exp(np.clip(scene - person, -20, 20)))
    decided = np.where(person_known & scene_known, likelihood, guess[rows, columns]).astype(np.float32)
    return decided, plate_stands


def _log_likelihood(
    planes: Sequence[Float32[np.ndarray, "rows columns"]],
    sure: Bool[np.ndarray, "height width"],
    chosen: Float32[np.ndarray, "pixels 3"],
    places: Int64[np.ndarray, "pixels"],
    window: int,
) -> tuple[Float32[np.ndarray, "pixels"], Bool[np.ndarray, "pixels"]]:
    """How well each chosen pixel's colour fits that of the sure pixels around it, and where there are any.

    Args:
        planes: the colours' channels, of a picture of any size.
        sure: at full size.
        places: the chosen pixels' positions in the flattened planes.
        window: width and height of what is around a pixel, in pixels of the planes.
    """
    box = (window, window)
    size = (planes[0].shape[1], planes[0].shape[0])
    weight = (cv2.resize(sure.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.99).astype(np.float32)
    support = cv2.blur(weight, box)
    share = 1 / np.maximum(support, 1e-6)
    fit = np.zeros(len(places), np.float32)
    volume = np.ones(len(places), np.float32)
    for channel, plane in enumerate(planes):
        weighted = cv2.multiply(plane, weight)
        mean = cv2.blur(weighted, box) * share
        variance = np.maximum(cv2.blur(cv2.multiply(weighted, plane), box) * share - mean * mean, 0)
        spread = variance.ravel()[places] + np.float32(COLOR_NOISE**2)
        difference = chosen[:, channel] - mean.ravel()[places]
        fit -= 0.5 * difference * difference / spread
        volume *= spread
    return fit - 0.5 * np.log(volume), support.ravel()[places] > 1e-3
