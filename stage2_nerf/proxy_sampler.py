"""Where along a ray to look: guided by a proxy of the person that is posed with the expression.

The proxy is a density grid in canonical space. It starts as the tracked mesh (dense near its surface, thin inside the
hull that the mattes allow, nothing outside) and then follows the field's own densities. A ray is first walked in even,
cheap steps; each step is carried to canonical space by the same deformation as the field's samples, which poses the
proxy exactly, and without a mesh to rasterise for every frame. The few samples that the field then sees are drawn from
the walk's weights (inverse transform sampling, as NeRF's fine network, Mildenhall et al. 2020, section 5.2).

Embree, through trimesh, says once where the tracked shells bound the person (`proxy_shell`), and not for every ray
where it meets them: casting a picture's rays of 128 x 128 at a posed mesh takes 7 ms, posing the cells of the grid
1.1 ms (`scripts/benchmark_render.py` measures both), and a mesh knows neither hair nor density.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Int64
from torch import Tensor, nn

from stage2_nerf.canonical_field import BlendedFrames, CanonicalField
from stage2_nerf.proxy_walk import possible_cells, walk_and_draw

LEAST_KEPT_DENSITY = 0.01
"""What the grid keeps everywhere in the hull, so that training can find a surface where none was."""

LEAST_SHOWN_DENSITY = 0.05
"""Density per scene unit below which a cell is passed over when rendering; above what an empty cell keeps."""

LEAST_SHOWN_OPACITY = 0.01
"""Opacity, as the walk finds it, below which a ray is passed over when rendering."""


@dataclass
class ProxySamplerConfig:
    """How finely rays are walked and sampled."""

    walk_steps: int = 32
    """Even steps of the walk through the box."""
    samples: int = 10
    """Samples that the field sees on each ray of a training step."""
    rendered_samples: int = 10
    """The same in a picture. Fewer are quicker and worse: the field has learned to be looked at by as many as in
    training."""
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
    mass: Float[Tensor, "rays steps"],
    walk_edges: Float[Tensor, "rays steps+1"],
    shares: Float[Tensor, "rays samples+1"],
) -> Float[Tensor, "rays samples+1"]:
    """Distances at which given shares of the mass along each ray lie before.

    Args:
        mass: how much each step of the walk matters, not all zero.
        walk_edges: distances where the steps meet.
        shares: of the ray's whole mass, increasing along it, in (0, 1).
    """
    cumulated = torch.cumsum(mass, dim=-1)
    cumulated = F.pad(cumulated / cumulated[:, -1:].clamp(min=1e-12), (1, 0))
    shares = shares.contiguous()
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
        self.counted: tuple[int, Int64[np.ndarray, "depth+1 height+1 width+1"]] | None = None

    @torch.no_grad()
    def forward(
        self,
        origins: Float[Tensor, "rays 3"],
        directions: Float[Tensor, "rays 3"],
        frame: Int[Tensor, "rays"],
        field: CanonicalField,
        blended: BlendedFrames,
        end: Float[Tensor, "rays"] | None = None,
    ) -> RaySegments:
        """Samples for the rays that meet the proxy; the others cost no more than the walk.

        Args:
            origins: in the field's observed space.
            directions: of unit length.
            frame: which of the blended moments each ray looks at.
            field: the field, whose deformation poses the proxy.
            blended: its tables.
            end: distance beyond which each ray sees nothing; everywhere where none is given.
        """
        end = torch.full_like(origins[:, 0], torch.inf) if end is None else end
        walk = self.walk_compiled if origins.device.type == "cpu" else self.walk
        return walk(origins, directions, frame, field, blended, end, self.shares(len(origins), origins.device))

    def shares(self, rays: int, device: torch.device) -> Float[Tensor, "rays samples+1"]:
        """The shares of its mass at which each ray's stretches meet; jittered within half a stretch when training."""
        samples = self.config.samples if self.training else self.config.rendered_samples
        shares = torch.linspace(0, 1, samples + 1, device=device).expand(rays, -1)
        if self.training:
            moves = (torch.rand_like(shares) - 0.5) / samples
            moves[:, 0], moves[:, -1] = 0, 0
            shares = shares + moves
        # The ends of the mass, not of the walk: no stretch reaches into empty space before or behind.
        return shares.clamp(1e-5, 1 - 1e-5)

    @property
    def least_density(self) -> float:
        """Density that the walk takes for none."""
        return 0.0 if self.training else LEAST_SHOWN_DENSITY

    @property
    def least_opacity(self) -> float:
        """What the walk must find a ray's opacity to exceed for the ray to be sampled."""
        return 0.0 if self.training else LEAST_SHOWN_OPACITY

    def walk(
        self,
        origins: Float[Tensor, "rays 3"],
        directions: Float[Tensor, "rays 3"],
        frame: Int[Tensor, "rays"],
        field: CanonicalField,
        blended: BlendedFrames,
        end: Float[Tensor, "rays"],
        shares: Float[Tensor, "rays samples+1"],
    ) -> RaySegments:
        """Walk and draw with tensors, on any device."""
        enter, leave = intersect_box(origins, directions, field.box)
        ray = torch.nonzero(leave > enter)[:, 0]
        steps = self.config.walk_steps
        fractions = torch.linspace(0, 1, steps + 1, device=origins.device)
        walk_edges = enter[ray, None] + (leave - enter)[ray, None] * fractions
        middles = (walk_edges[:, 1:] + walk_edges[:, :-1]) / 2
        positions = (origins[ray, None] + middles[..., None] * directions[ray, None]).flatten(0, 1)
        canonical = field.to_canonical(positions, frame[ray].repeat_interleave(steps), blended)
        density = self.look_up(canonical).reshape(-1, steps)
        shown = (density > self.least_density) & (middles < end[ray, None])
        density = torch.where(shown, density, torch.zeros_like(density))
        optical = density * (walk_edges[:, 1:] - walk_edges[:, :-1])
        transmittance = torch.exp(optical - torch.cumsum(optical, -1))
        weight = transmittance * (1 - torch.exp(-optical))
        hit = weight.sum(-1) > self.least_opacity
        ray, walk_edges, density, weight = ray[hit], walk_edges[hit], density[hit], weight[hit]
        # Spread to the neighbouring steps: a surface between two of them must be found by both.
        spread = F.max_pool1d(torch.stack([weight, (density > 0).float()], dim=1), 3, stride=1, padding=1)
        weight, may_hold = spread.unbind(1)
        share = self.config.uniform_share
        mass = (1 - share) * weight / weight.sum(-1, keepdim=True).clamp(min=1e-6)
        mass = mass + share * may_hold / may_hold.sum(-1, keepdim=True).clamp(min=1)
        return RaySegments(ray, draw_edges(mass, walk_edges, shares[ray]))

    def walk_compiled(
        self,
        origins: Float[Tensor, "rays 3"],
        directions: Float[Tensor, "rays 3"],
        frame: Int[Tensor, "rays"],
        field: CanonicalField,
        blended: BlendedFrames,
        end: Float[Tensor, "rays"],
        shares: Float[Tensor, "rays samples+1"],
    ) -> RaySegments:
        """The same by a compiled loop, on the CPU."""
        box = field.box.numpy()
        displacement = blended.displacement.detach().contiguous().numpy()
        # Posing the cells costs about as much as the walk of a training step's rays, and spares most of a picture's.
        if self.training:
            possible = np.ones((len(displacement), 1, 1, 1), np.bool_)
        else:
            possible = possible_cells(box, displacement, self.occupied())
        hit, edges = walk_and_draw(
            origins.contiguous().numpy(),
            directions.contiguous().numpy(),
            frame.numpy(),
            box,
            displacement,
            self.density.numpy(),
            possible,
            self.config.walk_steps,
            self.least_density,
            self.least_opacity,
            end.numpy(),
            self.config.uniform_share,
            shares.numpy(),
        )
        ray = torch.from_numpy(np.flatnonzero(hit))
        return RaySegments(ray, torch.from_numpy(edges)[ray])

    def occupied(self) -> Int64[np.ndarray, "depth+1 height+1 width+1"]:
        """How many of the grid's nodes before each index hold density that is shown; kept while the grid stays."""
        version = self.density._version
        if self.counted is None or self.counted[0] != version:
            counts = np.pad(self.density.numpy() > LEAST_SHOWN_DENSITY, ((1, 0), (1, 0), (1, 0)))
            self.counted = version, counts.cumsum(0, dtype=np.int64).cumsum(1).cumsum(2)
        return self.counted[1]

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
