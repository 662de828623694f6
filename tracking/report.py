"""A clip's report: one page, without scripts or outside links, that shows what tracking saw and what to film better.

Made from a tracked clip alone, so that it can be made again at any time: `python -m tracking.report CLIP`.
"""

import shlex
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from html import escape
from importlib import resources
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from rich.console import Console

from tracking.background import BackgroundKind
from tracking.capture_check import Finding, Verdict, check_capture
from tracking.capture_measures import CaptureMeasures, frame_seconds, measure_capture
from tracking.capture_statistics import sample_statistics
from tracking.clip import TrackedClip
from tracking.console import say
from tracking.errors import UserError, one_sentence_for_user_errors
from tracking.flag_words import words_for
from tracking.frame_flags import FrameFlag, has_flag
from tracking.report_curves import ReportChart, ReportCurves, action_chart, pose_chart, report_curves
from tracking.report_frames import choose_frames
from tracking.report_pictures import LABEL_COLORS, FramePictures, frame_pictures, plate_picture
from tracking.termination import ended_in_order

REPORT_NAME = "report.html"
MOST_STRETCHES = 20
"""Stretches of left-out frames listed one by one."""
VERDICT_CLASSES = {Verdict.GOOD: "good", Verdict.COULD_BE_BETTER: "better", Verdict.PROBLEM: "problem"}
HATCH = (
    '<svg class="hidden" aria-hidden="true"><defs><pattern id="hatch" width="6" height="6" '
    'patternUnits="userSpaceOnUse"><path d="M-1 7L7 -1M-1 1L1 -1M5 7L7 5"/></pattern></defs></svg>'
)
"""The pattern that left-out frames are shaded with, known to all charts of the page."""
BACKGROUND_WORDS: dict[BackgroundKind, str] = {
    "plate": "one picture for the whole clip: the camera stands still",
    "per-frame": "each frame's own: the camera moves",
}
PLATE_WORDS: dict[BackgroundKind, str] = {
    "plate": "Where the person always stood it is made up from what is around.",
    "per-frame": "The camera moves, so this picture fits no frame well, and each frame's own background is used.",
}


def write_report(clip: TrackedClip) -> Path:
    """Write the report into the clip's folder, whole or not at all, and return its path.

    Raises:
        UserError: the folder cannot be written to, or a file of the clip is missing.
    """
    page = report_page(clip)
    path = clip.root / REPORT_NAME
    partial = path.with_suffix(".partial.html")
    try:
        partial.write_text(page, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise UserError(f"Cannot write {path} ({error.strerror}): make room, or change the permissions.") from error
    return path


def report_page(clip: TrackedClip) -> str:
    """The report as HTML; reads a bounded number of the clip's pictures."""
    chosen = choose_frames(clip)
    with ThreadPoolExecutor(1) as beside:
        sampled = beside.submit(sample_statistics, clip)
        pictures = [frame_pictures(clip, frame) for frame in chosen]
        statistics = sampled.result()
    measures = measure_capture(clip, statistics)
    name = Path(clip.source.path).name
    style = (resources.files("tracking") / "data" / "report.css").read_text(encoding="utf-8")
    parts = [
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(name)}: tracking report</title><style>{style}</style></head><body>{HATCH}",
        f"<h1>{escape(name)}</h1>",
        _facts(clip, measures),
        _check_section(check_capture(measures), measures),
        _contact_section(clip, chosen, pictures),
        _curves_section(report_curves(clip, measures, statistics)),
        _left_out_section(clip),
        _matte_section(clip, pictures),
        _commands_section(clip),
        "</body></html>\n",
    ]
    return "".join(parts)


def _facts(clip: TrackedClip, measures: CaptureMeasures) -> str:
    source, camera = clip.source, clip.intrinsics
    stamps = clip.track.presentation_timestamps
    duration = float((stamps[-1] - stamps[0]) * Fraction(source.time_base)) + 1 / source.frames_per_second
    left, top, width, height = source.crop
    whole = (left, top, width, height) == (0, 0, source.width, source.height)
    view = 2 * np.degrees(
        np.arctan(np.hypot(source.width, source.height) * camera.width / width / 2 / camera.focal_length)
    )
    left_aside = int((~clip.track.tracked & has_flag(clip.track.flags, FrameFlag.OUTSIDE)).sum())
    outside = f", {left_aside} of them outside of the chosen part" if left_aside else ""
    error = "not known"
    if np.isfinite(measures.reprojection_error):
        share = f"{100 * measures.reprojection_share:.2f}% of the distance between the irises"
        error = f"{measures.reprojection_error:.2f} pixels, {share}"
    facts = [
        ("Video", f"{duration:.2f} s, {source.frames_per_second:.4g} frames/s, {source.width} x {source.height}"),
        ("Crop", "the whole picture" if whole else f"{width} x {height} from ({left}, {top})"),
        ("Pictures of the clip", f"{camera.width} x {camera.height}"),
        ("Frames tracked", f"{int(clip.track.tracked.sum())} of {len(clip.track.tracked)}{outside}"),
        (
            "Focal length, estimated",
            f"{camera.focal_length:.0f} pixels; the video's diagonal field of view is {view:.0f}°",
        ),
        ("Background", BACKGROUND_WORDS[clip.background_kind]),
        ("Median error of the fit", error),
    ]
    return f'<dl class="facts">{"".join(f"<div><dt>{term}</dt><dd>{text}</dd></div>" for term, text in facts)}</dl>'


def _check_section(findings: list[Finding], measures: CaptureMeasures) -> str:
    counts = {verdict: sum(finding.verdict == verdict for finding in findings) for verdict in Verdict}
    summary = f"{counts[Verdict.GOOD]} of {len(findings)} checks are good"
    if counts[Verdict.PROBLEM]:
        summary += f", {counts[Verdict.PROBLEM]} found a problem"
    items = []
    for finding in sorted(findings, key=lambda finding: -list(Verdict).index(finding.verdict)):
        advice = f' <span class="advice">{escape(finding.advice)}</span>' if finding.advice else ""
        items.append(
            f'<li class="{VERDICT_CLASSES[finding.verdict]}"><span class="verdict">{finding.verdict.value}</span>'
            f"<span>{escape(finding.subject)}</span>"
            f'<span class="detail">{escape(finding.measured)}.{advice}</span></li>'
        )
    return (
        f"<h2>Is this good material?</h2><p>{summary}. An avatar can only show well what the clip shows of the person."
        f'</p><ul class="findings">{"".join(items)}</ul>'
        f'<div class="coverage"><section><h3>Sides of the head that were seen</h3>{pose_chart(measures)}'
        '<p class="note">Each point is a direction in which the face pointed, as seen from the camera; in the middle '
        f"it looks straight into it.</p></section>{_action_section(measures)}</div>"
    )


def _action_section(measures: CaptureMeasures) -> str:
    chart = action_chart(measures)
    if not chart:
        return ""
    return (
        f"<section><h3>Expressions that were seen</h3>{chart}"
        '<p class="note">From rest to the strongest moment, of 1. The mark is where it counts as seen.</p></section>'
    )


def _contact_section(clip: TrackedClip, chosen: dict[int, list[str]], pictures: list[FramePictures]) -> str:
    seconds = frame_seconds(clip)
    figures = []
    for picture in pictures:
        frame = picture.frame
        remarks = list(chosen[frame])
        remarks += [f"flagged: {word}" for word in words_for(clip, frame) if f"flagged: {word}" not in remarks]
        remarks.append(f"error {clip.track.reprojection_error[frame]:.2f} pixels")
        figures.append(
            f'<figure><img src="{picture.tracking}" alt="Frame {frame} with landmarks and mesh" loading="lazy">'
            f"<figcaption><b>{frame}</b> at {seconds[frame]:.2f} s<br>{escape(', '.join(remarks))}</figcaption>"
            "</figure>"
        )
    return (
        "<h2>What was tracked</h2><p>Yellow dots are the landmarks found in the picture, the blue mesh is the head "
        "fitted to all of them. The mesh should lie on the face, its lids and lips on the face's.</p>"
        f'<div class="pictures">{"".join(figures)}</div>'
    )


def _curves_section(curves: ReportCurves) -> str:
    shading = []
    if curves.has_left_out:
        shading.append(('<rect class="span-out" width="34" height="14"/>', "left out: not tracked, and not edited"))
    if curves.has_flagged:
        shading.append(('<rect class="span-flag" width="34" height="14"/>', "flagged: tracked, but less sure"))
    key = _legend(shading) if shading else "<p>Of the frames that were to be tracked none was left out or flagged.</p>"
    return (
        "<h2>Over time</h2><p>Rest the pointer on a chart to read its values.</p>"
        f'{key}<div class="charts">{"".join(_chart(chart) for chart in curves.charts)}</div>'
    )


def _chart(chart: ReportChart) -> str:
    samples = [
        (f'<path class="curve curve-{number}" d="M2 7L32 7"/>', name) for number, name in enumerate(chart.legend)
    ]
    note = f'<p class="note">{escape(chart.note)}</p>' if chart.note else ""
    return f"<section><h3>{escape(chart.heading)}</h3>{_legend(samples) if samples else ''}{chart.svg}{note}</section>"


def _legend(samples: Iterable[tuple[str, str]]) -> str:
    items = [
        f'<li><svg viewBox="0 0 34 14" aria-hidden="true">{drawing}</svg>{escape(name)}</li>'
        for drawing, name in samples
    ]
    return f'<ul class="legend">{"".join(items)}</ul>'


def _left_out_section(clip: TrackedClip) -> str:
    """Which frames are missing, and why; nothing if none are."""
    track, seconds = clip.track, frame_seconds(clip)
    reasons = np.where(track.tracked, 0, track.flags.astype(np.int64) + 1)
    starts = np.flatnonzero(np.diff(reasons, prepend=-1) != 0)
    ends = np.append(starts[1:], len(reasons)) - 1
    stretches = [(int(a), int(b)) for a, b in zip(starts, ends, strict=True) if reasons[a]]
    if not stretches:
        return ""
    longest = sorted(stretches, key=lambda stretch: stretch[0] - stretch[1])[:MOST_STRETCHES]
    duration = 1 / clip.source.frames_per_second
    rows = [
        f"<tr><td>{first if first == last else f'{first} to {last}'}</td>"
        f"<td>{seconds[first]:.2f} to {seconds[last] + duration:.2f} s</td>"
        f"<td>{escape(', '.join(words_for(clip, first)))}</td></tr>"
        for first, last in sorted(longest)
    ]
    more = len(stretches) - len(longest)
    note = f"<p>{more} more, shorter stretches are not listed.</p>" if more else ""
    return (
        f"<h2>Frames left out</h2><p>{int((~track.tracked).sum())} of {len(track.tracked)} frames: they are neither "
        "learned from nor edited.</p><table><tr><th>Frames</th><th>Time</th><th>Why</th></tr>"
        f"{''.join(rows)}</table>{note}"
    )


def _matte_section(clip: TrackedClip, pictures: list[FramePictures]) -> str:
    figures = [
        f'<figure><img src="{picture.matte}" alt="Frame {picture.frame}, the person over green" loading="lazy">'
        f'<img src="{picture.labels}" alt="Frame {picture.frame}, the labels" loading="lazy">'
        f"<figcaption><b>{picture.frame}</b></figcaption></figure>"
        for picture in pictures
    ]
    swatches = [
        f'<li><span class="swatch" style="background:rgb{color}"></span>{label.name.lower().replace("_", " ")}</li>'
        for label, color in LABEL_COLORS.items()
    ]
    plate = plate_picture(clip)
    background = (
        f'<h3>The background without the person</h3><figure class="plate"><img src="{plate}" alt="Background plate" '
        f'loading="lazy"></figure><p>{PLATE_WORDS[clip.background_kind]}</p>'
        if plate
        else ""
    )
    return (
        "<h2>How the person was cut out</h2><p>The same frames over green, and the regions that a prompt can name. "
        "Hair should be whole, and no piece of the room should hang on to it.</p>"
        f'<ul class="legend">{"".join(swatches)}</ul><div class="strip">{"".join(figures)}</div>{background}'
    )


def _commands_section(clip: TrackedClip) -> str:
    data = shlex.quote(str(clip.root))
    files = (
        ("transforms.json", "the camera, and every frame's pose"),
        ("tracking.npz", "expressions, landmarks, errors and flags of every frame"),
        ("images/", "the pictures that the avatar learns from"),
        ("masks/", "how much of each pixel is the person"),
        ("labels/", "which region each pixel belongs to"),
        ("background.png", "the scene without the person"),
        ("preview.mp4", "the video with all this drawn onto it"),
    )
    rows = [f"<tr><td>{name}</td><td>{what}</td></tr>" for name, what in files if (clip.root / name).exists()]
    train = f"ns-train portrait-edit --data {data}"
    commands = (
        f'{train}\n{train} --pipeline.prompts "turn him into a bronze statue" "hair: make it silver"\n'
        "portrait-render --output edited.mp4 --prompt 1"
    )
    return (
        f"<h2>What next</h2><p>Learn the portrait, or learn it and edit it; then render the video.</p>"
        f"<pre>{escape(commands)}</pre><h3>What is in the folder</h3><table>{''.join(rows)}</table>"
        f'<p class="soft">Tracked from {escape(clip.source.path)}</p>'
    )


def main() -> None:
    """Run `python -m tracking.report`."""
    with one_sentence_for_user_errors(), ended_in_order():
        tyro.cli(_run, prog="python -m tracking.report", description="Write the report of a tracked clip again.")


def _run(clip: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="CLIP")]) -> None:
    """
    Args:
        clip: The folder of a tracked clip.
    """
    say(Console(), f"Wrote {write_report(TrackedClip.load(clip))}")


if __name__ == "__main__":
    main()
