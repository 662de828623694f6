"""Matte, region labels and background plate of a clip.

Two passes. The first looks at frames spread over the clip, and learns the plate and what the person's parts look like.
The second goes through all frames in order, each steadied by its neighbours.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8

from tracking.background import BackgroundPlate, background_plate
from tracking.face_regions import FACE_OVAL, HeadFrame, inside
from tracking.label_map import label_pixels
from tracking.labeling import LabelingConfig, LabelSample, PartModel, learn_parts
from tracking.matting import WORKING_SIZE, MatteConfig, PersonSegmenter, fit_within, refine_matte, shared_segmenter
from tracking.motion_blend import MotionBlend, Neighbor, blend
from tracking.part_places import Posterior
from tracking.part_texture import roughness
from tracking.spread_evenly import spread_evenly
from tracking.torso_flow import TorsoPicture


@dataclass
class SegmentationConfig:
    """How the person is cut out and divided into regions."""

    matte: MatteConfig = field(default_factory=MatteConfig)
    labeling: LabelingConfig = field(default_factory=LabelingConfig)
    plate_samples: int = 40
    """Most frames that the background plate is made from."""
    label_samples: int = 24
    """Most frames that the colours and places of hair, skin, neck and clothes are learned from."""
    label_size: int = 160
    """Longer side of the pictures in which these are told apart, in pixels."""
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
    torso: TorsoPicture
    """What `tracking.torso_flow.follow_torso` needs of the frame."""


class Sample(NamedTuple):
    """What is learned from."""

    frame: PortraitFrame
    matte: UInt8[np.ndarray, "height width"]
    """From 0 to 255."""


@dataclass(frozen=True)
class ClipAppearance:
    """What the first pass learned."""

    plate: BackgroundPlate
    parts: PartModel


def learn_from(samples: Sequence[Sample], config: SegmentationConfig) -> ClipAppearance:
    """What is behind the person, and what the person's parts look like: one beside the other, in two threads."""
    face_height = float(np.median([HeadFrame.of(sample.frame.landmarks).face_height for sample in samples]))
    with ThreadPoolExecutor(1) as beside:
        plate = beside.submit(
            background_plate,
            [sample.frame.image for sample in samples],
            [sample.matte for sample in samples],
            margin=max(2, round(config.plate_margin * face_height)),
        )
        chosen = [samples[i] for i in spread_evenly(len(samples), config.label_samples)]
        parts = learn_parts(
            [
                shrink_sample(sample.frame, sample.matte.astype(np.float32) / 255, config.label_size)
                for sample in chosen
            ],
            config.labeling,
        )
        return ClipAppearance(plate.result(), parts)


class PortraitSegmenter:
    """Cuts the followed person out of a clip's frames."""

    def __init__(self, config: SegmentationConfig | None = None, person: PersonSegmenter | None = None) -> None:
        self.config = config or SegmentationConfig()
        self._person = person or shared_segmenter()

    def learn(self, frames: Iterable[PortraitFrame]) -> ClipAppearance:
        """Learn from frames spread over the clip, at most `plate_samples` of which should be given."""
        return learn_from([self.sample(frame) for frame in frames], self.config)

    def sample(self, frame: PortraitFrame) -> "Sample":
        """A frame to learn from, cut out by itself."""
        return Sample(frame, np.rint(255 * self._matte(frame)).astype(np.uint8))

    def segment(
        self,
        frames: Iterable[PortraitFrame],
        appearance: ClipAppearance,
        before: PortraitFrame | None = None,
        after: PortraitFrame | None = None,
    ) -> Iterator[Segmentation]:
        """Segment consecutive frames, holding three of them at a time.

        A clip may be segmented in parts, and in several processes: with its neighbours given, a part comes out as it
        does with the whole clip.

        Args:
            before: the frame before the first; it steadies that one, and is not segmented itself.
            after: the frame after the last, likewise.
        """
        motion = MotionBlend()
        window: list[_Seen] = []
        unwanted = {frame.index for frame in (before, after) if frame is not None}
        for frame in chain([before] if before else [], frames, [after] if after else []):
            seen = self._see(frame, appearance, motion)
            if window:
                forward, backward = motion.both_ways(window[-1].small, seen.small)
                window[-1].neighbors.append((forward, seen))
                seen.neighbors.append((backward, window[-1]))
            window.append(seen)
            if len(window) > 1 and window[-2].frame.index not in unwanted:
                yield _steadied(window[-2])
            # What was steadied needs its own neighbours no more.
            for done in window[:-1]:
                done.neighbors.clear()
            window = window[-1:]
        if window and window[-1].frame.index not in unwanted:
            yield _steadied(window[-1])

    def _matte(self, frame: PortraitFrame, plate: BackgroundPlate | None = None) -> Float32[np.ndarray, "height width"]:
        height, width = frame.image.shape[:2]
        face = inside(frame.landmarks, FACE_OVAL, width, height)
        # The models see 256 pixels at most, and larger pictures would only make them slower.
        size, _ = fit_within(width, height, WORKING_SIZE)
        guess = self._person.segment(np.asarray(cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA)))
        face_height = HeadFrame.of(frame.landmarks).face_height
        return refine_matte(frame.image, guess, face, face_height, self.config.matte, plate)

    def _see(self, frame: PortraitFrame, appearance: ClipAppearance, motion: MotionBlend) -> "_Seen":
        matte = self._matte(frame, appearance.plate)
        posterior = appearance.parts.posterior(shrink_sample(frame, matte, self.config.label_size))
        return _Seen(frame, matte, posterior, motion.shrink(frame.image), [])


class _Seen(NamedTuple):
    """A frame with what is known of it alone, and how it moves to the frames next to it."""

    frame: PortraitFrame
    matte: Float32[np.ndarray, "height width"]
    posterior: Posterior
    small: UInt8[np.ndarray, "h w"]
    neighbors: "list[tuple[Neighbor, _Seen]]"


def _steadied(seen: _Seen) -> Segmentation:
    frame = seen.frame
    matte = blend(seen.matte, [(neighbor, other.matte) for neighbor, other in seen.neighbors])
    posterior = blend(seen.posterior, [(neighbor, other.posterior) for neighbor, other in seen.neighbors])
    # Eight bits is what the clip stores, and what "exactly 0" must survive.
    matte = np.rint(255 * np.clip(matte, 0, 1)).astype(np.float32) / 255
    labels = label_pixels(posterior, matte, frame.landmarks)
    return Segmentation(frame.index, matte, labels, TorsoPicture.of(frame.image, labels))


def shrink_sample(frame: PortraitFrame, matte: Float32[np.ndarray, "height width"], size: int) -> LabelSample:
    """A frame at the size at which its parts are told apart, of which `size` is the longer side."""
    height, width = frame.image.shape[:2]
    small, _ = fit_within(width, height, size)
    return LabelSample(
        image=cv2.resize(frame.image, small, interpolation=cv2.INTER_AREA),
        matte=cv2.resize(matte, small, interpolation=cv2.INTER_AREA),
        landmarks=frame.landmarks * np.array([small[0] / width, small[1] / height, small[0] / width]),
        roughness=roughness(frame.image, frame.landmarks, small),
    )
