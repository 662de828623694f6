"""A denoising network asked under several conditions at once, and its answers mixed: classifier-free guidance."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from stage1_edit.diffusion_pictures import Latents
from stage1_edit.text_features import TextFeatures

Residuals = tuple[Sequence[Tensor], Tensor]
"""What ControlNets add to the U-Net's skip connections and to its middle block."""


@dataclass(frozen=True)
class Branch:
    """One condition under which the network is asked."""

    weight: float
    """The share of its answer in the mix; all branches' sum is 1."""
    text: TextFeatures
    image: Latents | None = None
    """Latents that are appended to the noisy ones, channel by channel, where the network was trained for that."""


class GuidedNetwork:
    """A U-Net with guidance (a `Denoiser`). Branches without weight are not asked."""

    def __init__(
        self,
        unet: Any,
        branches: Sequence[Branch],
        size: tuple[int, int],
        control: Callable[[Latents, Tensor, TextFeatures], Residuals] | None = None,
        guidance_embedding: Float[Tensor, "1 features"] | None = None,
    ) -> None:
        """Put the branches one after another in the batch, each with all its frames.

        Args:
            unet: diffusers' `UNet2DConditionModel`.
            size: height and width of the pictures in pixels, which SDXL is told.
            control: answers the ControlNets' residuals to latents, timestep and text features.
            guidance_embedding: of models distilled with guidance, which are told its scale.
        """
        asked = [branch for branch in branches if branch.weight != 0]
        self.unet = unet
        self.branches = len(asked)
        self.evaluations = 0
        self.control = control
        self.guidance_embedding = guidance_embedding
        self.weights = torch.tensor([branch.weight for branch in asked])
        self.text = TextFeatures.cat([branch.text for branch in asked]).to(unet.dtype)
        images = [branch.image for branch in asked if branch.image is not None]
        self.images = torch.cat(images) if images else None
        self.conditions = self.text.conditions(size)

    def __call__(self, scaled: Latents, timestep: Float[Tensor, ""]) -> Latents:
        """The branches' predictions, weighted, in 32 bits."""
        model_input = scaled.repeat(self.branches, 1, 1, 1).to(self.unet.dtype)
        options: dict[str, Any] = dict(self.conditions)
        if self.control is not None:
            down, middle = self.control(model_input, timestep, self.text)
            options["down_block_additional_residuals"] = down
            options["mid_block_additional_residual"] = middle
        if self.guidance_embedding is not None:
            options["timestep_cond"] = self.guidance_embedding.expand(len(model_input), -1).to(self.unet.dtype)
        if self.images is not None:
            model_input = torch.cat([model_input, self.images.to(model_input)], dim=1)
        self.evaluations += len(model_input)
        prediction = self.unet(model_input, timestep, **options).sample.float()
        weights = self.weights.to(prediction.device)
        return torch.einsum("b,b...->...", weights, prediction.unflatten(0, (self.branches, -1)))


def more_faithful(text_scale: float, fidelity: float) -> float:
    """A text guidance scale that lets an edit keep nearer to the frame: what it is above 1, divided by the fidelity."""
    return text_scale if fidelity == 1 else 1 + (text_scale - 1) / fidelity


def text_guidance(
    scale: float, text: TextFeatures, nothing: TextFeatures, image: Latents | None = None
) -> tuple[Branch, ...]:
    """Classifier-free guidance (Ho and Salimans 2022): e() + s (e(text) - e()). Scale 1 asks the network once."""
    return Branch(scale, text, image), Branch(1 - scale, nothing, image)


def text_and_image_guidance(
    text_scale: float, image_scale: float, text: TextFeatures, nothing: TextFeatures, image: Latents
) -> tuple[Branch, ...]:
    """Two-way guidance (Brooks et al. 2023, equation 3), by the weights of the three predictions:

    e() + s_T (e(text, image) - e(image)) + s_I (e(image) - e()).
    """
    both, image_alone, neither = two_way_weights(text_scale, image_scale)
    return (
        Branch(both, text, image),
        Branch(image_alone, nothing, image),
        Branch(neither, nothing, torch.zeros_like(image)),
    )


def two_way_weights(text_scale: float, image_scale: float) -> tuple[float, float, float]:
    """The weights of the predictions with text and image, with the image alone, and with neither; of sum 1."""
    return text_scale, image_scale - text_scale, 1 - image_scale
