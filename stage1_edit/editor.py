"""What an editor is: pictures and a prompt in, pictures out. It never sees rays, clips or nerfstudio."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypeVar

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from stage1_edit.frame_geometry import FrameGeometry
from stage1_edit.prompts import EditPrompt

Image: TypeAlias = Float[Tensor, "height width 3"]
"""RGB in [0, 1]."""
Kind = TypeVar("Kind")


@dataclass(frozen=True)
class EditRequest:
    """One frame to edit."""

    prompt: EditPrompt
    original: Image
    """The frame as it was filmed: what the edit must stay faithful to."""
    render: Image
    """The avatar's current picture of the same frame: where the edit starts from."""
    matte: Float[Tensor, "height width 1"]
    """How much of each pixel is the person."""
    labels: UInt8[Tensor, "height width"]
    """The region that each pixel shows, as `tracking.regions.Label`."""
    noise_level: float
    """How far the edit may move from the render: 0 returns the render, 1 ignores it (SDEdit's strength)."""
    generator: torch.Generator
    """The only source of randomness."""
    frame: int | None = None
    """The frame's number in the source video, where it is known."""
    geometry: FrameGeometry | None = None
    """The tracked shape in the frame, where it is known: what editors draw conditions and correspondences from."""
    steps_by_level: bool = False
    """Whether a weaker edit is made in fewer steps: the noise level's share of the editor's, as SDEdit makes it. Else
    it is made in as many, finer ones, as Instruct-NeRF2NeRF makes it."""
    fidelity: float = 1.0
    """How many times more faithful to the original than it is set up the editor is to be: editors with guidance
    multiply that of the image and weaken that of the text."""


class FrameEditor(Protocol):
    """Edits frames as a prompt asks."""

    def edit(self, requests: Sequence[EditRequest]) -> Sequence[Image | None]:
        """Edit frames; those given together are edited consistently. The whole picture may change.

        In place of a frame that is not to be trained on, such as one that could not be edited faithfully, stands none.
        """
        ...

    def check(self, prompt: EditPrompt) -> None:
        """See, before any work is done, whether the prompt can be followed.

        Raises:
            UserError: the editor cannot follow this prompt; the message says which it can.
        """
        ...


def behind(editor: object, kind: type[Kind]) -> Kind | None:
    """The first of a kind among an editor and those that it wraps, each held as `editor`; none if none is."""
    while editor is not None and not isinstance(editor, kind):
        editor = getattr(editor, "editor", None)
    return editor
