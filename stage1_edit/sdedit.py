"""Editing with any text-to-image model: the render, partly noised, is denoised towards what the prompt describes.

SDEdit (Meng et al. 2022, arXiv 2108.01073). The prompt is a description ("a bronze statue of a man"), and what is kept
of the frame is what the noise level leaves: little at 0.8, nearly all at 0.2.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from stage1_edit.autoencoder import Autoencoder
from stage1_edit.diffusion_config import DiffusionConfig
from stage1_edit.diffusion_editor import EditBatch
from stage1_edit.diffusion_weights import DiffusionModel
from stage1_edit.guided_network import Branch, GuidedNetwork, more_faithful, text_guidance
from stage1_edit.text_features import TextEncoding


@dataclass
class SDEditConfig(DiffusionConfig):
    """Which weights, and how they are sampled."""


class SDEdit:
    """Paints what is described (an `EditingMethod`)."""

    def __init__(self, config: SDEditConfig, model: DiffusionModel) -> None:
        self.config = config
        self.model = model

    @property
    def branches(self) -> int:
        """Two; one without guidance, or of a model that is told its scale."""
        return described_branches(self.config, self.model)

    def network(self, batch: EditBatch, encoding: TextEncoding, autoencoder: Autoencoder) -> GuidedNetwork:
        """The U-Net asked with the text and without."""
        branches, embedding = described(self.config, self.model, batch, encoding)
        return GuidedNetwork(self.model.pipeline.unet, branches, batch.size, guidance_embedding=embedding)


def described(
    config: DiffusionConfig, model: DiffusionModel, batch: EditBatch, encoding: TextEncoding
) -> tuple[tuple[Branch, ...], Float[Tensor, "1 features"] | None]:
    """The conditions of a text-to-image model: with the text and without.

    A model distilled with guidance, such as a latent consistency model, is told the scale instead and asked once.
    """
    frames = len(batch.requests)
    text = encoding(batch.prompt.text).repeat(frames)
    scale = more_faithful(config.guidance_scale, batch.fidelity)
    features = model.pipeline.unet.config.get("time_cond_proj_dim")
    if features is None:
        nothing = encoding.nothing(config.negative_prompt).repeat(frames)
        return text_guidance(scale, text, nothing), None
    return (Branch(1.0, text),), _guidance_embedding(model.pipeline, scale, features).to(model.device)


def described_branches(config: DiffusionConfig, model: DiffusionModel) -> int:
    """How many conditions `described` asks the network under."""
    is_told_the_scale = model.pipeline.unet.config.get("time_cond_proj_dim") is not None
    return 1 if is_told_the_scale or config.guidance_scale == 1 else 2


def _guidance_embedding(pipeline: Any, scale: float, features: int) -> Float[Tensor, "1 features"]:
    return pipeline.get_guidance_scale_embedding(torch.tensor([scale - 1.0]), embedding_dim=features)
