"""Frames of real clips for the measuring scripts: at the size that tracking works at, with their landmarks."""

from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from tracking.choose_detector import make_detector
from tracking.face_linking import link_longest_face
from tracking.segmentation import PortraitFrame
from tracking.video import VideoReader

LONGER_SIDE = 512
"""Larger frames are shrunk to this, as `portrait-track` does."""


class Frames(NamedTuple):
    """Consecutive frames of a clip, in each of which the face was found."""

    name: str
    frames: list[PortraitFrame]
    frame_rate: float


def read_frames(video: Path, count: int) -> Frames:
    """The first so many frames of a clip."""
    reader = VideoReader(video)
    detector = make_detector()
    images: list[UInt8[np.ndarray, "height width 3"]] = []
    detections = []
    for frame in reader:
        if len(images) == count:
            break
        scale = min(1.0, LONGER_SIDE / max(frame.image.shape))
        size = round(frame.image.shape[1] * scale), round(frame.image.shape[0] * scale)
        images.append(cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA))
        detections.append(detector.detect(images[-1]))
    landmarks = link_longest_face(detections).landmarks
    found = np.isfinite(landmarks[:, 0, 0])
    frames = [PortraitFrame(i, images[i], landmarks[i]) for i in np.flatnonzero(found)]
    return Frames(video.stem, frames, float(Fraction(reader.properties.frame_rate)))


def read_picture(path: Path) -> tuple[UInt8[np.ndarray, "height width 3"], Float[np.ndarray, "478 3"] | None]:
    """A picture as a clip of one frame, and the landmarks of its largest face, if there is any."""
    image = cv2.cvtColor(cv2.imread(str(path), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    faces = make_detector().detect(image)
    if not faces:
        return image, None
    return image, max((face.landmarks for face in faces), key=lambda points: float(np.ptp(points[:, 0])))
