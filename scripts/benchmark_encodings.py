"""Compare forms of encoding on a CPU: the same avatar, the same frames, the same time.

    python scripts/benchmark_encodings.py CLIP --seconds 120 --output measurements/encodings.json

Only the encoding of both fields differs (`encoding_candidates.py` says how); everything else is the registered method.
Every eighth tracked frame is held out. The clock runs during training steps alone:

    milliseconds_per_step       median
    psnr_after                  PSNR inside the matte after so many seconds, mean over all held-out frames, each on the
                                same 512 pixels of its matte, drawn at random once
    look_up_, backward_milliseconds
                                median of looking up 8,192 random points in 8 blended frames (tables blended before),
                                and of the backward pass to tables and positions
    frames_per_second           of rendering whole held-out frames, median

Each candidate is measured in a process of its own and kept below `--folder`; what was measured before with the same
settings is not measured again, so `--candidates` can make the whole in parts.
"""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import matplotlib
import numpy as np
import torch
import tyro
from benchmark_nerf import CLOCKS, PIXELS, draw_pixels, sampled_psnr
from encoding_candidates import BUILDERS, WHAT, CandidateConfig, CandidateName
from kept_results import Result, Settings, measure_each
from measuring import circumstances, write_measurements
from nerf_methods import METHODS, OURS
from nerfstudio.utils.rich_utils import CONSOLE
from reconstruction_quality import filmed_frames, render_all
from rich.table import Table
from timed_training import TimedTraining
from training_benchmarks import draw_qualities, held_out_facts, tell_written

from stage2_nerf.encodings import BlendedEncoding
from stage2_nerf.pipeline import PortraitEditPipelineConfig
from tracking.clip import TrackedClip
from tracking.spread_evenly import spread_evenly

matplotlib.use("Agg")

LOOKS = (2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 240.0)
"""Seconds of training after which held-out frames are looked at."""
RENDERED_FRAMES = 3
LOOKED_UP_POINTS = 8192
LOOKED_UP_FRAMES = 8


@dataclass
class Arguments:
    """Compare forms of encoding at equal time."""

    clip: Annotated[Path, tyro.conf.Positional]
    """A tracked clip."""
    seconds: float = 120
    """Training time of each candidate."""
    candidates: tuple[CandidateName, ...] = tuple(BUILDERS)
    """Which to measure."""
    threads: int = 1
    """Threads of each candidate."""
    clock: Literal["wall", "processor"] = "wall"
    """What training time is; `processor` is for a machine that has other work."""
    folder: Path = Path("outputs/benchmark_encodings")
    """Where each candidate's result is kept."""
    again: bool = False
    """Measure also what was measured before: the code has changed."""
    output: Path = Path("measurements/encodings.json")
    """Where to write the measurements. The curves go beside them, under the same name with .png."""


def main(arguments: Arguments) -> None:
    """Measure, write, draw and print."""
    clip = TrackedClip.load(arguments.clip)
    settings = {"clip": str(clip.root.resolve()), "seconds": arguments.seconds, "clock": arguments.clock}
    wanted = {name: {**settings, "candidate": name} for name in arguments.candidates}
    folder = arguments.folder / clip.root.name
    results = measure_each(measure, wanted, folder, processes=1, threads=arguments.threads, again=arguments.again)
    ordered = {name: results[name] for name in BUILDERS if name in results}
    measurements = {
        "what": "forms of encoding at equal training time",
        **circumstances(),
        "threads": arguments.threads,
        "clock": arguments.clock,
        "seconds": arguments.seconds,
        "clip": held_out_facts(clip),
        "candidates": ordered,
    }
    write_measurements(arguments.output, measurements)
    draw_qualities(clip, ordered, arguments.output.with_suffix(".png"))
    CONSOLE.print(summary(measurements))
    tell_written(arguments.output, arguments.output.with_suffix(".png"))


def measure(settings: Settings) -> Result:
    """Train with one candidate, looking at held-out frames on the way."""
    clip = TrackedClip.load(Path(settings["clip"]))
    name: CandidateName = settings["candidate"]
    with tempfile.TemporaryDirectory() as folder:
        config = METHODS[OURS].configure(clip, Path(folder))
        assert isinstance(config.pipeline, PortraitEditPipelineConfig)
        fields = (config.pipeline.model.head, config.pipeline.model.torso)
        for field in fields:
            field.encoding = CandidateConfig(**{**vars(field.encoding), "candidate": name})
        training = TimedTraining(config, budget_seconds=settings["seconds"], clock=CLOCKS[settings["clock"]])
        model = training.model
        frames = filmed_frames(training.datamanager.eval_dataset)
        samples = [draw_pixels(frame, PIXELS) for frame in frames]
        curve: list[dict[str, Any]] = []
        for look in sorted({*(look for look in LOOKS if look < settings["seconds"]), settings["seconds"]}):
            training.train_for(look)
            quality = round(sampled_psnr(model, frames, samples), 3)
            curve.append({"seconds": look, "steps": training.steps, "psnr_in_matte": quality})
        rendered = render_all(model, [frames[row] for row in spread_evenly(len(frames), RENDERED_FRAMES)])
        encoding = model.head_field.encoding  # pyright: ignore[reportAttributeAccessIssue]
        assert isinstance(encoding, BlendedEncoding)
        look_up, backward = time_look_ups(encoding, fields[0].code_size)
    return {
        "what": WHAT[name],
        "parameters_of_the_head": sum(parameter.numel() for parameter in encoding.parameters()),
        "steps": training.steps,
        "milliseconds_per_step": round(1000 * float(np.median(training.step_seconds)), 2),
        "look_up_milliseconds": round(1000 * look_up, 2),
        "backward_milliseconds": round(1000 * backward, 2),
        "frames_per_second": round(1 / float(np.median([frame.seconds for frame in rendered])), 3),
        "psnr_after": {f"{point['seconds']:g}": point["psnr_in_matte"] for point in curve},
        "curve": curve,
    }


def time_look_ups(encoding: BlendedEncoding, code_size: int) -> tuple[float, float]:
    """Median seconds of a look-up and of its backward pass, on one set of random points."""
    generator = torch.Generator().manual_seed(0)
    positions = (2 * torch.rand(LOOKED_UP_POINTS, 3, generator=generator) - 1).requires_grad_()
    frame = torch.arange(LOOKED_UP_POINTS) * LOOKED_UP_FRAMES // LOOKED_UP_POINTS
    blended = encoding.blend(torch.randn(LOOKED_UP_FRAMES, code_size, generator=generator)).detach()
    # Made anew in every step, tables that are blended have gradients too.
    blended.requires_grad_()
    inputs = [
        positions,
        blended,
        *(parameter for name, parameter in encoding.named_parameters() if "blend" not in name),
    ]
    times = []
    for _ in range(15):
        start = time.process_time()
        features = encoding(positions, frame, blended)
        between = time.process_time()
        torch.autograd.grad(features.sum(), inputs, allow_unused=True)
        times.append((between - start, time.process_time() - between))
    look_up, backward = np.median(times[3:], axis=0)
    return float(look_up), float(backward)


def summary(measurements: dict[str, Any]) -> Table:
    """What was measured, as a small table."""
    results = measurements["candidates"]
    looks = [
        look for look in ("10", "30", "60", "120") if all(look in result["psnr_after"] for result in results.values())
    ]
    table = Table(title=f"{measurements['clip']['name']}, {measurements['seconds']:g} s each")
    headings = ("", "ms/step", "look-up, backward", "frames/s", "parameters", *(f"dB after {look} s" for look in looks))
    for heading in headings:
        table.add_column(heading, justify="right" if heading else "left")
    for result in results.values():
        table.add_row(
            result["what"],
            f"{result['milliseconds_per_step']:.0f}",
            f"{result['look_up_milliseconds']:.1f}, {result['backward_milliseconds']:.1f} ms",
            f"{result['frames_per_second']:.1f}",
            f"{result['parameters_of_the_head'] / 1e6:.1f} M",
            *(f"{result['psnr_after'][look]:.2f}" for look in looks),
        )
    return table


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
