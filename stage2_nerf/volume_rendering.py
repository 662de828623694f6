"""Samples of several fields along the same rays, put in order of distance and accumulated by density (Max 1995).

Head and torso are composited as one medium: whatever is in front hides what is behind, so no seam shows between them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from stage2_nerf.kernels import in_slices
from stage2_nerf.proxy_sampler import RaySegments
from stage2_nerf.volume_rendering_kernel import accumulate_two

USED_UP_OPTICAL_DEPTH = 6.0
"""Optical depth behind which nothing is seen: 0.25 % of the light is left, under one grey level."""


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
    learning = any(part.density.requires_grad or part.colours.requires_grad for part in parts)
    if len(parts) == 2 and parts[0].density.device.type == "cpu" and not learning:
        return composite_compiled(rays, *parts)
    return composite_tensors(rays, parts)


def composite_tensors(rays: int, parts: Sequence[FieldSamples]) -> CompositedRays:
    """The same with tensors, with gradients and on any device."""
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


def composite_compiled(rays: int, first: FieldSamples, second: FieldSamples) -> CompositedRays:
    """The same by a compiled loop, on the CPU: each part's samples are in order already, and only merged."""
    arrays: list[Any] = []
    for part in (first, second):
        row = np.full(rays, -1, np.int64)
        row[part.segments.ray.numpy()] = np.arange(len(part.segments.ray))
        arrays += [row, part.segments.edges.numpy(), part.density.numpy(), part.colours.contiguous().numpy()]
    channels = first.colours.shape[-1]
    seen = np.zeros((rays, channels + 2), np.float32)
    accumulate: Any = accumulate_two
    in_slices(lambda start, stop: accumulate(start, stop, *arrays, seen), rays)
    foreground, accumulation, depth = torch.from_numpy(seen).split([channels, 1, 1], dim=-1)
    return CompositedRays(foreground, accumulation, depth)


def alone_weights(
    density: Float[Tensor, "hits samples"], lengths: Float[Tensor, "hits samples"]
) -> Float[Tensor, "hits samples"]:
    """Each sample's share of its ray's colour if the ray met no other field: the most that it can have."""
    optical = density * lengths
    return torch.exp(optical - torch.cumsum(optical, dim=-1)) * (1 - torch.exp(-optical))


def used_up(rays: int, part: FieldSamples) -> Float[Tensor, "rays"]:
    """Distance at which a part has used up each ray's light, infinite where it lets some through."""
    optical = torch.cumsum(part.density * part.segments.lengths, dim=-1)
    enough = optical > USED_UP_OPTICAL_DEPTH
    # The first sample that is enough; argmax of none is 0, and masked.
    at = part.segments.edges[:, 1:].gather(1, enough.int().argmax(dim=1, keepdim=True))[:, 0]
    end = torch.full((rays,), torch.inf, device=optical.device)
    end[part.segments.ray] = torch.where(enough[:, -1], at, torch.inf)
    return end
