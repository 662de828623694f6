"""Rays of cameras that swing aside while the avatar is learned: nobody filmed what they see, but people are opaque.

A clip whose head hardly turns says where a surface is across the picture, and not how deep: density spread along a ray
shows the same from the front as a wall, and from the side it is fog. So a few of a step's rays are swung around the
head, each as often to one side as to the other, and what they meet is asked to be either there or not. Of few filmed
views, rays of views that none of them is are constrained in the same manner by RegNeRF (Niemeyer et al. 2022, arXiv
2112.00724) and InfoNeRF (Kim et al. 2022, arXiv 2112.15399).
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from nerfstudio.cameras.rays import RayBundle
from torch import Tensor

from stage2_nerf.near_side import near_side_margin
from tracking.cameras import rotation_from_vector


@dataclass(frozen=True)
class RaysAside:
    """A training step's rays, and behind them some of the same swung aside."""

    origins: Float[Tensor, "all 3"]
    directions: Float[Tensor, "all 3"]
    times: Float[Tensor, "all 1"] | None
    expression: Float[Tensor, "all expressions"] | None
    worn: Float[Tensor, "all 4"] | None
    margin: Float[Tensor, "all"]
    """Of `near_side`: as pictures from that side are rendered, and infinite for the rays that were filmed."""


def with_rays_aside(rays: RayBundle, pivot: Float[Tensor, "3"], share: float, most: float) -> RaysAside:
    """Take some of the rays, one at least, and turn them about the head's vertical, all by one random angle.

    Args:
        rays: in head space.
        pivot: that the camera swings around, in the same space.
        share: of the rays.
        most: degrees to either side.
    """
    count = max(1, round(share * len(rays)))
    # In their order: neighbouring rays look up neighbouring texels.
    row = torch.randperm(len(rays), device=rays.origins.device)[:count].sort().values
    degrees = most * (2 * float(torch.rand(())) - 1)
    turn = rays.origins.new_tensor(rotation_from_vector(np.radians([0.0, degrees, 0.0])))

    def and_aside(values: Tensor | None) -> Tensor | None:
        return None if values is None else torch.cat([values, values[row]])

    margin = rays.origins.new_full((len(rays) + count,), torch.inf)
    near = near_side_margin(degrees)
    if near is not None:
        margin[len(rays) :] = near
    return RaysAside(
        torch.cat([rays.origins, (rays.origins[row] - pivot) @ turn.T + pivot]),
        torch.cat([rays.directions, rays.directions[row] @ turn.T]),
        and_aside(rays.times),
        and_aside(rays.metadata.get("expression")),
        and_aside(rays.metadata.get("worn")),
        margin,
    )
