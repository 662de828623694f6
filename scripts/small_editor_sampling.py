"""How a diffusion model, mostly the small InstructPix2Pix of `train_small_editor.py`, is sampled by what measures with
it."""

from dataclasses import dataclass
from pathlib import Path

from stage1_edit.diffusion_config import Precision
from stage1_edit.instruct_pix2pix import InstructPix2PixConfig

SIZE = 256
"""Pixels along a side of what the small editor was trained on."""


@dataclass(kw_only=True)
class EditorSampling:
    """How a model is sampled; the defaults suit the small editor."""

    sampling_steps: int = 8
    guidance_scale: float = 2.0
    """Of the text. A network trained on eight prompts needs less than one trained on the web's captions."""
    image_guidance_scale: float = 1.5
    precision: Precision = "bf16"
    """Numbers that the networks compute with; half of the time that 32 bits would take, on processors that can."""

    def config_of(self, model: Path, frames_at_once: int, size: int = SIZE) -> InstructPix2PixConfig:
        """The same as the product's own settings.

        Args:
            model: folder of an InstructPix2Pix in diffusers' format.
            size: pixels along a side of what it was trained on.
        """
        return InstructPix2PixConfig(
            model=str(model),
            guidance_scale=self.guidance_scale,
            image_guidance_scale=self.image_guidance_scale,
            sampling_steps=self.sampling_steps,
            precision=self.precision,
            longer_side=size,
            frames_at_once=frames_at_once,
        )


@dataclass(kw_only=True)
class SmallEditorSampling(EditorSampling):
    """The small editor, and how it is sampled."""

    model: Path = Path("outputs/small_editor/model")
    """Folder of an InstructPix2Pix in diffusers' format."""

    def config(self, frames_at_once: int) -> InstructPix2PixConfig:
        """The same as the product's own settings."""
        return self.config_of(self.model, frames_at_once)
