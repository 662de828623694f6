"""The page of an evaluation, for somebody who has never seen the project: what was measured, what it means, and the
frames where it is worst. Without scripts or outside links."""

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from evaluation.measuring import MeasuringConfig, pairs_at
from evaluation.report_parts import (
    MOST_CURVES,
    facts,
    legend,
    named,
    number_table,
    page,
    remark_list,
    value_cell,
)
from evaluation.results import Evaluation, EvaluationSet
from evaluation.wording import ARROW_WORDS, number, spoken, with_unit
from tracking.clip import TrackedClip
from tracking.errors import writing_failed
from tracking.report_pictures import data_address, shrink
from tracking.svg_charts import Curve, TimeAxis, line_chart

REPORT_NAME = "report.html"
HEADLINES = (
    "flow_warp_ratio_in_matte",
    "sharpness_ratio_in_matte",
    "target_color_difference",
    "clip_direction_similarity",
    "clip_frame_consistency",
    "psnr_in_matte",
    "ssim_in_matte",
    "lpips_in_matte",
    "identity",
    "landmark_distance",
    "landmark_distance_lips",
    "lip_aperture_correlation",
    "expression_error",
    "head_rotation_difference",
    "face_found_share",
    "background_psnr",
    "matte_iou",
)
"""The measures that a reader wants first, in this order."""
SHEET_MOMENTS = 6
SHEET_SIZE = 260
"""Longer sides in pixels."""
MOST_EMBEDDED = 4_000_000
"""Bytes of a video that the page carries inside itself; larger ones are linked to."""
LEAST_RANGE = 0.01
"""Charts span at least this part of the greatest number, so that rounding errors do not look like motion."""
MOST_WORST = 8
"""Worst frames shown of each video."""


@dataclass(frozen=True)
class ReportPictures:
    """Moments of one evaluated video, as data addresses: source and edit."""

    shown: dict[int, tuple[str, str]]
    """By position among the measured frames."""


def write_report(
    results: EvaluationSet, clip: TrackedClip, config: MeasuringConfig, folder: Path, videos: Sequence[Path]
) -> Path:
    """Write the report, whole or not at all.

    Args:
        videos: the side-by-side video of every evaluation, inside of the folder.

    Raises:
        UserError: the folder cannot be written to, or a video has gone.
    """
    pictures = []
    for entry in results.evaluations:
        rows = [*sheet_rows(entry), *(row for row, _ in worst_rows(entry))]
        shown = {
            row: (data_address(shrink(source, SHEET_SIZE)), data_address(shrink(edited, SHEET_SIZE)))
            for row, source, edited in pairs_at(clip, entry, config, rows)
        }
        pictures.append(ReportPictures(shown))
    text = report_page(results, pictures, videos)
    path = folder / REPORT_NAME
    partial = path.with_suffix(".partial.html")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise writing_failed(path, error) from error
    return path


def report_page(results: EvaluationSet, pictures: Sequence[ReportPictures], videos: Sequence[Path]) -> str:
    """The page."""
    entries = results.evaluations
    first = entries[0]
    name = Path(results.source).name
    duration = float(first.seconds[-1] - first.seconds[0]) + 1 / results.frames_per_second
    edits = sum(entry.is_edit for entry in entries)
    parts = [
        f"<p>{_introduction(edits)}</p>",
        facts(
            [
                ("Source", name),
                ("Measured", f"{len(first.frames)} frames, {duration:.2f} s"),
                ("Frame rate", f"{results.frames_per_second:.4g} frames/s"),
                ("Measured at", f"{results.size[0]} x {results.size[1]} pixels"),
            ]
        ),
        remark_list("What to know of this measurement", told_remarks(results)),
        _table_section(results),
        _video_section(entries, videos),
        _sheet_section(entries, pictures),
        _curve_section(results),
        _worst_section(entries, pictures),
        _missing_section(results),
    ]
    return page(f"{name}: how good are the edits?" if edits else f"{name}: how good is the avatar?", parts)


def told_remarks(results: EvaluationSet) -> list[str]:
    """All remarks, each once: with the video's name where it does not hold of all."""
    entries = results.evaluations
    told = [*results.remarks]
    for entry in entries:
        for remark in entry.remarks:
            of_all = len(entries) > 1 and all(remark in other.remarks for other in entries)
            told.append(remark if of_all or len(entries) == 1 else f"{entry.name}: {remark}")
    return list(dict.fromkeys(told))


def sheet_rows(entry: Evaluation) -> list[int]:
    """The positions of the moments on the contact sheet."""
    return np.unique(np.linspace(0, len(entry.frames) - 1, SHEET_MOMENTS).round().astype(int)).tolist()


def worst_rows(entry: Evaluation) -> list[tuple[int, list[str]]]:
    """The positions of the frames in which a headline measure is worst, with the measures' names."""
    found: dict[int, list[str]] = {}
    for name in HEADLINES:
        measure = entry.measure(name)
        if measure is None or measure.curve is None or measure.better == "neither":
            continue
        curve = measure.curve
        if not np.isfinite(curve).any() or np.nanmax(curve) == np.nanmin(curve):
            continue
        row = int(np.nanargmin(curve) if measure.better == "higher" else np.nanargmax(curve))
        if row in found or len(found) < MOST_WORST:
            found.setdefault(row, []).append(name)
    return sorted(found.items())


def _introduction(edits: int) -> str:
    if not edits:
        return (
            "A person was filmed, and an avatar was learned from the film. Here the avatar's video is compared with "
            "the film, frame by frame: it should look the same."
        )
    return (
        "A person was filmed, and the film was edited. Here every edited video is compared with the film it was made "
        "from, frame by frame. A good edit shows what was asked for, does not flicker, keeps the person's lips, eyes, "
        "expression and pose, and leaves the background alone. An arrow up says that more is better, an arrow down "
        "that less is."
    )


def _table_section(results: EvaluationSet) -> str:
    names = results.measure_names
    first = [name for name in HEADLINES if name in names and _is_known(results, name)]
    rest = [name for name in names if name not in first and _is_known(results, name)]
    headings = [entry.name for entry in results.evaluations]
    table = number_table(headings, [_row(results, name) for name in first])
    more = number_table(headings, [_row(results, name) for name in rest])
    folded = f"<details><summary>{len(rest)} more numbers</summary>{more}</details>" if rest else ""
    return f"<h2>The numbers</h2>{table}{folded}"


def _row(results: EvaluationSet, name: str) -> str:
    measures = [entry.measure(name) for entry in results.evaluations]
    return f"<tr>{named(next(filter(None, measures)))}{''.join(map(value_cell, measures))}</tr>"


def _is_known(results: EvaluationSet, name: str) -> bool:
    return any(math.isfinite(entry.value(name)) for entry in results.evaluations)


def _video_section(entries: Sequence[Evaluation], videos: Sequence[Path]) -> str:
    figures = []
    for entry, video in zip(entries, videos, strict=True):
        address = video.name
        if video.stat().st_size <= MOST_EMBEDDED:
            address = f"data:video/mp4;base64,{base64.b64encode(video.read_bytes()).decode('ascii')}"
        figures.append(
            f'<figure><video controls loop muted preload="metadata" src="{escape(address)}"></video>'
            f"<figcaption><b>{escape(entry.name)}</b>: the source to the left</figcaption></figure>"
        )
    return f'<h2>The videos</h2><div class="charts">{"".join(figures)}</div>'


def _sheet_section(entries: Sequence[Evaluation], pictures: Sequence[ReportPictures]) -> str:
    rows = sheet_rows(entries[0])
    columns = f"grid-template-columns: minmax(5em, 0.6fr) repeat({len(rows)}, 1fr)"
    cells = ['<span class="name"></span>']
    cells += [f'<span class="time">{entries[0].seconds[row]:.1f} s</span>' for row in rows]
    lines = [("the source", [pictures[0].shown[row][0] for row in rows])]
    lines += [
        (entry.name, [shown.shown[row][1] for row in sheet_rows(entry)])
        for entry, shown in zip(entries, pictures, strict=True)
    ]
    for name, addresses in lines:
        cells.append(f'<span class="name">{escape(name)}</span>')
        cells += [f'<img src="{address}" alt="{escape(name)}" loading="lazy">' for address in addresses]
    return f'<h2>At a glance</h2><div class="sheet" style="{columns}">{"".join(cells)}</div>'


def _curve_section(results: EvaluationSet) -> str:
    charts = []
    for name in HEADLINES:
        found = [
            (entry, measure)
            for entry in results.evaluations
            if (measure := entry.measure(name)) is not None
            and measure.curve is not None
            and np.isfinite(measure.curve).any()
        ][:MOST_CURVES]
        if not found:
            continue
        entry, measure = found[0]
        same = [(other, one) for other, one in found if np.array_equal(other.frames, entry.frames)]
        curves = tuple(Curve(other.name, one.curve) for other, one in same if one.curve is not None)
        axis = TimeAxis(entry.seconds, entry.frames, 1 / results.frames_per_second)
        unit = "times" if measure.unit == "x" else measure.unit
        known = np.concatenate([curve.values[np.isfinite(curve.values)] for curve in curves])
        chart = line_chart(spoken(name), unit, axis, curves, [], LEAST_RANGE * max(float(np.abs(known).max()), 1.0))
        charts.append(
            f"<section><h3>{escape(spoken(name))}</h3>{legend([curve.name for curve in curves])}{chart}"
            f'<p class="note">{ARROW_WORDS[measure.better].capitalize()}.</p></section>'
        )
    if not charts:
        return ""
    return (
        "<h2>Over time</h2><p>Rest the pointer on a chart to read its values. A peak is a moment to look at in the "
        f'videos above.</p><div class="charts">{"".join(charts)}</div>'
    )


def _worst_section(entries: Sequence[Evaluation], pictures: Sequence[ReportPictures]) -> str:
    sections = []
    for entry, shown in zip(entries, pictures, strict=True):
        figures = []
        for row, names in worst_rows(entry):
            source, edited = shown.shown[row]
            told = []
            for name in names:
                measure = entry.measure(name)
                assert measure is not None and measure.curve is not None
                told.append(f"{spoken(name)} {with_unit(float(measure.curve[row]), measure.unit)}")
            figures.append(
                f'<figure><div class="pair"><img src="{source}" alt="The source" loading="lazy">'
                f'<img src="{edited}" alt="The edit" loading="lazy"></div>'
                f"<figcaption><b>{entry.frames[row]}</b> at {entry.seconds[row]:.2f} s<br>{escape('; '.join(told))}"
                "</figcaption></figure>"
            )
        if figures:
            sections.append(f'<h3>{escape(entry.name)}</h3><div class="pictures">{"".join(figures)}</div>')
    if not sections:
        return ""
    return (
        "<h2>Where it is worst</h2><p>For each measure the frame with the worst number: the source to the left, the "
        f"edit to the right.</p>{''.join(sections)}"
    )


def _missing_section(results: EvaluationSet) -> str:
    reasons: dict[str, list[str]] = {}
    for name in results.measure_names:
        if _is_known(results, name):
            continue
        measure = next(filter(None, (entry.measure(name) for entry in results.evaluations)))
        reasons.setdefault(measure.missing or "It has no value.", []).append(spoken(name))
    if not reasons:
        return ""
    items = [f"<li>{escape(', '.join(names))}: {escape(reason)}</li>" for reason, names in reasons.items()]
    return f"<h2>What was not measured</h2><ul>{''.join(items)}</ul>"


def summary(results: EvaluationSet) -> list[str]:
    """The headline numbers, a line for each video, for the console."""
    lines = []
    for entry in results.evaluations:
        told = [f"{spoken(name)} {number(entry.value(name))}" for name in HEADLINES if math.isfinite(entry.value(name))]
        lines.append(f"{entry.name}: {', '.join(told)}")
    return lines
