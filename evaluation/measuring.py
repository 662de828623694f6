"""From two videos to their measures: one pass finds the faces, another hands the pairs of frames to the metrics."""

import logging
from collections.abc import Callable, Collection, Container, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rich.markup import escape
from rich.progress import track

from evaluation.delivery import Delivery
from evaluation.faces import EditedFaces, source_faces
from evaluation.measurement import FaceMeasurement, FramePair, Metric, Picture
from evaluation.results import Evaluation
from evaluation.video_pairs import Moment, Span, VideoPairs, Window
from tracking.clip import TrackedClip

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EditedVideo:
    """A video to be measured."""

    path: Path
    name: str
    """What it is: a prompt, or a file's name."""
    is_edit: bool = True
    """Whether it is meant to differ from the source, unlike an unedited reconstruction."""
    target: Callable[[int], Picture] | None = None
    """What the editor alone makes of a tracked source frame, at the size of the clip's images, if that is known."""


@dataclass(frozen=True)
class MeasuringConfig:
    """How two videos are measured."""

    greatest_side: int = 512
    """The pictures are measured with a longer side of at most so many pixels."""
    offset: float = 0.0
    """The time in the source, in seconds, at which the edited video begins."""
    span: Span = field(default_factory=Span)


def measure(
    clip: TrackedClip,
    edited: EditedVideo,
    metrics: Sequence[Metric],
    config: MeasuringConfig,
    watch: Callable[[FramePair], None] | None = None,
) -> Evaluation:
    """Measure an edited video against its source. Both are decoded twice; memory does not grow with their pictures.

    Args:
        metrics: new ones: they add up what they are handed.
        watch: also shown every pair.

    Raises:
        UserError: a video cannot be read, or the two share too few moments.
    """
    pairs = VideoPairs(clip, edited.path, config.offset, config.span)
    window = Window.of_clip(clip, config.greatest_side)
    faces = EditedFaces(clip)
    for moment in track(pairs, f"Finding the face: {escape(edited.name)}", total=len(pairs)):
        faces.update(moment.number, moment.edited)
    delivery = Delivery(pairs, window)
    own, found = source_faces(clip, window), faces.measured(window)
    for moment in track(pairs, f"Measuring: {escape(edited.name)}", total=len(pairs)):
        delivery.update(moment)
        pair = frame_pair(clip, moment, window, own, found, edited.target)
        for metric in metrics:
            metric.update(pair)
        if watch is not None:
            watch(pair)
    measures = [number for metric in (*metrics, delivery) for number in metric.measures()]
    return Evaluation(
        edited.name,
        edited.is_edit,
        str(edited.path),
        pairs.source_frames,
        pairs.seconds[pairs.source_frames],
        measures,
        [*pairs.remarks, *face_remarks(pairs, own, found)],
    )


def frame_pair(
    clip: TrackedClip,
    moment: Moment,
    window: Window,
    own: dict[int, FaceMeasurement],
    found: dict[int, FaceMeasurement],
    target: Callable[[int], Picture] | None,
) -> FramePair:
    """What the metrics are handed of a moment; nothing is said of person and target where the source did not track."""
    frame = moment.number
    is_tracked = bool(clip.track.tracked[frame])
    return FramePair(
        frame,
        moment.time,
        window.cut(moment.source),
        window.cut(moment.edited),
        window.matte(clip, frame) if is_tracked else None,
        window.labels(clip, frame) if is_tracked else None,
        own.get(frame),
        found.get(frame),
        window.resized(target(frame)) if target is not None and is_tracked else None,
    )


def pairs_at(
    clip: TrackedClip, evaluation: Evaluation, config: MeasuringConfig, rows: Sequence[int]
) -> Iterator[tuple[int, Picture, Picture]]:
    """Some moments again, as they were measured: their position, the source's picture and the edited one."""
    pairs = VideoPairs(clip, Path(evaluation.video), config.offset, config.span)
    window = Window.of_clip(clip, config.greatest_side)
    chosen = np.unique(np.array(rows, dtype=np.int64))
    for row, moment in zip(chosen, pairs.at(chosen), strict=False):
        yield int(row), window.cut(moment.source), window.cut(moment.edited)


def face_remarks(pairs: VideoPairs, own: Container[int], found: Collection[int]) -> list[str]:
    """A sentence where the source shows a face and the edit none."""
    frames = [int(frame) for frame in pairs.source_frames if int(frame) in own]
    lost = [frame for frame in frames if frame not in found]
    if not lost:
        return []
    if not found:
        return ["No face could be followed in the edited video: what needs one was not measured."]
    return [f"In {len(lost)} of {len(frames)} frames no face was found in the edited picture."]
