"""Measure what a prompt costs once the avatar is there: time, room on disk, and what it does to all that was there
before.

    python scripts/benchmark_styles.py outputs/clip/portrait-edit/TIME --output scripts/measurements/styles.json

RUN is a finished reconstruction with frames held out (`measure_reconstruction.py --keep`). It is gone on from twice
with `--load-dir`, as a person would: first with all prompts but the last, then with the last one more. Nothing is
written into it. Times are the processor's, so that other programs on the same cores count for nothing; edits are
included.

    reconstruction_seconds   of all its steps, as further ones take now, on the same machine: the first, which load what
                             is compiled as a style's own first do, and for the others their mean
    seconds, share           of each style's phase, and as a share of that; `wall_share` is of the seconds that the
    run's
                             own record tells of the reconstruction, on whatever machine that was
    bytes, size_share        of each style's tensors as a file, and as a share of the shared avatar's
    original_psnr_in_matte   of held-out frames in style 0, before any style was trained and after all were
    shared_is_unchanged      whether every tensor of the shared avatar is the same, bit for bit
    old_styles_are_unchanged whether the first run's styles are, in the second's checkpoint; and their pictures
"""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast

import numpy as np
import torch
import tyro
import yaml
from kept_results import measure_each
from measuring import circumstances, write_measurements
from nerf_methods import ours
from nerfstudio.utils.rich_utils import CONSOLE
from reconstruction_quality import filmed_frames, mean_quality, render_all
from rich.table import Table
from timed_training import TimedTraining
from torch import Tensor

from stage1_edit.prompts import EditPrompt
from stage2_nerf.pipeline import PortraitEditPipeline, PortraitEditPipelineConfig
from stage2_nerf.portrait_model import PortraitModel
from stage2_nerf.style_mix import style_name
from stage2_nerf.trainer import PortraitEditTrainerConfig
from stage2_nerf.training_record import read_record
from tracking.clip import TrackedClip

WARM_UP_STEPS = 10
FURTHER_STEPS = 50
"""Steps of reconstruction that are timed."""
STYLES = "styles."


@dataclass
class Arguments:
    """Measure what a prompt costs."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Finished reconstructions' folders."""
    prompts: tuple[str, ...] = (
        "turn the person into a bronze statue",
        "hair: make it silver",
        "make it a watercolor painting",
    )
    """Two or more; the last is added by a run of its own."""
    steps: int | None = None
    """Training steps of each style; the method's own number if none is given."""
    work: Path = Path("measurements/styles")
    """Keeps what was measured, one file a run."""
    again: bool = False
    """Measure all runs, whatever is kept."""
    output: Path = Path("measurements/styles.json")
    """Where to write the measurements."""


def main(arguments: Arguments) -> None:
    """Measure every run in a process of its own, write and print."""
    wanted = {
        run.resolve().parents[1].name: {
            "run": str(run.resolve()),
            "prompts": list(arguments.prompts),
            "steps": arguments.steps,
        }
        for run in arguments.runs
    }
    results = measure_each(measure, wanted, arguments.work, processes=1, threads=1, again=arguments.again)
    write_measurements(arguments.output, {"what": "styles over one avatar", **circumstances(), "results": results})
    CONSOLE.print(summary(results))
    CONSOLE.print(f"Wrote {arguments.output}.", soft_wrap=True)


def measure(settings: dict[str, Any]) -> dict[str, Any]:
    """Go on from a run three times: to add prompts, to add one more, and to see what a step of reconstruction takes."""
    run, prompts = Path(settings["run"]), [EditPrompt.split(typed) for typed in settings["prompts"]]
    names = [style_name(prompt) for prompt in prompts]
    record = [moment for moment in read_record(run) if not moment.phase]
    steps, recorded = record[-1].step, record[-1].seconds
    with tempfile.TemporaryDirectory() as folder:
        first = started(run, Path(folder) / "first", steps, prompts[:-1], settings["steps"])
        style_steps = first_pipeline(first).config.style_training.steps
        before, shared = original_quality(first), tensors(first, shared=True)
        seconds = trained_styles(first, len(prompts) - 1, style_steps)
        old, old_pictures = tensors(first, shared=False), pictures(first, names[:-1])
        first.trainer.save_checkpoint(first.trainer.step)
        second = started(first.trainer.base_dir, Path(folder) / "second", steps, prompts, settings["steps"])
        seconds += trained_styles(second, 1, style_steps)
        kept = {key: value for key, value in tensors(second, shared=False).items() if key in old}
        further = started(run, Path(folder) / "further", steps + WARM_UP_STEPS + FURTHER_STEPS, [], None)
        further.train_steps(WARM_UP_STEPS + FURTHER_STEPS)
        first_ones, others = further.step_seconds[:WARM_UP_STEPS], further.step_seconds[WARM_UP_STEPS:]
        reconstruction = sum(first_ones) + (steps - WARM_UP_STEPS) * float(np.mean(others))
        avatar_bytes = file_size(shared, Path(folder))
        sizes = [file_size(of_style(second, name), Path(folder)) for name in names]
        return {
            "reconstruction_steps": steps,
            "reconstruction_seconds": round(reconstruction, 1),
            "reconstruction_recorded_seconds": recorded,
            "style_steps": style_steps,
            "avatar_bytes": avatar_bytes,
            "styles": [
                {
                    "prompt": str(prompt),
                    "seconds": round(spent, 1),
                    "share": round(spent / reconstruction, 3),
                    "wall_share": round(spent / recorded, 3),
                    "bytes": size,
                    "size_share": round(size / avatar_bytes, 3),
                }
                for prompt, spent, size in zip(prompts, seconds, sizes, strict=True)
            ],
            "original_psnr_in_matte": {"before": before, "after": original_quality(second)},
            "shared_is_unchanged": alike(shared, tensors(second, shared=True)),
            "old_styles_are_unchanged": alike(old, kept)
            and bool(torch.equal(old_pictures, pictures(second, names[:-1]))),
        }


def started(
    run: Path, outputs: Path, reconstruction_steps: int, prompts: list[EditPrompt], style_steps: int | None
) -> TimedTraining:
    """A training that goes on from a run."""
    earlier = yaml.load((run / "config.yml").read_text(), Loader=yaml.Loader)
    config: PortraitEditTrainerConfig = ours(TrackedClip.load(Path(earlier.pipeline.datamanager.data)), outputs)
    pipeline = cast(PortraitEditPipelineConfig, config.pipeline)
    pipeline.reconstruction_steps, pipeline.prompts = reconstruction_steps, tuple(prompts)
    pipeline.render_when_done = False
    pipeline.editor.name = "offline"
    pipeline.style_training.steps = style_steps or pipeline.style_training.steps
    config.load_dir = run / "nerfstudio_models"
    return TimedTraining(config, clock=time.process_time)


def first_pipeline(training: TimedTraining) -> PortraitEditPipeline:
    """What is trained, by its type."""
    return cast(PortraitEditPipeline, training.trainer.pipeline)


def trained_styles(training: TimedTraining, count: int, steps: int) -> list[float]:
    """Train so many styles, and tell the seconds of each."""
    training.train_steps(count * steps)
    return [sum(training.step_seconds[index * steps : (index + 1) * steps]) for index in range(count)]


def original_quality(training: TimedTraining) -> float:
    """PSNR inside the matte of the held-out frames in style 0."""
    model = cast(PortraitModel, training.model)
    model.style_weights, shown = {}, model.style_weights
    found = mean_quality(render_all(model, filmed_frames(training.datamanager.eval_dataset)))["psnr_in_matte"]
    model.style_weights = shown
    assert found is not None
    return found


def pictures(training: TimedTraining, names: list[str]) -> Tensor:
    """A held-out frame in some styles."""
    camera = training.datamanager.eval_dataset.cameras[:1]
    model = cast(PortraitModel, training.model)
    return model.render_frame(camera, looks=[{name: 1.0} for name in names])["foregrounds"]


def tensors(training: TimedTraining, *, shared: bool) -> dict[str, Tensor]:
    """Copies of the shared avatar's tensors, or of the styles'."""
    state = training.model.state_dict()
    return {key: value.clone() for key, value in state.items() if key.startswith(STYLES) != shared}


def of_style(training: TimedTraining, name: str) -> dict[str, Tensor]:
    """The tensors of one style."""
    return {key: value for key, value in tensors(training, shared=False).items() if key.startswith(f"{STYLES}{name}.")}


def alike(these: dict[str, Tensor], those: dict[str, Tensor]) -> bool:
    """Whether both hold the same, bit for bit."""
    return these.keys() == those.keys() and all(torch.equal(value, those[key]) for key, value in these.items())


def file_size(state: dict[str, Tensor], folder: Path) -> int:
    """Bytes of the tensors as a checkpoint's file."""
    path = folder / "tensors.pt"
    torch.save(state, path)
    return path.stat().st_size


def summary(results: dict[str, dict[str, Any]]) -> Table:
    """What was measured, as a small table."""
    table = Table("avatar", "prompt", "processor s", "of the reconstruction", "MB", "of the avatar", title="Styles")
    for name, result in results.items():
        for style in result["styles"]:
            numbers = f"{style['seconds']:.0f}", f"{100 * style['share']:.0f} %"
            size = f"{style['bytes'] / 1e6:.1f}", f"{100 * style['size_share']:.1f} %"
            table.add_row(name, style["prompt"], *numbers, *size)
        quality = result["original_psnr_in_matte"]
        told = f"style 0: {quality['before']:.3f} dB before, {quality['after']:.3f} after"
        unchanged = result["shared_is_unchanged"] and result["old_styles_are_unchanged"]
        table.add_row(name, told, "", "", "", "all unchanged" if unchanged else "CHANGED")
    return table


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
