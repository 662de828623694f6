"""What a video holds, and which part of it is tracked.

The video is decoded once, as far as it is wanted: every frame gets its place in the index, and the shots are told
apart.
"""

import logging
from dataclasses import dataclass

import numpy as np

from tracking.choose_detector import make_detector
from tracking.errors import UserError
from tracking.frame_selection import NumberedShot, clock, frame_times, seconds_of, shots_in_span
from tracking.shots import ShotFinder, thumbnail
from tracking.track_config import TrackConfig
from tracking.video import VideoReader
from tracking.video_index import IndexBuilder, VideoIndex, read_stretch, timestamps_after
from tracking.workers import Advance

logger = logging.getLogger(__name__)

GREATEST_DETECTION_SIDE = 1920
"""Faces of larger pictures are looked for in a reduced copy with this longer side, in pixels."""
PROBES = 5
"""In how many frames of a shot a face is looked for."""
LEAST_PROBES_WITH_FACE = 2
CUT_OFF_SHARE = 0.9
"""A video with a smaller share of the frames that it says it has is damaged."""
LEAST_FRAMES = 10
"""Fewer frames than this say too little about a head."""


@dataclass(frozen=True)
class Survey:
    """What a video holds, and which part of it is asked for."""

    index: VideoIndex
    start: int
    stop: int
    """The span of frames that is asked for, the latter not included."""
    shots: list[NumberedShot]
    """What of the video's shots lies in the span, in order."""


def survey_video(reader: VideoReader, config: TrackConfig, advance: Advance) -> Survey:
    """Decode a video once, as far as it is wanted, and note its frames and its shots.

    Raises:
        UserError: nothing lies in the span that is asked for, or too little.
    """
    time_base = reader.properties.time_base
    start_time = seconds_of(config.start, "--start") or 0.0
    end_time = seconds_of(config.end, "--end")
    if end_time is not None and end_time <= start_time:
        raise UserError(f"--end {config.end} is not after --start {start_time:g}: give a later time.")
    builder, finder = IndexBuilder(), ShotFinder(config.shots)
    first, start, count, time, is_whole = 0, None, 0, 0.0, True
    for frame in reader.decode():
        first = frame.timestamp if frame.index == 0 else first
        time = float((frame.timestamp - first) * time_base)
        if start is None and time >= start_time:
            start = frame.index
        if start is not None and (
            (end_time is not None and time >= end_time)
            or (config.max_frames is not None and frame.index >= start + config.max_frames)
        ):
            is_whole = False
            break
        builder.add(frame)
        finder.add(thumbnail(frame.picture))
        count += 1
        advance(1)
    if start is None or start >= count:
        raise UserError(
            f"There is no frame of {reader.path} from --start {config.start or 0} on, for the video ends at "
            f"{clock(time)}: give an earlier time."
        )
    claimed = reader.properties.frame_count
    if is_whole and count < CUT_OFF_SHARE * claimed:
        logger.warning("%s ends after %d of about %d frames: it may be cut off.", reader.path, count, claimed)
    index = builder.index()
    if not is_whole:
        index = builder.index(timestamps_after(reader, int(index.timestamps[-1])))
    require_learnable(count - start, f"{reader.path} has" if is_whole and not start else "The chosen part has")
    shots = shots_in_span(finder.shots(float(reader.properties.frame_rate)), start, count)
    return Survey(index, start, count, shots)


def require_learnable(count: int, whose: str) -> None:
    """Raise a `UserError` if so many frames are too few."""
    if count < LEAST_FRAMES:
        frames = "1 frame" if count == 1 else f"{count} frames"
        raise UserError(f"{whose} {frames}, too few to learn a head: give at least {LEAST_FRAMES}.")


def choose_shot(reader: VideoReader, survey: Survey, config: TrackConfig) -> NumberedShot:
    """The shot that is asked for, or the longest in which a face is seen now and then.

    Raises:
        UserError: there is no such shot, or it is too short.
    """
    shots = survey.shots
    if config.shot is not None:
        chosen = [shot for shot in shots if shot.number == config.shot]
        if not chosen:
            numbers = f"shot {shots[0].number}" if len(shots) == 1 else f"shots {shots[0].number} to {shots[-1].number}"
            raise UserError(f"There is no shot {config.shot}: the chosen part of {reader.path} has {numbers}.")
        require_learnable(chosen[0].length, f"Shot {config.shot} has")
        return chosen[0]
    longest_first = sorted(shots, key=lambda shot: -shot.length)
    if len(shots) == 1:
        return shots[0]
    detector = make_detector(config.detector)
    for shot in longest_first:
        if shot.length < LEAST_FRAMES:
            break
        probes = np.linspace(shot.start, shot.stop - 1, PROBES + 2).round().astype(int)[1:-1]
        images = (
            reader.upright_rgb(frame.picture, GREATEST_DETECTION_SIDE)
            for probe in probes
            for frame in read_stretch(reader, survey.index, probe, probe + 1)
        )
        if sum(bool(detector.detect(image)) for image in images) >= LEAST_PROBES_WITH_FACE:
            return shot
    require_learnable(longest_first[0].length, f"The longest of the {len(shots)} shots of {reader.path} has")
    return longest_first[0]


def describe_shots(reader: VideoReader, survey: Survey, chosen: NumberedShot) -> str:
    """One sentence on which shot was taken, and which others there are."""
    times = frame_times(survey.index.timestamps, reader.properties.time_base)

    def span(shot: NumberedShot) -> str:
        end = times[shot.stop] if shot.stop < len(times) else times[-1] + 1 / float(reader.properties.frame_rate)
        return f"{shot.number} ({clock(times[shot.start])} to {clock(end)})"

    others = [span(shot) for shot in survey.shots if shot.number != chosen.number]
    listed = ", ".join(others[:20]) + (f" and {len(others) - 20} more" if len(others) > 20 else "")
    return (
        f"{len(survey.shots)} shots: tracking shot {span(chosen)}; --shot takes another of {listed}."
        if others
        else f"One shot: {span(chosen)}."
    )
