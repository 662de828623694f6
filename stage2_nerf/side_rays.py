"""Rays of cameras that swing aside while the avatar is learned: nobody filmed what they see, but people are opaque.

A clip whose head hardly turns says where a surface is across the picture, and not how deep: density spread along a ray
shows the same from the front as a wall, and from the side it is fog. So a few of a step's rays are swung around the
head, each as often to one side as to the other, and what they meet is asked to be either there or not. Of few filmed
views, rays of views that none of them is are constrained in the same manner by RegNeRF (Niemeyer et al. 2022, arXiv
2112.00724) and InfoNeRF (Kim et al. 2022, arXiv 2112.15399).
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from stage2_nerf.near_side import near_side_margin


@dataclass(frozen=True)
class SideRays:
    """Some of a bundle's rays, swung aside."""

    row: Int[Tensor, "aside"]
    """Which of the bundle's rays they were."""
    origins: Float[Tensor, "aside 3"]
    directions: Float[Tensor, "aside 3"]
    margin: float
    """Of `near_side`, as pictures from that side are rendered."""


def swing_aside(
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    pivot: Float[Tensor, "3"],
    share: float,
    most: float,
) -> SideRays:
    """Take some of the rays, one at least, and turn them about the head's vertical, all by one random angle.

    Args:
        origins: in head space.
        directions: of unit length.
        pivot: that the camera swings around, in the same space.
        share: of the rays.
        most: degrees to either side.
    """
    count = max(1, round(share * len(origins)))
    # In their order: neighbouring rays look up neighbouring texels.
    row = torch.randperm(len(origins), device=origins.device)[:count].sort().values
    degrees = most * (2 * float(torch.rand(())) - 1)
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turn = origins.new_tensor([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]])
    margin = near_side_margin(degrees)
    return SideRays(
        row,
        (origins[row] - pivot) @ turn.T + pivot,
        directions[row] @ turn.T,
        math.inf if margin is None else margin,
    )
