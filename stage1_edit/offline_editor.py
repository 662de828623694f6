"""An editor without weights, network or randomness: it understands a fixed vocabulary and takes milliseconds."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from stage1_edit.editor import EditRequest, Image
from stage1_edit.effects import apply_effects
from stage1_edit.instructions import parse_instruction
from stage1_edit.portrait import Portrait
from stage1_edit.prompts import EditPrompt


@dataclass
class OfflineEditorConfig:
    """How the offline editor works."""

    strength: float = 1.0
    """How far every effect goes, from 0 (the original) to 1."""


@dataclass
class OfflineEditor:
    """Follows the instructions of `stage1_edit.instructions` (a `FrameEditor`).

    The target is a function of the original frame alone. The result lies between the current render and the target, at
    the noise level: the analogue of denoising a partly noised render while conditioned on the original. At 0 nothing
    of the render is lost, and at 1 nothing of it is left.
    """

    config: OfflineEditorConfig = field(default_factory=OfflineEditorConfig)

    def check(self, prompt: EditPrompt) -> None:
        """See whether the prompt is understood.

        Raises:
            UserError: it is not; the message lists what is.
        """
        parse_instruction(prompt)

    def edit(self, requests: Sequence[EditRequest]) -> list[Image]:
        """Edit frames, each on its own: what is steady in the video stays steady, for the effects are."""
        return [self._edit(request) for request in requests]

    def _edit(self, request: EditRequest) -> Image:
        original = to_numpy(request.original)
        portrait = Portrait(
            original, to_numpy(request.matte)[..., 0], request.labels.cpu().numpy().astype(np.uint8, copy=False)
        )
        target = torch.from_numpy(apply_effects(portrait, parse_instruction(request.prompt))).to(request.original)
        target = torch.lerp(request.original, target, self.config.strength)
        return torch.lerp(request.render.to(target), target, request.noise_level).clamp(0, 1)


def to_numpy(picture: Tensor) -> Float32[np.ndarray, "height width channels"]:
    """The effects' kind of picture: contiguous, float32, on the CPU."""
    return np.ascontiguousarray(picture.detach().to("cpu", torch.float32).numpy())
