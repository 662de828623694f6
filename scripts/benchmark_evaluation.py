"""What an evaluation costs: seconds and memory, of a clip's source measured against itself.

    python scripts/benchmark_evaluation.py demo/clip OTHER_CLIP --frames 60 120

Every measurement is a process of its own, with one thread. Memory is the most that the process held; measured with
twice as many frames it tells how much each further frame adds, and so what five minutes would take.
"""

import json
import multiprocessing
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from measuring import circumstances, peak_memory, peak_memory_bytes, use_threads, write_measurements

from evaluation.measuring import EditedVideo, MeasuringConfig, measure
from evaluation.metric_set import EditQuestion, MetricsConfig, build_metrics
from evaluation.video_pairs import Span
from tracking.clip import TrackedClip

FIVE_MINUTES = 7500
"""Frames, of 25 a second."""


@dataclass
class Arguments:
    """Measure what an evaluation costs."""

    clips: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Tracked clips."""
    frames: tuple[int, int] = (60, 120)
    """Two numbers of frames to measure with."""
    output: Path = Path("measurements/evaluation_cost.json")
    """Where to write the measurements."""


def main(arguments: Arguments) -> None:
    """Measure every clip with both numbers of frames."""
    results = []
    for clip in arguments.clips:
        costs = [in_a_process(clip, frames) for frames in arguments.frames]
        fewer, more = costs
        per_frame = {
            key: (more[key] - fewer[key]) / max(more["frames"] - fewer["frames"], 1) for key in ("seconds", "megabytes")
        }
        results.append(
            {
                "clip": clip.resolve().name,
                "measured": costs,
                "seconds_per_frame": round(per_frame["seconds"], 4),
                "megabytes_of_five_minutes": round(more["megabytes"] + per_frame["megabytes"] * FIVE_MINUTES),
            }
        )
        sys.stdout.write(json.dumps(results[-1]) + "\n")
    write_measurements(arguments.output, {"what": "the cost of an evaluation", **circumstances(), "results": results})


def in_a_process(clip: Path, frames: int) -> dict[str, float]:
    """The cost, measured in a new process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(cost, (clip, frames))


def cost(folder: Path, frames: int) -> dict[str, float]:
    """Seconds of the processor, and the most memory, of measuring the first frames of a clip's source."""
    use_threads(1)
    clip = TrackedClip.load(folder)
    metrics = build_metrics(MetricsConfig(), EditQuestion(expression_names=clip.track.expression_names))
    video = EditedVideo(Path(clip.source.path), "the source itself")
    begun = time.process_time()
    found = measure(clip, video, metrics, MeasuringConfig(span=Span(1, frames)))
    return {
        "frames": len(found.frames),
        "width": clip.source.width,
        "height": clip.source.height,
        "seconds": round(time.process_time() - begun, 2),
        "megabytes": peak_memory() or round(peak_memory_bytes() / 2**20),
    }


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
