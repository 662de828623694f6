"""Editing with InstructPix2Pix (Brooks et al. 2023, arXiv 2211.09800) through diffusers.

The sampling loop is our own, over the pipeline's parts: a partly noised *render* is denoised while conditioned on the
*original* frame, as Instruct-NeRF2NeRF does.
"""

import copy
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from stage1_edit.editor import EditRequest, Image
from stage1_edit.prompts import EditPrompt
from tracking.errors import UserError

if TYPE_CHECKING:
    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_instruct_pix2pix import (
        StableDiffusionInstructPix2PixPipeline,
    )

Latents = Float[Tensor, "batch channels latent_height latent_width"]
Pixels = Float[Tensor, "batch 3 height width"]
"""The autoencoder's kind of picture: RGB in [-1, 1]."""

_SIZE_MULTIPLE = 8


@dataclass
class InstructPix2PixConfig:
    """Which weights, and how they are sampled."""

    model: str = "timbrooks/instruct-pix2pix"
    """Weights: a repository on the Hugging Face hub, or a local folder in diffusers' layout."""
    guidance_scale: float = 7.5
    """How strongly the edit follows the text (s_T)."""
    image_guidance_scale: float = 1.5
    """How strongly the edit keeps to the original frame (s_I)."""
    sampling_steps: int = 20
    """Denoising steps of an edit, whatever its noise level."""
    longer_side: int = 512
    """Pixels along the longer side of what the diffusion model sees."""
    negative_prompt: str = ""
    """What to move away from."""
    half_precision: bool = True
    """Compute in 16 bits on CUDA; elsewhere always 32."""
    local_files_only: bool = False
    """Never download: fail if the weights are not on this machine."""


class InstructPix2Pix:
    """Follows free instructions (a `FrameEditor`). Requests of one size and noise level are sampled together."""

    def __init__(self, config: InstructPix2PixConfig, pipeline: "StableDiffusionInstructPix2PixPipeline") -> None:
        """Take an already loaded pipeline; its parts are used and never changed.

        Args:
            pipeline: any with InstructPix2Pix's parts. Its scheduler must be able to start halfway, so of first order
                (DDIM, Euler, Euler ancestral, ...).
        """
        self.config = config
        self.pipeline = pipeline
        self._embeddings: dict[str, Float[Tensor, "1 tokens features"]] = {}

    @classmethod
    def from_pretrained(cls, config: InstructPix2PixConfig, device: torch.device) -> "InstructPix2Pix":
        """Load the weights, from the hub if need be.

        Raises:
            UserError: diffusers is not installed, or the weights cannot be had.
        """
        return cls(config, load_pipeline(config, device))

    def check(self, prompt: EditPrompt) -> None:
        """Any text will do."""

    @torch.no_grad()
    def edit(self, requests: Sequence[EditRequest]) -> list[Image]:
        """Edit frames, independently of each other."""
        edits: list[Image] = []
        for (_, noise_level), group in groupby(requests, key=lambda r: (r.original.shape, r.noise_level)):
            batch = list(group)
            edits += [request.render for request in batch] if noise_level <= 0 else self._edit(batch, noise_level)
        return edits

    def _edit(self, requests: list[EditRequest], noise_level: float) -> list[Image]:
        vae: Any = self.pipeline.vae
        height, width, _ = requests[0].original.shape
        size = diffusion_size(height, width, self.config.longer_side)
        originals = to_diffusion_range([r.original for r in requests], size).to(vae.device, vae.dtype)
        # Image conditioning is the plain mean of the encoder, without the scaling of the noisy latents.
        image_latents = vae.encode(originals).latent_dist.mode()
        render_latents = None
        if noise_level < 1:
            renders = to_diffusion_range([r.render for r in requests], size).to(vae.device, vae.dtype)
            render_latents = vae.encode(renders).latent_dist.mode() * vae.config.scaling_factor
        embeddings = torch.cat([self._embed(request.prompt.text) for request in requests])
        generators = [request.generator for request in requests]
        latents = self.sample(embeddings, image_latents, render_latents, noise_level, generators)
        pixels = vae.decode(latents / vae.config.scaling_factor).sample
        if not torch.isfinite(pixels).all():
            raise UserError(
                "InstructPix2Pix returned numbers that are not finite"
                + (": set half_precision to False." if vae.dtype == torch.float16 else f": check {self.config.model}.")
            )
        images = from_diffusion_range(pixels, (height, width))
        return [image.to(request.original) for image, request in zip(images, requests, strict=True)]

    def sample(
        self,
        embeddings: Float[Tensor, "batch tokens features"],
        image_latents: Latents,
        render_latents: Latents | None,
        noise_level: float,
        generators: list[torch.Generator],
    ) -> Latents:
        """Denoise from the render noised to the noise level, or from pure noise at level 1.

        The full process is cut into `sampling_steps / noise_level` steps, of which the last `sampling_steps` are
        taken, so that a small change is made as carefully as a large one.

        Args:
            render_latents: scaled; not needed at noise level 1.
        """
        unet: Any = self.pipeline.unet
        # A copy, because stepping leaves traces in a scheduler.
        scheduler: Any = copy.deepcopy(self.pipeline.scheduler)
        steps = min(round(self.config.sampling_steps / noise_level), scheduler.config.num_train_timesteps)
        first = max(0, min(round(steps * (1 - noise_level)), steps - 1))
        scheduler.set_timesteps(steps, device=image_latents.device)
        timesteps = scheduler.timesteps[first:]
        if first > 0 and hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(first)
        shape = (1, self.pipeline.vae.config.latent_channels, *image_latents.shape[2:])
        noise = torch.cat([torch.randn(shape, generator=g, device=g.device).to(image_latents) for g in generators])
        if render_latents is None:
            latents = noise * scheduler.init_noise_sigma
        else:
            latents = scheduler.add_noise(render_latents, noise, timesteps[:1].expand(len(noise)))
        uncond = self._embed(self.config.negative_prompt).expand_as(embeddings)
        # The three predictions of equation 3: with text and image, with the image alone, with neither.
        conditions = torch.cat([embeddings, uncond, uncond])
        images = torch.cat([image_latents, image_latents, torch.zeros_like(image_latents)])
        options = {"generator": generators} if "generator" in inspect.signature(scheduler.step).parameters else {}
        for timestep in timesteps:
            scaled = scheduler.scale_model_input(latents.repeat(3, 1, 1, 1), timestep)
            prediction = unet(torch.cat([scaled, images], dim=1), timestep, encoder_hidden_states=conditions).sample
            with_text, with_image, unconditional = prediction.chunk(3)
            guided = guide(
                with_text, with_image, unconditional, self.config.guidance_scale, self.config.image_guidance_scale
            )
            latents = scheduler.step(guided, timestep, latents, **options).prev_sample
        return latents

    def _embed(self, text: str) -> Float[Tensor, "1 tokens features"]:
        """The text encoder's features, kept for the next frame of the same prompt."""
        if text not in self._embeddings:
            tokenizer, encoder = self.pipeline.tokenizer, self.pipeline.text_encoder
            tokens = tokenizer(
                text,
                padding="max_length",
                max_length=tokenizer.model_max_length,
                truncation=True,
                return_tensors="pt",
            )
            self._embeddings[text] = encoder(tokens.input_ids.to(encoder.device))[0].to(self.pipeline.unet.dtype)
        return self._embeddings[text]


def guide(with_text: Latents, with_image: Latents, unconditional: Latents, text: float, image: float) -> Latents:
    """Two-way classifier-free guidance (Brooks et al. 2023, equation 3)."""
    return unconditional + text * (with_text - with_image) + image * (with_image - unconditional)


def diffusion_size(height: int, width: int, longer_side: int) -> tuple[int, int]:
    """Height and width for the diffusion model: the picture's shape, in multiples of 8."""
    scale = longer_side / max(height, width)
    rows, columns = (max(1, round(side * scale / _SIZE_MULTIPLE)) for side in (height, width))
    return rows * _SIZE_MULTIPLE, columns * _SIZE_MULTIPLE


def to_diffusion_range(images: Sequence[Image], size: tuple[int, int]) -> Pixels:
    """Pictures in the autoencoder's size, layout and range."""
    return _resize(torch.stack([image.float() for image in images]).movedim(-1, 1), size).clamp(0, 1) * 2 - 1


def from_diffusion_range(pixels: Pixels, size: tuple[int, int]) -> Float[Tensor, "batch height width 3"]:
    """Pictures in [0, 1] of their own size again."""
    return _resize((pixels.float() + 1) / 2, size).clamp(0, 1).movedim(1, -1)


def _resize(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    if tuple(pixels.shape[2:]) == size:
        return pixels
    return F.interpolate(pixels, size, mode="bicubic", antialias=True)


def load_pipeline(config: InstructPix2PixConfig, device: torch.device) -> "StableDiffusionInstructPix2PixPipeline":
    """InstructPix2Pix with a DDIM scheduler, which can start halfway and adds no noise of its own.

    Raises:
        UserError: diffusers is not installed, or the weights cannot be had.
    """
    try:
        from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_instruct_pix2pix import (
            StableDiffusionInstructPix2PixPipeline,
        )
        from diffusers.schedulers.scheduling_ddim import DDIMScheduler

        pipeline = StableDiffusionInstructPix2PixPipeline.from_pretrained(
            config.model,
            torch_dtype=torch.float16 if config.half_precision and device.type == "cuda" else torch.float32,
            safety_checker=None,
            requires_safety_checker=False,
            local_files_only=config.local_files_only,
        )
    except ImportError as error:
        raise UserError(
            "InstructPix2Pix needs packages that are missing: pip install 'portrait-edit[diffusion]'."
        ) from error
    except (OSError, ValueError) as error:
        raise UserError(
            f"The weights of {config.model} cannot be loaded ({str(error).splitlines()[0]}): go online once, or give "
            "the model as a local folder."
        ) from error
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


def has_weights(model: str) -> bool:
    """Whether a model's weights are on this machine, as a local folder or in the hub's cache."""
    if Path(model).is_dir():
        return (Path(model) / "model_index.json").is_file()
    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError:
        return False
    weights = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")
    # Anything but a path says that the file is not there.
    return isinstance(try_to_load_from_cache(model, "model_index.json"), str) and any(
        isinstance(try_to_load_from_cache(model, f"unet/{name}"), str) for name in weights
    )
