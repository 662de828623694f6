"""Which detector finds the landmarks."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

import tyro

from tracking.landmarks import LandmarkDetector
from tracking.mediapipe_detector import MediaPipeDetector, MediaPipeDetectorConfig


@dataclass
class DetectorConfig:
    """What finds the landmarks. It can be pickled, so that every process builds a detector of its own."""

    kind: Annotated[Literal["mediapipe"], tyro.conf.arg(name="detector", prefix_name=False)] = "mediapipe"
    """mediapipe: the models inside MediaPipe's package."""
    mediapipe: MediaPipeDetectorConfig = field(default_factory=MediaPipeDetectorConfig)


def make_detector(config: DetectorConfig | None = None) -> LandmarkDetector:
    """Build the detector that is asked for."""
    config = config or DetectorConfig()
    return MediaPipeDetector(config.mediapipe)
