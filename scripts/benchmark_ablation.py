"""Take the avatar's ideas out one at a time, and see what each is worth on frames that were held out.

    python scripts/benchmark_ablation.py CLIP --steps 800 --output measurements/ablation.json

Every variant (`nerf_variants.py`) is trained for the same number of steps with the same seed, with every eighth tracked
frame held out, and compared as `reconstruction_quality.py` says. Beside the JSON goes a table in Markdown. Each variant
is measured in a process of its own and kept below `--folder`, so that an interrupted run goes on, and `--variants` can
make the whole in parts.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from kept_results import Result, Settings, measure_each
from measuring import circumstances, write_measurements
from nerf_methods import ours
from nerf_variants import VARIANTS
from nerfstudio.utils.rich_utils import CONSOLE
from reconstruction_quality import filmed_frames, mean_quality, render_all, what_is_missing
from timed_training import TimedTraining
from training_benchmarks import held_out_facts, tell_written

from stage2_nerf.pipeline import PortraitEditPipelineConfig
from tracking.clip import TrackedClip
from tracking.errors import UserError, one_sentence_for_user_errors

WHOLE = next(iter(VARIANTS))


@dataclass
class Arguments:
    """Take the avatar's ideas out one at a time."""

    clip: Annotated[Path, tyro.conf.Positional]
    """A tracked clip."""
    steps: int = 800
    """Training steps of each variant."""
    threads: int = 1
    """Threads of each variant."""
    processes: int = 2
    """Variants measured at once."""
    variants: tuple[str, ...] = tuple(VARIANTS)
    """Which to measure, by the names of what they take out."""
    folder: Path = Path("outputs/benchmark_ablation")
    """Where each variant's result is kept."""
    again: bool = False
    """Measure also what was measured before: the code has changed."""
    output: Path = Path("measurements/ablation.json")
    """Where to write the measurements. The table goes beside them, under the same name with .md."""


def main(arguments: Arguments) -> None:
    """Measure, write and print."""
    with one_sentence_for_user_errors():
        unknown = set(arguments.variants) - set(VARIANTS)
        if unknown:
            raise UserError(f"There is no variant '{min(unknown)}': choose from {', '.join(VARIANTS)}.")
        clip = TrackedClip.load(arguments.clip)
    settings = {"clip": str(clip.root.resolve()), "steps": arguments.steps}
    results = measure_each(
        measure,
        {name: {**settings, "variant": name} for name in arguments.variants},
        arguments.folder / clip.root.name,
        processes=arguments.processes,
        threads=arguments.threads,
        again=arguments.again,
    )
    ordered = {name: results[name] for name in VARIANTS if name in results}
    measurements = {
        "what": "quality of held-out frames with one idea of the avatar taken out",
        **circumstances(),
        "threads_of_each_variant": arguments.threads,
        "variants_at_once": arguments.processes,
        "clip": held_out_facts(clip),
        "steps": arguments.steps,
        "variants": ordered,
        "missing": what_is_missing(),
    }
    write_measurements(arguments.output, measurements)
    written = table(ordered)
    arguments.output.with_suffix(".md").write_text(written, encoding="utf-8")
    CONSOLE.print(written, soft_wrap=True)
    tell_written(arguments.output, arguments.output.with_suffix(".md"))


def measure(settings: Settings) -> Result:
    """Train one variant and compare it with what was filmed."""
    variant = VARIANTS[settings["variant"]]
    with tempfile.TemporaryDirectory() as folder:
        config = ours(TrackedClip.load(Path(settings["clip"])), Path(folder))
        assert isinstance(config.pipeline, PortraitEditPipelineConfig)
        config.pipeline.render_when_done = False
        config.pipeline.reconstruction_steps = settings["steps"]
        variant.change(config.pipeline)
        training = TimedTraining(config)
        training.train_steps(settings["steps"])
        rendered = render_all(training.model, filmed_frames(training.datamanager.eval_dataset))
    return {
        "instead": variant.what,
        "milliseconds_per_step": round(1000 * float(np.median(training.step_seconds)), 2),
        "milliseconds_per_render": round(1000 * float(np.median([frame.seconds for frame in rendered])), 2),
        "held_out": mean_quality(rendered),
    }


def table(results: dict[str, Result]) -> str:
    """The results in Markdown: the whole method, then what each idea adds to it."""
    rows = [
        "| taken out | instead | PSNR in matte, dB | mouth | eyes | SSIM | ms/step | ms/frame |",
        "|---|---|---|---|---|---|---|---|",
    ]
    whole = results.get(WHOLE)
    for name, result in results.items():
        compared = None if whole is None or name == WHOLE else whole["held_out"]
        quality: dict[str, Any] = result["held_out"]
        decibels = [told(quality[key], compared and compared[key]) for key in PSNRS]
        rows.append(
            f"| {'nothing' if name == WHOLE else name} | {result['instead']} | {' | '.join(decibels)} | "
            f"{quality['ssim']:.3f} | {result['milliseconds_per_step']:.0f} | {result['milliseconds_per_render']:.0f} |"
        )
    return "\n".join(rows) + "\n"


PSNRS = ("psnr_in_matte", "psnr_mouth", "psnr_eyes")


def told(value: float, whole: float | None) -> str:
    """Decibels, and how many more or fewer than the whole method's they are."""
    return f"{value:.2f}" if whole is None else f"{value:.2f} ({value - whole:+.2f})"


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
