"""Compare ways of making a diffusion editor consistent, on real clips, with the editor of `train_small_editor.py`.

    python scripts/benchmark_diffusion_editors.py --clips demo/clip CLIP... --model outputs/small_editor/model

Every way edits the first frames of every clip by every prompt, a square around the head enlarged to the size that the
editor was trained at, and is measured by the product's own metrics: flicker, landmarks, nearness to what the offline
editor, its teacher, makes of the frame, sharpness, network evaluations and processor time. Two ways are bounds: `own
target` is the offline editor itself, and `autoencoder` passes its edit through the autoencoder alone, which is what a
network without errors would give.

Results are kept in `--work`, one a way, and made once: calls for different clips may run side by side, and a last one
for all of them only gathers. `--sheets` writes a picture of every clip and prompt there.
"""

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import tyro
from head_window import HeadWindow, HeadWindowEditor
from measuring import circumstances, use_threads, write_measurements
from nerfstudio.utils.rich_utils import CONSOLE
from rich.progress import track
from rich.table import Table
from small_editor_sampling import SIZE, SmallEditorSampling
from suite_clips import beginning, clip_name, edited_span
from suite_pictures import write_sheet
from surface_aggregated_editor import SurfaceAggregatedEditor
from way_measures import means, way_measures

from evaluation.editing_alone import edit_alone
from evaluation.measurement import Picture
from evaluation.measuring import MeasuringConfig
from evaluation.methods import pasted
from stage1_edit.autoencoder import Autoencoder
from stage1_edit.choose_editor import EditorConfig, make_editor
from stage1_edit.consistency import ConsistencyName
from stage1_edit.diffusion_editor import DiffusionEditor
from stage1_edit.diffusion_pictures import from_diffusion_range, to_diffusion_range
from stage1_edit.diffusion_weights import DiffusionModel, load_model
from stage1_edit.editor import EditRequest, FrameEditor, Image
from stage1_edit.instruct_pix2pix import InstructPix2Pix
from stage1_edit.offline_editor import OfflineEditor
from stage1_edit.prompts import EditPrompt
from stage1_edit.starting_noise import NoiseName
from tracking.clip import TrackedClip
from tracking.console import say
from tracking.errors import UserError, one_sentence_for_user_errors
from tracking.video import VideoReader
from tracking.video_writer import VideoWriter

WAYS: dict[str, tuple[ConsistencyName, NoiseName]] = {
    "per frame": ("none", "per-frame"),
    "shared noise": ("none", "shared"),
    "warped noise": ("none", "warped"),
    "cross-frame": ("cross-frame", "per-frame"),
    "cross-frame, shared noise": ("cross-frame", "shared"),
    "cross-frame, warped noise": ("cross-frame", "warped"),
    "tokenflow": ("tokenflow", "per-frame"),
    "tokenflow, shared noise": ("tokenflow", "shared"),
    "tokenflow, warped noise": ("tokenflow", "warped"),
    "gathered on the surface": ("none", "per-frame"),
    "gathered on the surface, warped noise": ("none", "warped"),
    "surface aggregation": ("none", "per-frame"),
    "surface aggregation, shared noise": ("none", "shared"),
    "surface aggregation, warped noise": ("none", "warped"),
}
"""What ties the frames together, and what sampling begins with."""
TARGET, AUTOENCODER = "own target", "autoencoder"
SURFACE: dict[str, tuple[float, ...]] = {"gathered on the surface": (0.0,), "surface aggregation": (0.5,)}
"""Ways of these names edit frame by frame, then show what these edits agree on, edited once more at a noise level; from
level 0 nothing is edited again."""
ALL_WAYS = (TARGET, AUTOENCODER, *WAYS)
WORKING_SIZE = 320
"""Longer side of the pictures that are measured."""


@dataclass(kw_only=True)
class Arguments(SmallEditorSampling):
    """What is compared."""

    clips: tuple[Path, ...] = (Path("demo/clip"),)
    """Tracked clips of people whom the editor was not trained on."""
    prompts: tuple[str, ...] = ("hair: make the hair silver", "head: turn him into a bronze statue")
    """That the offline editor understands too."""
    ways: tuple[str, ...] = ALL_WAYS
    """Which of them."""
    frames: int = 24
    """Of every clip, from its first."""
    frames_at_once: int = 8
    anchors: int = 2
    """Frames that the others follow."""
    threads: int = 1
    """That torch computes on."""
    sheets: bool = True
    """Write pictures into `work`."""
    work: Path = Path("outputs/diffusion_editors")
    """Where videos, pictures and results are kept."""
    output: Path = Path("scripts/measurements/diffusion_editors.json")
    """Where to write the measurements."""


@dataclass
class AutoencodedTarget:
    """The offline editor's edit as the autoencoder shows it: a network without errors (a `FrameEditor`)."""

    model: DiffusionModel
    editor: OfflineEditor = field(default_factory=OfflineEditor)

    @torch.no_grad()
    def edit(self, requests: Sequence[EditRequest]) -> list[Image]:
        """Edit, encode and decode."""
        autoencoder = Autoencoder(self.model.pipeline.vae, self.model.device)
        size = requests[0].original.shape[0], requests[0].original.shape[1]
        latents = autoencoder.encode(to_diffusion_range(self.editor.edit(requests), size))
        return list(from_diffusion_range(autoencoder.decode(autoencoder.scaled(latents)), size))

    def check(self, prompt: EditPrompt) -> None:
        """As the offline editor."""
        self.editor.check(prompt)


@dataclass
class Comparison:
    """All ways, on one clip by one prompt."""

    arguments: Arguments
    clip: TrackedClip
    prompt: EditPrompt
    model: DiffusionModel
    name: str
    """The clip's."""

    def results(self) -> list[dict[str, Any]]:
        """The measures of every way: kept ones, if they were made with the same settings."""
        found = [self._result(way) for way in self.arguments.ways]
        if self.arguments.sheets:
            sheet = self._folder / "sheet.png"
            write_sheet(self.clip, [self._video(way) for way in self.arguments.ways], self.prompt.region, sheet)
        return found

    def _result(self, way: str) -> dict[str, Any]:
        video = self._video(way)
        kept = video.with_suffix(".json")
        if kept.is_file():
            return json.loads(kept.read_text())
        say(CONSOLE, f"{self.name}, {self.prompt}: {way}", "bold")
        editor = self._editor(way)
        begun = time.process_time()
        edits = self._edited(editor, way)
        seconds = time.process_time() - begun
        self._write(edits, video)
        config = MeasuringConfig(WORKING_SIZE, span=edited_span(self.clip))
        found = {
            "clip": self.name,
            "prompt": str(self.prompt),
            "way": way,
            "frames": len(self.clip.frames),
            "measures": way_measures(self.clip, video, way, self.prompt, config),
            "network_evaluations": editor.network_evaluations if isinstance(editor, DiffusionEditor) else 0,
            "processor_seconds": round(seconds, 1),
        }
        write_measurements(kept, found)
        return found

    def _editor(self, way: str) -> FrameEditor:
        """A new one, whose anchors and noise are this clip's and prompt's alone.

        Raises:
            UserError: there is no such way.
        """
        if way == TARGET:
            return OfflineEditor()
        if way == AUTOENCODER:
            return AutoencodedTarget(self.model)
        if way not in ALL_WAYS:
            raise UserError(f"There is no way '{way}': choose of {', '.join(ALL_WAYS)}.")
        consistency, noise = WAYS[way]
        settings = self.arguments.config(self.arguments.frames_at_once)
        config = EditorConfig("instruct-pix2pix", consistency=consistency, noise=noise, anchors=self.arguments.anchors)
        return make_editor(config, settings, self.model, InstructPix2Pix(settings, self.model))

    def _edited(self, editor: FrameEditor, way: str) -> dict[int, Picture]:
        """The frames' edits, by their numbers."""
        frames = [int(frame) for frame in self.clip.frames]
        # What the teacher makes of the whole frame is what the fit is measured with; it needs no larger picture.
        framed = editor
        if way != TARGET:
            levels = again_at(way)
            inner = SurfaceAggregatedEditor(editor, levels) if levels else editor
            framed = HeadWindowEditor(inner, HeadWindow.of_clip(self.clip, frames, SIZE))
        batch = len(frames) if again_at(way) else self.arguments.frames_at_once
        edits: dict[int, Picture] = {}
        for first in track(range(0, len(frames), batch), "Editing"):
            members = frames[first : first + batch]
            edits |= zip(members, edit_alone(framed, self.prompt, self.clip, members), strict=True)
        return edits

    def _write(self, edits: Mapping[int, Picture], video: Path) -> None:
        """Put edits back into the source's frames, and write these without loss."""
        plate = self.clip.plate()
        reader = VideoReader(Path(self.clip.source.path))
        partial = video.with_suffix(".partial.mp4")
        with VideoWriter(partial, reader.properties, "lossless", with_sound=False) as writer:
            for frame in reader:
                if frame.index > max(edits):
                    break
                image = frame.image
                if frame.index in edits:
                    # Without the unedited picture: the film's detail is not to make up for the editor's.
                    image = pasted(self.clip, frame.index, image, (edits[frame.index], None), plate)
                writer.write(image, frame.timestamp)
        partial.replace(video)

    def _video(self, way: str) -> Path:
        return self._folder / f"{way.replace(', ', '-').replace(' ', '-')}.mp4"

    @property
    def _folder(self) -> Path:
        """Where results are kept; other settings and another network have another place."""
        weights = self.arguments.model / "unet" / "diffusion_pytorch_model.safetensors"
        key = {**settings_of(self.arguments), "weights": hashlib.sha256(weights.read_bytes()).hexdigest()}
        digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:8]
        folder = self.arguments.work / self.name / f"{self.prompt.text.replace(' ', '-')}-{digest}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def main(arguments: Arguments) -> None:
    """Compare, and write the numbers.

    Raises:
        UserError: a clip or the editor cannot be read.
    """
    use_threads(arguments.threads)
    model = load_model(arguments.config(arguments.frames_at_once), "instruction", torch.device("cpu"))
    results: list[dict[str, Any]] = []
    for given in arguments.clips:
        name = clip_name(given)
        clip = beginning(
            TrackedClip.load(given), arguments.frames, arguments.work / name / f"{arguments.frames}-frames"
        )
        for typed in arguments.prompts:
            results += Comparison(arguments, clip, EditPrompt.parse(typed), model, name).results()
            trained = arguments.model.parent / "training.json"
            measurements = {
                "what": "ways of making a small InstructPix2Pix consistent, on clips of people it was not trained on",
                **circumstances(),
                "settings": settings_of(arguments),
                "training": json.loads(trained.read_text()) if trained.is_file() else None,
                "results": results,
                "means": means(results),
            }
            write_measurements(arguments.output, measurements)
    CONSOLE.print(as_table(means(results)))


def again_at(way: str) -> tuple[float, ...]:
    """The noise levels at which a way edits again what is gathered on the surface; none where nothing is gathered."""
    return next((levels for name, levels in SURFACE.items() if way.startswith(name)), ())


def settings_of(arguments: Arguments) -> dict[str, Any]:
    """What the results depend on, beside clip, prompt and weights."""
    unlike = ("clips", "prompts", "ways", "model", "threads", "sheets", "work", "output")
    return {name: value for name, value in asdict(arguments).items() if name not in unlike}


def as_table(found: dict[str, dict[str, float | None]]) -> Table:
    """The means, a way a row."""
    names = list(next(iter(found.values()), {}))
    table = Table("way", *(name.replace("_", " ") for name in names))
    for way, values in found.items():
        table.add_row(way, *("-" if values[name] is None else f"{values[name]:.3f}" for name in names))
    return table


if __name__ == "__main__":
    with one_sentence_for_user_errors():
        main(tyro.cli(Arguments, description=__doc__))
