"""A run's `index.html`: what was asked for, how training went, which videos there are, and the commands to make more.

One page without scripts or outside links; it names the videos and pictures beside it, so a run's folder can be moved
as a whole. It is made again whenever the run trains or renders something.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from pathlib import Path
from urllib.parse import quote

import numpy as np

from stage1_edit.edited_frames import folder_name
from stage1_edit.prompts import EditPrompt
from stage2_nerf.training_record import TrainingMoment, phases, read_record
from stage2_nerf.video_poster import poster
from tracking.errors import writing_failed
from tracking.spread_evenly import spread_evenly
from tracking.svg_charts import Curve, TimeAxis, line_chart

PAGE_NAME = "index.html"
VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".m4v")
SHOWN_EDITS = 6
"""Edited frames of each prompt on the page."""


@dataclass(frozen=True)
class RunFacts:
    """What the page tells of a run."""

    folder: Path
    """Holds config.yml; the page goes there."""
    clip: Path
    """The tracked clip."""
    source: Path
    """The video that the clip was made from."""
    prompts: tuple[EditPrompt, ...]
    editor: str
    settings: tuple[tuple[str, str], ...]
    """Names and values of what was chosen for the run."""


def write_run_page(facts: RunFacts) -> Path:
    """Write the page, whole or not at all, and return its path.

    Raises:
        UserError: the folder cannot be written to.
    """
    path = facts.folder / PAGE_NAME
    partial = path.with_suffix(".partial.html")
    try:
        partial.write_text(run_page(facts), encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise writing_failed(path, error) from error
    return path


def run_page(facts: RunFacts) -> str:
    """The page as HTML."""
    style = (resources.files("tracking") / "data" / "report.css").read_text(encoding="utf-8")
    title = f"{facts.source.stem}: {'an avatar and its edits' if facts.prompts else 'an avatar'}"
    moments = read_record(facts.folder)
    parts = [
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title><style>{style}</style></head><body>",
        f"<h1>{escape(title)}</h1>",
        f'<p class="soft">Learned from {escape(str(facts.source))}, tracked in {escape(str(facts.clip))}.</p>',
        _prompts_section(facts),
        _videos_section(facts),
        _training_section(moments),
        _commands_section(facts),
        _settings_section(facts),
        "</body></html>\n",
    ]
    return "".join(parts)


def _prompts_section(facts: RunFacts) -> str:
    rows = ["<tr><td>0</td><td>the unedited avatar</td><td></td></tr>"]
    for number, prompt in enumerate(facts.prompts, start=1):
        region = "whole person" if prompt.region == "person" else prompt.region
        rows.append(f"<tr><td>{number}</td><td>{escape(prompt.text)}</td><td>{escape(region)}</td></tr>")
    strips = []
    for prompt in facts.prompts:
        pictures = _edited_pictures(facts, prompt)
        if pictures:
            shown = "".join(
                f'<figure><img src="{escape(str(path.relative_to(facts.folder)))}" alt="frame {int(path.stem)} edited" '
                f'loading="lazy"><figcaption>frame {int(path.stem)}</figcaption></figure>'
                for path in pictures
            )
            strips.append(f'<h3>{escape(str(prompt))}</h3><div class="strip">{shown}</div>')
    edits = f"<h2>What the editor made</h2>{''.join(strips)}" if strips else ""
    return f"<h2>Looks</h2><table><tr><th>Number</th><th>Prompt</th><th>Region</th></tr>{''.join(rows)}</table>{edits}"


def _edited_pictures(facts: RunFacts, prompt: EditPrompt) -> list[Path]:
    """Some of the frames that the editor made for a prompt, evenly spread."""
    folder = facts.folder / "edited" / folder_name(prompt, facts.editor)
    paths = sorted(path for path in folder.glob("*.png") if path.stem.isdecimal())
    return [paths[index] for index in spread_evenly(len(paths), SHOWN_EDITS)] if paths else []


def _videos_section(facts: RunFacts) -> str:
    videos = sorted(
        path for path in facts.folder.iterdir() if path.suffix in VIDEO_SUFFIXES and not path.name.startswith(".")
    )
    if not videos:
        return "<h2>Videos</h2><p>None was rendered into this folder yet: the commands below do.</p>"
    figures = "".join(
        f'<figure><video controls loop muted preload="metadata"{_poster_attribute(path)} '
        f'src="{quote(path.name)}"></video>'
        f'<figcaption><a href="{quote(path.name)}">{escape(path.name)}</a></figcaption></figure>'
        for path in videos
    )
    return f'<h2>Videos</h2><div class="videos">{figures}</div>'


def _poster_attribute(video: Path) -> str:
    picture = poster(video)
    return "" if picture is None else f' poster="{picture}"'


def _training_section(moments: Sequence[TrainingMoment]) -> str:
    if not moments:
        return ""
    rows, charts = [], []
    start = 0.0
    for phase, recorded in phases(moments).items():
        name = phase or "the portrait as filmed"
        seconds = recorded[-1].seconds - start
        edits = edits_in_words(recorded[-1]) if phase else ""
        evaluations = f"{recorded[-1].network_evaluations:,}" if phase else ""
        rows.append(
            f"<tr><td>{escape(name)}</td><td>{recorded[-1].step}</td><td>{seconds:.0f} s</td>"
            f"<td>{recorded[-1].psnr_in_matte:.1f} dB</td><td>{edits}</td><td>{evaluations}</td></tr>"
        )
        axis = TimeAxis(
            np.array([moment.seconds - start for moment in recorded]),
            np.array([moment.step for moment in recorded]),
            0.0,
            "step",
        )
        curve = Curve("PSNR", np.array([moment.psnr_in_matte for moment in recorded]))
        if len(recorded) > 1:
            chart = line_chart(f"PSNR of {name}", "dB", axis, (curve,), [], least_range=3.0)
            charts.append(f"<section><h3>{escape(name)}</h3>{chart}</section>")
        start = recorded[-1].seconds
    return (
        "<h2>Training</h2><p>PSNR inside the person's matte of the pixels that were trained on: how near the avatar "
        "came to the filmed frames, or to the edited ones. Edits that differ from frame to frame keep it lower.</p>"
        "<table><tr><th>What</th><th>Steps</th><th>Time</th><th>PSNR at the end</th><th>Edits</th>"
        "<th>Network evaluations</th></tr>"
        f'{"".join(rows)}</table><div class="charts">{"".join(charts)}</div>'
    )


def edits_in_words(moment: TrainingMoment) -> str:
    """How many edits a phase had, and what the expression guard did to them."""
    if not moment.retried_edits:
        return f"{moment.edited_frames:,}"
    return (
        f"{moment.edited_frames:,}: {moment.retried_edits:,} moved the face and were retried, "
        f"{moment.dropped_edits:,} dropped"
    )


def _commands_section(facts: RunFacts) -> str:
    run, clip = shlex.quote(str(facts.folder)), shlex.quote(str(facts.clip))
    render = f"portrait-render --load-config {run}"
    commands = [f"{render} --output edited.mp4 --prompt {1 if facts.prompts else 0}"]
    if facts.prompts:
        commands.append(f"{render} --output beside.mp4 --prompt all --side-by-side")
        commands.append(f'{render} --output blend.mp4 --blend "0.7*1 + 0.3*original"')
    train = f"ns-train portrait-edit --data {clip} --load-dir {run}/nerfstudio_models"
    commands += [
        f"{render} --output orbit.mp4 --orbit 12",
        f'{train} --pipeline.prompts "hair: make it red"',
        f"ns-viewer --load-config {run}/config.yml",
        f"portrait-eval --load-config {run}",
    ]
    return f"<h2>What next</h2><pre>{escape(chr(10).join(commands))}</pre>"


def _settings_section(facts: RunFacts) -> str:
    rows = [("Editor", facts.editor or "none"), *facts.settings]
    cells = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows)
    return (
        f'<h2>Settings</h2><dl class="facts">{cells}</dl>'
        '<p class="soft">Every setting is in <a href="config.yml">config.yml</a>, the checkpoints in '
        "nerfstudio_models/, the edited frames in edited/.</p>"
    )
