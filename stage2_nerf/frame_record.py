"""One training frame as a row of bytes: what was filmed, the matte, the labels, and what lies behind the person.

The background is not stored as a picture: it equals the image where the matte is 0, and is blended from the clip's
plate and a small, smooth picture elsewhere (`tracking.background`). At 512 x 512 a frame takes 1.38 MB, at 256 x 256
0.39 MB: 5.25 and 6 bytes a pixel, where float images with their originals and backgrounds would take 20.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from tracking.background import background_blend, continued_background
from tracking.clip import TrackedClip

Part = Literal["image", "matte", "labels", "blend"]


@dataclass(frozen=True)
class FrameLayout:
    """Where the parts of a frame lie in its record."""

    height: int
    width: int

    @property
    def blend_size(self) -> tuple[int, int]:
        """Height and width of the background's blend: it is blurred by a hundredth of a picture's size, so that of a
        large picture a quarter of the size holds all of it."""
        divisor = 4 if max(self.height, self.width) >= 512 else 2
        return max(1, self.height // divisor), max(1, self.width // divisor)

    @cached_property
    def shapes(self) -> dict[Part, tuple[int, int, int]]:
        """Height, width and channels of each part."""
        return {
            "image": (self.height, self.width, 3),
            "matte": (self.height, self.width, 1),
            "labels": (self.height, self.width, 1),
            "blend": (*self.blend_size, 4),
        }

    @cached_property
    def starts(self) -> dict[Part, int]:
        """The first byte of each part."""
        ends = np.cumsum([int(np.prod(shape)) for shape in self.shapes.values()])
        return dict(zip(self.shapes, [0, *ends[:-1].tolist()], strict=True))

    @cached_property
    def size(self) -> int:
        """Bytes of a record."""
        return sum(int(np.prod(shape)) for shape in self.shapes.values())

    @property
    def image_size(self) -> int:
        """Bytes of an image."""
        return self.height * self.width * 3

    def part(self, record: UInt8[np.ndarray, "bytes"], name: Part) -> UInt8[np.ndarray, "height width channels"]:
        """One part of a record, sharing its memory."""
        shape, start = self.shapes[name], self.starts[name]
        return record[start : start + int(np.prod(shape))].reshape(shape)


def write_record(
    clip: TrackedClip,
    frame: int,
    plate: Float32[np.ndarray, "height width 3"] | None,
    layout: FrameLayout,
    record: UInt8[np.ndarray, "bytes"],
) -> None:
    """Decode a frame of a clip into a record."""
    image, matte = clip.image(frame), clip.matte(frame)
    layout.part(record, "image")[:] = image
    layout.part(record, "matte")[..., 0] = np.rint(matte * 255)
    layout.part(record, "labels")[..., 0] = clip.labels(frame)
    unit_image = image.astype(np.float32) / 255
    height, width = layout.blend_size
    blend = cv2.resize(background_blend(unit_image, matte), (width, height), interpolation=cv2.INTER_AREA)
    if plate is None:
        # What the frame knows of its own background takes the plate's place, and is added here once and for all.
        known = cv2.resize(continued_background(unit_image, matte), (width, height), interpolation=cv2.INTER_LINEAR)
        blend[..., :3] += blend[..., 3:] * known
        blend[..., 3] = 0
    layout.part(record, "blend")[:] = np.rint(blend.clip(0, 1) * 255)
