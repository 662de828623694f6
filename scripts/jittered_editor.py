"""An editor made inconsistent on purpose, the way diffusion models are: a measuring device, not a product.

Diffusion with a new seed for every frame gives edits that agree in kind and differ in degree, in tint and in texture.
So this wraps an editor and, for every frame, draws how far the edit goes, by how much its hue is turned, and a smooth
pattern of lighter and darker blotches. All three are even around nothing: over many frames the edits' mean is what the
wrapped editor does.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from stage1_edit.editor import EditRequest, FrameEditor, Image
from stage1_edit.prompts import EditPrompt


@dataclass(frozen=True)
class Jitter:
    """How much edits differ from frame to frame."""

    strength: float = 0.1
    """Standard deviation of how far an edit goes, of 1."""
    hue_degrees: float = 5.0
    """Standard deviation of the turn of its hues."""
    texture: float = 0.03
    """Standard deviation of the pattern of its brightness, of 1."""
    texture_cells: int = 12
    """Blotches along the picture's longer side."""


@dataclass
class JitteredEditor:
    """Another editor, with a strength, a hue and a texture of its own for every frame (a `FrameEditor`)."""

    editor: FrameEditor
    jitter: Jitter

    def edit(self, requests: Sequence[EditRequest]) -> list[Image]:
        """Edit, then spoil; of what the editor leaves out, the render. All randomness is the requests' own."""
        edits = self.editor.edit(requests)
        return [
            self._spoiled(request, request.render if edited is None else edited)
            for request, edited in zip(requests, edits, strict=True)
        ]

    def check(self, prompt: EditPrompt) -> None:
        """As the editor itself."""
        self.editor.check(prompt)

    def _spoiled(self, request: EditRequest, edited: Image) -> Image:
        jitter, generator = self.jitter, request.generator
        strength, hue = torch.randn(2, generator=generator).tolist()
        height, width = edited.shape[:2]
        cell = max(height, width) / jitter.texture_cells
        cells = max(2, round(height / cell)), max(2, round(width / cell))
        pattern = torch.randn(cells, generator=generator).numpy()
        blotches = cv2.resize(pattern, (width, height), interpolation=cv2.INTER_CUBIC)
        # What the edit is spoiled by grows with how much of it shows: at noise level 0 it is the render, untouched.
        shown = request.noise_level
        image = torch.lerp(request.render.to(edited), edited, 1 + shown * jitter.strength * strength)
        image = turned_hues(image, shown * jitter.hue_degrees * hue)
        return (image + shown * jitter.texture * torch.from_numpy(blotches)[..., None].to(image)).clamp(0, 1)


def turned_hues(image: Float[Tensor, "height width 3"], degrees: float) -> Float[Tensor, "height width 3"]:
    """All colours turned about the grey axis of RGB; greys stay as they are."""
    axis = np.full(3, 1 / np.sqrt(3)) * np.radians(degrees)
    turn, _ = cv2.Rodrigues(axis)
    return image @ torch.from_numpy(turn).to(image).T
