"""The curves in a clip's report: pose, expressions, gaze and error over time."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from tracking.capture_check import SEEN_ACTION
from tracking.capture_measures import CaptureMeasures, action_strength, chosen_part, frame_seconds, mean_expression
from tracking.capture_statistics import CaptureStatistics
from tracking.clip import HeadTrack, TrackedClip
from tracking.flag_words import flag_rows
from tracking.svg_charts import Curve, Span, TimeAxis, line_chart, range_chart, scatter_chart, span_chart, spans_of

GAZE = (
    ("to the picture's right", ("eyeLookOutLeft", "eyeLookInRight"), ("eyeLookInLeft", "eyeLookOutRight")),
    ("upwards", ("eyeLookUpLeft", "eyeLookUpRight"), ("eyeLookDownLeft", "eyeLookDownRight")),
)
"""Directions of gaze, the expressions that look there, and those that look the other way. Left is the person's left,
which is the picture's right."""

COEFFICIENT_LIMITS = (-0.03, 1.03)


@dataclass(frozen=True)
class ReportChart:
    """A chart of the report."""

    heading: str
    svg: str
    legend: tuple[str, ...] = ()
    """The curves' names, in their order."""
    note: str = ""


@dataclass(frozen=True)
class ReportCurves:
    """All charts of a report."""

    charts: list[ReportChart]
    has_left_out: bool
    has_flagged: bool
    """Whether any stretch is shaded as left out, or as flagged."""


def report_curves(clip: TrackedClip, measures: CaptureMeasures, statistics: CaptureStatistics) -> ReportCurves:
    """Draw a clip's curves; frames outside of the chosen part are left off at both ends."""
    track = clip.track
    part = chosen_part(clip)
    seconds = frame_seconds(clip)
    duration = 1 / clip.source.frames_per_second
    axis = TimeAxis(seconds[part], np.arange(len(seconds))[part], duration)
    left_out = spans_of(axis, ~track.tracked[part], "out", "left out")
    flagged = spans_of(axis, (track.tracked & (track.flags != 0))[part], "flag", "flagged")
    spans = left_out + flagged

    def chart(
        heading: str,
        unit: str,
        series: list[tuple[str, np.ndarray | None]],
        note: str = "",
        least_range: float = 0.0,
        limits: tuple[float, float] | None = None,
    ) -> None:
        curves = tuple(Curve(name, values[part]) for name, values in series if values is not None)
        if curves:
            svg = line_chart(heading, unit, axis, curves, spans, least_range, limits)
            charts.append(ReportChart(heading, svg, tuple(curve.name for curve in curves), note))

    charts: list[ReportChart] = []
    angles = measures.angles
    chart(
        "How the head is turned",
        "degrees",
        [("turned to the picture's right", angles.yaw), ("raised", angles.pitch), ("leaning right", angles.roll)],
        "Against the line from the camera to the head.",
        least_range=20.0,
    )
    chart("Distance of the head", "cm", [("from the camera", angles.distance)], least_range=10.0)
    chart(
        "Mouth",
        "of 1",
        [
            ("open", action_strength(track, "opening the mouth")),
            ("smile", action_strength(track, "smiling")),
            ("rounded", action_strength(track, "rounding the lips")),
        ],
        limits=COEFFICIENT_LIMITS,
    )
    chart(
        "Eyelids and brows",
        "of 1",
        [
            ("left eye closed", mean_expression(track, ("eyeBlinkLeft",))),
            ("right eye closed", mean_expression(track, ("eyeBlinkRight",))),
            ("brows raised", action_strength(track, "raising the brows")),
        ],
        "Left and right are the person's.",
        limits=COEFFICIENT_LIMITS,
    )
    chart("Gaze", "of 1", [(name, _gaze(track, there, away)) for name, there, away in GAZE], least_range=0.6)
    chart(
        "Error of the fit",
        "pixels",
        [("median distance of detected and fitted landmarks", track.reprojection_error)],
        limits=(0.0, 1.1 * max(0.5, float(np.max(track.reprojection_error[track.tracked], initial=0.0)))),
    )
    charts += _light_chart(axis, seconds, statistics, spans)
    rows = [
        (word, spans_of(axis, marked[part], "out" if is_left_out else "flag", word))
        for word, is_left_out, marked in flag_rows(clip)
        if marked[part].any()
    ]
    if rows:
        charts.append(ReportChart("Frames left out or flagged", span_chart("Frames left out or flagged", axis, rows)))
    return ReportCurves(charts, bool(left_out), bool(flagged))


def pose_chart(measures: CaptureMeasures) -> str:
    """Which sides of the head were seen: a point for every pair of yaw and pitch."""
    angles = measures.angles
    known = np.abs(np.concatenate([angles.yaw, angles.pitch]))
    furthest = float(np.nanmax(known)) if np.isfinite(known).any() else 0.0
    reach = min(90.0, max(30.0, 10 * np.ceil(furthest / 10)))
    label = "turned to the picture's right, degrees"
    return scatter_chart("Views of the head", label, "raised, degrees", angles.yaw, angles.pitch, reach)


def action_chart(measures: CaptureMeasures) -> str:
    """Which expressions were seen, and how strongly; empty if the clip knows none of them."""
    rows = [
        (name, low, high, min(1.0, low + SEEN_ACTION[name]))
        for name, (low, high) in measures.action_ranges.items()
        if np.isfinite(high)
    ]
    return range_chart("Expressions that were seen", rows) if rows else ""


def _gaze(track: HeadTrack, there: tuple[str, ...], away: tuple[str, ...]) -> Float[np.ndarray, "frames"] | None:
    toward, from_there = mean_expression(track, there), mean_expression(track, away)
    return None if toward is None or from_there is None else toward - from_there


def _light_chart(
    axis: TimeAxis, seconds: Float[np.ndarray, "frames"], statistics: CaptureStatistics, spans: list[Span]
) -> list[ReportChart]:
    if not np.isfinite(statistics.brightness).any():
        return []
    # Over the whole clip's axis: the first and the last frame that is shown are known or NaN like the others.
    frames = np.unique(np.concatenate([statistics.frames, axis.frames[[0, -1]]]))
    brightness = np.full(len(frames), np.nan)
    brightness[np.searchsorted(frames, statistics.frames)] = 100 * statistics.brightness
    sampled = TimeAxis(seconds[frames], frames, axis.frame_duration)
    curves = (Curve("mean of the face", brightness),)
    svg = line_chart("Brightness of the face", "% of white", sampled, curves, spans, least_range=20.0)
    note = f"From {len(statistics.frames)} frames, in short runs."
    return [ReportChart("Brightness of the face", svg, ("mean of the face",), note)]
