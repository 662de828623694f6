"""The command `portrait-track`: a video in, a tracked clip out."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from tracking.capture_measures import chosen_part
from tracking.clip import TrackedClip
from tracking.console import say
from tracking.errors import UserError, one_sentence_for_user_errors
from tracking.frame_flags import FrameFlag, has_flag
from tracking.frame_selection import clock, frame_times
from tracking.piecewise import NewBar
from tracking.preview import write_preview
from tracking.report import REPORT_NAME, write_report
from tracking.termination import ended_in_order
from tracking.track_config import TrackConfig
from tracking.tracking_stages import make_clip
from tracking.video import VideoReader, find_video
from tracking.workers import Advance
from tracking.workshop import open_workshop, work_identity

logger = logging.getLogger(__name__)

DESCRIPTION = "Track a talking portrait: a video in, a tracked clip out."
INTERRUPTED = 130
"""Exit code of a command that Ctrl-C ended, by the shells' convention."""
FLAG_WORDS = {
    FrameFlag.OUTSIDE: "not chosen",
    FrameFlag.NO_FACE: "without the face",
    FrameFlag.OUTLIER: "where the landmarks jump",
    FrameFlag.LOST: "that the head model does not fit",
    FrameFlag.BLURRED: "blurred",
    FrameFlag.OCCLUDED: "with something before the face",
    FrameFlag.PROFILE: "in profile",
    FrameFlag.DARK: "too dark or too bright",
}


def track_video(video: Path, clip: Path, config: TrackConfig | None = None) -> TrackedClip:
    """Track a talking portrait; the clip appears under its name only when it is whole.

    What is finished when it is interrupted, the next call with the same video and options takes up.

    Raises:
        UserError: there is no such video, no face in it that can be followed, or the clip cannot be written.
    """
    config = config or TrackConfig()
    config.check()
    video = find_video(video)
    _require_writable_clip(video, clip, config.overwrite)
    reader = VideoReader(video)
    with _shown_progress() as new_bar:
        for remark in reader.properties.remarks:
            logger.warning("%s", remark)
        with open_workshop(clip, work_identity(video, config.identity())) as workshop:
            make_clip(reader, workshop, config, new_bar)
        tracked = TrackedClip.load(clip)
        if config.preview:
            part = chosen_part(tracked)
            advance = new_bar("Drawing the preview", part.stop - part.start)
            write_preview(tracked, progress=lambda done, total: advance(1))
        write_report(tracked)
    return tracked


def find_or_track(data: Path, config: TrackConfig | None = None) -> TrackedClip:
    """The tracked clip that a path means: itself, or that of a video, which is tracked if it has not been yet.

    The clip of `talk.mp4` is `talk_clip/` beside it, or in `clips/` under the working directory where the video's own
    folder is not writable. It is made again when the video is newer.

    Args:
        config: how to track a video that has not been yet; one that has been tracked otherwise is used as it is.

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
    return track_video(video, clip, replace(config or TrackConfig(), overwrite=(clip / "transforms.json").is_file()))


def main() -> None:
    """Run `portrait-track`."""
    with one_sentence_for_user_errors(), ended_in_order():
        try:
            tyro.cli(_run, prog="portrait-track", description=DESCRIPTION)
        except KeyboardInterrupt:
            say(Console(stderr=True), "Interrupted: the same command goes on where this one stopped.")
            raise SystemExit(INTERRUPTED) from None


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
    say(Console(), "\n".join(summary(tracked, clip)))


def summary(tracked: TrackedClip, clip: Path) -> list[str]:
    """What was written where, and which frames are flagged for what."""
    track = tracked.track
    outside = has_flag(track.flags, FrameFlag.OUTSIDE)
    times = frame_times(track.presentation_timestamps, Fraction(tracked.source.time_base))
    chosen = np.flatnonzero(~outside)
    span = (
        f", from {clock(float(times[chosen[0]]))} to {clock(float(times[chosen[-1]]))} of the video"
        if outside.any()
        else ""
    )
    lines = [
        f"Wrote {clip}: {len(tracked.frames)} of {len(chosen)} frames tracked{span}, "
        f"{tracked.intrinsics.width} x {tracked.intrinsics.height} pixels, "
        f"median reprojection error {np.nanmedian(track.reprojection_error):.2f} pixels."
    ]
    counts = {flag: int(has_flag(track.flags, flag).sum()) for flag in FLAG_WORDS if flag != FrameFlag.OUTSIDE}
    told = [f"{count} {FLAG_WORDS[flag]}" for flag, count in counts.items() if count]
    if told:
        lines.append(f"Flagged frames: {', '.join(told)}.")
    lines.append(f"What tracking saw, and what to film better: {clip / REPORT_NAME}")
    return lines


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
def _shown_progress() -> Iterator[NewBar]:
    """Bars on standard error with the time left, and what is logged above them.

    Gives a function that begins a stage, with its name, how many frames it has and how many of them are done, and
    returns what is told of every further frame.
    """
    console = Console(stderr=True)
    bars = Progress(
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn(), console=console
    )
    handler = RichHandler(console=console, show_time=False, show_level=False, show_path=False)
    package_logger = logging.getLogger("tracking")

    def new_bar(stage: str, total: int | None, done: int = 0) -> Advance:
        for task in bars.tasks:
            bars.update(task.id, total=task.completed)
        task = bars.add_task(stage, total=total, completed=done)
        return lambda count: bars.advance(task, count)

    level = package_logger.level
    package_logger.addHandler(handler)
    package_logger.setLevel(min(level or logging.INFO, logging.INFO))
    try:
        with bars:
            yield new_bar
    finally:
        package_logger.removeHandler(handler)
        package_logger.setLevel(level)


if __name__ == "__main__":
    main()
