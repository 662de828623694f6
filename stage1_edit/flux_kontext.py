"""Editing with FLUX.1 Kontext (Black Forest Labs 2025, arXiv 2506.15742), through diffusers' own pipeline call.

The original goes in as context; what is denoised starts from noise, or from the render mixed with noise. Kontext is a
rectified flow: at time s the latents are (1 - s) render + s noise.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from stage1_edit.denoising import steps_at
from stage1_edit.diffusion_config import WeightsConfig
from stage1_edit.diffusion_editor import check_frame, told_when_memory_runs_out
from stage1_edit.diffusion_pictures import Latents, diffusion_size, from_diffusion_range, to_diffusion_range
from stage1_edit.diffusion_weights import DiffusionModel
from stage1_edit.editor import EditRequest, Image
from stage1_edit.guided_network import more_faithful
from stage1_edit.prompts import EditPrompt
from stage1_edit.starting_noise import gaussian
from tracking.errors import UserError

_SIZE_MULTIPLE = 16
"""Pixels along a side of what one token covers."""


@dataclass
class FluxKontextConfig(WeightsConfig):
    """Which weights, and how they are sampled."""

    model: str = "black-forest-labs/FLUX.1-Kontext-dev"
    """Weights: a repository on the Hugging Face hub, or a local folder in diffusers' layout."""
    guidance_scale: float = 2.5
    """How strongly the edit follows the text; the model was distilled to be told it."""
    sampling_steps: int = 28
    """Denoising steps of an edit, whatever its noise level."""
    longer_side: int = 1024
    """Pixels along the longer side of what the diffusion model sees."""
    prompt_tokens: int = 512
    """Tokens of the prompt that are read."""


class FluxKontext:
    """Follows instructions (a `FrameEditor`), one frame after another."""

    def __init__(self, config: FluxKontextConfig, model: DiffusionModel) -> None:
        """Take a loaded `FluxKontextPipeline`."""
        self.config = config
        self.model = model
        self.network_evaluations = 0
        """How many times the transformer has been asked for one picture."""

    def check(self, prompt: EditPrompt) -> None:
        """Any text will do."""

    def evaluations_for(self, frames: int, noise_level: float, steps_by_level: bool) -> int:
        """How often the transformer will be asked for one picture while so many frames are edited."""
        if noise_level <= 0:
            return 0
        steps = self.config.sampling_steps
        return frames * (steps_at(steps, noise_level) if steps_by_level else steps)

    @torch.no_grad()
    def edit(self, requests: Sequence[EditRequest]) -> list[Image]:
        """Edit frames, independently of each other.

        Raises:
            UserError: a frame cannot be edited, or the GPU's memory is too small; the message says what to do.
        """
        with told_when_memory_runs_out():
            return [request.render if request.noise_level <= 0 else self._edit(request) for request in requests]

    def _edit(self, request: EditRequest) -> Image:
        check_frame(request)
        pipeline: Any = self.model.pipeline
        height, width, _ = request.original.shape
        size = diffusion_size(height, width, self.config.longer_side, _SIZE_MULTIPLE)
        sigmas, start = self._times(request.noise_level, size, request.steps_by_level)
        original = self._encode(request.original, size)
        noise = gaussian(tuple(original.shape), request.generator).to(original)
        latents = noise
        if request.noise_level < 1:
            latents = (1 - start) * self._encode(request.render, size) + start * noise
        edited = pipeline(
            image=original,
            prompt=request.prompt.text,
            height=size[0],
            width=size[1],
            max_area=size[0] * size[1],
            sigmas=sigmas,
            num_inference_steps=len(sigmas),
            guidance_scale=more_faithful(self.config.guidance_scale, request.fidelity),
            latents=pack(latents),
            generator=request.generator,
            max_sequence_length=self.config.prompt_tokens,
            output_type="pt",
        ).images
        self.network_evaluations += len(sigmas)
        if not torch.isfinite(edited).all():
            raise UserError(
                f"{self.config.model} returned numbers that are not finite: set its precision to bf16 or fp32."
            )
        return from_diffusion_range(edited.float() * 2 - 1, (height, width))[0].to(request.original)

    def _times(
        self, noise_level: float, size: tuple[int, int], steps_by_level: bool = False
    ) -> tuple[list[float], float]:
        """The times of the steps as the pipeline takes them, and the first as its scheduler shifts it.

        As with Stable Diffusion the full way is cut so that as many steps are taken at every noise level, or as many as
        the level's share of them.
        """
        steps = taken = self.config.sampling_steps
        if steps_by_level:
            taken = steps_at(steps, noise_level)
        else:
            steps = round(steps / noise_level)
        times = np.linspace(1.0, 1 / steps, steps)[-taken:]
        if noise_level >= 1:
            return times.tolist(), 1.0
        scheduler = copy.deepcopy(self.model.pipeline.scheduler)
        tokens = size[0] * size[1] // _SIZE_MULTIPLE**2
        scheduler.set_timesteps(sigmas=times.tolist(), mu=timestep_shift(tokens, scheduler.config))
        return times.tolist(), float(scheduler.sigmas[0])

    def _encode(self, image: Image, size: tuple[int, int]) -> Latents:
        vae = self.model.pipeline.vae
        pixels = to_diffusion_range([image], size).to(self.model.device, vae.dtype)
        latents = vae.encode(pixels).latent_dist.mode()
        return (latents - vae.config.shift_factor) * vae.config.scaling_factor


def timestep_shift(tokens: int, scheduler: Any) -> float:
    """How far FLUX shifts its times towards noise: linear in the number of the picture's tokens.

    Args:
        scheduler: the scheduler's configuration, with both ends of the line.
    """
    fewest, most = scheduler.get("base_image_seq_len", 256), scheduler.get("max_image_seq_len", 4096)
    least, greatest = scheduler.get("base_shift", 0.5), scheduler.get("max_shift", 1.15)
    return least + (greatest - least) * (tokens - fewest) / (most - fewest)


def pack(latents: Latents) -> Float[Tensor, "batch tokens features"]:
    """Latents as FLUX's tokens: two by two of them, with all their channels, are one."""
    blocks = latents.unflatten(2, (-1, 2)).unflatten(4, (-1, 2))
    return blocks.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)
