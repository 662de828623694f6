"""Matte, region labels and background plate of a clip.

Two passes. The first looks at frames spread over the clip, and learns the plate and what the person's parts look like.
The second goes through all frames in order, each steadied by its neighbours.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8

from tracking.background import BackgroundPlate, background_plate
from tracking.face_regions import FACE_OVAL, HeadFrame, inside
from tracking.labeling import LabelingConfig, LabelSample, PartModel, label_pixels, learn_parts
from tracking.matting import MatteConfig, MediaPipeSegmenter, MotionBlend, PersonSegmenter, refine_matte


@dataclass
class SegmentationConfig:
    """How the person is cut out and divided into regions."""

    matte: MatteConfig = field(default_factory=MatteConfig)
    labeling: LabelingConfig = field(default_factory=LabelingConfig)
    plate_samples: int = 100
    """Most frames that the background plate is made from."""
    label_samples: int = 24
    """Most frames that the colours and places of hair, skin, neck and clothes are learned from."""
    label_sample_size: int = 256
    """Longer side of those frames, in pixels."""
    plate_margin: float = 0.06
    """How far from the person a pixel must be to count as background, in face heights."""


class PortraitFrame(NamedTuple):
    """A frame to segment."""

    index: int
    """Its number in the source video."""
    image: UInt8[np.ndarray, "height width 3"]
    landmarks: Float[np.ndarray, "478 3"]
    """Pixels of the image."""


class Segmentation(NamedTuple):
    """One frame's matte and labels."""

    index: int
    matte: Float32[np.ndarray, "height width"]
    labels: UInt8[np.ndarray, "height width"]
    """`tracking.regions.Label`: background exactly where the matte is 0."""


@dataclass(frozen=True)
class ClipAppearance:
    """What the first pass learned."""

    plate: BackgroundPlate
    parts: PartModel


class PortraitSegmenter:
    """Cuts the followed person out of a clip's frames."""

    def __init__(self, config: SegmentationConfig | None = None, person: PersonSegmenter | None = None) -> None:
        self.config = config or SegmentationConfig()
        self._person = person or MediaPipeSegmenter()

    def learn(self, samples: Iterable[PortraitFrame]) -> ClipAppearance:
        """Learn from frames spread over the clip, at most `plate_samples` of which should be given."""
        frames, mattes = [], []
        for frame in samples:
            frames.append(frame)
            mattes.append(np.rint(255 * self._matte(frame)).astype(np.uint8))
        face_height = float(np.median([HeadFrame.of(frame.landmarks).face_height for frame in frames]))
        plate = background_plate(
            [frame.image for frame in frames], mattes, margin=max(2, round(self.config.plate_margin * face_height))
        )
        chosen = spread_evenly(len(frames), self.config.label_samples)
        parts = learn_parts(
            [_shrink(frames[i], mattes[i], self.config.label_sample_size) for i in chosen], self.config.labeling
        )
        return ClipAppearance(plate, parts)

    def segment(self, frames: Iterable[PortraitFrame], appearance: ClipAppearance) -> Iterator[Segmentation]:
        """Segment consecutive frames, holding three of them at a time."""
        motion = MotionBlend()
        window: list[tuple[PortraitFrame, Float32[np.ndarray, "height width channels"]]] = []
        for frame in frames:
            posterior = appearance.parts.posterior(frame.image, frame.landmarks)
            window.append((frame, np.dstack([self._matte(frame, appearance.plate), posterior])))
            if len(window) > 1:
                yield self._steadied(window, len(window) - 2, motion)
            window = window[-2:]
        if window:
            yield self._steadied(window, len(window) - 1, motion)

    def _matte(self, frame: PortraitFrame, plate: BackgroundPlate | None = None) -> Float32[np.ndarray, "height width"]:
        height, width = frame.image.shape[:2]
        face = inside(frame.landmarks, FACE_OVAL, width, height)
        guess = self._person.segment(frame.image)
        face_height = HeadFrame.of(frame.landmarks).face_height
        return refine_matte(frame.image, guess, face, face_height, self.config.matte, plate)

    def _steadied(
        self,
        window: Sequence[tuple[PortraitFrame, Float32[np.ndarray, "height width channels"]]],
        position: int,
        motion: MotionBlend,
    ) -> Segmentation:
        frame, maps = window[position]
        neighbors = [(other.image, others) for i, (other, others) in enumerate(window) if i != position]
        blended = motion.blend(frame.image, maps, neighbors)
        # Eight bits is what the clip stores, and what "exactly 0" must survive.
        matte = np.rint(255 * np.clip(blended[..., 0], 0, 1)).astype(np.float32) / 255
        return Segmentation(frame.index, matte, label_pixels(blended[..., 1:], matte, frame.landmarks))


def spread_evenly(count: int, most: int) -> list[int]:
    """At most so many of `count` positions, spread evenly and including both ends."""
    return sorted({int(i) for i in np.linspace(0, count - 1, min(count, most)).round()})


def _shrink(frame: PortraitFrame, matte: UInt8[np.ndarray, "height width"], size: int) -> LabelSample:
    height, width = frame.image.shape[:2]
    scale = min(1.0, size / max(height, width))
    small = (round(width * scale), round(height * scale))
    return LabelSample(
        image=cv2.resize(frame.image, small, interpolation=cv2.INTER_AREA),
        matte=cv2.resize(matte, small, interpolation=cv2.INTER_AREA).astype(np.float32) / 255,
        landmarks=frame.landmarks * np.array([small[0] / width, small[1] / height, small[0] / width]),
    )
