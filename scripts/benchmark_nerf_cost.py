"""How the avatar's costs grow: with rays, with frames, with the size of the picture.

    python scripts/benchmark_nerf_cost.py CLIP --output measurements/nerf_cost.json

A few training steps are made on the clip; then one thing at a time is changed and the median of some steps, or of some
rendered frames, is taken:

    rays         a step's time against its rays
    frames       a step's time, and that of setting up, against the clip's frames (longer clips than CLIP are CLIP to
                 and fro)
    size         a step's time against the pixels of the clip's pictures, and a frame's rendering time against its own;
                 `person_share` is how much of the frame the avatar fills

`exponent` is the slope of a straight line through the logarithms: 0 where something costs nothing more, 1 where twice
as much costs twice as much.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import torch
import tyro
from clip_copies import copy_clip, to_and_fro
from measuring import circumstances, use_threads, write_measurements
from nerf_methods import ours
from nerfstudio.utils.rich_utils import CONSOLE
from timed_training import TimedTraining
from training_benchmarks import clip_facts, tell_written

from stage2_nerf.pipeline import PortraitEditPipelineConfig
from tracking.clip import TrackedClip
from tracking.errors import one_sentence_for_user_errors

matplotlib.use("Agg")

RAYS = (256, 512, 1024, 2048, 4096)
FRAMES = (30, 120, 480)
SCALES = (0.5, 0.71, 1.0, 1.41, 2.0)
"""Sizes over the clip's own."""
COPIED_SCALES = (0.5, 1.0, 2.0)

Points = list[dict[str, float]]


@dataclass
class Arguments:
    """See how the avatar's costs grow."""

    clip: Annotated[Path, tyro.conf.Positional]
    """A tracked clip."""
    warm_up: int = 100
    """Steps that are made before any is timed, so that the samples are where they will be."""
    steps: int = 8
    """Steps that each median is taken of."""
    threads: int = 1
    """Threads to train and render with."""
    output: Path = Path("measurements/nerf_cost.json")
    """Where to write the measurements. A picture goes beside them, under the same name with .png."""


def main(arguments: Arguments) -> None:
    """Measure, write, draw."""
    use_threads(arguments.threads)
    with one_sentence_for_user_errors():
        clip = TrackedClip.load(arguments.clip)
    with tempfile.TemporaryDirectory() as folder:
        training = begin(clip, Path(folder) / "run", arguments.warm_up)
        curves = {
            "step_against_rays": points(
                "rays", RAYS, lambda rays: {"seconds": step_seconds(training, arguments, rays)}
            ),
            "render_against_pixels": points("pixels", SCALES, lambda scale: render_seconds(training, scale)),
        }
        curves["step_against_frames"], curves["set_up_against_frames"] = against_frames(clip, Path(folder), arguments)
        curves["step_against_pixels"] = against_pixels(clip, Path(folder), arguments)
    measurements = {
        "what": "how the costs of training and rendering grow",
        **circumstances(),
        "clip": clip_facts(clip),
        "curves": {
            name: {"exponent": exponent(curve, name.partition("_against_")[2]), "points": curve}
            for name, curve in curves.items()
        },
    }
    write_measurements(arguments.output, measurements)
    draw(measurements["curves"], arguments.output.with_suffix(".png"))
    for name, curve in measurements["curves"].items():
        CONSOLE.print(f"{name.replace('_', ' ')}: exponent {curve['exponent']:.2f}")
    tell_written(arguments.output, arguments.output.with_suffix(".png"))


def begin(clip: TrackedClip, folder: Path, steps: int) -> TimedTraining:
    """A training that has begun."""
    config = ours(clip, folder)
    assert isinstance(config.pipeline, PortraitEditPipelineConfig)
    training = TimedTraining(config)
    training.train_steps(steps)
    return training


def points(name: str, values: Sequence[float], measure: Callable[[Any], dict[str, float]]) -> Points:
    """What is measured at each of some values."""
    return [{name: value, **measure(value)} for value in values]


def step_seconds(training: TimedTraining, arguments: Arguments, rays: int | None = None) -> float:
    """The median of some steps."""
    if rays is not None:
        training.datamanager.train_pixel_sampler.set_num_rays_per_batch(rays)
    training.train_steps(training.steps + 2 + arguments.steps)
    return round(float(np.median(training.step_seconds[-arguments.steps :])), 5)


@torch.no_grad()
def render_seconds(training: TimedTraining, scale: float) -> dict[str, float]:
    """Pixels of a frame at a size, how long it is rendered (the median of some frames), and what the person fills."""
    seconds, shares, pixels = [], [], 0
    for row in range(min(4, len(training.datamanager.eval_dataset))):
        camera = training.datamanager.eval_dataset.cameras[row : row + 1].to(training.model.device)
        camera.rescale_output_resolution(scale)
        pixels = int(camera.width) * int(camera.height)
        start = time.perf_counter()
        outputs = training.model.render_frame(camera)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
        shares.append(float((outputs["accumulation"] > 0.5).float().mean()))
    typical = float(np.median(seconds[1:] or seconds))
    return {
        "pixels": pixels,
        "seconds": round(typical, 5),
        "frames_per_second": round(1 / typical, 2),
        "person_share": round(float(np.mean(shares)), 3),
    }


def against_frames(clip: TrackedClip, folder: Path, arguments: Arguments) -> tuple[Points, Points]:
    """A step's time and that of setting up, for clips of other lengths."""
    steps, set_ups = [], []
    for count in FRAMES:
        copy = copy_clip(clip, folder / f"frames_{count}", to_and_fro(clip.frames.tolist(), count))
        training = begin(copy, folder / "run", arguments.warm_up // 4)
        steps.append({"frames": count, "seconds": step_seconds(training, arguments)})
        set_ups.append({"frames": count, "seconds": round(training.set_up_seconds, 3)})
    return steps, set_ups


def against_pixels(clip: TrackedClip, folder: Path, arguments: Arguments) -> Points:
    """A step's time for clips of other sizes."""
    found = []
    for scale in COPIED_SCALES:
        copy = copy_clip(clip, folder / f"scale_{scale}", to_and_fro(clip.frames.tolist(), 30), scale)
        pixels = copy.intrinsics.width * copy.intrinsics.height
        training = begin(copy, folder / "run", arguments.warm_up // 4)
        found.append({"pixels": pixels, "seconds": step_seconds(training, arguments)})
    return found


def exponent(curve: Points, name: str) -> float:
    """The slope of the line through the logarithms."""
    slope, _ = np.polyfit(np.log([point[name] for point in curve]), np.log([point["seconds"] for point in curve]), 1)
    return round(float(slope), 3)


def draw(curves: dict[str, Any], path: Path) -> None:
    """Every curve in a panel of its own, on logarithmic axes, with its exponent."""
    figure, panels = plt.subplots(1, len(curves), figsize=(3.2 * len(curves), 3), dpi=110)
    for axes, (name, curve) in zip(panels, curves.items(), strict=True):
        what, _, against = name.partition("_against_")
        axes.plot(*([point[key] for point in curve["points"]] for key in (against, "seconds")), "o-", color="#0072b2")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel(against)
        axes.set_title(
            f"{what.replace('_', ' ')}, seconds: ~ {against}^{curve['exponent']:.2f}", fontsize=9, loc="left"
        )
        axes.grid(color="#dddddd", linewidth=0.8, which="both")
        axes.spines[["top", "right"]].set_visible(False)
        middle = np.sqrt(np.prod(axes.get_ylim()))
        axes.set_ylim(min(axes.get_ylim()[0], middle / 3), max(axes.get_ylim()[1], middle * 3))
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    plt.close(figure)


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
