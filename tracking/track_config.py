"""What can be asked of `portrait-track`."""

from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

import tyro

from tracking.choose_detector import DetectorConfig
from tracking.crop import CropConfig
from tracking.errors import UserError
from tracking.eyelids import EyelidConfig
from tracking.face_linking import FaceLinkingConfig
from tracking.fitting import FitConfig
from tracking.frame_quality import FrameQualityConfig
from tracking.photometric import PhotometricConfig
from tracking.segmentation import SegmentationConfig
from tracking.shots import ShotConfig
from tracking.skin_motion import SkinMotionConfig
from tracking.torso_motion import TorsoConfig

LEAST_SIZE = 64
"""Smaller images say too little about a face."""


@dataclass
class TrackConfig:
    """How a video becomes a tracked clip."""

    start: Annotated[float | str | None, tyro.conf.arg(metavar="TIME")] = None
    """From when on the video is tracked: seconds, m:ss or h:mm:ss after its first frame."""
    end: Annotated[float | str | None, tyro.conf.arg(metavar="TIME")] = None
    """Until when, written in the same way."""
    max_frames: int | None = None
    """How many frames are tracked at most, counted from the start."""
    shot: int | None = None
    """Which shot is tracked, counted from 1 over the whole video; the longest that shows a face if none is named."""
    size: int = 512
    """Longer side of the clip's images, in pixels; smaller crops are never enlarged."""
    crop: Annotated[str, tyro.conf.arg(metavar="auto|full|X,Y,WIDTH,HEIGHT")] = "auto"
    """What the images show: head and shoulders, the whole picture, or a rectangle of the video in pixels."""
    overwrite: bool = False
    """Replace an already tracked clip."""
    preview: bool = False
    """Also write preview.mp4 into the clip: the video with landmarks, mesh and expressions drawn onto it."""
    workers: int | None = None
    """Processes that work at the same time; as many as there are cores if no number is given."""
    detector: DetectorConfig = field(default_factory=DetectorConfig)
    linking: FaceLinkingConfig = field(default_factory=FaceLinkingConfig)
    shots: ShotConfig = field(default_factory=ShotConfig)
    auto_crop: CropConfig = field(default_factory=CropConfig)
    fit: FitConfig = field(default_factory=FitConfig)
    skin: SkinMotionConfig = field(default_factory=SkinMotionConfig)
    eyelids: EyelidConfig = field(default_factory=EyelidConfig)
    photometric: PhotometricConfig = field(default_factory=PhotometricConfig)
    segmentation: SegmentationConfig = field(default_factory=SegmentationConfig)
    torso: TorsoConfig = field(default_factory=TorsoConfig)
    quality: FrameQualityConfig = field(default_factory=FrameQualityConfig)

    def check(self) -> None:
        """Find impossible numbers before any work is done.

        Raises:
            UserError: there is one.
        """
        for name, value, least in (
            ("--max-frames", self.max_frames, 1),
            ("--shot", self.shot, 1),
            ("--size", self.size, LEAST_SIZE),
            ("--workers", self.workers, 1),
            ("--skin.rounds", self.skin.rounds, 0),
            ("--skin.texture-frames", self.skin.texture_frames, 1),
        ):
            if value is not None and value < least:
                raise UserError(f"{name} {value} is too small: give {least} or more.")
        if not 0 <= self.skin.slow_trust <= 1:
            raise UserError(f"--skin.slow-trust {self.skin.slow_trust} is no share: give a number from 0 to 1.")

    def identity(self) -> dict[str, Any]:
        """The options that the result depends on."""
        options = asdict(self)
        for name in ("overwrite", "preview", "workers"):
            del options[name]
        return options
