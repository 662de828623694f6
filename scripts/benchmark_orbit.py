"""How an avatar holds from the side: a rendered head with the truth, and filmed clips without.

    python scripts/benchmark_orbit.py --clips demo/clip OTHER_CLIP... --sheet orbit.png
    python scripts/benchmark_orbit.py --label before    # kept in the same file beside other labels
    python scripts/benchmark_orbit.py --no-heads --runs RUN...    # avatars that are trained already

Every clip is trained on with each eighth frame held out. Then some held-out frames are rendered with the camera swung
around the head, as `portrait-render --orbit` renders them. For every yaw, means over the frames:

    haze          share of the pixels with an opacity above 0.1 in which it is less than 0.9
    roughness     how much longer the outline of opacity 0.5 is than after smoothing by 2 % of the height, as a share;
                  holes and specks have outlines too
    psnr          of the rendered head: of the picture over grey, near the true silhouette (within 5 % of the height)
    silhouette    of the rendered head: intersection over union of what is more than half opaque

The rendered head's own haze and roughness, of the true pictures, stand beside them.
"""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import tyro
from jaxtyping import Bool, Float32
from measuring import circumstances, use_threads, write_measurements
from nerf_methods import ours
from nerfstudio.utils.rich_utils import CONSOLE
from orbit_truth import OrbitTruth, SideView
from reconstruction_quality import filmed_frames, mean_quality, render_all
from rich.table import Table
from synthetic_sequences import BenchmarkData
from timed_training import TimedTraining

from stage2_nerf.clip_dataparser import SCENE_UNITS_PER_CENTIMETRE, clip_cameras
from stage2_nerf.datamanager import PortraitDataset
from stage2_nerf.finished_run import find_config, load_run
from stage2_nerf.near_side import near_side_margin
from stage2_nerf.orbit import orbited
from stage2_nerf.pipeline import PortraitEditPipelineConfig
from stage2_nerf.portrait_model import PortraitModel
from tracking.clip import TrackedClip, write_png
from tracking.errors import one_sentence_for_user_errors
from tracking.spread_evenly import spread_evenly

YAWS = (-25.0, -12.0, 0.0, 12.0, 25.0)
FRAMES = 5
"""Held-out frames of a clip that are looked at from the side."""
GREY = 0.5


@dataclass
class Arguments:
    """Measure avatars from the side."""

    clips: tuple[Path, ...] = ()
    """Tracked clips of filmed people, to train on."""
    runs: tuple[Path, ...] = ()
    """Finished runs with frames held out, as `measure_reconstruction.py --keep` leaves them; they are not trained."""
    shared: Path = Path("../shared")
    """The folder with models/ict_facekit_packed.npz and clips/."""
    cache: Path = Path("outputs/benchmark_tracking")
    """Where the rendered head's frames and its tracked clip are kept."""
    heads: bool = True
    """Measure the rendered head."""
    steps: int = 600
    """Training steps."""
    threads: int = 1
    """Threads to train and render with."""
    label: str = "now"
    """What the measurements are kept under; those of other labels, and of other clips, stay in the file."""
    output: Path = Path("scripts/measurements/orbit.json")
    """Where to write the measurements."""
    sheet: Path | None = None
    """Also write a picture: the first of every clip's frames from all sides, and below it the truth."""
    at: tuple[float, ...] = field(default=YAWS)
    """Degrees of yaw."""


def main(arguments: Arguments) -> None:
    """Train, look from the side, write and print."""
    use_threads(arguments.threads)
    results: dict[str, Any] = {}
    rows: list[Float32[np.ndarray, "height width 3"]] = []

    def keep(result: dict[str, Any], pictures: list[Float32[np.ndarray, "height width 3"]]) -> None:
        name = result.pop("name")
        results[name] = result
        rows.extend(pictures)
        CONSOLE.print(table(name, result["yaws"]))

    with one_sentence_for_user_errors():
        truth = OrbitTruth(BenchmarkData(arguments.shared, arguments.cache)) if arguments.heads else None
        clips = [] if truth is None else [(truth.clip(), truth)]
        clips += [(TrackedClip.load(path), None) for path in arguments.clips]
    for clip, side_truth in clips:
        keep(*measure(*trained(clip, arguments.steps), side_truth, arguments.at))
    for run in arguments.runs:
        with one_sentence_for_user_errors():
            pipeline = load_run(find_config(run)).pipeline
        keep(*measure(pipeline.model, pipeline.datamanager.eval_dataset, None, arguments.at))
    before = json.loads(arguments.output.read_text(encoding="utf-8")) if arguments.output.is_file() else {}
    known = before.get(arguments.label, {}).get("clips", {})
    measured = {**circumstances(), "steps": arguments.steps, "frames": FRAMES, "clips": {**known, **results}}
    write_measurements(arguments.output, {"what": "avatars seen from the side", **before, arguments.label: measured})
    if arguments.sheet is not None:
        write_png(arguments.sheet, stacked(rows))
    CONSOLE.print(f"Wrote {arguments.output}.", soft_wrap=True)


def trained(clip: TrackedClip, steps: int) -> tuple[PortraitModel, PortraitDataset]:
    """An avatar of a clip, and the frames that it was not trained on."""
    with tempfile.TemporaryDirectory() as folder:
        config = ours(clip, Path(folder))
        assert isinstance(config.pipeline, PortraitEditPipelineConfig)
        config.pipeline.reconstruction_steps = steps
        training = TimedTraining(config)
        training.train_steps(steps)
    assert isinstance(training.model, PortraitModel)
    return training.model, training.datamanager.eval_dataset


def measure(
    model: PortraitModel, held_out: PortraitDataset, truth: OrbitTruth | None, at: Sequence[float]
) -> tuple[dict[str, Any], list[Float32[np.ndarray, "height width 3"]]]:
    """One avatar's numbers, and its rows of the sheet."""
    clip: TrackedClip = held_out.metadata["clip"]
    quality = mean_quality(render_all(model, filmed_frames(held_out)))
    numbers = held_out.metadata["frames"]
    chosen = [int(numbers[row]) for row in spread_evenly(len(numbers), FRAMES)]
    yaws, seen, true = {}, [], []
    for yaw in at:
        views = [side_view(model, clip, frame, yaw) for frame in chosen]
        real = None if truth is None else [truth.seen(clip, frame, pivot(model), yaw) for frame in chosen]
        yaws[f"{yaw:g}"] = compare(views, real)
        seen.append(over_grey(views[0]))
        true += [] if real is None else [over_grey(real[0])]
    result = {"name": clip.root.name, "held_out_psnr_in_matte": quality["psnr_in_matte"], "yaws": yaws}
    return result, [np.concatenate(row, axis=1) for row in (seen, true) if row]


@torch.no_grad()
def side_view(model: PortraitModel, clip: TrackedClip, frame: int, yaw: float) -> SideView:
    """A frame's moment with the camera swung around the head, as `portrait-render --orbit` shows it."""
    camera = clip_cameras(clip, np.array([frame])).to(model.device)
    camera = orbited(camera, model.head_field.box.mean(0), yaw)
    outputs = model.render_frame(camera, margin=near_side_margin(yaw))
    return SideView(outputs["foreground"].cpu().numpy(), outputs["accumulation"][..., 0].cpu().numpy())


def pivot(model: PortraitModel) -> np.ndarray:
    """What the camera swings around, in head space, in centimetres."""
    return model.head_field.box.mean(0).cpu().numpy().astype(np.float64) / SCENE_UNITS_PER_CENTIMETRE


def compare(views: Sequence[SideView], truth: Sequence[SideView] | None) -> dict[str, float]:
    """The means of one yaw's measures; the module says what each is."""
    values = {
        "haze": [haze(view.opacity) for view in views],
        "roughness": [roughness(view.opacity) for view in views],
    }
    if truth is not None:
        pairs = list(zip(views, truth, strict=True))
        values["true_haze"] = [haze(view.opacity) for view in truth]
        values["true_roughness"] = [roughness(view.opacity) for view in truth]
        values["psnr"] = [psnr_near(*pair) for pair in pairs]
        values["silhouette"] = [silhouette_overlap(view.opacity, real.opacity) for view, real in pairs]
    return {name: round(float(np.mean(numbers)), 4) for name, numbers in values.items()}


def haze(opacity: Float32[np.ndarray, "height width"]) -> float:
    """Share of what is seen that is neither clear nor opaque."""
    return float((opacity < 0.9)[opacity > 0.1].mean())


def roughness(opacity: Float32[np.ndarray, "height width"]) -> float:
    """How much longer the outline is than the smoothed one, as a share."""
    smooth = cv2.GaussianBlur(opacity, (0, 0), 0.02 * len(opacity), borderType=cv2.BORDER_REPLICATE)
    return outline(opacity > 0.5) / max(outline(smooth > 0.5), 1.0) - 1


def outline(inside: Bool[np.ndarray, "height width"]) -> float:
    """Length of a silhouette's outlines in pixels, without the picture's edges.

    Cauchy and Crofton: the length is pi / 4 times the crossings of lines of four directions, a pixel apart.
    """
    straight = np.diff(inside, axis=0).sum() + np.diff(inside, axis=1).sum()
    oblique = (inside[1:, 1:] != inside[:-1, :-1]).sum() + (inside[1:, :-1] != inside[:-1, 1:]).sum()
    # Oblique lines through all pixels are nearer to each other.
    return float(np.pi / 8 * (straight + oblique / np.sqrt(2)))


def psnr_near(view: SideView, truth: SideView) -> float:
    """Over grey, near the true silhouette."""
    reach = round(0.05 * len(truth.opacity))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    near = cv2.dilate((truth.opacity > 0.5).astype(np.uint8), kernel) > 0
    squared = (over_grey(view).clip(0, 1) - over_grey(truth).clip(0, 1)) ** 2
    return float(-10 * np.log10(max(squared[near].mean(), 1e-10)))


def silhouette_overlap(
    first: Float32[np.ndarray, "height width"], second: Float32[np.ndarray, "height width"]
) -> float:
    """Intersection over union."""
    a, b = first > 0.5, second > 0.5
    return float((a & b).sum() / max((a | b).sum(), 1))


def over_grey(view: SideView) -> Float32[np.ndarray, "height width 3"]:
    """A view before a grey wall."""
    return view.foreground + (1 - view.opacity[..., None]) * np.float32(GREY)


def stacked(rows: Sequence[Float32[np.ndarray, "height width 3"]]) -> np.ndarray:
    """Rows below each other, each as wide as the widest."""
    width = max(row.shape[1] for row in rows)
    sized = [cv2.resize(row, (width, round(len(row) * width / row.shape[1]))) for row in rows]
    return (np.concatenate(sized).clip(0, 1) * 255).round().astype(np.uint8)


def table(name: str, yaws: dict[str, dict[str, float]]) -> Table:
    """One row for each measure."""
    shown = Table("", *(f"{float(yaw):+g}" for yaw in yaws), title=name)
    for measure in next(iter(yaws.values())):
        shown.add_row(measure, *(f"{values[measure]:.3f}" for values in yaws.values()))
    return shown


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
