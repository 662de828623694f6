"""Measure schedules of editing against each other: the same editor, avatar and training, other frames at other times.

    python scripts/benchmark_schedules.py demo/clip --reconstruction RUN --ways frame_by_frame iterative edit_then_fit

    own_target              what edits are compared with, frame by frame: the flicker that so strong an edit has anyway
    frame_by_frame          every frame edited by itself, and no avatar
    instruct_nerf2nerf      iterative dataset update as published but for its pace: 1,500 edits in `--steps-of-in2n`
    instruct_nerf2nerf_smooth       the same, trained with smooth feature planes as the ways below are
    iterative               every frame first, then one every ten steps at falling noise levels
    edit_then_fit           keyframes from noise, in the tone that they have in common, within 4,500 evaluations
    edit_then_fit_no_tone   the same, every edit in its own tone
    edit_then_fit_rounds    fewer frames from noise, then two rounds at levels of 0.75 and 0.45, started from what the
                            edits agree on, gathered on the tracked surface
    edit_then_fit_warped_noise, edit_then_fit_shared_noise      the first, from noise that is alike in all frames
    edit_then_fit_cross_frame, edit_then_fit_tokenflow      the first, frames tied together while they are sampled, too

Without `--editor-model` the editor is the offline one, made inconsistent from frame to frame on purpose
(`jittered_editor.py`); network evaluations are then counted as InstructPix2Pix would need them, in 20 steps under 3
conditions. A weaker edit of its goes less far from where it starts and is spoiled less, in proportion; a diffusion
model's is no such straight line. With it, a folder in diffusers' format such as `train_small_editor.py` writes, a
square around the head is edited at the size that the model was trained at; the ways of the last two lines need one.
With 8 sampling steps in place of 20, a budget of 1,800 evaluations pays for as many edits as 4,500 do with 20.

The target that edits are compared with is the offline editor's, without jitter. What is finished lies in the work
folder, and is not done again.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import tyro
from head_window import HeadWindow, HeadWindowEditor
from jittered_editor import Jitter, JitteredEditor
from measuring import circumstances, use_threads, write_measurements
from nerfstudio.utils.rich_utils import CONSOLE
from rich.table import Table
from small_editor_sampling import EditorSampling
from suite_clips import clip_name
from suite_pictures import write_sheet
from way_measures import means, way_measures

from evaluation.measuring import MeasuringConfig
from evaluation.methods import METHODS, CountingEditor, EditingTask
from stage1_edit.choose_editor import EditorConfig, make_editor
from stage1_edit.choose_schedule import ScheduleConfig, ScheduleName
from stage1_edit.consistency import ConsistencyName
from stage1_edit.diffusion_weights import DiffusionModel, load_model
from stage1_edit.edit_then_fit import EditThenFitConfig
from stage1_edit.editing_cost import AsInstructPix2Pix
from stage1_edit.editor import EditRequest, FrameEditor, Image
from stage1_edit.instruct_pix2pix import InstructPix2Pix, InstructPix2PixConfig
from stage1_edit.offline_editor import OfflineEditor
from stage1_edit.prompts import EditPrompt
from stage1_edit.schedule import INSTRUCT_NERF2NERF
from stage1_edit.starting_noise import NoiseName
from stage2_nerf.style_training import StyleTrainingConfig
from tracking.clip import TrackedClip
from tracking.console import say
from tracking.errors import UserError, one_sentence_for_user_errors

OWN_TARGET, FRAME_BY_FRAME = "own_target", "frame_by_frame"
IN2N, IN2N_SMOOTH = "instruct_nerf2nerf", "instruct_nerf2nerf_smooth"
ALONE = OWN_TARGET, FRAME_BY_FRAME
"""Ways without a style."""


ROUNDS = EditThenFitConfig(
    noise_levels=(1.0, 0.75, 0.45), shares=(0.22, 0.39, 0.39), begins=(0.0, 0.15, 0.35), common_tone=False
)
"""Three rounds, at falling noise levels."""


WITHOUT_SMOOTHNESS = {"smoothness": 0.0, "learning_rate": 2e-2}
"""How a style is trained without smooth planes, and the step size that went with it."""


@dataclass(frozen=True)
class Way:
    """What one way of editing differs by."""

    schedule: ScheduleName = "edit-then-fit"
    edit_then_fit: EditThenFitConfig = field(default_factory=EditThenFitConfig)
    surface: bool = False
    """Whether re-edits start from what the edits agree on."""
    consistency: ConsistencyName = "none"
    noise: NoiseName = "auto"
    as_published: bool = False
    """Whether a style is trained without what Instruct-NeRF2NeRF's avatar has nothing of: its planes' smoothness."""


WAYS: dict[str, Way] = {
    OWN_TARGET: Way(),
    FRAME_BY_FRAME: Way(),
    IN2N: Way("iterative", as_published=True),
    IN2N_SMOOTH: Way("iterative"),
    "iterative": Way("iterative"),
    "edit_then_fit": Way(),
    "edit_then_fit_no_tone": Way(edit_then_fit=EditThenFitConfig(common_tone=False)),
    "edit_then_fit_rounds": Way(edit_then_fit=ROUNDS, surface=True),
    "edit_then_fit_warped_noise": Way(noise="warped"),
    "edit_then_fit_shared_noise": Way(noise="shared"),
    "edit_then_fit_cross_frame": Way(consistency="cross-frame"),
    "edit_then_fit_tokenflow": Way(consistency="tokenflow"),
}


@dataclass(kw_only=True)
class ModelSettings(EditorSampling):
    """How a diffusion model is sampled."""

    sampling_steps: int = 20
    size: int = 256
    """Pixels along a side of what the model was trained on."""
    frames_at_once: int = 4
    anchors: int = 2
    """Frames that the others follow where something ties them together."""
    budget: int = 4500
    """Most network evaluations of a prompt's edits by edit-then-fit."""


@dataclass
class Arguments:
    """Measure schedules against each other."""

    clip: tyro.conf.Positional[Path]
    """A tracked clip."""
    reconstruction: Path
    """The folder of a finished run that has reconstructed it."""
    prompts: tuple[str, ...] = ("hair: make it silver", "turn the person into a bronze statue")
    """That the offline editor understands, too."""
    ways: tuple[str, ...] = (OWN_TARGET, FRAME_BY_FRAME, IN2N, "iterative", "edit_then_fit", "edit_then_fit_rounds")
    """Which of them."""
    style_steps: int = StyleTrainingConfig.steps
    """Training steps of a style, but by Instruct-NeRF2NeRF's schedule; as many as the product takes."""
    edits_of_in2n: int = 1500
    """Edits that Instruct-NeRF2NeRF makes: 15,000 steps, one every ten."""
    steps_of_in2n: int = 1500
    """Training steps in which they are made here."""
    editor_model: Path | None = None
    """A folder with an InstructPix2Pix in diffusers' format."""
    model: ModelSettings = field(default_factory=ModelSettings)
    seeds: tuple[int, ...] = (0,)
    """What has a style is made anew with each of them."""
    jitter: Jitter = field(default_factory=Jitter)
    """How inconsistent the editor is that needs no model."""
    size: int = 320
    """Pictures are measured with a longer side of at most so many pixels."""
    threads: int = 1
    work: Path = Path("outputs/schedules")
    """Where videos and results are kept."""
    output: Path = Path("measurements/schedules.json")
    """Where to write the measurements; pictures go beside it."""


@dataclass
class CountedAsDiffusion:
    """An editor without a network, counted as if it were InstructPix2Pix (a `FrameEditor` and a `NetworkEditor`)."""

    editor: FrameEditor
    network_evaluations: int = 0

    def evaluations_for(self, frames: int, noise_level: float, steps_by_level: bool) -> int:
        """Steps times guidance branches times frames."""
        return AsInstructPix2Pix().evaluations_for(frames, noise_level, steps_by_level)

    def edit(self, requests: Sequence[EditRequest]) -> Sequence[Image | None]:
        """Edit, and count."""
        self.network_evaluations += sum(
            self.evaluations_for(1, request.noise_level, request.steps_by_level) for request in requests
        )
        return self.editor.edit(requests)

    def check(self, prompt: EditPrompt) -> None:
        """As the editor itself."""
        self.editor.check(prompt)


@dataclass
class Comparison:
    """All ways, by one prompt."""

    arguments: Arguments
    clip: TrackedClip
    prompt: EditPrompt
    network: DiffusionModel | None

    def results(self) -> list[dict[str, Any]]:
        """The measures of every way, made if they are not there, and a picture of all."""
        seeds = self.arguments.seeds
        found = [
            self._result(way, seed) for way in self.arguments.ways for seed in (seeds[:1] if way in ALONE else seeds)
        ]
        output = self.arguments.output
        slug = "-".join(self.prompt.text.split())
        sheet = output.with_name(f"{output.stem}_{self.clip_name}_{slug}.png")
        videos = [self._folder(way, seeds[0]) / "video.mp4" for way in self.arguments.ways]
        write_sheet(self.clip, videos, self.region, sheet)
        return found

    @property
    def region(self) -> str:
        return self.prompt.region

    @cached_property
    def clip_name(self) -> str:
        """The clip's."""
        return clip_name(self.arguments.clip)

    def _result(self, way: str, seed: int) -> dict[str, Any]:
        folder = self._folder(way, seed)
        kept = folder / "result.json"
        if kept.is_file():
            return json.loads(kept.read_text())
        # What an interrupted command edited would not be counted.
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        told = "" if way in ALONE else f", seed {seed}"
        say(CONSOLE, f"{self.clip_name}, {self.prompt}: {way}{told}", "bold")
        editor, task = self._task(way, folder, seed)
        video = folder / "video.mp4"
        begun = time.process_time()
        METHODS["per_frame" if way in ALONE else "ours"](task, video)
        seconds = time.process_time() - begun
        found = {
            "clip": self.clip_name,
            "frames": len(self.clip.frames),
            "prompt": str(self.prompt),
            "way": way,
            "seed": seed,
            "measures": way_measures(self.clip, video, way, self.prompt, MeasuringConfig(self.arguments.size)),
            "edits": editor.evaluations,
            "network_evaluations": editor.network_evaluations,
            "processor_seconds": round(seconds, 1),
        }
        write_measurements(kept, found)
        return found

    def _task(self, way: str, folder: Path, seed: int) -> tuple[CountingEditor, EditingTask]:
        chosen = WAYS[way]
        steps = self.arguments.style_steps
        schedule = ScheduleConfig(chosen.schedule, edit_then_fit=replace(chosen.edit_then_fit))
        if self.network is not None:
            schedule.edit_then_fit.budget = self.arguments.model.budget
        if way in (IN2N, IN2N_SMOOTH):
            steps = self.arguments.steps_of_in2n
            pace = max(1, steps // self.arguments.edits_of_in2n)
            schedule.iterative = replace(INSTRUCT_NERF2NERF, steps_between_edits=pace)
        training = StyleTrainingConfig(schedule=schedule, start="surface" if chosen.surface else "render")
        if chosen.as_published:
            training = replace(training, **WITHOUT_SMOOTHNESS)
        editor = CountingEditor(OfflineEditor() if way == OWN_TARGET else self._editor(chosen, seed))
        task = EditingTask(
            *(self.clip, self.prompt, editor, self.arguments.reconstruction / "config.yml", folder),
            style_steps=steps,
            training=training,
            batch_size=self.arguments.model.frames_at_once,
            seed=seed,
        )
        return editor, task

    def _editor(self, way: Way, seed: int) -> FrameEditor:
        if self.network is None:
            return CountedAsDiffusion(JitteredEditor(OfflineEditor(), self.arguments.jitter))
        settings = diffusion_settings(self.arguments)
        config = EditorConfig("instruct-pix2pix", way.consistency, self.arguments.model.anchors, way.noise, seed)
        editor = make_editor(config, settings, self.network, InstructPix2Pix(settings, self.network))
        frames = [int(frame) for frame in self.clip.frames]
        return HeadWindowEditor(editor, HeadWindow.of_clip(self.clip, frames, self.arguments.model.size))

    def _folder(self, way: str, seed: int) -> Path:
        """Where a way's results are kept; other settings have another place."""
        run = str(self.arguments.reconstruction)
        key = {**settings_of(self.arguments), "seed": seed, "prompt": str(self.prompt), "run": run}
        digest = hashlib.sha256(json.dumps(key, sort_keys=True, default=str).encode()).hexdigest()[:8]
        return self.arguments.work / self.clip_name / f"{way}-{digest}"


def diffusion_settings(arguments: Arguments) -> InstructPix2PixConfig:
    """How the diffusion model that was given is sampled."""
    assert arguments.editor_model is not None
    settings = arguments.model
    return settings.config_of(arguments.editor_model, settings.frames_at_once, settings.size)


def settings_of(arguments: Arguments) -> dict[str, Any]:
    """What the results depend on, beside clip, run and prompt."""
    chosen = ["style_steps", "edits_of_in2n", "steps_of_in2n", "size"]
    chosen += ["jitter"] if arguments.editor_model is None else ["editor_model", "model"]
    return {name: value for name, value in asdict(arguments).items() if name in chosen}


def check(arguments: Arguments) -> None:
    """See whether the ways can be measured.

    Raises:
        UserError: one cannot.
    """
    for way in arguments.ways:
        if way not in WAYS:
            raise UserError(f"There is no way '{way}': choose of {', '.join(WAYS)}.")
        tied = WAYS[way].consistency != "none" or WAYS[way].noise != "auto"
        if tied and arguments.editor_model is None:
            raise UserError(f"{way} ties frames together in a diffusion model: give one with --editor-model.")
    if not (arguments.reconstruction / "config.yml").is_file():
        raise UserError(f"{arguments.reconstruction} is no finished run: give the folder that holds its config.yml.")


def main(arguments: Arguments) -> None:
    """Do what is not done, and write what was found."""
    check(arguments)
    use_threads(arguments.threads)
    clip = TrackedClip.load(arguments.clip)
    network = None
    if arguments.editor_model is not None:
        network = load_model(diffusion_settings(arguments), "instruction", torch.device("cpu"))
    results: list[dict[str, Any]] = []
    for typed in arguments.prompts:
        results += Comparison(arguments, clip, EditPrompt.split(typed), network).results()
    editor = None if network is None else "a small InstructPix2Pix"
    measurements = {
        "what": "schedules of editing one avatar with one editor that differs from frame to frame, against each other",
        **circumstances(),
        "settings": {**settings_of(arguments), "seeds": arguments.seeds, "editor_model": editor},
        "results": results,
        "means": means(results),
    }
    write_measurements(arguments.output, measurements)
    CONSOLE.print(as_table(results))
    CONSOLE.print(f"Wrote {arguments.output}.", soft_wrap=True)


def as_table(results: Sequence[dict[str, Any]]) -> Table:
    """The results in short."""
    shown = ("flow_warp_ratio", "sharpness_ratio", "target_color_difference", "target_reached", "landmark_distance")
    table = Table("prompt", "way", *(name.replace("_", " ") for name in shown), "evaluations", "s")
    for one in results:
        values = [one["measures"][name] for name in shown]
        told = ["-" if value is None else f"{value:.3g}" for value in values]
        table.add_row(
            one["prompt"], one["way"], *told, f"{one['network_evaluations']:,}", f"{one['processor_seconds']:.0f}"
        )
    return table


if __name__ == "__main__":
    with one_sentence_for_user_errors():
        main(tyro.cli(Arguments, description=__doc__))
