"""The portraits that the small editor learns from: pictures with mattes and region labels, cropped to the head.

Pictures that people labelled, pictures that the product's segmenter labels, and frames of tracked clips.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8
from PIL import Image
from segmented_frames import read_picture

from tracking.choose_detector import make_detector
from tracking.clip import TrackedClip
from tracking.regions import Label
from tracking.segmentation import PortraitFrame, PortraitSegmenter

SIDE = 256
"""Of a training picture, in pixels."""
DRAWN = {
    Label.FACE_SKIN: (1, 2, 3),
    Label.EYES: (4, 5),
    Label.BROWS: (6, 7),
    Label.EARS: (8, 9, 15),
    Label.MOUTH_INTERIOR: (10,),
    Label.LIPS: (11, 12),
    Label.HAIR: (13, 14),
    Label.NECK: (16, 17),
    Label.CLOTHES: (18,),
}
"""CelebAMask-HQ's classes by our labels; glasses count as skin, hats as hair, jewellery as what wears it."""


@dataclass(frozen=True)
class Labelled:
    """A picture with what the offline editor needs to know of it."""

    image: UInt8[np.ndarray, "height width 3"]
    matte: Float32[np.ndarray, "height width"]
    labels: UInt8[np.ndarray, "height width"]

    def crop(self, center: Float[np.ndarray, "2"], side: float) -> "Labelled":
        """A square, enlarged or shrunk to `SIDE`. It is moved, and made smaller, until it lies inside of the picture.

        Args:
            center: x and y in pixels.
            side: in pixels.
        """
        height, width = self.labels.shape
        size = round(min(side, height, width))
        left, top = (
            int(np.clip(round(at - size / 2), 0, most - size))
            for at, most in zip(center.tolist(), (width, height), strict=True)
        )
        cut = slice(top, top + size), slice(left, left + size)
        smooth = cv2.INTER_AREA if size > SIDE else cv2.INTER_CUBIC
        return Labelled(
            cv2.resize(self.image[cut], (SIDE, SIDE), interpolation=smooth),
            np.clip(cv2.resize(self.matte[cut], (SIDE, SIDE), interpolation=cv2.INTER_LINEAR), 0, 1),
            cv2.resize(self.labels[cut], (SIDE, SIDE), interpolation=cv2.INTER_NEAREST),
        )

    def flipped(self) -> "Labelled":
        """The mirror image."""
        return Labelled(*(np.ascontiguousarray(part[:, ::-1]) for part in (self.image, self.matte, self.labels)))


def drawn_portraits(folder: Path, generator: np.random.Generator) -> Iterator[Labelled]:
    """CelebAMask-HQ's pictures, with the labels that people drew, each cropped by a little or nothing."""
    for path in sorted((folder / "images").iterdir()):
        image = np.array(Image.open(path).convert("RGB"))
        classes = np.array(Image.open(folder / "masks" / f"{path.stem}.png"))
        labels = np.zeros(classes.shape, np.uint8)
        for label, drawn in DRAWN.items():
            labels[np.isin(classes, drawn)] = label
        matte = cv2.GaussianBlur((labels > 0).astype(np.float32), (0, 0), 1.5)
        whole = Labelled(image, matte, labels)
        side = image.shape[0] * generator.uniform(0.7, 1.0)
        yield whole.crop(image.shape[0] * generator.uniform(0.45, 0.55, 2), side)


def faces(folder: Path, count: int) -> Iterator[Labelled]:
    """Aligned faces, labelled by the product's segmenter; those in which no face is found are left out."""
    paths = sorted(folder.iterdir())
    detector, segmenter = make_detector(), PortraitSegmenter()
    for path in paths[:: max(1, len(paths) // max(1, count))][:count]:
        image, landmarks = read_picture(path, detector)
        if landmarks is None:
            continue
        frame = PortraitFrame(0, image, landmarks)
        found = next(iter(segmenter.segment([frame], segmenter.learn([frame]))))
        whole = Labelled(image, found.matte, found.labels)
        yield whole.crop(np.array(image.shape[1::-1]) / 2, image.shape[0])


def clip_heads(root: Path, count: int, generator: np.random.Generator) -> Iterator[Labelled]:
    """Heads cut out of frames spread over a tracked clip, with more or less of what is around them."""
    clip = TrackedClip.load(root)
    for frame in clip.frames[np.linspace(0, len(clip.frames) - 1, count).round().astype(int)]:
        landmarks = clip.track.landmarks[frame]
        low, high = landmarks.min(0), landmarks.max(0)
        height = float(high[1] - low[1])
        center = (low + high) / 2 + height * generator.uniform(-0.15, 0.15, 2)
        whole = Labelled(clip.image(frame), clip.matte(frame), clip.labels(frame))
        yield whole.crop(center, height * generator.uniform(1.5, 2.6))
