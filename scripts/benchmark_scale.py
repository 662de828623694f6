"""Measure what training on a long clip takes: memory, disk, and time for a step.

    python scripts/benchmark_scale.py CLIP --frames 10000 --size 512

The clip is a tracked one whose frames are enlarged and repeated: its pictures are hard links to a few files, but they
are decoded, kept and drawn from as if all were different. Each case trains in a process of its own:

    long        the decoded frames in a file, made first
    long again  the same, which finds the file made
    short       as many frames as are held in memory

    peak_gigabytes      the most memory that the process ever held (VmHWM), all libraries included
    file_gigabytes      the file of decoded frames
    decoding_seconds    from the clip's pictures to decoded frames
    first_step_seconds  from the trainer's construction to the end of the first step, decoding included
    step_milliseconds   median of a training step
    drawing_milliseconds  median of what of it goes into drawing the rays
    naive_gigabytes     what nerfstudio's own loader would hold of the clip: float images, and here a copy to go back
                        to, mattes, labels and backgrounds of one byte a number (computed, not run)

Some of the frames are replaced half-way, as edits do, so that both kinds are drawn from. With 10,000 frames it needs 14
GB of disk under --folder, which are given back, and four minutes on two cores.
"""

import json
import multiprocessing
import os
import shutil
import tempfile
import time
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import cv2
import numpy as np
import torch
import tyro
from measuring import circumstances, write_measurements
from nerfstudio.configs.method_configs import all_methods
from nerfstudio.utils.rich_utils import CONSOLE

from stage2_nerf.frame_record import FrameLayout
from stage2_nerf.frame_store import FileFrames
from stage2_nerf.pipeline import PortraitEditPipeline, PortraitEditPipelineConfig
from stage2_nerf.trainer import PortraitEditTrainerConfig
from tracking.clip import TrackedClip, write_png
from tracking.errors import one_sentence_for_user_errors
from tracking.spread_evenly import spread_evenly

DIFFERENT_FRAMES = 60
"""Frames of the clip that are repeated."""
Case = Literal["long", "long again", "short"]


@dataclass
class Arguments:
    """Measure memory and time of training on a long clip."""

    clip: Annotated[Path, tyro.conf.Positional]
    """A tracked clip, whose frames are enlarged and repeated."""
    frames: int = 10_000
    """Frames of the long clip."""
    short_frames: int = 1000
    """Frames of the short one."""
    size: int = 512
    """Width and height of the pictures."""
    steps: int = 120
    """Training steps of each case."""
    folder: Path = Path()
    """Where to work: a folder is made there, and removed in the end."""
    output: Path = Path("measurements/scale.json")
    """Where to write the measurements."""


def main(arguments: Arguments) -> None:
    """Make the clips, train on each in a process of its own, write and print."""
    layout = FrameLayout(arguments.size, arguments.size)
    measurements: dict[str, Any] = {
        "what": "training on long clips",
        **circumstances(),
        "frames": arguments.frames,
        "size": arguments.size,
        "bytes_per_frame": layout.size,
        "naive_gigabytes": round(arguments.frames * arguments.size**2 * (3 * 4 + 3 + 1 + 1 + 3) / 1e9, 1),
    }
    with one_sentence_for_user_errors():
        source = TrackedClip.load(arguments.clip)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        cases: list[tuple[Case, int]] = [("long", arguments.frames), ("long again", arguments.frames)]
        for case, frames in [*cases, ("short", arguments.short_frames)]:
            clip = Path(folder) / str(frames)
            if not clip.exists():
                repeat_clip(source, clip, frames, arguments.size)
            measurements[case] = in_own_process(case, clip, arguments.steps)
            CONSOLE.print(case, measurements[case])
            if case == "long again":
                shutil.rmtree(clip)
    write_measurements(arguments.output, measurements)
    CONSOLE.print(f"Wrote {arguments.output}.", soft_wrap=True)


def repeat_clip(source: TrackedClip, folder: Path, frames: int, size: int) -> None:
    """A clip of so many frames: some of the source's, enlarged, again and again."""
    chosen = source.frames[spread_evenly(len(source.frames), DIFFERENT_FRAMES)]
    rows = chosen[np.arange(frames) % len(chosen)]
    arrays = ("camera_to_head", "camera_to_torso", "expression", "reprojection_error", "flags")
    track = replace(
        source.track,
        tracked=np.ones(frames, dtype=bool),
        presentation_timestamps=np.arange(frames),
        landmarks=source.track.landmarks[rows].astype(np.float32),
        **{name: getattr(source.track, name)[rows] for name in arrays},
    )
    camera = source.intrinsics
    scale = size / max(camera.width, camera.height)
    # Wider pictures are squeezed: what they show does not matter here.
    camera = replace(
        camera, focal_length=scale * camera.focal_length, center_x=size / 2, center_y=size / 2, width=size, height=size
    )
    clip = replace(source, root=folder, intrinsics=camera, track=track)
    for path in clip.picture_paths(0):
        path.parent.mkdir(parents=True)

    def enlarged(picture: np.ndarray, interpolation: int = cv2.INTER_CUBIC) -> np.ndarray:
        return cv2.resize(picture, (size, size), interpolation=interpolation)

    for number, frame in enumerate(chosen.tolist()):
        write_png(clip.image_path(number), enlarged(source.image(frame)))
        write_png(clip.matte_path(number), np.rint(255 * enlarged(source.matte(frame)).clip(0, 1)).astype(np.uint8))
        write_png(clip.label_path(number), enlarged(source.labels(frame), cv2.INTER_NEAREST))
    write_png(clip.background_path, enlarged(source.background()))
    for number in range(len(chosen), frames):
        for path_of in (clip.image_path, clip.matte_path, clip.label_path):
            path_of(number).hardlink_to(path_of(number % len(chosen)))
    clip.save_description()


def in_own_process(case: Case, clip: Path, steps: int) -> dict[str, Any]:
    """Train in a new process; what it measured."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=train, args=(clip, steps, sender))
    process.start()
    sender.close()
    try:
        return json.loads(receiver.recv())
    except EOFError as error:
        raise SystemExit(f"Training in the case '{case}' failed.") from error
    finally:
        process.join()


def train(clip: Path, steps: int, sender: Any) -> None:
    """Train on a clip, and send what it took."""
    config = deepcopy(all_methods["portrait-edit"])
    assert isinstance(config, PortraitEditTrainerConfig)
    pipeline_config = config.pipeline
    assert isinstance(pipeline_config, PortraitEditPipelineConfig)
    pipeline_config.datamanager.data = clip
    pipeline_config.render_when_done = False
    pipeline_config.reconstruction_steps = steps
    config.steps_per_save = 10**9
    config.vis = "tensorboard"
    with tempfile.TemporaryDirectory() as outputs:
        config.output_dir, config.experiment_name = Path(outputs), "scale"
        config.set_timestamp()
        config.save_config()
        torch.manual_seed(0)
        start = time.perf_counter()
        trainer = config.setup(local_rank=0, world_size=1)
        trainer.setup()
        pipeline = trainer.pipeline
        assert isinstance(pipeline, PortraitEditPipeline)
        data = pipeline.datamanager
        before = time.perf_counter()
        store = data.store
        decoding = time.perf_counter() - before
        drawing: list[float] = []
        stepping: list[float] = []
        for step in range(steps):
            if step == steps // 2:
                for row in spread_evenly(len(data), 50):
                    data.replace(row, 1 - data.original(row))
            begin = time.perf_counter()
            trainer.train_iteration(step)
            stepping.append(time.perf_counter() - begin)
            if step == 0:
                first = time.perf_counter() - start
            begin = time.perf_counter()
            data.next_train(step)
            drawing.append(time.perf_counter() - begin)
    in_file = isinstance(store, FileFrames)
    file = clip / ".frames.portrait-edit"
    result = {
        "frames": len(data),
        "held": "in a file" if in_file else "in memory",
        "peak_gigabytes": round(peak_memory() / 1e9, 2),
        "file_gigabytes": round(file.stat().st_size / 1e9, 2) if in_file else 0.0,
        "decoding_seconds": round(decoding, 1),
        "first_step_seconds": round(first, 1),
        "step_milliseconds": round(1000 * float(np.median(stepping)), 1),
        "drawing_milliseconds": round(1000 * float(np.median(drawing)), 1),
    }
    sender.send(json.dumps(result))


def peak_memory() -> int:
    """The most bytes that this process ever held."""
    status = Path(f"/proc/{os.getpid()}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return 1024 * int(line.split()[1])


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
