"""Looks of one avatar. Style 0 is the original; every prompt adds one over the shared geometry and motion.

A style is a small residual: its own feature planes in canonical space and a small network that turns them, and the
shared features, into an affine map of the original's colour. So what an edit makes of light and dark, of strands or of
a face that moves, need not be learned place by place: the original shows it, and the map stretches, fades or dyes it.
It costs under two megabytes.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from stage2_nerf.losses import smoothness_loss
from stage2_nerf.plane_look_up import PLANE_AXES, look_up_planes


@dataclass
class StyleConfig:
    """Size of one style's residual for one field."""

    resolutions: tuple[int, ...] = (32, 128)
    """Texels along a side of its feature planes."""
    channels: int = 4
    """Features per plane."""
    hidden_width: int = 64
    """Neurons in its hidden layer."""


class StyleResidual(nn.Module):
    """What one style adds to one field's colour, before the sigmoid: `b + A c` of the original's `c`.

    A and b, 3 x 3 and 3 numbers, are the style's own at every place. Both start as nothing.
    """

    def __init__(self, config: StyleConfig, feature_size: int) -> None:
        super().__init__()
        self.planes = nn.ParameterList(
            nn.Parameter(0.1 * torch.randn(1, len(PLANE_AXES), resolution, resolution, config.channels))
            for resolution in config.resolutions
        )
        features = feature_size + len(PLANE_AXES) * config.channels * len(config.resolutions)
        self.network = nn.Sequential(
            nn.Linear(features, config.hidden_width),
            nn.ReLU(inplace=True),
            nn.Linear(config.hidden_width, 3 + 9),
        )
        last = self.network[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(
        self,
        canonical: Float[Tensor, "points 3"],
        features: Float[Tensor, "points features"],
        original: Float[Tensor, "points 3"],
    ) -> Float[Tensor, "points 3"]:
        """The residual at canonical positions in [-1, 1], given the shared features there and the original's colour
        before the sigmoid."""
        every_frame = torch.zeros(len(canonical), dtype=torch.long, device=canonical.device)
        own = look_up_planes(canonical, every_frame, list(self.planes))
        shift, map_of_colour = self.network(torch.cat([features, own], dim=1)).split([3, 9], dim=1)
        return shift + (map_of_colour.view(-1, 3, 3) * original[:, None]).sum(-1)

    def roughness(self) -> Float[Tensor, ""]:
        """Mean squared difference of neighbouring texels, added up over the feature planes: the total variation in
        space of K-Planes (Fridovich-Keil et al. 2023, arXiv 2301.10241)."""
        return torch.stack([smoothness_loss(plane, axes=(2, 3)) for plane in self.planes]).sum()


class Style(nn.Module):
    """One prompt's look: a residual for the head and one for the torso, and how long it has been trained."""

    steps_trained: Tensor

    def __init__(self, config: StyleConfig, feature_size: int) -> None:
        super().__init__()
        self.head = StyleResidual(config, feature_size)
        self.torso = StyleResidual(config, feature_size)
        self.register_buffer("steps_trained", torch.zeros((), dtype=torch.long))

    def planes(self) -> list[nn.Parameter]:
        """The feature planes of both residuals."""
        return [*self.head.planes, *self.torso.planes]

    def roughness(self) -> Float[Tensor, ""]:
        """Of both residuals' planes."""
        return self.head.roughness() + self.torso.roughness()


def blend_residuals(
    residuals: list[tuple[float, Float[Tensor, "points 3"]]], original: Float[Tensor, "points 3"]
) -> Float[Tensor, "points 3"]:
    """Colours in [0, 1] of a weighted mix of styles; what the weights leave of 1 goes to the original.

    Each style's finished colour is mixed, so that a weight of 1 is exactly that style and of 0 exactly none of it.
    """
    colour = torch.sigmoid(original)
    if not residuals:
        return colour
    mixed = (1 - sum(weight for weight, _ in residuals)) * colour
    for weight, residual in residuals:
        mixed = mixed + weight * torch.sigmoid(original + residual)
    return mixed
