"""Samples of several fields along the same rays, put in order of distance and accumulated by density (Max 1995).

Head and torso are composited as one medium: whatever is in front hides what is behind, so no seam shows between them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from stage2_nerf.proxy_sampler import RaySegments


@dataclass
class FieldSamples:
    """What one field gave along its rays."""

    segments: RaySegments
    density: Float[Tensor, "hits samples"]
    """Per scene unit."""
    colours: Float[Tensor, "hits samples channels"]
    """In [0, 1]; several looks of the same sample may stand behind each other."""


@dataclass
class CompositedRays:
    """What rays show."""

    foreground: Float[Tensor, "rays channels"]
    """Premultiplied colour."""
    accumulation: Float[Tensor, "rays 1"]
    """Opacity in [0, 1]."""
    depth: Float[Tensor, "rays 1"]
    """Mean distance in scene units of what is seen; 0 where there is next to nothing."""


def composite(rays: int, parts: Sequence[FieldSamples]) -> CompositedRays:
    """Accumulate the samples of all parts along each ray.

    Args:
        rays: how many there are; those that no part has samples for stay clear.
        parts: each field's samples.
    """
    device = parts[0].density.device
    counts = [part.density.shape[1] for part in parts]
    channels = parts[0].colours.shape[-1]
    distance = torch.full((rays, sum(counts)), 1e6, device=device)
    optical = torch.zeros(rays, sum(counts), device=device)
    colours = torch.zeros(rays, sum(counts), channels, device=device)
    start = 0
    for part, count in zip(parts, counts, strict=True):
        place = slice(start, start + count)
        distance[part.segments.ray, place] = part.segments.middles
        optical[part.segments.ray, place] = part.density * part.segments.lengths
        colours[part.segments.ray, place] = part.colours
        start += count
    distance, order = distance.sort(dim=-1)
    optical = optical.gather(1, order)
    colours = colours.gather(1, order[..., None].expand(-1, -1, channels))
    before = torch.cumsum(optical, dim=-1) - optical
    weights = torch.exp(-before) * (1 - torch.exp(-optical))
    accumulation = weights.sum(-1, keepdim=True)
    depth = (weights * distance).sum(-1, keepdim=True) / accumulation.clamp(min=1e-3)
    return CompositedRays(
        (weights[..., None] * colours).sum(1),
        accumulation,
        torch.where(accumulation > 0.01, depth, torch.zeros_like(depth)),
    )
