"""`portrait-preview`: what an editor makes of a few frames, in one picture, before anything is trained.

Rows are what can be set: text and image guidance of InstructPix2Pix, text guidance and noise of the editors that paint
what is described, seeds of noise that all frames share, words of strength for the offline editor. Columns are the
frames that span the clip's poses and expressions. A caption tells which edits the expression guard would not let pass.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from stage1_edit.choose_editor import (
    EditorConfig,
    EditorName,
    build_editor,
    check_editor,
    load_weights,
    resolve_editor_name,
    resolve_noise_name,
)
from stage1_edit.compositing import composite, region_mask
from stage1_edit.editor import EditRequest, FrameEditor
from stage1_edit.expression_guard import ExpressionGuard
from stage1_edit.external_editor import ExternalEditor
from stage1_edit.frame_geometry import frame_geometry
from stage1_edit.instruct_pix2pix import InstructPix2PixConfig
from stage1_edit.keyframes import choose_keyframes
from stage1_edit.preview_sheet import Picture, SheetRow, draw_sheet
from stage1_edit.prompts import EditPrompt, EditPromptArg
from stage1_edit.vocabulary import INTENSITIES, words_of
from tracking.clip import TrackedClip, write_png
from tracking.console import say
from tracking.errors import UserError, one_sentence_for_user_errors
from tracking.termination import ended_in_order

STRENGTHS = ("slightly", "", "very")
"""Words that are tried with the offline editor."""


@dataclass
class PreviewMachineConfig:
    """What computes."""

    device_type: Literal["auto", "cpu", "cuda"] = "auto"
    """auto takes CUDA where there is any."""


@dataclass
class PreviewPipelineConfig:
    """As in `ns-train portrait-edit`: the same settings make the same edits there."""

    prompts: tuple[EditPromptArg, ...] = ()
    """The edits to try; `REGION: TEXT` keeps one to a region."""
    editor: EditorConfig = field(default_factory=EditorConfig)
    """Who edits the frames."""


@dataclass
class PreviewConfig:
    """Edit a few frames of a clip in several ways, and show all in one picture."""

    data: Path
    """The tracked clip."""
    pipeline: PreviewPipelineConfig = field(default_factory=PreviewPipelineConfig)
    """What to try."""
    output: Path = Path("preview.png")
    """The picture to write."""
    overwrite: bool = False
    """Replace the picture if it is there."""
    keyframes: int = 4
    """Frames to show: those that span the clip's poses and expressions."""
    text_guidance: tuple[float, ...] = (5.0, 7.5, 10.0)
    """How strongly to follow the text, one row or more for each; diffusion editors only."""
    image_guidance: tuple[float, ...] = (1.2, 1.5, 1.8)
    """How strongly to keep to the frame, with each of those; InstructPix2Pix only."""
    noise_levels: tuple[float, ...] = (0.5, 0.75, 1.0)
    """How far to go from the frame, with each text guidance; for diffusion editors without image guidance."""
    seeds: tuple[int, ...] = ()
    """Seeds of shared or warped noise, with each of those: each makes another edit of the whole clip. Where none is
    given, the editor's own."""
    machine: PreviewMachineConfig = field(default_factory=PreviewMachineConfig)
    """What computes."""

    def check(self) -> None:
        """See whether there is anything to try, and room for the picture.

        Raises:
            UserError: there is not; the message says what to do.
        """
        if not self.pipeline.prompts:
            raise UserError('Say what to try: add --pipeline.prompts, such as "hair: make it silver".')
        for prompt in self.pipeline.prompts:
            prompt.check()
        if self.output.suffix.lower() != ".png":
            raise UserError(f"{self.output} is no name for a picture: give a name that ends in .png.")
        if not self.output.resolve().parent.is_dir():
            raise UserError(f"The folder {self.output.parent} does not exist: create it, or write somewhere else.")
        if self.output.exists() and not self.overwrite:
            raise UserError(f"{self.output} exists: add --overwrite to replace it, or give another name.")
        if self.keyframes < 1:
            raise UserError("A preview needs frames: set --keyframes to 1 or more.")
        for name in ("text_guidance", "image_guidance", "noise_levels"):
            if not getattr(self, name):
                raise UserError(f"There is nothing to try in --{name.replace('_', '-')}: give one number or more.")
        if not all(0 < level <= 1 for level in self.noise_levels):
            raise UserError(
                "Noise levels lie above 0, which changes nothing, and at most at 1: correct --noise-levels."
            )


@dataclass(frozen=True)
class Trial:
    """One row: a prompt, and what is set for it."""

    label: str
    prompt: EditPrompt
    noise_level: float = 1.0
    text_guidance: float | None = None
    image_guidance: float | None = None
    seed: int | None = None


def trials(config: PreviewConfig, name: EditorName) -> list[Trial]:
    """What to try with an editor of this name."""
    found = []
    settings = config.pipeline.editor.settings_of(name)
    for prompt in config.pipeline.prompts:
        if name == "offline":
            found += [Trial(str(worded), worded) for worded in with_strengths(prompt)]
        elif settings is None:
            found.append(Trial(str(prompt), prompt))
        elif isinstance(settings, InstructPix2PixConfig):
            for text, image, seed in product(config.text_guidance, config.image_guidance, config.seeds or (None,)):
                label = f"text {text:g}, image {image:g}{in_words(seed)}: {prompt}"
                found.append(Trial(label, prompt, 1.0, text, image, seed))
        else:
            for text, level, seed in product(config.text_guidance, config.noise_levels, config.seeds or (None,)):
                label = f"text {text:g}, noise {level:g}{in_words(seed)}: {prompt}"
                found.append(Trial(label, prompt, level, text, seed=seed))
    return found


def in_words(seed: int | None) -> str:
    """What a row's label says of its seed."""
    return "" if seed is None else f", seed {seed}"


def check_seeds(config: PreviewConfig, editor: EditorConfig) -> None:
    """See whether the editor has noise that all frames share, if seeds of it are to be tried.

    Raises:
        UserError: it has not.
    """
    # Editors without noise that could be shared are refused any other by `check_editor`.
    if config.seeds and resolve_noise_name(editor) == "per-frame":
        raise UserError(
            "Seeds are of noise that all frames share: choose a diffusion editor and add --pipeline.editor.noise "
            "warped, or leave --seeds out."
        )


def with_strengths(prompt: EditPrompt) -> list[EditPrompt]:
    """The prompt with each word of strength; alone, if it has one already."""
    known = {word for words in INTENSITIES.values() for word in words.split()}
    if known & set(words_of(prompt.text)):
        return [prompt]
    return [replace(prompt, text=f"{word} {prompt.text}".strip()) for word in STRENGTHS]


def requests_for(clip: TrackedClip, frames: Sequence[int], trial: Trial) -> list[EditRequest]:
    """What the editor is asked in a row. Every row has the same randomness: only what is set differs."""
    requests = []
    for frame in frames:
        original = torch.from_numpy(clip.image(frame)).float() / 255
        matte, labels = torch.from_numpy(clip.matte(frame))[..., None], torch.from_numpy(clip.labels(frame))
        requests.append(
            EditRequest(
                *(trial.prompt, original, original, matte, labels, trial.noise_level),
                *(torch.Generator().manual_seed(frame), frame, frame_geometry(clip, frame)),
            )
        )
    return requests


def preview(config: PreviewConfig, on_progress: Callable[[int, int], None] = lambda done, due: None) -> Path:
    """Make the sheet, whole or not at all, and return its path.

    Args:
        on_progress: told how many edits are done and due.

    Raises:
        UserError: the clip, the prompts, the editor or the output are of no use.
    """
    config.check()
    device = chosen_device(config.machine)
    editor_config = replace(config.pipeline.editor)
    editor_config.name = name = resolve_editor_name(editor_config, device)
    clip = TrackedClip.load(config.data)
    wanted = trials(config, name)
    check_editor(editor_config, config.pipeline.prompts)
    check_seeds(config, editor_config)
    for trial in wanted if name == "offline" else ():
        check_editor(editor_config, [trial.prompt])
    frames = shown_frames(clip, config, name)
    model = load_weights(editor_config, name, device)
    settings = editor_config.settings_of(name)
    # Retries would show other settings than the row's.
    editor_config.guard = replace(config.pipeline.editor.guard, mode="off")
    guard = ExpressionGuard(replace(config.pipeline.editor.guard), _NoEditor())
    originals = [clip.image(frame) for frame in frames]
    rows = [SheetRow("as filmed", originals, [f"frame {frame}" for frame in frames])]
    on_progress(0, len(wanted) * len(frames))
    for number, trial in enumerate(wanted):
        if settings is not None and trial.text_guidance is not None:
            settings.guidance_scale = trial.text_guidance
        if isinstance(settings, InstructPix2PixConfig) and trial.image_guidance is not None:
            settings.image_guidance_scale = trial.image_guidance
        if trial.seed is not None:
            editor_config.seed = trial.seed
        # A new one for every row: anchors of another row's settings would be followed.
        editor = build_editor(editor_config, name, model, clip)
        editor.check(trial.prompt)
        row = edited_row(editor, guard, requests_for(clip, frames, trial), trial, editor_config.frames_at_once())
        rows.append(row)
        on_progress((number + 1) * len(frames), len(wanted) * len(frames))
    title = f"{clip.root.resolve().name}, {editor_config.label()}: " + "; ".join(map(str, config.pipeline.prompts))
    write_png(config.output, np.ascontiguousarray(draw_sheet(title, rows)))
    return config.output


def edited_row(
    editor: FrameEditor, guard: ExpressionGuard, requests: Sequence[EditRequest], trial: Trial, at_once: int
) -> SheetRow:
    """The frames, edited, laid over themselves through the prompt's region, and what the guard would say."""
    pictures: list[Picture] = []
    captions = []
    for start in range(0, len(requests), at_once):
        batch = requests[start : start + at_once]
        for request, edit in zip(batch, editor.edit(batch), strict=True):
            image = request.original
            if edit is not None:
                mask = region_mask(request.labels, request.matte, request.prompt.region)
                image = composite(edit.to(image), image, mask)
            pictures.append((image.clamp(0, 1) * 255).round().byte().cpu().numpy())
            captions.append("no picture" if edit is None else guard.in_words(request, edit))
    return SheetRow(trial.label, pictures, captions)


def shown_frames(clip: TrackedClip, config: PreviewConfig, name: EditorName) -> list[int]:
    """The source frames to show, the most typical first."""
    numbers = clip.frames
    if name == "external":
        external = ExternalEditor(config.pipeline.editor.external, clip)
        for prompt in config.pipeline.prompts:
            external.check(prompt)
        painted = {frame for prompt in config.pipeline.prompts for frame in external.pictures(prompt)}
        numbers = np.array(sorted(painted))
    track = clip.track
    rows = choose_keyframes(
        track.camera_to_head[numbers, :3, :3],
        track.expression[numbers],
        track.expression_names,
        config.keyframes,
        track.flags[numbers] == 0,
    )
    return [int(numbers[row]) for row in rows]


def chosen_device(machine: PreviewMachineConfig) -> torch.device:
    """Where to compute.

    Raises:
        UserError: CUDA is asked for and is not there.
    """
    kind = machine.device_type
    if kind == "auto":
        kind = "cuda" if torch.cuda.is_available() else "cpu"
    if kind == "cuda" and not torch.cuda.is_available():
        raise UserError("There is no CUDA device here: add --machine.device-type cpu.")
    return torch.device(kind)


class _NoEditor:
    """Stands where a guard that only looks has its editor."""

    def edit(self, requests: Sequence[EditRequest]) -> list[None]:
        """Nothing."""
        return [None for _ in requests]

    def check(self, prompt: EditPrompt) -> None:
        """Anything."""


def main() -> None:
    """Run `portrait-preview`."""
    config = tyro.cli(PreviewConfig, prog="portrait-preview", description=PreviewConfig.__doc__)
    console = Console()
    # What an edit needs, what is cut from a prompt and what is left out is said by the editors' loggers.
    handler = RichHandler(console=console, show_time=False, show_level=False, show_path=False)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], format="%(message)s")
    logging.getLogger("stage1_edit.diffusion_weights").setLevel(logging.INFO)
    columns = TextColumn("Editing frames"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with one_sentence_for_user_errors(), ended_in_order(), ExitStack() as shown:
        bars: list[Progress] = []

        def show(done: int, due: int) -> None:
            if not bars:
                bars.append(shown.enter_context(Progress(*columns, console=console, transient=True)))
                bars[0].add_task("edit", total=due)
            bars[0].update(bars[0].task_ids[0], completed=done)

        path = preview(config, show)
        say(console, f"Wrote {path}")
