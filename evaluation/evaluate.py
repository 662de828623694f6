"""The command `portrait-eval`: how good an edited video is, as numbers and as a page that explains them."""

import logging
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.console import Console
from rich.logging import RichHandler

from evaluation.compare import compare_folders
from evaluation.measuring import EditedVideo, MeasuringConfig, measure
from evaluation.metric_set import EditQuestion, MetricsConfig, build_metrics
from evaluation.panels import split_panels
from evaluation.report import summary, write_report
from evaluation.results import FILE_NAME, EvaluationSet
from evaluation.side_by_side import SideBySide
from evaluation.video_pairs import Span, Window
from stage1_edit.prompts import EditPrompt
from tracking.clip import TrackedClip
from tracking.console import say
from tracking.errors import UserError, one_sentence_for_user_errors
from tracking.termination import ended_in_order
from tracking.track import find_or_track

if TYPE_CHECKING:
    from evaluation.run_videos import FinishedRun

DEFAULT_FOLDER = "evaluation"


@dataclass
class EvaluateConfig:
    """Measure edited videos against their source: every edit of a run, or any video. Writes metrics.json and
    report.html."""

    load_config: Path | None = None
    """The run to measure: its config.yml, or its folder. The newest run below outputs/ if neither this nor --video is
    given. Its videos are rendered first if they are not there."""
    video: Path | None = None
    """Measure this edited video instead of a run; say with --clip or --source what it is an edit of."""
    clip: Path | None = None
    """The tracked clip of the video's source."""
    source: Path | None = None
    """The video's source; it is tracked first, once."""
    panels: int | None = None
    """The video shows so many panels side by side, among them source and edit."""
    source_panel: int = 1
    """Which of the panels is the source, counted from 1 at the left."""
    edit_panel: int = 2
    """Which of the panels is the edit."""
    prompt: tuple[str, ...] = ()
    """What the edit shows, in words, such as "a bronze statue of a man", for the measures of how well the edit fits;
    one for each prompt of a run, in their order. The run's own prompts if not given. With --video it may begin with a
    region and a colon, as in "hair: silver hair", inside of which flicker is measured too."""
    source_prompt: str = ""
    """What the source shows, in words, such as "a man in a car"."""
    metrics: Annotated[MetricsConfig, tyro.conf.arg(name="")] = field(default_factory=MetricsConfig)
    """What is measured, and with which networks."""
    output: Path | None = None
    """The folder to write to: `evaluation` in the run's folder, or beside the video, if not given."""
    overwrite: bool = False
    """Replace an evaluation that is there."""
    every: int = 1
    """Measure only every so many-th frame."""
    max_frames: int | None = None
    """Measure only the first so many frames."""
    size: int = 512
    """Measure pictures with a longer side of at most so many pixels."""
    offset: float = 0.0
    """The second of the source at which the edited video begins."""
    compare: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="FOLDER ...")] = ()
    """Compare finished evaluations (their folders, or their runs') in one table instead."""


def evaluate(config: EvaluateConfig) -> EvaluationSet:
    """Measure what is asked for, and write the numbers and the report.

    Raises:
        UserError: there is nothing to measure, or it cannot be written.
    """
    _check(config)
    if config.video is None:
        # nerfstudio takes seconds to import, and a video of another system needs none of it.
        from evaluation.run_videos import FinishedRun
        from stage2_nerf.finished_run import find_config

        run = FinishedRun.open(find_config(config.load_config))
        output = _prepared_output(config, run.folder / DEFAULT_FOLDER)
        return _evaluate_run(config, run, output)
    output = _prepared_output(config, config.video.parent / f"{config.video.stem}_{DEFAULT_FOLDER}")
    return _evaluate_video(config, output)


def _evaluate_run(config: EvaluateConfig, run: "FinishedRun", output: Path) -> EvaluationSet:
    if config.prompt and len(config.prompt) != len(run.prompts):
        raise UserError(
            f"The run has {len(run.prompts)} prompts and --prompt gives {len(config.prompt)} descriptions: give one "
            "for each, in their order."
        )
    remarks = [
        "'The avatar alone' shows what the avatar has learned; 'unedited' is the same with the film's fine detail, as "
        "every edit has it: what it is off by, no edit can do without."
    ]
    if not run.prompts:
        remarks.append("The run has no edit: only its reconstruction was measured.")
    run.render_missing()
    texts = dict(zip(map(str, run.prompts), config.prompt or [prompt.text for prompt in run.prompts], strict=True))
    videos = [(wanted.edited, wanted.prompt, texts.get(str(wanted.prompt), "")) for wanted in run.wanted()]
    return _measure_all(config, run.clip, videos, remarks, output)


def _evaluate_video(config: EvaluateConfig, output: Path) -> EvaluationSet:
    assert config.video is not None
    video, source = config.video, config.source
    if config.panels is not None:
        source, panel = output / "source.mp4", output / "edit.mp4"
        split_panels(video, config.panels, {config.source_panel: source, config.edit_panel: panel})
        edited = EditedVideo(panel, video.stem)
    else:
        edited = EditedVideo(video, video.stem)
    if config.clip is not None:
        clip = TrackedClip.load(config.clip)
    else:
        assert source is not None
        clip = find_or_track(source)
    prompt = EditPrompt.parse(config.prompt[0]) if config.prompt else None
    return _measure_all(config, clip, [(edited, prompt, prompt.text if prompt else "")], [], output)


def _measure_all(
    config: EvaluateConfig,
    clip: TrackedClip,
    videos: list[tuple[EditedVideo, EditPrompt | None, str]],
    remarks: list[str],
    output: Path,
) -> EvaluationSet:
    measuring = MeasuringConfig(config.size, config.offset, Span(config.every, config.max_frames))
    window = Window.of_clip(clip, config.size)
    evaluations, side_by_sides = [], []
    for number, (edited, prompt, text) in enumerate(videos):
        question = EditQuestion(
            "person" if prompt is None else prompt.region,
            config.source_prompt,
            text,
            clip.track.expression_names,
            is_reconstruction=not edited.is_edit,
        )
        side_by_sides.append(output / f"side-by-side-{number}.mp4")
        with SideBySide(side_by_sides[-1], clip.source.frames_per_second / config.every) as shown:
            evaluations.append(measure(clip, edited, build_metrics(config.metrics, question), measuring, shown.update))
    left, top, width, height = clip.source.crop
    if (width, height) != (clip.source.width, clip.source.height):
        remarks.append(
            f"Measured was the part of the source that its tracked clip shows: {width} x {height} pixels from "
            f"({left}, {top})."
        )
    if window.size != (width, height):
        remarks.append(f"It was measured at {window.size[0]} x {window.size[1]} pixels; --size allows more.")
    results = EvaluationSet(clip.source.path, clip.source.frames_per_second, window.size, evaluations, remarks)
    results.save(output)
    report = write_report(results, clip, measuring, output, side_by_sides)
    console = Console()
    for line in summary(results):
        say(console, line)
    say(console, f"Wrote {report} and {output / FILE_NAME}.")
    return results


def _check(config: EvaluateConfig) -> None:
    """See whether the options go together.

    Raises:
        UserError: they do not.
    """
    if config.video is not None and config.load_config is not None:
        raise UserError("Give either a run with --load-config or a video with --video, not both.")
    if config.video is None:
        for name in ("clip", "source", "panels"):
            if getattr(config, name) is not None:
                raise UserError(f"--{name} describes a video: name that with --video.")
    elif [config.clip, config.source, config.panels].count(None) != 2:
        raise UserError(
            "Say what --video is an edit of: either --clip with the source's tracked clip, or --source with the source "
            "video, or --panels where one video shows both."
        )
    if config.panels is not None and config.source_panel == config.edit_panel:
        raise UserError("--source-panel and --edit-panel are the same: name the two panels to compare.")
    if config.video is not None and len(config.prompt) > 1:
        raise UserError("One video shows one edit: give a single --prompt, in quotation marks.")
    if config.video is not None and not config.video.is_file():
        raise UserError(f"{config.video} does not exist: give the path of a video.")
    for name, least in (("every", 1), ("max_frames", 5), ("size", 64)):
        value = getattr(config, name)
        if value is not None and value < least:
            raise UserError(f"--{name.replace('_', '-')} {value} is too little: give at least {least}.")
    weights = config.metrics.weights_dir
    if weights is not None and not weights.is_dir():
        raise UserError(f"{weights} is no folder: give the folder of the weights, or leave --weights-dir out.")


def _prepared_output(config: EvaluateConfig, default: Path) -> Path:
    """The folder to write to, which must not hold an evaluation already unless that may be replaced."""
    output = config.output or default
    if output.exists() and not output.is_dir():
        raise UserError(f"{output} is a file: give the name of a folder with --output.")
    if (output / FILE_NAME).exists() and not config.overwrite:
        raise UserError(f"{output} holds an evaluation already: add --overwrite, or give another --output.")
    existing = next(folder for folder in (output, *output.absolute().parents) if folder.exists())
    if not (existing.is_dir() and os.access(existing, os.W_OK)):
        raise UserError(f"{existing} is no folder that can be written to: choose another --output.")
    return output


def main() -> None:
    """Run `portrait-eval`."""
    console = Console(stderr=True)
    logging.basicConfig(
        level=logging.WARNING, handlers=[RichHandler(console=console, show_time=False, show_path=False)]
    )
    config = tyro.cli(EvaluateConfig, prog="portrait-eval", description=EvaluateConfig.__doc__)
    with one_sentence_for_user_errors(), ended_in_order():
        if config.compare:
            compare_folders(config.compare, config.output, config.overwrite)
        else:
            evaluate(config)
