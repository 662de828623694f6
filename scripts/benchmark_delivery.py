"""Measure what `portrait-render` delivers of a large source: size, sound, speed and memory.

    python scripts/benchmark_delivery.py RUN --threads 2 --output scripts/measurements/delivery.json

The first prompt's video (the unedited avatar's, where a run has none) is rendered as the command does it, and compared
with the source:

    frames_per_second   by the wall clock, from the first frame asked for to the file's end: decoding, rendering,
    paste-back
                        and encoding. `processor_milliseconds` is what all threads together spent on a frame
    megabytes           what the process holds after each tenth of the frames; `bytes_per_frame` is the slope over the
    last
                        seven tenths, and `megabytes_of_five_minutes` the last plus that slope for 7,500 frames of 25 a
                        second
    time_stamps         the greatest difference between a frame's time in the source and in the output, in seconds
    sound_offset        by how much the output's sound lags the source's, in seconds: the peak of the cross-correlation
    of
                        the decoded first channels; `sound_correlation` is its height, 1 for the same sound
"""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import av
import numpy as np
import tyro
from jaxtyping import Float
from measuring import circumstances, use_threads, write_measurements
from nerfstudio.utils.rich_utils import CONSOLE
from scipy.signal import correlate

from stage2_nerf.finished_run import find_config, load_run
from stage2_nerf.frame_renderer import FrameRenderer, Look, Moment, Picture, Scene, look_of
from stage2_nerf.render_looks import ChosenLooks
from stage2_nerf.render_motion import ExpressionChange, OwnMotion
from stage2_nerf.render_output import write_video
from tracking.errors import one_sentence_for_user_errors
from tracking.video import VideoReader

PAGE = 4096
FIVE_MINUTES = 7500
LONGEST_LAG = 1.0
"""Seconds by which sound is looked for to be off."""


@dataclass
class Arguments:
    """Measure what is delivered of a large source."""

    run: Annotated[Path, tyro.conf.Positional]
    """The run's folder or config.yml."""
    threads: int = 2
    """Threads that torch and the compiled loops may use; decoding and encoding take their own."""
    output: Path = Path("measurements/delivery.json")
    """Where to write the measurements."""


class WatchedRenderer(FrameRenderer):
    """A renderer that writes down what the process holds whenever a frame is done."""

    def watch(self) -> None:
        """Begin to write down."""
        self.held: list[int] = []

    def pasted(
        self, number: int, frame: Picture, looks: Sequence[Look], moment: Moment, scene: Scene | None
    ) -> list[Picture]:
        """As always."""
        pictures = super().pasted(number, frame, looks, moment, scene)
        self.held.append(held_bytes())
        return pictures


def main(arguments: Arguments) -> None:
    """Render, compare, write and print."""
    with one_sentence_for_user_errors():
        pipeline = load_run(find_config(arguments.run)).pipeline
    use_threads(arguments.threads)
    prompts = list(pipeline.styles.values())
    looks = [look_of(prompts[0] if prompts else None)]
    clip = pipeline.clip
    reader = VideoReader(Path(clip.source.path))
    renderer = WatchedRenderer(pipeline.model, clip)
    renderer.watch()
    motion = OwnMotion(clip, reader, ExpressionChange())
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / f"out{Path(clip.source.path).suffix}"
        wall, work = time.perf_counter(), time.process_time()
        write_video(output, "h264", renderer, reader, motion, ChosenLooks(lambda seconds: looks, ("one",)))
        wall, work = time.perf_counter() - wall, time.process_time() - work
        measurements = {
            "what": "what is delivered of a large source",
            **circumstances(),
            "clip": {"name": clip.root.name, "width": clip.intrinsics.width, "height": clip.intrinsics.height},
            "source": size_of(reader),
            "output": size_of(VideoReader(output)),
            "frames": len(renderer.held),
            "seconds": round(wall, 1),
            "frames_per_second": round(len(renderer.held) / wall, 2),
            "processor_milliseconds": round(1000 * work / len(renderer.held), 1),
            **memory(renderer.held),
            "time_stamps": round(time_stamp_difference(reader, VideoReader(output)), 6),
            **sound_difference(Path(clip.source.path), output),
        }
    write_measurements(arguments.output, measurements)
    CONSOLE.print(measurements)
    CONSOLE.print(f"Wrote {arguments.output}.", soft_wrap=True)


def held_bytes() -> int:
    """The memory that this process holds now."""
    return PAGE * int(Path("/proc/self/statm").read_text().split()[1])


def memory(held: list[int]) -> dict[str, Any]:
    """How memory went, and where it goes."""
    marks = [held[min(len(held) - 1, len(held) * tenth // 10)] for tenth in range(1, 11)]
    settled = np.array(held[3 * len(held) // 10 :], float)
    slope = float(np.polyfit(np.arange(len(settled)), settled, 1)[0])
    return {
        "megabytes": [mark // 2**20 for mark in marks],
        "bytes_per_frame": round(slope),
        "megabytes_of_five_minutes": round((held[-1] + max(slope, 0) * FIVE_MINUTES) / 2**20),
    }


def size_of(reader: VideoReader) -> dict[str, Any]:
    """What a video says of itself."""
    properties = reader.properties
    return {
        "width": properties.width,
        "height": properties.height,
        "frame_rate": str(properties.frame_rate),
        "has_sound": properties.has_sound,
    }


def time_stamp_difference(source: VideoReader, output: VideoReader) -> float:
    """The greatest difference of the times of the two videos' frames."""
    times = [
        np.array([float(frame.timestamp * video.properties.time_base) for frame in video.decode()])
        for video in (source, output)
    ]
    return float(np.abs(times[0] - times[1]).max())


def sound_difference(source: Path, output: Path) -> dict[str, float | None]:
    """How the output's sound lies to the source's."""
    (before, rate), (after, _) = sound_of(source), sound_of(output)
    if not len(before):
        return {"sound_offset": None, "sound_correlation": None}
    length = max(len(before), len(after))
    pair = [np.pad(sound - sound.mean(), (0, length - len(sound))) for sound in (before, after)]
    products = correlate(pair[1], pair[0], mode="full", method="fft")
    lags = np.arange(1 - length, length)
    near = np.abs(lags) <= LONGEST_LAG * rate
    best = int(np.argmax(np.where(near, products, -np.inf)))
    height = products[best] / (np.linalg.norm(pair[0]) * np.linalg.norm(pair[1]))
    return {"sound_offset": round(float(lags[best]) / rate, 6), "sound_correlation": round(float(height), 6)}


def sound_of(path: Path) -> tuple[Float[np.ndarray, "samples"], int]:
    """The first channel of a video's sound, laid out from time 0 on, and its rate; nothing where there is none."""
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return np.zeros(0), 1
        stream = container.streams.audio[0]
        rate, pieces = int(stream.rate), []
        for frame in container.decode(stream):
            samples = frame.to_ndarray().reshape(len(frame.layout.channels) if frame.format.is_planar else 1, -1)[0]
            start = round(float((frame.pts or 0) * frame.time_base) * rate)
            pieces.append((start, samples if frame.format.is_planar else samples[:: len(frame.layout.channels)]))
    sound = np.zeros(max(start + len(samples) for start, samples in pieces))
    for start, samples in pieces:
        first = max(0, -start)
        sound[start + first : start + len(samples)] = samples[first:]
    return sound, rate


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
