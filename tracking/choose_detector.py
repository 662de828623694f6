"""Which detector finds the landmarks."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from tracking.errors import UserError
from tracking.face_alignment_detector import FaceAlignmentConfig, FaceAlignmentDetector
from tracking.landmarker_task_detector import LandmarkerTaskConfig, LandmarkerTaskDetector
from tracking.landmarks import LandmarkDetector
from tracking.mediapipe_detector import MediaPipeDetector, MediaPipeDetectorConfig


@dataclass
class DetectorConfig:
    """What finds the landmarks. It can be pickled, so that every process builds a detector of its own."""

    # The flag is that of the whole: --detector landmarker-task.
    kind: Annotated[Literal["mediapipe", "landmarker-task", "face-alignment"], tyro.conf.arg(name="")] = "mediapipe"
    """mediapipe: the models inside MediaPipe's package; landmarker-task: a newer MediaPipe landmarker of yours, which
    also tells expressions; face-alignment: 68 points by the package of that name, without irises."""
    task: Path | None = None
    """MediaPipe's face_landmarker.task, for --detector landmarker-task."""
    mediapipe: MediaPipeDetectorConfig = field(default_factory=MediaPipeDetectorConfig)
    landmarker_task: LandmarkerTaskConfig = field(default_factory=LandmarkerTaskConfig)
    face_alignment: FaceAlignmentConfig = field(default_factory=FaceAlignmentConfig)


def make_detector(config: DetectorConfig | None = None) -> LandmarkDetector:
    """Build the detector that is asked for.

    Raises:
        UserError: what it needs, a file or a package, is not there.
    """
    config = config or DetectorConfig()
    if config.task is not None and config.kind != "landmarker-task":
        raise UserError("--detector.task is read by one detector only: add --detector landmarker-task.")
    if config.kind == "face-alignment":
        return FaceAlignmentDetector.load(config.face_alignment)
    if config.kind == "landmarker-task":
        if config.task is None:
            raise UserError(
                "--detector landmarker-task needs MediaPipe's face_landmarker.task: add --detector.task PATH."
            )
        return LandmarkerTaskDetector(config.task, config.landmarker_task)
    return MediaPipeDetector(config.mediapipe)
