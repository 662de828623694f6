"""Measure what it costs to fit a checkpoint anew to the other form of encoding: planes, hash grids, planes again.

    python scripts/measure_refit.py RUN --output scripts/measurements/refit.json

RUN is a finished run that held frames out (`--pipeline.datamanager.dataparser.held-out-interval 8`). Its avatar is
fitted to the other form, as loading its checkpoint into a run of that form does (`stage2_nerf.refit`), and what comes
of that is fitted back. Each of the three is compared with the held-out frames as `reconstruction_quality` defines it,
and each of the two that were fitted with pictures of the one that it was fitted to, by PSNR of the foreground:

    psnr_to_teacher   -10 log10 of the mean squared difference of premultiplied colours over all held-out frames,
                      weighted by the teacher's opacity
    seconds           of fitting both fields, on this machine

Without a GPU hash grids are computed by torch, slowly: a step of fitting takes about a second, and all 1,500 steps of
both fields take the better part of an hour. `--steps` takes fewer, and finds less.
"""

import time
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from jaxtyping import Float
from measuring import circumstances, use_threads, write_measurements
from nerfstudio.utils.rich_utils import CONSOLE
from reconstruction_quality import FilmedFrame, filmed_frames, mean_quality, render_all
from rich.table import Table
from torch import Tensor

from stage2_nerf.encodings import BlendedHashGrids
from stage2_nerf.finished_run import load_run
from stage2_nerf.frame_quality import psnr
from stage2_nerf.pipeline import PortraitEditPipeline
from stage2_nerf.portrait_model import PortraitModel
from stage2_nerf.refit import NAMES, REFIT_STEPS, fit_other_encodings
from tracking.errors import UserError, one_sentence_for_user_errors

ROUND_TRIP = {"planes": ("hash", "planes"), "hash": ("planes", "hash")}


@dataclass
class Arguments:
    """Measure what fitting a checkpoint anew costs."""

    run: Annotated[Path, tyro.conf.Positional]
    """A finished run's folder or config.yml."""
    steps: int = REFIT_STEPS
    """Steps of fitting of each field."""
    frames: int = 8
    """Held-out frames that are looked at; fewer where there are fewer."""
    threads: int = 2
    """Threads to fit and render with."""
    output: Path = Path("measurements/refit.json")
    """Where to write the measurements."""


def main(arguments: Arguments) -> None:
    """Fit there and back, compare, write and print."""
    use_threads(arguments.threads)
    with one_sentence_for_user_errors():
        config = arguments.run / "config.yml" if arguments.run.is_dir() else arguments.run
        pipeline = load_run(config, "val").pipeline
        frames = held_out_frames(pipeline, arguments.frames)
    taught = pipeline.model.eval()
    first = "hash" if isinstance(taught.head_field.encoding, BlendedHashGrids) else "planes"
    rows: list[dict[str, Any]] = [{"form": NAMES[first], "held_out": mean_quality(render_all(taught, frames))}]
    for form in ROUND_TRIP[first]:
        start = time.perf_counter()
        fitted = fit(pipeline, taught, form, arguments.steps)
        seconds = time.perf_counter() - start
        row = {
            "form": NAMES[form],
            "held_out": mean_quality(render_all(fitted, frames)),
            "psnr_to_teacher": round(likeness(fitted, taught, frames), 3),
            "seconds": round(seconds, 1),
        }
        rows.append(row)
        taught = fitted
    measurements = {
        "what": "fitting an avatar anew to another form of encoding, each row to the one above",
        **circumstances(),
        "clip": pipeline.clip.root.name,
        "steps": arguments.steps,
        "frames": len(frames),
        "results": rows,
    }
    write_measurements(arguments.output, measurements)
    CONSOLE.print(summary(rows))
    CONSOLE.print(f"Wrote {arguments.output}.", soft_wrap=True)


def held_out_frames(pipeline: PortraitEditPipeline, count: int) -> list[FilmedFrame]:
    """Frames that the run was not trained on.

    Raises:
        UserError: it was trained on all.
    """
    data = pipeline.datamanager
    if not data.config.dataparser.held_out_interval:
        raise UserError(
            "The run trained on every frame: train with --pipeline.datamanager.dataparser.held-out-interval 8."
        )
    dataset = data.eval_dataset
    step = max(1, len(dataset) // count)
    return filmed_frames(dataset, range(0, len(dataset), step)[:count])


def fit(pipeline: PortraitEditPipeline, taught: PortraitModel, form: str, steps: int) -> PortraitModel:
    """An avatar like the one given, in another form."""
    config = deepcopy(taught.config)
    for field in (config.head, config.torso):
        field.encoding.kind = "planes" if form == "planes" else "hash"
    dataset = pipeline.datamanager.train_dataset
    model = config.setup(
        scene_box=dataset.scene_box,
        num_train_data=len(dataset),
        metadata=dataset.metadata,
        device=pipeline.device,
        grad_scaler=None,
    ).to(pipeline.device)
    assert isinstance(model, PortraitModel)
    model.load_state_dict(fit_other_encodings(model, taught.state_dict(), "", steps))
    return model.eval()


def likeness(first: PortraitModel, second: PortraitModel, frames: list[FilmedFrame]) -> float:
    """PSNR of an avatar's foreground against another's, where that is opaque, over all frames together."""
    opacity = foregrounds(second, frames, "accumulation")
    return float(psnr(foregrounds(first, frames), foregrounds(second, frames), opacity))


def foregrounds(
    model: PortraitModel, frames: list[FilmedFrame], output: str = "foreground"
) -> Float[Tensor, "frames height width channels"]:
    """One output of all frames."""
    return torch.stack([model.render_frame(frame.camera.to(model.device))[output].cpu() for frame in frames])


def summary(rows: list[dict[str, Any]]) -> Table:
    """What was measured, as a small table."""
    table = Table("form", "held out, dB", "SSIM", "to the row above, dB", "s", title="Fitted anew")
    for row in rows:
        quality = row["held_out"]
        numbers = [f"{quality['psnr_in_matte']:.2f}", f"{quality['ssim']:.3f}"]
        table.add_row(row["form"], *numbers, str(row.get("psnr_to_teacher", "")), str(row.get("seconds", "")))
    return table


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
