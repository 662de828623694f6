"""Compare the avatar with nerfstudio's nerfacto and with NeRFBlendShape's recipe, on the same frames, at equal time.

    python scripts/benchmark_nerf.py CLIP --seconds 240 --output measurements/nerf.json

Every method is trained by nerfstudio's own trainer for the same wall time on the same number of threads, on the same
frames (every eighth tracked frame is held out) and on rays drawn in the same way; `nerf_methods.py` says what they are
and `baseline_*.py` how they were kept from being handicapped. The clock runs during training steps alone, after one
step has been made elsewhere, for which loops were compiled. It stops at growing intervals, when held-out frames are
looked at:

    curve             PSNR inside the matte against seconds of training: mean over all held-out frames, each on the same
                      so many pixels of its matte, drawn at random once, for all methods alike
    held_out          at the end, of whole frames spread evenly over the held-out ones, as `reconstruction_quality.py`
                      defines it; `frames_per_second` is how fast these were rendered
    peak_memory_bytes the most that the method's process held (on a CUDA device: that torch held on it)

Each method is measured in a process of its own and kept below `--folder`: what was measured before with the same
settings is not measured again, so `--methods` can make the whole in parts.
"""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import matplotlib
import numpy as np
import torch
import tyro
from kept_results import Result, Settings, measure_each
from measuring import circumstances, peak_memory_bytes, write_measurements
from nerf_curves import seconds_to_reach
from nerf_methods import METHODS, OURS
from nerfstudio.models.base_model import Model
from nerfstudio.utils.rich_utils import CONSOLE
from reconstruction_quality import (
    FilmedFrame,
    filmed_frames,
    mean_quality,
    render_all,
    what_is_missing,
)
from rich.table import Table
from timed_training import TimedTraining, marks
from training_benchmarks import draw_qualities, held_out_facts, tell_written

from stage2_nerf.frame_quality import psnr
from stage2_nerf.losses import over
from tracking.clip import TrackedClip
from tracking.errors import UserError, one_sentence_for_user_errors
from tracking.spread_evenly import spread_evenly

matplotlib.use("Agg")

FIRST_LOOK_SECONDS = 1.0
"""When the curves begin; each look follows after 1.4 times as long."""
PIXELS = 512
"""Pixels of each held-out frame's matte that the curves are measured on."""
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}


@dataclass
class Arguments:
    """Compare the avatar with its peers at equal time."""

    clip: Annotated[Path, tyro.conf.Positional]
    """A tracked clip."""
    seconds: float = 240
    """Training time of each method."""
    threads: int = 1
    """Threads of each method."""
    processes: int = 1
    """Methods measured at once; more than one is fair only where every one has its own cores and memory's own speed."""
    clock: Literal["wall", "processor"] = "wall"
    """What training time is: that on the wall, or what the method's process has computed for, summed over its threads;
    the latter is for a machine that has other work."""
    methods: tuple[str, ...] = tuple(METHODS)
    """Which methods to measure."""
    frames: int = 3
    """Held-out frames that are rendered whole at the end."""
    folder: Path = Path("outputs/benchmark_nerf")
    """Where each method's result is kept."""
    again: bool = False
    """Measure also what was measured before: the code has changed."""
    output: Path = Path("measurements/nerf.json")
    """Where to write the measurements. The curves go beside them, under the same name with .png."""


def main(arguments: Arguments) -> None:
    """Measure, compare, write, draw and print."""
    with one_sentence_for_user_errors():
        unknown = set(arguments.methods) - set(METHODS)
        if unknown:
            raise UserError(f"There is no method {min(unknown)}: choose from {', '.join(METHODS)}.")
        clip = TrackedClip.load(arguments.clip)
    settings = {
        "clip": str(clip.root.resolve()),
        "seconds": arguments.seconds,
        "clock": arguments.clock,
        "frames": arguments.frames,
        "pixels": PIXELS,
    }
    folder = arguments.folder / clip.root.name
    results = measure_each(
        measure,
        {name: {**settings, "method": name} for name in arguments.methods},
        folder,
        processes=arguments.processes,
        threads=arguments.threads,
        again=arguments.again,
    )
    ordered = {name: results[name] for name in METHODS if name in results}
    measurements = {
        "what": "PSNR inside the matte of held-out frames against training time",
        **circumstances(),
        "threads_of_each_method": arguments.threads,
        "methods_at_once": arguments.processes,
        "seconds": arguments.seconds,
        "clock": arguments.clock,
        "clip": held_out_facts(clip),
        "comparison": compare(ordered),
        "methods": ordered,
        "missing": what_is_missing(),
    }
    write_measurements(arguments.output, measurements)
    draw_qualities(clip, ordered, arguments.output.with_suffix(".png"))
    CONSOLE.print(summary(measurements))
    tell_written(arguments.output, arguments.output.with_suffix(".png"))


def measure(settings: Settings) -> Result:
    """Train one method, looking at held-out frames on the way."""
    clip = TrackedClip.load(Path(settings["clip"]))
    method = METHODS[settings["method"]]
    with tempfile.TemporaryDirectory() as folder:
        # Compiled loops are kept on disk: whoever trains first on a machine waits for them, once.
        TimedTraining(method.configure(clip, Path(folder) / "compiled")).train_steps(1)
        config, clock = method.configure(clip, Path(folder)), CLOCKS[settings["clock"]]
        training = TimedTraining(config, budget_seconds=settings["seconds"], clock=clock)
        model = training.model
        frames = filmed_frames(training.datamanager.eval_dataset)
        samples = [draw_pixels(frame, settings["pixels"]) for frame in frames]
        curve = []
        for mark in marks(min(FIRST_LOOK_SECONDS, settings["seconds"]), settings["seconds"]):
            if training.seconds < mark:
                training.train_for(mark)
                quality = round(sampled_psnr(model, frames, samples), 3)
                curve.append({"seconds": round(training.seconds, 2), "steps": training.steps, "psnr_in_matte": quality})
        rendered = render_all(model, [frames[row] for row in spread_evenly(len(frames), settings["frames"])])
    render_seconds = float(np.median([frame.seconds for frame in rendered]))
    return {
        "what": method.what,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "rays_per_step": training.datamanager.config.train_num_rays_per_batch,
        "set_up_seconds": round(training.set_up_seconds, 2),
        "steps": training.steps,
        "milliseconds_per_step": round(1000 * float(np.median(training.step_seconds)), 2),
        "frames_per_second": round(1 / render_seconds, 3),
        "peak_memory_bytes": peak_memory_bytes(),
        "psnr_in_matte": curve[-1]["psnr_in_matte"],
        "held_out": mean_quality(rendered),
        "curve": curve,
    }


def draw_pixels(frame: FilmedFrame, count: int) -> torch.Tensor:
    """Rows and columns of pixels of the frame's matte, the same for everyone who asks."""
    inside = torch.nonzero(frame.matte[..., 0] > 0)
    return inside[torch.randperm(len(inside), generator=torch.Generator().manual_seed(frame.number))[:count]]


@torch.no_grad()
def sampled_psnr(model: Model, frames: Sequence[FilmedFrame], samples: Sequence[torch.Tensor]) -> float:
    """PSNR inside the matte over some pixels of each frame, mean over frames."""
    model.eval()
    values = []
    for frame, pixels in zip(frames, samples, strict=True):
        y, x = pixels.T
        camera = frame.camera.to(model.device)
        coordinates = camera.get_image_coords()[y, x]
        outputs = model(camera.generate_rays(camera_indices=0, coords=coordinates))
        foreground, accumulation = outputs["foreground"].cpu(), outputs["accumulation"].cpu()
        predicted = over(foreground, accumulation, frame.background[y, x]).clamp(0, 1)
        values.append(float(psnr(predicted, frame.image[y, x], frame.matte[y, x])))
    return float(np.mean(values))


def compare(results: dict[str, Result]) -> dict[str, Any]:
    """What ours reaches against each of the others, where both were measured."""
    if OURS not in results:
        return {}
    ours, comparison = results[OURS], {}
    for name, other in results.items():
        if name == OURS:
            continue
        final = other["psnr_in_matte"]
        our_seconds, its_seconds = (seconds_to_reach(result["curve"], final) for result in (ours, other))
        comparison[name] = {
            "ours_better_by_db": round(ours["psnr_in_matte"] - final, 3),
            "its_seconds_to_its_final_psnr": its_seconds,
            "our_seconds_to_its_final_psnr": our_seconds,
            "times_faster": round(its_seconds / our_seconds, 1) if its_seconds and our_seconds else None,
        }
    nerfactos = [name for name in comparison if name.startswith("nerfacto")]
    if nerfactos:
        comparison["better_nerfacto"] = max(nerfactos, key=lambda name: results[name]["psnr_in_matte"])
    return comparison


def summary(measurements: dict[str, Any]) -> Table:
    """What was measured, as a small table."""
    table = Table(title=f"{measurements['clip']['name']}, {measurements['seconds']:.0f} s each")
    for heading in ("", "PSNR in matte", "ours better by", "ours as good after", "ms/step", "frames/s", "memory"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, result in measurements["methods"].items():
        against = measurements["comparison"].get(name, {})
        seconds = against.get("our_seconds_to_its_final_psnr")
        table.add_row(
            name,
            f"{result['psnr_in_matte']:.2f} dB",
            f"{against['ours_better_by_db']:.2f} dB" if against else "",
            f"{seconds:.1f} s ({against['times_faster']} x sooner)" if seconds else "",
            f"{result['milliseconds_per_step']:.0f}",
            f"{result['frames_per_second']:.2f}",
            f"{result['peak_memory_bytes'] / 1e9:.2f} GB",
        )
    return table


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
