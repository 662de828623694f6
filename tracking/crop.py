"""Which part of the source a clip shows: head and shoulders, wherever they go, in one fixed rectangle."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from tracking.errors import UserError
from tracking.face_regions import CHIN, FOREHEAD_TOP

LEAST_SIDE = 16
"""Smaller rectangles, in pixels, show no face."""


@dataclass
class CropConfig:
    """How much around the face is kept. Lengths are face heights, from the middle of the face."""

    above: float = 1.2
    """Room for hair."""
    below: float = 1.9
    """Room for neck and shoulders."""
    beside: float = 1.6
    """Room on either side."""
    greatest_aspect: float = 1.25
    """The longer side over the shorter, where the source has room."""
    whole_frame_share: float = 0.7
    """A crop with more than this share of the source's pixels becomes the whole frame."""


@dataclass(frozen=True)
class Crop:
    """A fixed rectangle of the source, and the size of the images made from it."""

    left: int
    top: int
    width: int
    height: int
    image_width: int
    image_height: int

    @property
    def rectangle(self) -> tuple[int, int, int, int]:
        return self.left, self.top, self.width, self.height

    def cut(self, frame: UInt8[np.ndarray, "height width 3"]) -> UInt8[np.ndarray, "image_height image_width 3"]:
        """The image of the clip that a frame of the source gives."""
        part = frame[self.top : self.top + self.height, self.left : self.left + self.width]
        if (self.width, self.height) == (self.image_width, self.image_height):
            return np.ascontiguousarray(part)
        return cv2.resize(part, (self.image_width, self.image_height), interpolation=cv2.INTER_AREA)

    def to_image(self, landmarks: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 3"]:
        """Source pixels to pixels of the clip's images; depth as across."""
        scale_x, scale_y = self.image_width / self.width, self.image_height / self.height
        return (landmarks - np.array([self.left, self.top, 0.0])) * np.array([scale_x, scale_y, scale_x])


def stated_crop(crop: str, width: int, height: int, size: int) -> Crop | None:
    """The crop that is asked for in words: "full", or left, top, width and height in pixels; none for "auto".

    Args:
        width, height: of the source, in pixels.
        size: greatest side of the images, in pixels.

    Raises:
        UserError: it is none of these, or does not lie inside the source.
    """
    if crop == "auto":
        return None
    if crop == "full":
        return _crop(0, 0, width, height, size)
    try:
        left, top, crop_width, crop_height = (int(number) for number in crop.split(","))
    except ValueError as error:
        raise UserError(
            f"--crop {crop} is not understood: give auto, full, or four whole numbers of pixels, LEFT,TOP,WIDTH,HEIGHT."
        ) from error
    if min(left, top) < 0 or left + crop_width > width or top + crop_height > height:
        raise UserError(
            f"--crop {crop} reaches beyond the picture, which is {width} x {height} pixels: give a rectangle inside it."
        )
    if min(crop_width, crop_height) < LEAST_SIDE:
        raise UserError(f"--crop {crop} is too small: give {LEAST_SIDE} pixels or more for width and height.")
    return _crop(left, top, crop_width, crop_height, size)


def choose_crop(
    landmarks: Float[np.ndarray, "frames 478 3"], width: int, height: int, size: int, config: CropConfig
) -> Crop:
    """The rectangle that holds head and shoulders in all given frames but the most extreme.

    Args:
        landmarks: of the tracked frames, in pixels of the source.
        width, height: of the source, in pixels.
        size: greatest side of the images, in pixels; they are never enlarged.
    """
    middle = (landmarks[:, FOREHEAD_TOP, :2] + landmarks[:, CHIN, :2]) / 2
    face_height = np.linalg.norm(landmarks[:, FOREHEAD_TOP] - landmarks[:, CHIN], axis=-1)[:, None]
    lowest = np.percentile(middle - face_height * [config.beside, config.above], 2, axis=0)
    highest = np.percentile(middle + face_height * [config.beside, config.below], 98, axis=0)
    source = np.array([width, height])
    # The shorter side grows until the rectangle is nearly square, then what sticks out of the frame is cut off.
    wanted = np.maximum(highest - lowest, (highest - lowest).max() / config.greatest_aspect)
    center = (highest + lowest) / 2
    lowest = np.clip(np.minimum(lowest, center - wanted / 2), 0, source)
    highest = np.clip(np.maximum(highest, center + wanted / 2), 0, source)
    if np.prod(highest - lowest) > config.whole_frame_share * width * height:
        lowest, highest = np.zeros(2), source
    left, top = (int(value) // 2 * 2 for value in lowest)
    right, bottom = (min(int(np.ceil(value)), int(limit)) for value, limit in zip(highest, source, strict=True))
    return _crop(left, top, right - left, bottom - top, size)


def _crop(left: int, top: int, width: int, height: int, size: int) -> Crop:
    """A rectangle of even sides, and images of even sides no longer than `size`."""
    width, height = width // 2 * 2, height // 2 * 2
    scale = min(1.0, size / max(width, height))
    image_width, image_height = (max(2, round(side * scale / 2) * 2) for side in (width, height))
    return Crop(left, top, width, height, image_width, image_height)
