"""Measure how well the avatar reconstructs frames of a tracked clip that it never saw.

    python scripts/measure_reconstruction.py CLIP --steps 2000 --output measurements/reconstruction.json
    python scripts/measure_reconstruction.py CLIP --minutes 10 --at 3 --threads 2 --keep outputs
    python scripts/measure_reconstruction.py CLIP --steps 2000 --seeds 42 1 2 --within OTHER_CLIP

The registered method is trained by nerfstudio's own trainer with every eighth tracked frame held out, for a number of
steps or by the clock. Then the held-out frames, and as many training frames spread evenly over the clip, are rendered
and compared with the filmed frames; `reconstruction_quality.py` says what each number means. With `--at` the held-out
frames are also measured on the way, while the clock stands still.

Two trainings that differ in nothing but their seed differ by some tenths of a decibel. To compare two trackings of one
video, train with several `--seeds` each, whose mean is reported, and measure both inside the same mattes (`--within`):
a matte that is wider by a few pixels of hair is harder to reconstruct, whatever the avatar.
"""

import tempfile
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import tyro
from measuring import circumstances, peak_memory_bytes, use_threads, write_measurements
from nerf_methods import ours
from nerfstudio.utils.rich_utils import CONSOLE
from reconstruction_quality import (
    FilmedFrame,
    RenderedFrame,
    contact_sheet,
    filmed_frames,
    mean_quality,
    render_all,
    what_is_missing,
)
from rich.table import Table
from timed_training import TimedTraining
from training_benchmarks import held_out_facts, tell_written

from stage2_nerf.datamanager import PortraitDataset
from stage2_nerf.pipeline import PortraitEditPipelineConfig
from tracking.clip import TrackedClip, write_png
from tracking.errors import UserError, one_sentence_for_user_errors
from tracking.spread_evenly import spread_evenly
from tracking.track import find_or_track

SHEET_FRAMES = 6
"""Frames on the contact sheet."""


@dataclass
class Arguments:
    """Measure the reconstruction of held-out frames."""

    clip: Annotated[Path, tyro.conf.Positional]
    """A tracked clip; or a video, which is tracked first."""
    steps: int | None = None
    """Training steps; the method's own number if neither steps nor minutes are given."""
    minutes: float | None = None
    """Train for so many minutes instead."""
    at: tuple[float, ...] = ()
    """With --minutes: measure the held-out frames at these minutes of training as well."""
    seeds: tuple[int, ...] = (42,)
    """Train once from each of these; what is reported is the mean."""
    within: Path | None = None
    """Another tracked clip of the same video, inside whose mattes errors count; else the clip's own."""
    threads: int = 1
    """Threads to train and render with."""
    output: Path = Path("measurements/reconstruction.json")
    """Where to write the measurements. A contact sheet goes beside them, under the same name with .png."""
    keep: Path | None = None
    """Keep the runs below this folder, as `ns-train --output-dir` would, to render later; else they are removed."""

    def check(self) -> None:
        """See whether the arguments go together.

        Raises:
            UserError: they do not.
        """
        if self.steps is not None and self.minutes is not None:
            raise UserError("Give --steps or --minutes, not both.")
        if not self.seeds:
            raise UserError("--seeds needs at least one number.")
        if self.at and (self.minutes is None or max(self.at) > self.minutes or min(self.at) <= 0):
            raise UserError("--at needs --minutes, and moments within them: for example --minutes 10 --at 3.")


def main(arguments: Arguments) -> None:
    """Train, measure, write and print."""
    with one_sentence_for_user_errors():
        arguments.check()
        clip = find_or_track(arguments.clip)
        within = None if arguments.within is None else other_clip_of_same_video(arguments.within, clip)
    use_threads(arguments.threads)
    runs = [run(clip, within, seed, arguments) for seed in arguments.seeds]
    measurements = {
        "what": "reconstruction of held-out frames",
        **circumstances(),
        "clip": runs[0].clip,
        "seeds": list(arguments.seeds),
        "mattes_of": (within or clip).root.name,
        **mean_of([run.measurements for run in runs]),
        "held_out_of_each_seed": [run.measurements["held_out"] for run in runs],
        "peak_memory_bytes": peak_memory_bytes(),
        "missing": what_is_missing(),
    }
    write_measurements(arguments.output, measurements)
    held_out = runs[0].held_out
    chosen = [held_out[i] for i in spread_evenly(len(held_out), SHEET_FRAMES)]
    write_png(arguments.output.with_suffix(".png"), contact_sheet(chosen))
    CONSOLE.print(summary(measurements))
    tell_written(arguments.output, arguments.output.with_suffix(".png"))


@dataclass(frozen=True)
class Run:
    """One training, measured."""

    clip: dict[str, Any]
    """What it was trained on."""
    measurements: dict[str, Any]
    """Numbers, of which several runs have a mean."""
    held_out: list[RenderedFrame]


def run(clip: TrackedClip, within: TrackedClip | None, seed: int, arguments: Arguments) -> Run:
    """Train from one seed and compare held-out and training frames with what was filmed."""
    with nullcontext(arguments.keep) if arguments.keep else tempfile.TemporaryDirectory() as folder:
        config = ours(clip, Path(folder))
        assert isinstance(config.pipeline, PortraitEditPipelineConfig)
        config.machine.seed = seed
        if arguments.steps is not None:
            config.pipeline.reconstruction_steps = arguments.steps
        budget = None if arguments.minutes is None else 60 * arguments.minutes
        training = TimedTraining(config, budget_seconds=budget)
        moments = [*sorted(arguments.at), arguments.minutes]
        curve = train(training, within, config.pipeline.reconstruction_steps, moments)
        if arguments.keep:
            training.save()
        datamanager = training.datamanager
        held_out = render_all(training.model, measured_frames(datamanager.eval_dataset, within))
        rows = spread_evenly(len(datamanager.train_dataset), len(held_out))
        seen = render_all(training.model, measured_frames(datamanager.train_dataset, within, rows))
    return Run(
        {
            **held_out_facts(clip),
            "training_frames": len(datamanager.train_dataset),
            "held_out_frames": len(held_out),
        },
        {
            "steps": training.steps,
            "rays_per_step": datamanager.config.train_num_rays_per_batch,
            "device": str(training.model.device),
            "set_up_seconds": round(training.set_up_seconds, 2),
            "training_seconds": round(training.seconds, 2),
            "milliseconds_per_step": round(1000 * training.seconds / training.steps, 2),
            "milliseconds_per_render": round(1000 * float(np.median([frame.seconds for frame in held_out])), 2),
            "held_out": mean_quality(held_out),
            "training": mean_quality(seen),
            "on_the_way": curve,
        },
        held_out,
    )


def train(
    training: TimedTraining, within: TrackedClip | None, steps: int, minutes: list[float | None]
) -> list[dict[str, Any]]:
    """Train to the end, and measure the held-out frames at every moment before it."""
    curve = []
    for moment in minutes[:-1]:
        assert moment is not None
        training.train_for(60 * moment)
        frames = measured_frames(training.datamanager.eval_dataset, within)
        held_out = mean_quality(render_all(training.model, frames))
        curve.append({"minutes": round(training.seconds / 60, 3), "steps": training.steps, "held_out": held_out})
    if minutes[-1] is None:
        training.train_steps(steps)
    else:
        training.train_for(60 * minutes[-1])
    return curve


def measured_frames(
    dataset: PortraitDataset, within: TrackedClip | None, rows: list[int] | None = None
) -> list[FilmedFrame]:
    """Some of a dataset's frames as filmed, with the mattes inside which errors count."""
    frames = filmed_frames(dataset, rows)
    if within is None:
        return frames
    return [replace(frame, matte=torch.from_numpy(within.matte(frame.number))[..., None]) for frame in frames]


def other_clip_of_same_video(path: Path, clip: TrackedClip) -> TrackedClip:
    """The clip whose mattes count.

    Raises:
        UserError: its frames are not those of the clip.
    """
    other = find_or_track(path)
    pictures = [(each.source.crop, each.intrinsics.width, each.intrinsics.height) for each in (clip, other)]
    if pictures[0] != pictures[1] or not np.isin(clip.frames, other.frames).all():
        raise UserError(f"{path} is not of the same frames as {clip.root}: track the same video at the same --size.")
    return other


def mean_of(values: list[Any]) -> Any:
    """The mean of numbers, entry by entry where they are in lists or dictionaries; what is no number, of the first."""
    first = values[0]
    if isinstance(first, dict):
        return {name: mean_of([value[name] for value in values]) for name in first}
    if isinstance(first, list):
        return [mean_of(list(entries)) for entries in zip(*values, strict=True)]
    if not isinstance(first, (int, float)):
        return first
    mean = float(np.mean(values))
    return int(mean) if isinstance(first, int) and mean == int(mean) else round(mean, 4)


def summary(measurements: dict[str, Any]) -> Table:
    """What was measured, as a small table."""
    seeds = len(measurements["seeds"])
    of_seeds = f", mean of {seeds} seeds" if seeds > 1 else ""
    table = Table(title=f"{measurements['clip']['name']}: {measurements['steps']:g} steps{of_seeds}")
    on_the_way = measurements["on_the_way"]
    for heading in ("", *(f"held out, {point['minutes']:.1f} min" for point in on_the_way), "held out", "training"):
        table.add_column(heading, justify="right" if heading else "left")
    columns = [*(point["held_out"] for point in on_the_way), measurements["held_out"], measurements["training"]]
    for name in measurements["held_out"]:
        table.add_row(name, *("missing" if column[name] is None else f"{column[name]:.3f}" for column in columns))
    for name in ("set_up_seconds", "training_seconds", "milliseconds_per_step", "milliseconds_per_render"):
        table.add_row(name, *("" for _ in on_the_way), f"{measurements[name]:.1f}", "")
    return table


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
