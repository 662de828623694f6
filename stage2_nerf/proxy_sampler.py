"""Where along a ray to look: guided by a proxy of the person that is posed with the expression.

The proxy is a density grid in canonical space. It starts as the tracked mesh (dense near its surface, thin inside the
hull that the mattes allow, nothing outside) and then follows the field's own densities. A ray is first walked in even,
cheap steps; each step is carried to canonical space by the same deformation as the field's samples, which poses the
proxy exactly, and without a mesh to rasterise for every frame. The few samples that the field then sees are drawn from
the walk's weights (inverse transform sampling, as NeRF's fine network, Mildenhall et al. 2020, section 5.2).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from stage2_nerf.canonical_field import BlendedFrames, CanonicalField

LEAST_KEPT_DENSITY = 0.01
"""What the grid keeps everywhere in the hull, so that training can find a surface where none was."""

LEAST_SHOWN_DENSITY = 0.05
"""Density per scene unit below which a cell is passed over when rendering; above what an empty cell keeps."""


@dataclass
class ProxySamplerConfig:
    """How finely rays are walked and sampled."""

    walk_steps: int = 32
    """Even steps of the walk through the box."""
    samples: int = 10
    """Samples that the field sees on each ray."""
    uniform_share: float = 0.05
    """Share of the samples spread evenly over the hull, so that surfaces can be found where none was."""
    decay: float = 0.98
    """What the grid keeps of its value each time a cell is seen to hold less."""


@dataclass
class RaySegments:
    """Samples along the rays that met a proxy, each standing for a stretch of its ray."""

    ray: Int[Tensor, "hits"]
    """The rays that met it."""
    edges: Float[Tensor, "hits samples+1"]
    """Distances along the ray where the stretches meet."""

    @property
    def middles(self) -> Float[Tensor, "hits samples"]:
        return (self.edges[:, 1:] + self.edges[:, :-1]) / 2

    @property
    def lengths(self) -> Float[Tensor, "hits samples"]:
        return self.edges[:, 1:] - self.edges[:, :-1]


def intersect_box(
    origins: Float[Tensor, "rays 3"], directions: Float[Tensor, "rays 3"], box: Float[Tensor, "2 3"]
) -> tuple[Float[Tensor, "rays"], Float[Tensor, "rays"]]:
    """Distances at which rays enter and leave a box (slab method, Kay and Kajiya 1986); leave < enter for a miss."""
    inverse = 1 / torch.where(directions.abs() < 1e-9, torch.full_like(directions, 1e-9), directions)
    first, second = (box[0] - origins) * inverse, (box[1] - origins) * inverse
    enter = torch.minimum(first, second).amax(-1).clamp(min=1e-3)
    return enter, torch.maximum(first, second).amin(-1)


def draw_edges(
    mass: Float[Tensor, "rays steps"], walk_edges: Float[Tensor, "rays steps+1"], samples: int, jitter: bool
) -> Float[Tensor, "rays samples+1"]:
    """Stretches that hold equal shares of the mass along each ray.

    Args:
        mass: how much each step of the walk matters, not all zero.
        walk_edges: distances where the steps meet.
        samples: stretches to make.
        jitter: move the inner edges at random within half a share, for training.
    """
    cumulated = torch.cumsum(mass, dim=-1)
    cumulated = F.pad(cumulated / cumulated[:, -1:].clamp(min=1e-12), (1, 0))
    shares = torch.linspace(0, 1, samples + 1, device=mass.device).expand(len(mass), -1)
    if jitter:
        moves = (torch.rand_like(shares) - 0.5) / samples
        moves[:, 0], moves[:, -1] = 0, 0
        shares = shares + moves
    # The ends of the mass, not of the walk: no stretch reaches into empty space before or behind.
    shares = shares.clamp(1e-5, 1 - 1e-5).contiguous()
    after = torch.searchsorted(cumulated.contiguous(), shares, right=True).clamp(1, mass.shape[1])
    low, high = cumulated.gather(1, after - 1), cumulated.gather(1, after)
    fraction = (shares - low) / (high - low).clamp(min=1e-9)
    start, end = walk_edges.gather(1, after - 1), walk_edges.gather(1, after)
    return torch.lerp(start, end, fraction.clamp(0, 1))


class ProxySampler(nn.Module):
    """Draws samples for one field, and learns from the densities that they find."""

    hull: Tensor
    density: Tensor

    def __init__(
        self,
        config: ProxySamplerConfig,
        hull: Bool[Tensor, "depth height width"],
        density: Float[Tensor, "depth height width"],
    ) -> None:
        """Start from the tracked proxy.

        Args:
            config: how finely to walk and sample.
            hull: cells of the field's box that the person may fill.
            density: density expected there before training, per scene unit.
        """
        super().__init__()
        self.config = config
        self.register_buffer("hull", hull)
        self.register_buffer("density", torch.where(hull, density, torch.zeros_like(density)))

    @torch.no_grad()
    def forward(
        self,
        origins: Float[Tensor, "rays 3"],
        directions: Float[Tensor, "rays 3"],
        frame: Int[Tensor, "rays"],
        field: CanonicalField,
        blended: BlendedFrames,
    ) -> RaySegments:
        """Samples for the rays that meet the proxy; the others cost no more than the walk."""
        enter, leave = intersect_box(origins, directions, field.box)
        ray = torch.nonzero(leave > enter)[:, 0]
        steps = self.config.walk_steps
        fractions = torch.linspace(0, 1, steps + 1, device=origins.device)
        walk_edges = enter[ray, None] + (leave - enter)[ray, None] * fractions
        middles = (walk_edges[:, 1:] + walk_edges[:, :-1]) / 2
        positions = (origins[ray, None] + middles[..., None] * directions[ray, None]).flatten(0, 1)
        canonical = field.to_canonical(positions, frame[ray].repeat_interleave(steps), blended)
        density = self.look_up(canonical).reshape(-1, steps)
        if self.training:
            may_hold = F.max_pool1d((density > 0).float()[:, None], 3, stride=1, padding=1)[:, 0]
        else:
            density = torch.where(density > LEAST_SHOWN_DENSITY, density, torch.zeros_like(density))
            may_hold = (density > 0).float()
        hit = may_hold.any(-1)
        ray, walk_edges, density, may_hold = ray[hit], walk_edges[hit], density[hit], may_hold[hit]
        optical = density * (walk_edges[:, 1:] - walk_edges[:, :-1])
        before = torch.cumsum(optical, -1) - optical
        weight = torch.exp(-before) * (1 - torch.exp(-optical))
        # Spread to the neighbouring steps: a surface between two of them must be found by both.
        weight = F.max_pool1d(weight[:, None], 3, stride=1, padding=1)[:, 0]
        share = self.config.uniform_share
        mass = (1 - share) * weight / weight.sum(-1, keepdim=True).clamp(min=1e-6)
        mass = mass + share * may_hold / may_hold.sum(-1, keepdim=True).clamp(min=1)
        return RaySegments(ray, draw_edges(mass, walk_edges, self.config.samples, self.training))

    def look_up(self, canonical: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        """The grid's density at canonical positions in [-1, 1]; nothing outside of the box."""
        grid = canonical[None, :, None, None]
        found = F.grid_sample(self.density[None, None], grid, mode="bilinear", padding_mode="zeros", align_corners=True)
        return found.flatten()

    @torch.no_grad()
    def learn(self, canonical: Float[Tensor, "points 3"], density: Float[Tensor, "points"]) -> None:
        """Follow the densities that the field reported: rise at once, sink slowly, never to nothing within the hull."""
        size = torch.tensor(self.density.shape[::-1], device=canonical.device)
        cell = ((canonical.clamp(-1, 1) + 1) / 2 * (size - 1)).round().long()
        index = (cell[:, 2] * size[1] + cell[:, 1]) * size[0] + cell[:, 0]
        flat = self.density.view(-1)
        seen = torch.zeros_like(flat).scatter_reduce_(0, index, density, "amax")
        touched = torch.zeros_like(flat, dtype=torch.bool)
        touched[index] = True
        followed = torch.where(touched, torch.maximum(flat * self.config.decay, seen), flat)
        floor = self.hull.view(-1) * LEAST_KEPT_DENSITY
        flat.copy_(torch.maximum(followed, floor) * self.hull.view(-1))
