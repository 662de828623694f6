"""Measure that two processes train as one does: the same curves within noise, and in less time where there are cores.

    python scripts/benchmark_processes.py CLIP

A run of the registered method, a prompt included, in one process, in one process with another seed (which is what
noise is), and in two CPU processes that share the rays of every step (DistributedDataParallel over gloo). Frames are
held out, as in `measure_reconstruction.py`. Curves are means of the colour loss over windows of steps, in all processes
together:

    reconstruction, style   the curves of the two phases
    psnr_in_matte           of the held-out frames, of the unedited avatar, in decibels
    seconds                 of training, edits included
    curve_deviation         of two processes' curves, and of the other seed's, from the first run's: the mean over
                            windows of the difference's size, as a fraction of the first run's loss
"""

import json
import multiprocessing
import tempfile
import time
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import nerfstudio.scripts.train as ns_train
import numpy as np
import torch
import torch.distributed as dist
import tyro
from measuring import circumstances, write_measurements
from nerfstudio.configs.method_configs import all_methods
from nerfstudio.utils.rich_utils import CONSOLE

from stage1_edit.prompts import EditPrompt
from stage2_nerf.pipeline import PortraitEditPipeline, PortraitEditPipelineConfig
from stage2_nerf.trainer import PortraitEditTrainerConfig, PortraitTrainer
from tracking.errors import one_sentence_for_user_errors
from tracking.track import find_or_track

HELD_OUT_INTERVAL = 8
PROMPT = EditPrompt("make it silver", "hair")
CASES = {"one": (1, 42), "another seed": (1, 43), "two": (2, 42)}
"""Processes and seed of each run."""


@dataclass
class Arguments:
    """Compare training in one and in two processes."""

    clip: Annotated[Path, tyro.conf.Positional]
    """A tracked clip."""
    steps: int = 300
    """Steps of the reconstruction."""
    style_steps: int = 100
    """Steps of the prompt's style."""
    window: int = 25
    """Steps that are averaged in the curves."""
    output: Path = Path("measurements/processes.json")
    """Where to write the measurements."""


class RecordingTrainer(PortraitTrainer):
    """Writes down the mean loss of all processes and, at the end, the quality of the held-out frames."""

    def train_iteration(self, step: int) -> Any:
        loss, losses, metrics = super().train_iteration(step)
        colour = losses["colour"].detach().clone()
        if dist.is_initialized():
            dist.all_reduce(colour)
            colour /= dist.get_world_size()
        self.losses = [*getattr(self, "losses", []), float(colour)]
        return loss, losses, metrics

    def train(self) -> None:
        start = time.perf_counter()
        super().train()
        seconds = time.perf_counter() - start
        pipeline = self.pipeline
        assert isinstance(pipeline, PortraitEditPipeline)
        if self.local_rank == 0:
            pipeline.show(None)
            quality = pipeline.get_average_eval_image_metrics()["psnr_in_matte"]
            result = {"losses": self.losses, "psnr_in_matte": quality, "seconds": seconds}
            (self.base_dir / "result.json").write_text(json.dumps(result))


def main(arguments: Arguments) -> None:
    """Train three times, compare, write and print."""
    with one_sentence_for_user_errors():
        clip = find_or_track(arguments.clip)
    measurements: dict[str, Any] = {
        "what": "training in one and in two processes",
        **circumstances(),
        "clip": clip.root.name,
        "steps": arguments.steps,
        "style_steps": arguments.style_steps,
        "window": arguments.window,
        "runs": {},
    }
    for name, (processes, seed) in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            config = configure(arguments, clip.root, processes, seed, Path(folder))
            # A process of its own: nerfstudio trains but once in one.
            training = multiprocessing.get_context("spawn").Process(target=ns_train.main, args=(config,))
            training.start()
            training.join()
            if training.exitcode:
                raise SystemExit(f"Training in the case '{name}' failed.")
            result = json.loads((config.get_base_dir() / "result.json").read_text())
        curve = windowed(result.pop("losses"), arguments.window)
        phases = arguments.steps // arguments.window
        run = {**result, "reconstruction": curve[:phases], "style": curve[phases:]}
        measurements["runs"][name] = {key: rounded(value) for key, value in run.items()}
    runs = measurements["runs"]
    measurements["curve_deviation"] = {
        name: {
            phase: rounded(deviation(runs[name][phase], runs["one"][phase])) for phase in ("reconstruction", "style")
        }
        for name in ("two", "another seed")
    }
    write_measurements(arguments.output, measurements)
    CONSOLE.print(runs, measurements["curve_deviation"])
    CONSOLE.print(f"Wrote {arguments.output}.", soft_wrap=True)


def configure(arguments: Arguments, clip: Path, processes: int, seed: int, outputs: Path) -> PortraitEditTrainerConfig:
    """The method as registered, with a prompt, a seed, and so many processes."""
    config = deepcopy(all_methods["portrait-edit"])
    assert isinstance(config, PortraitEditTrainerConfig)
    pipeline = config.pipeline
    assert isinstance(pipeline, PortraitEditPipelineConfig)
    config.data, config.output_dir, config.experiment_name = clip, outputs, "processes"
    config._target, config.vis, config.steps_per_save = RecordingTrainer, "tensorboard", 10**9
    config.machine.device_type, config.machine.num_devices, config.machine.seed = "cpu", processes, seed
    config.set_timestamp()
    pipeline.datamanager.dataparser.held_out_interval = HELD_OUT_INTERVAL
    pipeline.render_when_done = False
    pipeline.reconstruction_steps, pipeline.style_training.steps = arguments.steps, arguments.style_steps
    pipeline.prompts, pipeline.editor.name = (PROMPT,), "offline"
    return config


def windowed(losses: list[float], window: int) -> list[float]:
    """Means over stretches of so many steps."""
    return np.asarray(losses).reshape(-1, window).mean(axis=1).tolist()


def deviation(curve: list[float], reference: list[float]) -> float:
    """The mean size of a curve's difference from another, as a fraction of the latter."""
    return float(np.mean(np.abs(np.asarray(curve) / np.asarray(reference) - 1)))


def rounded(value: Any) -> Any:
    """Numbers with the digits that mean something."""
    if isinstance(value, list):
        return [rounded(element) for element in value]
    return float(f"{value:.4g}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(tyro.cli(Arguments, description=__doc__))
