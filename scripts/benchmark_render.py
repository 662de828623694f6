"""Measure how fast the avatar renders: frames/s and what takes the time, for a person who fills half of the picture.

    python scripts/benchmark_render.py RUN_OR_CLIP --output scripts/measurements/render.json

RUN is the folder or config.yml of a trained run; a tracked clip is trained on first, for `--steps` steps. Pictures are
square. Their cameras are those of frames spread over the clip, moved along and zoomed until the avatar's opacity is
above one half in half of the pixels. Every size is rendered with each number of threads, frame by frame, the first
frames not counted:

    milliseconds      median time of a frame by the wall clock, from the camera to the picture
    frames_per_second of that median
    processor_milliseconds the same by the time that all of the process' threads worked: what is far below threads x
                      milliseconds was waited for, as for other processes
    shares            of walk (where to look), fields (what is there) and accumulation in a frame's time, by
                      torch.profiler, on one more frame
    bounds            processor milliseconds to find where the head can be met in one picture of 128 x 128: by posing
                      the proxy's cells, as is done, or by casting the rays at the shell's mesh with Embree, which would
                      have to be posed and built anew for every frame
    peak_megabytes    the most memory that the process has held until then: sizes are rendered in the order given
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import torch
import trimesh
import tyro
from jaxtyping import Float
from measuring import circumstances, peak_memory_bytes, use_threads, write_measurements
from nerf_methods import ours
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.utils.rich_utils import CONSOLE
from rich.table import Table
from timed_training import TimedTraining
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from stage2_nerf.camera_rays import picture_rays
from stage2_nerf.clip_dataparser import SCENE_UNITS_PER_CENTIMETRE, clip_cameras
from stage2_nerf.finished_run import load_run
from stage2_nerf.pipeline import PortraitEditPipeline, PortraitEditPipelineConfig
from stage2_nerf.portrait_model import PortraitModel
from stage2_nerf.proxy_walk import possible_cells
from tracking.clip import TrackedClip
from tracking.errors import one_sentence_for_user_errors
from tracking.proxy_mesh import head_shell
from tracking.spread_evenly import spread_evenly
from tracking.track import find_or_track

FILLED = 0.5
"""Share of the picture that the person fills."""
WARM_UP_FRAMES = 3
"""Frames that are rendered before time is taken."""
LABELS = ("walk", "fields", "accumulation")
"""The parts of a frame that the model names to torch's profiler."""


@dataclass
class Arguments:
    """Measure how fast the avatar renders."""

    run: Annotated[Path, tyro.conf.Positional]
    """A trained run's folder or config.yml; or a tracked clip or a video, which is trained on first."""
    steps: int = 500
    """Training steps, where a clip is given."""
    sizes: tuple[int, ...] = (128, 256, 512)
    """Pixels along a side of the pictures."""
    threads: tuple[int, ...] = (1, 2)
    """Threads that torch and the compiled loops may use."""
    frames: int = 12
    """Frames that are timed for each size and number of threads."""
    output: Path = Path("measurements/render.json")
    """Where to write the measurements."""


def main(arguments: Arguments) -> None:
    """Load or train, time, write and print."""
    with one_sentence_for_user_errors():
        pipeline = load(arguments.run, arguments.steps)
    model, device = pipeline.model.eval(), str(pipeline.device)
    clip: TrackedClip = pipeline.datamanager.train_dataset.metadata["clip"]
    chosen = clip.frames[spread_evenly(len(clip.frames), arguments.frames)]
    cameras = fill(model, clip_cameras(clip, chosen).to(pipeline.device))
    rows = []
    for size in arguments.sizes:
        for threads in arguments.threads:
            use_threads(threads)
            rows.append({"size": size, "threads": threads, **measure(model, squared(cameras, size))})
    measurements = {
        "what": "rendering of a person who fills half of the picture",
        **circumstances(),
        "clip": {"name": clip.root.name, "width": clip.intrinsics.width, "height": clip.intrinsics.height},
        "steps": int(pipeline.model.reconstruction_steps_trained),
        "device": device,
        "filled": round(filled(model, squared(cameras, 128)), 3),
        "frames": len(chosen),
        "bounds": bounds(model, squared(cameras, 128)[:1], clip),
        "results": rows,
    }
    write_measurements(arguments.output, measurements)
    CONSOLE.print(summary(rows))
    CONSOLE.print(f"Wrote {arguments.output}.", soft_wrap=True)


def load(path: Path, steps: int) -> PortraitEditPipeline:
    """A run's pipeline, or one that is trained now."""
    config = path / "config.yml" if path.is_dir() else path
    if config.suffix == ".yml" and config.is_file():
        return load_run(config, "val").pipeline
    clip = find_or_track(path)
    with tempfile.TemporaryDirectory() as folder:
        config = ours(clip, Path(folder))
        assert isinstance(config.pipeline, PortraitEditPipelineConfig)
        config.pipeline.render_when_done = False
        config.pipeline.reconstruction_steps = steps
        training = TimedTraining(config)
        training.train_steps(steps)
    pipeline = training.trainer.pipeline
    assert isinstance(pipeline, PortraitEditPipeline)
    return pipeline


def squared(cameras: Cameras, size: int) -> Cameras:
    """The same cameras with pictures of so many pixels along both sides."""
    scale = size / cameras.width
    return replace(
        cameras,
        fx=cameras.fx * scale,
        fy=cameras.fy * scale,
        cx=cameras.cx * scale,
        cy=cameras.cy * scale,
        width=torch.full_like(cameras.width, size),
        height=torch.full_like(cameras.height, size),
    )


def fill(model: PortraitModel, cameras: Cameras) -> Cameras:
    """Square cameras that are centred on the avatar and zoomed until it fills its share of the pictures."""
    wide = squared_off(cameras)
    opacity = opacities(model, squared(wide, 96)).mean(0)
    weight = (opacity > 0.5).float()
    middle = [float((weight.sum(axis) * torch.arange(96)).sum() / weight.sum()) + 0.5 for axis in (0, 1)]
    scale = float(wide.width[0]) / 96
    # A closer look crops shoulders away and fills more; a wider one shows more air around them.
    low, high = 0.3, 4.0
    for _ in range(12):
        zoom = (low * high) ** 0.5
        looked = zoomed(wide, zoom, middle[0] * scale, middle[1] * scale)
        low, high = (zoom, high) if filled(model, squared(looked, 48)) < FILLED else (low, zoom)
    return looked


def squared_off(cameras: Cameras) -> Cameras:
    """Cameras whose pictures go as far down as across, or the other way round."""
    side = torch.maximum(cameras.width, cameras.height)
    return replace(
        cameras,
        cx=cameras.cx + (side - cameras.width) / 2,
        cy=cameras.cy + (side - cameras.height) / 2,
        width=side,
        height=side,
    )


def zoomed(cameras: Cameras, zoom: float, x: float, y: float) -> Cameras:
    """Cameras with this pixel in the middle of their pictures, so many times as large."""
    half = cameras.width / 2
    return replace(
        cameras,
        fx=cameras.fx * zoom,
        fy=cameras.fy * zoom,
        cx=(cameras.cx - x) * zoom + half,
        cy=(cameras.cy - y) * zoom + half,
    )


def opacities(model: PortraitModel, cameras: Cameras) -> Float[Tensor, "cameras height width"]:
    """The avatar's opacity in every camera."""
    pictures = [model.render_frame(cameras[i : i + 1])["accumulation"] for i in range(len(cameras))]
    return torch.stack(pictures)[..., 0].cpu()


def filled(model: PortraitModel, cameras: Cameras) -> float:
    """Share of the pixels in which the avatar is mostly opaque."""
    return float((opacities(model, cameras) > 0.5).float().mean())


def measure(model: PortraitModel, cameras: Cameras) -> dict[str, Any]:
    """Time every camera's picture."""
    for i in range(WARM_UP_FRAMES):
        render(model, cameras, i % len(cameras))
    walls, works = zip(*(render(model, cameras, i) for i in range(len(cameras))), strict=True)
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        start = time.perf_counter()
        render(model, cameras, len(cameras) // 2)
        whole = time.perf_counter() - start
    spent = {event.key: event.cpu_time_total / 1e6 for event in profiled.key_averages()}
    median = statistics.median(walls)
    return {
        "milliseconds": round(1000 * median, 1),
        "frames_per_second": round(1 / median, 2),
        "processor_milliseconds": round(1000 * statistics.median(works), 1),
        "shares": {label: round(spent.get(label, 0.0) / whole, 3) for label in LABELS},
        "peak_megabytes": peak_memory_bytes() // 2**20,
    }


def render(model: PortraitModel, cameras: Cameras, row: int) -> tuple[float, float]:
    """Seconds that one picture took, by the wall and by the processors."""
    wall, work = time.perf_counter(), time.process_time()
    model.render_frame(cameras[row : row + 1])
    if model.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - wall, time.process_time() - work


def bounds(model: PortraitModel, camera: Cameras, clip: TrackedClip) -> dict[str, float]:
    """What the two ways to bound rays take; the module says what they are."""
    origins, directions = (rays.reshape(-1, 3).cpu().numpy() for rays in picture_rays(camera))
    vertices, triangles = head_shell(clip.track.identity)
    box = model.head_field.box.cpu().numpy()
    assert camera.times is not None
    states = model.track.resolve_pictures(camera.times.reshape(-1), None, 1, len(origins))
    with torch.no_grad():
        blended = model.head_field.blend(states.expression)
    displacement = blended.displacement.cpu().numpy()

    def cast() -> None:
        mesh = trimesh.Trimesh(vertices * SCENE_UNITS_PER_CENTIMETRE, triangles, process=False)
        mesh.ray.intersects_location(origins, directions, multiple_hits=True)

    ways = {
        "posed_cells": lambda: possible_cells(box, displacement, model.head_sampler.occupied()),
        "embree": cast,
    }
    return {
        name: round(1000 * statistics.median(processor_seconds(way) for _ in range(7)), 2) for name, way in ways.items()
    }


def processor_seconds(function: Callable[[], object]) -> float:
    """What a call takes."""
    start = time.process_time()
    function()
    return time.process_time() - start


def summary(rows: Sequence[dict[str, Any]]) -> Table:
    """What was measured, as a small table."""
    headings = ("size", "threads", "frames/s", "ms", "processor ms", *LABELS, "MB")
    table = Table(*headings, title="Rendering, half of the picture filled")
    for row in rows:
        shares = [f"{100 * row['shares'][label]:.0f} %" for label in LABELS]
        numbers = (row["frames_per_second"], row["milliseconds"], row["processor_milliseconds"])
        cells = (row["size"], row["threads"], *numbers, *shares, row["peak_megabytes"])
        table.add_row(*(str(cell) for cell in cells))
    return table


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
