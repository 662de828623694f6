"""Measure how well the avatar reconstructs frames of a tracked clip that it never saw.

    python scripts/measure_reconstruction.py CLIP --steps 2000 --output measurements/reconstruction.json

The registered method is trained by nerfstudio's own Trainer with every eighth tracked frame held out. Then the held-out
frames, and as many training frames spread evenly over the clip, are rendered over their own background (the filmed
pixels where the matte is 0, what was filmed nearby or at other times under the person) and compared with the filmed
frames. Colours are RGB in [0, 1], at the size of the clip's images:

    psnr_in_matte     -10 log10 of the frame's mean squared error weighted by the matte, over its pixels and channels
    psnr              the same, unweighted, of the whole frame
    psnr_mouth, _eyes the same, unweighted, inside the box around the lips' or both eyes' landmarks of that frame,
                      widened by a quarter of its own width on every side
    ssim              structural similarity of the whole frame (Wang et al. 2004; Gaussian window, deviation 1.5)

Each is computed for every frame by itself; what is reported is the mean over frames (of decibels, for the PSNRs). SSIM
and PSNR of the whole frame include the background outside the matte, which is exact wherever the avatar is clear.
"""

import tempfile
import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import tyro
from jaxtyping import Float, UInt8
from measuring import circumstances, spread_evenly, write_measurements
from nerfstudio.configs.method_configs import all_methods
from nerfstudio.utils import writer
from nerfstudio.utils.rich_utils import CONSOLE
from rich.table import Table
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from stage2_nerf.datamanager import PortraitDataset
from stage2_nerf.losses import over
from stage2_nerf.pipeline import PortraitEditPipeline, PortraitEditPipelineConfig, PortraitEditTrainerConfig
from stage2_nerf.portrait_model import PortraitModel, psnr
from tracking.clip import TrackedClip, write_png
from tracking.errors import one_sentence_for_user_errors
from tracking.face_regions import LEFT_EYE, OUTER_LIPS, RIGHT_EYE
from tracking.track import find_or_track

HELD_OUT_INTERVAL = 8
"""Every so many-th tracked frame is not trained on."""
BOX_MARGIN = 0.25
"""What is added to the boxes around mouth and eyes on every side, as a fraction of their width."""
SHEET_FRAMES = 6
"""Frames on the contact sheet."""

Picture = UInt8[np.ndarray, "height width 3"]


@dataclass
class Arguments:
    """Measure the reconstruction of held-out frames."""

    clip: Annotated[Path, tyro.conf.Positional]
    """A tracked clip; or a video, which is tracked first."""
    steps: int | None = None
    """Training steps; the method's own number if none is given."""
    output: Path = Path("measurements/reconstruction.json")
    """Where to write the measurements. A contact sheet goes beside them, under the same name with .png."""


@dataclass(frozen=True)
class FrameQuality:
    """How close one rendered frame is to the filmed one."""

    psnr_in_matte: float
    psnr: float
    psnr_mouth: float
    psnr_eyes: float
    ssim: float


@dataclass(frozen=True)
class RenderedFrame:
    """A frame as filmed and as rendered, and what the rendering took."""

    filmed: Picture
    rendered: Picture
    quality: FrameQuality
    seconds: float


def main(arguments: Arguments) -> None:
    """Train, measure, write and print."""
    with one_sentence_for_user_errors():
        clip = find_or_track(arguments.clip)
    with tempfile.TemporaryDirectory() as folder:
        config = configure(clip, arguments.steps, Path(folder))
        pipeline, set_up_seconds, training_seconds = train(config)
    datamanager = pipeline.datamanager
    held_out = render_all(pipeline.model, datamanager.eval_dataset, range(len(datamanager.eval_dataset)))
    seen = render_all(
        pipeline.model,
        datamanager.train_dataset,
        spread_evenly(len(datamanager.train_dataset), len(held_out)),
    )
    measurements = {
        "what": "reconstruction of held-out frames",
        **circumstances(),
        "clip": {
            "name": clip.root.name,
            "width": clip.intrinsics.width,
            "height": clip.intrinsics.height,
            "tracked_frames": len(clip.frames),
            "training_frames": len(datamanager.train_dataset),
            "held_out_frames": len(held_out),
            "held_out_interval": HELD_OUT_INTERVAL,
        },
        "steps": int(pipeline.model.reconstruction_steps_trained),
        "rays_per_step": datamanager.config.train_num_rays_per_batch,
        "device": str(pipeline.device),
        "set_up_seconds": round(set_up_seconds, 2),
        "training_seconds": round(training_seconds, 2),
        "milliseconds_per_step": round(1000 * training_seconds / int(pipeline.model.reconstruction_steps_trained), 2),
        "milliseconds_per_render": round(1000 * float(np.median([frame.seconds for frame in held_out])), 2),
        "held_out": mean_quality(held_out),
        "training": mean_quality(seen),
    }
    write_measurements(arguments.output, measurements)
    chosen = [held_out[i] for i in spread_evenly(len(held_out), SHEET_FRAMES)]
    write_png(arguments.output.with_suffix(".png"), contact_sheet(chosen))
    CONSOLE.print(summary(measurements))
    CONSOLE.print(f"Wrote {arguments.output} and {arguments.output.with_suffix('.png')}.", soft_wrap=True)


def configure(clip: TrackedClip, steps: int | None, outputs: Path) -> PortraitEditTrainerConfig:
    """The method as registered, without prompts, with frames held out."""
    config = deepcopy(all_methods["portrait-edit"])
    assert isinstance(config, PortraitEditTrainerConfig)
    pipeline = config.pipeline
    assert isinstance(pipeline, PortraitEditPipelineConfig)
    pipeline.datamanager.data = clip.root
    pipeline.datamanager.dataparser.held_out_interval = HELD_OUT_INTERVAL
    if steps is not None:
        pipeline.reconstruction_steps = steps
    config.output_dir, config.experiment_name, config.vis = outputs, "measurement", "tensorboard"
    return config


def train(config: PortraitEditTrainerConfig) -> tuple[PortraitEditPipeline, float, float]:
    """Train as `ns-train` does. Returns the trained pipeline and the seconds of setting up and of training."""
    np.random.seed(config.machine.seed)
    torch.manual_seed(config.machine.seed)
    config.set_timestamp()
    config.save_config()
    start = time.perf_counter()
    trainer = config.setup(local_rank=0, world_size=1)
    trainer.setup()
    ready = time.perf_counter()
    trainer.train()
    trained = time.perf_counter()
    for event_writer in writer.EVENT_WRITERS:
        if isinstance(event_writer, writer.TensorboardWriter):
            # Its thread would go on writing into the run's folder, which is about to be removed.
            event_writer.tb_writer.close()
    pipeline = trainer.pipeline
    assert isinstance(pipeline, PortraitEditPipeline)
    return pipeline, ready - start, trained - ready


def render_all(model: PortraitModel, dataset: PortraitDataset, rows: Sequence[int]) -> list[RenderedFrame]:
    """Render some of a dataset's frames and compare them with what was filmed."""
    render(model, dataset, rows[0])  # The first rendering also allocates.
    return [render(model, dataset, row) for row in rows]


def render(model: PortraitModel, dataset: PortraitDataset, row: int) -> RenderedFrame:
    """Render a frame over its own background and compare it with what was filmed."""
    camera = dataset.cameras[row : row + 1].to(model.device)
    start = time.perf_counter()
    with torch.no_grad():
        outputs = model.render_frame(camera)
    if model.device.type == "cuda":
        torch.cuda.synchronize()
    seconds = time.perf_counter() - start
    data = dataset[row]
    background, matte = data["background"].float() / 255, data["matte"].float() / 255
    rendered = over(outputs["foreground"].cpu(), outputs["accumulation"].cpu(), background).clamp(0, 1)
    clip: TrackedClip = dataset.metadata["clip"]
    landmarks = clip.track.landmarks[int(dataset.metadata["frames"][row])]
    quality = compare(rendered, data["image"].float(), matte, landmarks)
    return RenderedFrame(to_levels(data["image"]), to_levels(rendered), quality, seconds)


def compare(
    rendered: Float[Tensor, "height width 3"],
    filmed: Float[Tensor, "height width 3"],
    matte: Float[Tensor, "height width 1"],
    landmarks: Float[np.ndarray, "478 2"],
) -> FrameQuality:
    """How close a rendered frame is to the filmed one; the module says what each number is."""
    height, width = matte.shape[:2]
    everywhere = torch.ones_like(matte)
    mouth, eyes = (
        landmark_box(landmarks[list(points)], height, width) for points in (OUTER_LIPS, (*LEFT_EYE, *RIGHT_EYE))
    )
    pair = (rendered.permute(2, 0, 1)[None], filmed.permute(2, 0, 1)[None])
    ssim = structural_similarity_index_measure(*pair, data_range=1.0)
    assert isinstance(ssim, Tensor)
    return FrameQuality(
        psnr_in_matte=float(psnr(rendered, filmed, matte)),
        psnr=float(psnr(rendered, filmed, everywhere)),
        psnr_mouth=float(psnr(rendered[mouth], filmed[mouth], everywhere[mouth])),
        psnr_eyes=float(psnr(rendered[eyes], filmed[eyes], everywhere[eyes])),
        ssim=float(ssim),
    )


def landmark_box(points: Float[np.ndarray, "points 2"], height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of the widened box around landmarks, as far as the picture goes."""
    low, high = points.min(axis=0), points.max(axis=0)
    margin = BOX_MARGIN * (high[0] - low[0])
    left, top = np.floor(low - margin).clip(0).astype(int)
    right, bottom = np.ceil(high + margin).clip(max=(width, height)).astype(int)
    return slice(top, bottom), slice(left, right)


def mean_quality(frames: Sequence[RenderedFrame]) -> dict[str, float]:
    """Each measure's mean over frames."""
    rows = [asdict(frame.quality) for frame in frames]
    return {name: round(float(np.mean([row[name] for row in rows])), 4) for name in rows[0]}


def to_levels(image: Float[Tensor, "height width 3"]) -> Picture:
    """An image in [0, 1] in 8 bits."""
    return (image * 255).round().to(torch.uint8).numpy()


def contact_sheet(frames: Sequence[RenderedFrame]) -> Picture:
    """Filmed frames on the left of rendered ones, two pairs to a row."""
    pairs = [np.concatenate([frame.filmed, frame.rendered], axis=1) for frame in frames]
    if len(pairs) % 2:
        pairs.append(np.full_like(pairs[0], 255))
    rows = [np.concatenate(pairs[i : i + 2], axis=1) for i in range(0, len(pairs), 2)]
    return np.concatenate(rows, axis=0)


def summary(measurements: dict[str, Any]) -> Table:
    """What was measured, as a small table."""
    table = Table(title=f"{measurements['clip']['name']}: {measurements['steps']} steps")
    for heading in ("", "held out", "training"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, value in measurements["held_out"].items():
        table.add_row(name, f"{value:.3f}", f"{measurements['training'][name]:.3f}")
    for name in ("set_up_seconds", "training_seconds", "milliseconds_per_step", "milliseconds_per_render"):
        table.add_row(name, f"{measurements[name]:.1f}", "")
    return table


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
