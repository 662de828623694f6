"""Which part of the source a clip shows: head and shoulders, wherever they go, in one fixed rectangle."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from tracking.face_regions import CHIN, FOREHEAD_TOP


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


def choose_crop(
    landmarks: Float[np.ndarray, "frames 478 3"], width: int, height: int, max_size: int, config: CropConfig
) -> Crop:
    """The rectangle that holds head and shoulders in all given frames but the most extreme.

    Args:
        landmarks: of the tracked frames, in pixels of the source.
        width, height: of the source, in pixels.
        max_size: greatest side of the images, in pixels; they are never enlarged.
    """
    middle = (landmarks[:, FOREHEAD_TOP, :2] + landmarks[:, CHIN, :2]) / 2
    face_height = np.linalg.norm(landmarks[:, FOREHEAD_TOP] - landmarks[:, CHIN], axis=-1)[:, None]
    lowest = np.percentile(middle - face_height * [config.beside, config.above], 2, axis=0)
    highest = np.percentile(middle + face_height * [config.beside, config.below], 98, axis=0)
    size = np.array([width, height])
    # The shorter side grows until the rectangle is nearly square, then what sticks out of the frame is cut off.
    wanted = np.maximum(highest - lowest, (highest - lowest).max() / config.greatest_aspect)
    center = (highest + lowest) / 2
    lowest = np.clip(np.minimum(lowest, center - wanted / 2), 0, size)
    highest = np.clip(np.maximum(highest, center + wanted / 2), 0, size)
    if np.prod(highest - lowest) > config.whole_frame_share * width * height:
        lowest, highest = np.zeros(2), size
    left, top = (int(value) // 2 * 2 for value in lowest)
    right, bottom = (min(int(np.ceil(value)), int(limit)) for value, limit in zip(highest, size, strict=True))
    crop_width, crop_height = (right - left) // 2 * 2, (bottom - top) // 2 * 2
    scale = min(1.0, max_size / max(crop_width, crop_height))
    image_width, image_height = (max(2, round(side * scale / 2) * 2) for side in (crop_width, crop_height))
    return Crop(left, top, crop_width, crop_height, image_width, image_height)
