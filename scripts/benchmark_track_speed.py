"""How fast `portrait-track` is, where the time goes, and how much memory it takes.

    python scripts/benchmark_track_speed.py VIDEO ... [--long-frames 1500]

Every video is tracked by a process of its own, from the file to the whole clip and its report, everything included:
starting Python, loading models, decoding, fitting, writing. Stages are timed by when they begin; what runs beside
another stage counts to that one. Memory is that of all processes together, looked at five times a second: proportional
set size, in which what processes share counts once. With `--long-frames` the first video is also tracked as a long
1080p one, played to and fro.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from tracking.clip import TrackedClip
from tracking.report import write_report
from tracking.track_config import TrackConfig
from tracking.tracking_stages import make_clip
from tracking.video import VideoReader
from tracking.workers import Advance, usable_cores
from tracking.workshop import open_workshop, work_identity

OUTPUT = Path(__file__).resolve().parent / "measurements" / "track_speed.json"
LONG_HEIGHT = 1080
SAMPLE_SECONDS = 0.2
WHOLE = "starting, choosing, finishing"
"""What is not a stage with a bar of its own."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", type=Path, nargs="+", help="videos of one person talking")
    parser.add_argument("--workers", type=int, default=usable_cores(), help="processes; one for each core by default")
    parser.add_argument("--size", type=int, default=512, help="longer side of the clips' images, in pixels")
    parser.add_argument("--long-frames", type=int, default=0, help="frames of the long 1080p video; 0 for none")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="the JSON file to write")
    parser.add_argument("--track-one", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    config = TrackConfig(size=arguments.size, workers=arguments.workers)
    if arguments.track_one:
        track_one(arguments.videos[0], arguments.track_one, config)
        return
    # It loads torch, which the processes that are measured, and import this file, have no use for.
    from measuring import circumstances, write_measurements

    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(video, Path(folder), config) for video in arguments.videos]
        if arguments.long_frames:
            long = Path(folder) / f"long_{arguments.videos[0].stem}.mp4"
            make_long(arguments.videos[0], long, arguments.long_frames)
            rows.append(measure(long, Path(folder), config))
    settings = {"size": arguments.size, "workers": arguments.workers}
    write_measurements(arguments.output, {**circumstances(), "settings": settings, "videos": rows})


def measure(video: Path, folder: Path, config: TrackConfig) -> dict[str, Any]:
    """Track a video in a process of its own, and say what it took."""
    clip = folder / f"{video.stem}_clip"
    options = ["--track-one", str(clip), "--workers", str(config.workers), "--size", str(config.size)]
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, __file__, str(video), *options], stdout=subprocess.PIPE, text=True)
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(proportional_bytes(number) for number in family(process.pid)))
        time.sleep(SAMPLE_SECONDS)
    seconds = time.perf_counter() - start
    output = process.stdout.read() if process.stdout else ""
    if process.returncode:
        raise SystemExit(f"{video.name} could not be tracked.")
    *stage_lines, cpu_line = output.splitlines()
    stages: dict[str, float] = {}
    for name, share in (line.split("\t") for line in stage_lines):
        stages[name] = stages.get(name, 0.0) + float(share)
    tracked = TrackedClip.load(clip)
    frames = len(tracked.frames)
    row = {
        "video": video.name,
        "source": [tracked.source.width, tracked.source.height],
        "images": [tracked.intrinsics.width, tracked.intrinsics.height],
        "frames": frames,
        "seconds": round(seconds, 2),
        "frames_per_second": round(frames / seconds, 2),
        "processor_seconds": float(cpu_line),
        "processor_seconds_per_frame": round(float(cpu_line) / frames, 4),
        "peak_memory_megabytes": round(peak / 1e6),
        "stage_seconds": {name: round(value, 2) for name, value in stages.items()},
        "clip_megabytes": round(sum(path.stat().st_size for path in clip.rglob("*") if path.is_file()) / 1e6, 1),
    }
    sys.stdout.write(f"{row}\n")
    return row


def track_one(video: Path, clip: Path, config: TrackConfig) -> None:
    """Track, and write when which stage began, and the processor time of this process and its children."""
    started = time.perf_counter()
    begins: list[tuple[str, float]] = [(WHOLE, started)]

    def new_bar(stage: str, total: int | None, done: int = 0) -> Advance:
        begins.append((stage, time.perf_counter()))
        return lambda count: None

    with open_workshop(clip, work_identity(video, config.identity())) as workshop:
        make_clip(VideoReader(video), workshop, config, new_bar)
    new_bar("Writing the report", None)
    write_report(TrackedClip.load(clip))
    begins.append(("", time.perf_counter()))
    for (name, begin), (_, end) in pairwise(begins):
        sys.stdout.write(f"{name}\t{end - begin}\n")
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    sys.stdout.write(f"{sum(usage.ru_utime + usage.ru_stime for usage in usages):.2f}\n")


def make_long(source: Path, target: Path, frames: int) -> None:
    """The source to and fro, so that nothing jumps, as a 1080p video."""
    images = [frame.image for frame in VideoReader(source)]
    scale = LONG_HEIGHT / images[0].shape[0]
    width, height = 2 * round(scale * images[0].shape[1] / 2), LONG_HEIGHT
    left = (1920 - width) // 2
    with av.open(str(target), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast", "crf": "23"})
        stream.width, stream.height, stream.pix_fmt = 1920, LONG_HEIGHT, "yuv420p"
        for image in to_and_fro(images, frames):
            canvas = np.full((LONG_HEIGHT, 1920, 3), 110, dtype=np.uint8)
            large = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
            canvas[:, max(0, left) : left + width] = large[:, max(0, -left) : max(0, -left) + 1920]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(canvas)))
        container.mux(stream.encode())


def to_and_fro(images: list[np.ndarray], frames: int) -> Iterator[np.ndarray]:
    """So many frames, turning back at either end."""
    last = len(images) - 1
    for frame in range(frames):
        place = frame % (2 * last)
        yield images[min(place, 2 * last - place)]


def family(root: int) -> list[int]:
    """The numbers of a process and of all its descendants."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name, in parentheses, may hold anything.
            parents[int(status.parent.name)] = int(status.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = [root]
    for number in found:
        found += [child for child, parent in parents.items() if parent == number]
    return found


def proportional_bytes(process: int) -> int:
    """The memory of a process, of which it counts its part of what it shares."""
    try:
        rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")), 0)


if __name__ == "__main__":
    main()
