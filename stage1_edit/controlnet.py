"""Editing with any text-to-image model held to the frame by ControlNets (Zhang et al. 2023, arXiv 2302.05543).

Their conditions are drawn from the original frame and from its track, so that lips and pose are those that were filmed,
whatever the noise level.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stage1_edit.autoencoder import Autoencoder
from stage1_edit.control_pictures import ControlName, control_picture
from stage1_edit.diffusion_config import DiffusionConfig
from stage1_edit.diffusion_editor import EditBatch
from stage1_edit.diffusion_pictures import Latents
from stage1_edit.diffusion_weights import DiffusionModel
from stage1_edit.guided_network import GuidedNetwork, Residuals
from stage1_edit.sdedit import described, described_branches
from stage1_edit.text_features import TextEncoding, TextFeatures
from tracking.errors import UserError

DEFAULT_WEIGHTS: dict[ControlName, str] = {
    "canny": "lllyasviel/control_v11p_sd15_canny",
    "landmarks": "CrucibleAI/ControlNetMediaPipeFace:diffusion_sd15",
    "depth": "lllyasviel/control_v11f1p_sd15_depth",
    "normals": "lllyasviel/control_v11p_sd15_normalbae",
}
"""For Stable Diffusion 1.5 and what was tuned from it."""


@dataclass
class ControlNetConfig(DiffusionConfig):
    """Which weights, what they are held to, and how they are sampled."""

    controls: tuple[ControlName, ...] = ("landmarks", "canny")
    """What edits are held to: edges of the filmed frame, the tracked landmarks, depth or normals of the tracked mesh;
    several act together."""
    strengths: tuple[float, ...] = ()
    """How strongly each of them holds; 1 where none is given."""
    weights: tuple[str, ...] = ()
    """ControlNet weights for each of them: a repository on the hub or a local folder, and after a colon a folder
    inside. Where none are given, those known for Stable Diffusion 1.5."""

    def all_strengths(self) -> tuple[float, ...]:
        """One for each control.

        Raises:
            UserError: there are more or fewer of them than controls.
        """
        return _one_each("strengths", self.strengths or (1.0,) * len(self.controls), self.controls)

    def all_weights(self) -> tuple[str, ...]:
        """One for each control.

        Raises:
            UserError: there are more or fewer of them than controls, or no controls.
        """
        if not self.controls:
            raise UserError("The editor controlnet is held to nothing: name its controls, or use the editor sdedit.")
        return _one_each(
            "weights", self.weights or tuple(DEFAULT_WEIGHTS[name] for name in self.controls), self.controls
        )


def _one_each(name: str, given: tuple, controls: Sequence[str]) -> tuple:
    if len(given) != len(controls):
        raise UserError(
            f"The editor controlnet has {len(controls)} controls ({', '.join(controls)}) and {len(given)} {name}: give "
            "one for each, or none."
        )
    return given


class ControlNet:
    """Paints what is described in the frame's own lines and shapes (an `EditingMethod`)."""

    def __init__(self, config: ControlNetConfig, model: DiffusionModel) -> None:
        """Take loaded weights, with one ControlNet for each control."""
        self.config = config
        self.model = model

    @property
    def branches(self) -> int:
        """As of the text-to-image model without ControlNets; these are not counted."""
        return described_branches(self.config, self.model)

    def network(self, batch: EditBatch, encoding: TextEncoding, autoencoder: Autoencoder) -> GuidedNetwork:
        """The U-Net asked with the text and without, both times with the ControlNets' residuals."""
        branches, embedding = described(self.config, self.model, batch, encoding)
        pictures = [
            torch.stack([control_picture(name, request, batch.size) for request in batch.requests])
            for name in self.config.controls
        ]
        residuals = _ControlResiduals(self.model, pictures, self.config.all_strengths(), batch.size)
        return GuidedNetwork(self.model.pipeline.unet, branches, batch.size, residuals, embedding)


@dataclass(frozen=True)
class _ControlResiduals:
    """The sum of what several ControlNets add to a U-Net."""

    model: DiffusionModel
    pictures: Sequence[Tensor]
    """Conditions of each ControlNet: frames, 3, height, width, in [0, 1]."""
    strengths: Sequence[float]
    size: tuple[int, int]

    def __call__(self, scaled: Latents, timestep: Tensor, text: TextFeatures) -> Residuals:
        down_total: list[Tensor] = []
        middle_total: Tensor | None = None
        for net, picture, strength in zip(self.model.controlnets, self.pictures, self.strengths, strict=True):
            branches = len(scaled) // len(picture)
            down, middle = net(
                scaled,
                timestep,
                controlnet_cond=picture.repeat(branches, 1, 1, 1).to(scaled),
                conditioning_scale=strength,
                return_dict=False,
                **text.conditions(self.size),
            )
            down_total = (
                [one + other for one, other in zip(down_total, down, strict=True)] if down_total else list(down)
            )
            middle_total = middle if middle_total is None else middle_total + middle
        assert middle_total is not None
        return down_total, middle_total
