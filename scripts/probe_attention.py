"""What ties a network's edits of unlike frames together: attention to other frames, or the noise that they begin with.

    python scripts/probe_attention.py demo/clip --model outputs/small_editor/model

A few frames, spread over a clip, are edited with every noise and every strategy of the product, and it is measured how
far the edits disagree where they show the same point of the tracked surface: what an avatar cannot fit. Then they are
edited with noise that sticks to the face and one thing changed, and it is measured by how much that changes the edit:

    nothing attended    the layers of attention from the picture to itself answer 0
    no places           every place of a frame gets the mean of what all places of the frame get
    another frame       a frame attends to another one instead of itself
    cross-frame, tokenflow    as the product ties frames together
    per-frame noise     noise of every frame's own

What cross-frame attention and TokenFlow can change at all is about what attending to another frame changes. Where that
is little beside what other noise changes, they cannot make frames agree that begin with unlike noise.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import torch
import tyro
from head_window import HeadWindow
from jaxtyping import Float
from measuring import circumstances, use_threads, write_measurements
from nerfstudio.utils.rich_utils import CONSOLE
from rich.table import Table
from small_editor_sampling import SIZE, SmallEditorSampling
from torch import Tensor

from stage1_edit.choose_editor import EditorConfig, make_editor
from stage1_edit.compositing import region_mask
from stage1_edit.consistency import BatchLayout, Consistency, ConsistencyName, self_attention
from stage1_edit.cross_frame_attention import attend
from stage1_edit.diffusion_weights import DiffusionModel, load_model
from stage1_edit.editor import EditRequest
from stage1_edit.frame_geometry import frame_geometry
from stage1_edit.instruct_pix2pix import InstructPix2Pix
from stage1_edit.prompts import EditPrompt
from stage1_edit.starting_noise import NoiseName
from stage1_edit.surface_aggregation import texels_for, view_of
from tracking.clip import TrackedClip
from tracking.errors import one_sentence_for_user_errors
from tracking.spread_evenly import spread_evenly

Spoiling: TypeAlias = Literal["nothing attended", "no places", "another frame"]
STRATEGIES: tuple[ConsistencyName, ...] = ("none", "cross-frame", "tokenflow")
NOISES: tuple[NoiseName, ...] = ("per-frame", "shared", "warped")
Edits: TypeAlias = Float[Tensor, "frames height width 3"]


@dataclass(kw_only=True)
class Arguments(SmallEditorSampling):
    """What is edited, and how."""

    clip: tyro.conf.Positional[Path]
    """A tracked clip."""
    prompts: tuple[str, ...] = ("hair: make the hair silver", "head: turn him into a bronze statue")
    frames: int = 6
    threads: int = 1
    """That torch computes on."""
    output: Path = Path("measurements/attention.json")
    """Where to write what was found."""


@dataclass(frozen=True)
class SpoiledAttention:
    """Attention with something taken out of it (a `Consistency`)."""

    spoiling: Spoiling

    def applied(self, networks: Sequence[Any], layout: BatchLayout) -> AbstractContextManager[None]:
        """Put the processor into every self-attention layer."""
        return self_attention(networks, SpoiledProcessor(self.spoiling, layout.frames))


@dataclass(frozen=True)
class SpoiledProcessor:
    """Self-attention with something taken out of it."""

    spoiling: Spoiling
    frames: int

    def __call__(
        self,
        attn: Any,
        hidden_states: Float[Tensor, "batch tokens channels"],
        encoder_hidden_states: None = None,
        attention_mask: None = None,
        temb: None = None,
    ) -> Float[Tensor, "batch tokens channels"]:
        """Attend; see diffusers' `AttnProcessor2_0` for the arguments."""
        if self.spoiling == "nothing attended":
            return torch.zeros_like(hidden_states)
        if self.spoiling == "no places":
            answers = attend(attn, hidden_states, hidden_states)
            return answers.mean(dim=1, keepdim=True).expand_as(answers)
        others = hidden_states.unflatten(0, (-1, self.frames)).roll(1, dims=1).flatten(0, 1)
        return attend(attn, hidden_states, others)


def main(arguments: Arguments) -> None:
    """Edit in every way, and write what was found.

    Raises:
        UserError: the clip or the editor cannot be read.
    """
    use_threads(arguments.threads)
    model = load_model(arguments.config(arguments.frames), "instruction", torch.device("cpu"))
    clip = TrackedClip.load(arguments.clip)
    found = {typed: probed(arguments, clip, EditPrompt.parse(typed), model) for typed in arguments.prompts}
    measurements = {
        "what": "root mean squares, of 255: how far edits disagree on the surface, and what changes them by how much",
        **circumstances(),
        "prompts": found,
    }
    write_measurements(arguments.output, measurements)
    CONSOLE.print(as_table(found))


def probed(
    arguments: Arguments, clip: TrackedClip, prompt: EditPrompt, model: DiffusionModel
) -> dict[str, dict[str, float]]:
    """How far edits disagree in each way, and by how much each change changes them."""
    numbers = [int(clip.frames[row]) for row in spread_evenly(len(clip.frames), arguments.frames)]
    window = HeadWindow.of_clip(clip, numbers, SIZE)
    settings = arguments.config(arguments.frames)

    def asked() -> list[EditRequest]:
        return [window.request(request_of(clip, frame, prompt)) for frame in numbers]

    def edits(consistency: ConsistencyName, noise: NoiseName, spoiled: Consistency | None = None) -> Edits:
        config = EditorConfig("instruct-pix2pix", consistency, noise=noise)
        editor = make_editor(config, settings, model, InstructPix2Pix(settings, model))
        editor.consistency = spoiled or editor.consistency
        return torch.stack(editor.edit(asked()))

    made = {(strategy, noise): edits(strategy, noise) for strategy in STRATEGIES for noise in NOISES}
    plain, requests = made["none", "warped"], asked()
    changed = {
        "the edit itself": torch.stack([request.original for request in requests]),
        **{name: edits("none", "warped", SpoiledAttention(name)) for name in get_args(Spoiling)},
        **{strategy: made[strategy, "warped"] for strategy in STRATEGIES[1:]},
        "per-frame noise": made["none", "per-frame"],
    }
    return {
        "disagreement on the surface": {
            f"{strategy}, {noise} noise": round(255 * disagreement(one, requests), 2)
            for (strategy, noise), one in made.items()
        },
        "changed by": {
            name: round(255 * float((other - plain).square().mean().sqrt()), 2) for name, other in changed.items()
        },
    }


def disagreement(edits: Edits, requests: Sequence[EditRequest]) -> float:
    """How far edited frames lie from their mean, where they show the same point of the surface: a root mean square.

    It is the change that is compared, edited less filmed, within the prompt's region and by how well each frame shows
    the point; a point counts that two frames show.
    """
    shapes = [request.geometry for request in requests if request.geometry is not None]
    texels = texels_for(shapes)
    views = []
    for edit, request, shape in zip(edits, requests, shapes, strict=True):
        share = region_mask(request.labels, request.matte, request.prompt.region)[..., 0]
        views.append(view_of(texels, (edit - request.original).numpy(), share.numpy(), shape))
    weights, changes = (np.stack([getattr(view, name) for view in views]) for name in ("weight", "change"))
    shared = (weights > 0).sum(axis=0) > 1
    weights, changes = weights[:, shared, None], changes[:, shared]
    mean = (weights * changes).sum(axis=0) / weights.sum(axis=0)
    return float(np.sqrt((weights * (changes - mean) ** 2).sum() / (3 * weights.sum())))


def request_of(clip: TrackedClip, frame: int, prompt: EditPrompt) -> EditRequest:
    """A frame to be edited from pure noise."""
    original = torch.from_numpy(clip.image(frame)).float() / 255
    matte, labels = torch.from_numpy(clip.matte(frame))[..., None], torch.from_numpy(clip.labels(frame))
    generator, geometry = torch.Generator().manual_seed(frame), frame_geometry(clip, frame)
    return EditRequest(prompt, original, original, matte, labels, 1.0, generator, frame=frame, geometry=geometry)


def as_table(found: dict[str, dict[str, dict[str, float]]]) -> Table:
    """What was found, a prompt a column."""
    table = Table("", *found, title="Root mean squares, of 255")
    for measure, rows in next(iter(found.values()), {}).items():
        table.add_row(f"[bold]{measure}[/bold]")
        for name in rows:
            table.add_row(f"  {name}", *(f"{of_prompt[measure][name]:.2f}" for of_prompt in found.values()))
    return table


if __name__ == "__main__":
    with one_sentence_for_user_errors():
        main(tyro.cli(Arguments, description=__doc__))
