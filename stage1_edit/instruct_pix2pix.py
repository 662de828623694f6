"""Editing with InstructPix2Pix (Brooks et al. 2023, arXiv 2211.09800), of Stable Diffusion 1.5 or SDXL.

A partly noised *render* is denoised while conditioned on the *original* frame, as Instruct-NeRF2NeRF does.
"""

from dataclasses import dataclass

from stage1_edit.autoencoder import Autoencoder
from stage1_edit.diffusion_config import DiffusionConfig
from stage1_edit.diffusion_editor import EditBatch
from stage1_edit.diffusion_pictures import to_diffusion_range
from stage1_edit.diffusion_weights import DiffusionModel
from stage1_edit.guided_network import GuidedNetwork, more_faithful, text_and_image_guidance, two_way_weights
from stage1_edit.text_features import TextEncoding


@dataclass
class InstructPix2PixConfig(DiffusionConfig):
    """Which weights, and how they are sampled."""

    model: str = "timbrooks/instruct-pix2pix"
    """Weights: a repository on the Hugging Face hub, or a local folder in diffusers' layout."""
    image_guidance_scale: float = 1.5
    """How strongly the edit keeps to the original frame (s_I)."""


class InstructPix2Pix:
    """Follows instructions (an `EditingMethod`)."""

    def __init__(self, config: InstructPix2PixConfig, model: DiffusionModel) -> None:
        self.config = config
        self.model = model

    @property
    def branches(self) -> int:
        """Up to three: a condition whose weight is 0 is not asked for."""
        return sum(
            weight != 0 for weight in two_way_weights(self.config.guidance_scale, self.config.image_guidance_scale)
        )

    def network(self, batch: EditBatch, encoding: TextEncoding, autoencoder: Autoencoder) -> GuidedNetwork:
        """The U-Net asked with text and original, with the original alone, and with neither."""
        frames = len(batch.requests)
        # The original's latents are not scaled as the noisy ones are; only models tuned from CosXL want that.
        originals = autoencoder.encode(to_diffusion_range([request.original for request in batch.requests], batch.size))
        if getattr(self.model.pipeline, "is_cosxl_edit", False):
            originals = originals * autoencoder.vae.config.scaling_factor
        branches = text_and_image_guidance(
            more_faithful(self.config.guidance_scale, batch.fidelity),
            self.config.image_guidance_scale * batch.fidelity,
            encoding(batch.prompt.text).repeat(frames),
            encoding.nothing(self.config.negative_prompt).repeat(frames),
            originals,
        )
        return GuidedNetwork(self.model.pipeline.unet, branches, batch.size)
