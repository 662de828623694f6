"""Losses that were tried on the avatar and left out: each is a row of the ablation table, with the loss put in."""

from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from patches import patch_pixels, to_patches
from torch import Tensor

from stage2_nerf.pipeline import PortraitEditPipelineConfig
from stage2_nerf.pixel_sampler import PortraitPixelSampler, PortraitPixelSamplerConfig
from stage2_nerf.portrait_model import PortraitModel
from stage2_nerf.volume_rendering import FieldSamples

STRUCTURAL_WEIGHT = 0.005
DISTORTION_WEIGHT = 0.001
PATCH_SIDE = 8
PATCH_SHARE = 0.25
"""Share of a batch's rays that patches take."""


def structural_loss(
    predicted: Float[Tensor, "patches 3 side side"], target: Float[Tensor, "patches 3 side side"], window: int = 5
) -> Float[Tensor, ""]:
    """Structural dissimilarity, (1 - SSIM) / 2, of small patches: 0 for equal ones, at most 1.

    SSIM is Wang et al.'s (2004, eq. 13) with its constants for values in [0, 1], over uniform square windows that lie
    whole within their patch.
    """

    def mean(values: Float[Tensor, "patches 3 side side"]) -> Float[Tensor, "patches 3 inner inner"]:
        return F.avg_pool2d(values, window, stride=1)

    mean_predicted, mean_target = mean(predicted), mean(target)
    variance_predicted = mean(predicted**2) - mean_predicted**2
    variance_target = mean(target**2) - mean_target**2
    covariance = mean(predicted * target) - mean_predicted * mean_target
    luminance = (2 * mean_predicted * mean_target + 0.01**2) / (mean_predicted**2 + mean_target**2 + 0.01**2)
    structure = (2 * covariance + 0.03**2) / (variance_predicted + variance_target + 0.03**2)
    return (1 - (luminance * structure).mean()) / 2


def distortion_loss(
    weights: Float[Tensor, "rays samples"],
    middles: Float[Tensor, "rays samples"],
    lengths: Float[Tensor, "rays samples"],
) -> Float[Tensor, ""]:
    """How far a ray's weight is spread along it (Mip-NeRF 360, Barron et al. 2022, eq. 15), mean over rays.

    The double sum over pairs of samples is one pass over running sums, since the samples are in order of distance.

    Args:
        weights: each sample's share of what the ray shows.
        middles: its distance along the ray, not decreasing, in scene units.
        lengths: of the stretch that it stands for, in scene units.
    """
    before = torch.cumsum(weights, dim=-1) - weights
    moment_before = torch.cumsum(weights * middles, dim=-1) - weights * middles
    between = 2 * (weights * (middles * before - moment_before)).sum(-1)
    within = (weights**2 * lengths).sum(-1) / 3
    return (between + within).mean()


@dataclass
class PatchSamplerConfig(PortraitPixelSamplerConfig):
    """Pixels as ever, a part of them in patches."""

    _target: type = field(default_factory=lambda: PatchSampler)


class PatchSampler(PortraitPixelSampler):
    """Begins each batch with patches around pixels that it would have drawn anyway."""

    def sample(self, image_batch: dict[str, Any]) -> dict[str, Any]:
        """Draw a batch whose first pixels are patches."""
        wanted = self.num_rays_per_batch
        patches = number_of_patches(wanted)
        self.num_rays_per_batch = wanted - patches * PATCH_SIDE**2
        try:
            single = super().sample(image_batch)
        finally:
            self.num_rays_per_batch = wanted
        assert self.drawn is not None
        row, y, x = self.drawn[:, torch.randperm(self.drawn.shape[1])[:patches]]
        pixels = patch_pixels(row, y, x, PATCH_SIDE, *self.shape[1:])
        batch = {key: value[pixels] for key, value in image_batch.items() if key != "image_idx"}
        batch["indices"] = torch.stack([image_batch["image_idx"][pixels[0]], *pixels[1:]], dim=-1)
        self.drawn = torch.cat([torch.stack(pixels), self.drawn], dim=1)
        return {key: torch.cat([value, single[key]]) for key, value in batch.items()}


def number_of_patches(rays: int) -> int:
    """Patches in a batch of so many rays."""
    return int(PATCH_SHARE * rays) // PATCH_SIDE**2


class StructuralLoss(PortraitModel):
    """Adds the structural loss of the batch's patches."""

    def get_loss_dict(
        self, outputs: dict[str, Tensor], batch: dict[str, Tensor], metrics_dict: dict[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        losses = super().get_loss_dict(outputs, batch, metrics_dict)
        predicted, target, _ = self.compare(outputs, batch)
        patches = number_of_patches(len(predicted))
        rendered, filmed = (to_patches(values, patches, PATCH_SIDE) for values in (predicted, target))
        losses["structure"] = STRUCTURAL_WEIGHT * structural_loss(rendered, filmed)
        return losses


def with_structural_loss(config: PortraitEditPipelineConfig) -> None:
    """Draw a quarter of the rays in patches, and compare their structure."""
    sampler = config.datamanager.pixel_sampler
    values = {name: getattr(sampler, name) for name in sampler.__dataclass_fields__ if name != "_target"}
    config.datamanager.pixel_sampler = PatchSamplerConfig(**values)
    config.model._target = StructuralLoss


class DistortionLoss(PortraitModel):
    """Adds the distortion loss of the head's samples."""

    distortion: Tensor

    def look(self, *arguments: Any, **named: Any) -> FieldSamples:
        seen = super().look(*arguments, **named)
        part = named["part"] if "part" in named else arguments[3]
        if self.training and part == "head":
            optical = seen.density * seen.segments.lengths
            weights = torch.exp(optical - torch.cumsum(optical, dim=-1)) * (1 - torch.exp(-optical))
            self.distortion = distortion_loss(weights, seen.segments.middles, seen.segments.lengths)
        return seen

    def get_loss_dict(
        self, outputs: dict[str, Tensor], batch: dict[str, Tensor], metrics_dict: dict[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        losses = super().get_loss_dict(outputs, batch, metrics_dict)
        losses["distortion"] = DISTORTION_WEIGHT * self.distortion
        return losses
