"""The command `portrait-track`: a video in, a tracked clip out."""

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from jaxtyping import Int64, UInt16
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from tracking.choose_detector import DetectorConfig, make_detector
from tracking.clip import HeadTrack, SourceVideo, TrackedClip, write_png
from tracking.crop import Crop, CropConfig, choose_crop
from tracking.errors import UserError, one_sentence_for_user_errors
from tracking.face_linking import FaceLinkingConfig, FaceTrack, link_longest_face
from tracking.fitting import FitConfig, HeadFit, fit_head
from tracking.frame_flags import FrameFlag
from tracking.landmarks import LandmarkDetector
from tracking.segmentation import PortraitFrame, PortraitSegmenter, SegmentationConfig, spread_evenly
from tracking.video import VideoReader, find_video

logger = logging.getLogger(__name__)

LEAST_FRAMES = 10
"""Fewer frames than this say too little about a head."""
LEAST_TRACKED_SHARE = 0.5
"""The face must be followed in at least this share of the frames."""


@dataclass
class TrackConfig:
    """How a video becomes a tracked clip."""

    max_size: int = 512
    """Longer side of the clip's images, in pixels; smaller crops are never enlarged."""
    overwrite: bool = False
    """Replace an already tracked clip."""
    detector: DetectorConfig = field(default_factory=DetectorConfig)
    linking: FaceLinkingConfig = field(default_factory=FaceLinkingConfig)
    crop: CropConfig = field(default_factory=CropConfig)
    fit: FitConfig = field(default_factory=FitConfig)
    segmentation: SegmentationConfig = field(default_factory=SegmentationConfig)


def track_video(video: Path, clip: Path, config: TrackConfig | None = None) -> TrackedClip:
    """Track a talking portrait; the clip appears under its name only when it is whole.

    Raises:
        UserError: there is no such video, no face in it that can be followed, or the clip cannot be written.
    """
    config = config or TrackConfig()
    video = find_video(video)
    _require_writable_clip(video, clip, config.overwrite)
    reader = VideoReader(video)
    with _progress() as progress, _whole_or_nothing(clip) as partial:
        face, timestamps = _follow_face(reader, make_detector(config.detector), config.linking, progress)
        source = reader.properties
        crop = choose_crop(face.landmarks[face.tracked], source.width, source.height, config.max_size, config.crop)
        face = replace(face, landmarks=crop.to_image(face.landmarks))
        fit = _fit(face, crop, reader, config.fit, progress)
        tracked = TrackedClip(
            root=partial,
            source=SourceVideo(
                path=str(video.resolve()),
                width=source.width,
                height=source.height,
                frame_rate=str(source.frame_rate),
                time_base=str(source.time_base),
                crop=crop.rectangle,
            ),
            intrinsics=fit.intrinsics,
            track=HeadTrack(
                tracked=fit.tracked,
                presentation_timestamps=timestamps,
                camera_to_head=fit.camera_to_head,
                camera_to_torso=fit.camera_to_torso,
                expression=fit.expression,
                identity=fit.identity,
                landmarks=np.where(fit.tracked[:, None, None], face.landmarks[..., :2], np.nan).astype(np.float32),
                reprojection_error=fit.reprojection_error,
                expression_names=fit.expression_names,
                flags=_left_out(face, fit),
            ),
        )
        _write_images(tracked, reader, crop, progress)
        _write_segmentation(tracked, face, config.segmentation, progress)
        tracked.save_description()
    return TrackedClip.load(clip)


def find_or_track(data: Path, config: TrackConfig | None = None) -> TrackedClip:
    """The tracked clip that a path means: itself, or that of a video, which is tracked if it has not been yet.

    The clip of `talk.mp4` is `talk_clip/` beside it, or in `clips/` under the working directory where the video's own
    folder is not writable. It is made again when the video is newer.

    Raises:
        UserError: as `track_video` and `TrackedClip.load`.
    """
    if (data / "transforms.json").is_file():
        return TrackedClip.load(data)
    video = find_video(data)
    beside, aside = (folder / f"{video.stem}_clip" for folder in (video.resolve().parent, Path("clips").resolve()))
    for clip in (beside, aside):
        if _is_up_to_date(clip, video):
            return TrackedClip.load(clip)
    clip = beside if os.access(beside.parent, os.W_OK) else aside
    clip.parent.mkdir(parents=True, exist_ok=True)
    return track_video(video, clip, config or TrackConfig(overwrite=(clip / "transforms.json").is_file()))


def main() -> None:
    """Run `portrait-track`."""
    with one_sentence_for_user_errors():
        tyro.cli(_run, prog="portrait-track", description="Track a talking portrait: a video in, a tracked clip out.")


def _run(
    video: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="VIDEO")],
    clip: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="CLIP")],
    config: Annotated[TrackConfig, tyro.conf.arg(name="")],
) -> None:
    """
    Args:
        video: A video of one person talking, or a folder with exactly one.
        clip: The folder to write.
    """
    tracked = track_video(video, clip, config)
    error = np.nanmedian(tracked.track.reprojection_error)
    Console().print(
        f"Wrote {clip}: {len(tracked.frames)} of {len(tracked.track.tracked)} frames tracked, "
        f"{tracked.intrinsics.width} x {tracked.intrinsics.height} pixels, "
        f"median reprojection error {error:.2f} pixels.",
        highlight=False,
        soft_wrap=True,
    )


def _require_writable_clip(video: Path, clip: Path, overwrite: bool) -> None:
    if clip.is_file():
        raise UserError(f"{clip} is a file: give the name of a folder to write the clip to.")
    if clip.is_dir() and any(clip.iterdir()):
        if not (clip / "transforms.json").is_file():
            raise UserError(f"{clip} holds something that is no tracked clip: give the name of a new folder.")
        if not overwrite:
            same = _is_up_to_date(clip, video)
            state = f"is already the tracked clip of {video}: use it as it is" if same else "is already a tracked clip"
            raise UserError(f"{clip} {state}, give another name, or add --overwrite.")
    if not clip.resolve().parent.is_dir():
        raise UserError(f"The folder {clip.parent} does not exist: create it, or write somewhere else.")
    if not os.access(clip.resolve().parent, os.W_OK):
        raise UserError(f"The folder {clip.parent} is not writable: choose another, or change its permissions.")


def _is_up_to_date(clip: Path, video: Path) -> bool:
    """Whether a whole clip is there, made from this very file and after the file's last change."""
    description = clip / "transforms.json"
    if not description.is_file():
        return False
    try:
        source = TrackedClip.load(clip).source
    except UserError:
        return False
    return source.path == str(video.resolve()) and description.stat().st_mtime >= video.stat().st_mtime


@contextmanager
def _whole_or_nothing(clip: Path) -> Iterator[Path]:
    """A folder to write to, which takes the clip's name if all goes well and is removed if anything does not."""
    clip = clip.resolve()
    try:
        workshop = Path(tempfile.mkdtemp(prefix=f".{clip.name}.", dir=clip.parent))
    except OSError as error:
        raise UserError(f"Cannot write to {clip.parent} ({error.strerror}): choose another folder.") from error
    try:
        partial = workshop / "new"
        partial.mkdir()
        yield partial
        if clip.exists():
            clip.rename(workshop / "old")
        partial.rename(clip)
    finally:
        shutil.rmtree(workshop, ignore_errors=True)


def _progress() -> Progress:
    """Bars on standard error, with the time left."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


def _follow_face(
    reader: VideoReader, detector: LandmarkDetector, config: FaceLinkingConfig, progress: Progress
) -> tuple[FaceTrack, Int64[np.ndarray, "frames"]]:
    detections, timestamps = [], []
    task = progress.add_task("Finding the face", total=reader.properties.frame_count)
    for frame in reader:
        detections.append(detector.detect(frame.image))
        timestamps.append(frame.timestamp)
        progress.advance(task)
    progress.update(task, total=len(timestamps), completed=len(timestamps))
    count = len(timestamps)
    if count < LEAST_FRAMES:
        raise UserError(f"{reader.path} has {count} frames, too few to learn a head: give at least {LEAST_FRAMES}.")
    face = link_longest_face(detections, config)
    seen = int(face.tracked.sum())
    if not seen:
        raise UserError(f"No face was found in {reader.path}: give a video of a person facing the camera.")
    _require_enough_frames(seen, count, reader.path)
    return face, np.array(timestamps, dtype=np.int64)


def _fit(face: FaceTrack, crop: Crop, reader: VideoReader, config: FitConfig, progress: Progress) -> HeadFit:
    task = progress.add_task("Fitting the head", total=None)
    source = reader.properties
    # A crop keeps the optical axis of the whole picture.
    center = crop.to_image(np.array([source.width / 2, source.height / 2, 0.0]))
    fit = fit_head(
        face.landmarks,
        face.tracked,
        crop.image_width,
        crop.image_height,
        float(source.frame_rate),
        config,
        progress=lambda done, total: progress.update(task, completed=done, total=total),
        center=(float(center[0]), float(center[1])),
    )
    progress.update(task, total=1, completed=1)
    _require_enough_frames(int(fit.tracked.sum()), len(fit.tracked), reader.path)
    return fit


def _left_out(face: FaceTrack, fit: HeadFit) -> UInt16[np.ndarray, "frames"]:
    """Why the frames that are not tracked are not."""
    found = np.isfinite(face.landmarks[..., 0]).any(axis=1)
    reasons = (
        (FrameFlag.NO_FACE, ~found),
        (FrameFlag.OUTLIER, found & ~face.tracked),
        (FrameFlag.LOST, face.tracked & ~fit.tracked),
    )
    flags = np.zeros(len(found), dtype=np.uint16)
    for flag, frames in reasons:
        flags[frames] |= np.uint16(flag)
    return flags


def _require_enough_frames(tracked: int, count: int, video: Path) -> None:
    if tracked < max(LEAST_FRAMES, LEAST_TRACKED_SHARE * count):
        raise UserError(
            f"One face could be followed in only {tracked} of the {count} frames of {video}: cut the video to a part "
            "that shows the same face throughout."
        )


def _write_images(clip: TrackedClip, reader: VideoReader, crop: Crop, progress: Progress) -> None:
    wanted = set(clip.frames.tolist())
    clip.image_path(0).parent.mkdir()
    task = progress.add_task("Writing images", total=len(wanted))
    for frame in reader:
        if frame.index in wanted:
            write_png(clip.image_path(frame.index), crop.cut(frame.image))
            progress.advance(task)


def _write_segmentation(clip: TrackedClip, face: FaceTrack, config: SegmentationConfig, progress: Progress) -> None:
    for path in (clip.matte_path(0), clip.label_path(0)):
        path.parent.mkdir()
    segmenter = PortraitSegmenter(config)
    task = progress.add_task("Learning hair, skin and background", total=None)
    samples = [int(clip.frames[i]) for i in spread_evenly(len(clip.frames), config.plate_samples)]
    progress.update(task, total=len(samples))

    def portraits(frames: list[int]) -> Iterator[PortraitFrame]:
        for frame in frames:
            yield PortraitFrame(frame, clip.image(frame), face.landmarks[frame])
            progress.advance(task)

    appearance = segmenter.learn(portraits(samples))
    write_png(clip.background_path, appearance.plate.image)
    task = progress.add_task("Cutting out the person", total=len(clip.frames))
    for frame, matte, labels in segmenter.segment(portraits(clip.frames.tolist()), appearance):
        write_png(clip.matte_path(frame), np.rint(255 * matte).astype(np.uint8))
        write_png(clip.label_path(frame), labels)


if __name__ == "__main__":
    main()
