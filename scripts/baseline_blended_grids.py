"""NeRFBlendShape's recipe (Gao et al. 2022, arXiv 2210.06108), built from this project's parts.

One hash grid for each expression basis and one for the neutral face, blended whole by the expression vector, 16 levels
of 2^14 entries with 4 features, from 16 to 1024 cells; networks of 64 neurons for density and for colour, the latter
seeing the direction of view in spherical harmonics; samples spread evenly over each ray's way through the person's box.
No deformation, no refinement of poses, no field for the torso. Rays, target, colour and matte losses and the optimizer
are the avatar's own. The published method also skips empty space once it has learned where it is, and adds a perceptual
loss at the end of its training: neither is here.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from baseline_avatar import BaselineAvatar, whole_person_box
from blended_hash_tables import BlendedHashTables
from jaxtyping import Float
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.field_components.encodings import SHEncoding
from nerfstudio.models.base_model import ModelConfig
from torch import Tensor, nn
from torch.nn import Parameter

from stage2_nerf.expression_track import ExpressionTrack
from stage2_nerf.proxy_sampler import intersect_box


@dataclass
class BlendedGridsModelConfig(ModelConfig):
    """The recipe's sizes."""

    _target: type = field(default_factory=lambda: BlendedGridsModel)
    enable_collider: bool = False
    """Off: the person's box bounds the rays."""
    bases: int = 46
    """Hash grids: one of the neutral face, and one for each of the expressions that move most."""
    samples: int = 32
    """Samples on each ray."""
    hidden_width: int = 64
    """Neurons in each hidden layer."""
    geometry_features: int = 15
    """Numbers that the density's network hands to the colour's."""
    eval_num_rays_per_chunk: int = 4096
    """Rays rendered at once."""


class BlendedGridsModel(BaselineAvatar):
    """A field whose whole encoding is blended by the expression."""

    config: BlendedGridsModelConfig
    box: Tensor
    chosen: Tensor
    largest: Tensor

    def populate_modules(self) -> None:
        """Build the field over the person's box."""
        super().populate_modules()
        metadata: dict[str, Any] = self.kwargs["metadata"]
        self.track = ExpressionTrack.of(metadata)
        box = whole_person_box(metadata["head_proxy"], metadata["torso_proxy"], metadata["head_to_torso"])
        self.register_buffer("box", box)
        codes = self.track.expression_codes
        self.register_buffer("chosen", codes.std(0).argsort(descending=True)[: self.config.bases - 1])
        self.register_buffer("largest", codes[:, self.chosen].abs().amax(0).clamp(min=1e-3))
        self.encoding = BlendedHashTables(1 + len(self.chosen))
        width, handed = self.config.hidden_width, self.config.geometry_features
        self.density_network = nn.Sequential(
            nn.Linear(self.encoding.out_dim, width), nn.ReLU(inplace=True), nn.Linear(width, 1 + handed)
        )
        self.view = SHEncoding(levels=4, implementation="torch")
        self.colour_network = nn.Sequential(
            nn.Linear(handed + self.view.get_out_dim(), width),
            nn.ReLU(inplace=True),
            nn.Linear(width, width),
            nn.ReLU(inplace=True),
            nn.Linear(width, 3),
            nn.Sigmoid(),
        )

    def get_param_groups(self) -> dict[str, list[Parameter]]:
        """All that is learned."""
        return {"fields": list(self.parameters())}

    def basis_weights(self, expression: Float[Tensor, "moments expressions"]) -> Float[Tensor, "moments bases"]:
        """1 for the neutral face, then every chosen expression as a share of the most that the clip shows of it."""
        shares = expression[:, self.chosen] / self.largest
        return torch.cat([torch.ones_like(shares[:, :1]), shares], dim=1)

    def get_outputs(self, ray_bundle: RayBundle) -> dict[str, Tensor]:
        """`foreground` and `accumulation` of rays."""
        rays, samples = len(ray_bundle), self.config.samples
        states = self.track.resolve(ray_bundle.times, ray_bundle.metadata.get("expression"), rays)
        origins, directions = ray_bundle.origins, ray_bundle.directions
        enter, leave = intersect_box(origins, directions, self.box)
        way = (leave - enter).clamp(min=0)
        places = torch.arange(samples, device=self.device) + (
            torch.rand(rays, samples, device=self.device) if self.training else 0.5
        )
        distances = enter[:, None] + way[:, None] * places / samples
        positions = origins[:, None] + distances[..., None] * directions[:, None]
        unit = ((positions - self.box[0]) / (self.box[1] - self.box[0])).reshape(-1, 3)
        frame = states.frame.repeat_interleave(samples)
        encoded = self.encoding(unit, frame, self.encoding.blend(self.basis_weights(states.expression)))
        log_density, geometry = self.density_network(encoded).split([1, self.config.geometry_features], dim=-1)
        view = self.view((directions + 1) / 2).repeat_interleave(samples, dim=0)
        colours = self.colour_network(torch.cat([geometry, view], dim=-1)).view(rays, samples, 3)
        optical = torch.exp(log_density.clamp(max=9)).view(rays, samples) * way[:, None] / samples
        weights = torch.exp(optical - optical.cumsum(-1)) * (1 - torch.exp(-optical))
        return {
            "foreground": (weights[..., None] * colours).sum(1),
            "accumulation": weights.sum(1, keepdim=True),
        }

    def get_loss_dict(
        self, outputs: dict[str, Tensor], batch: dict[str, Tensor], metrics_dict: dict[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Colour and opacity."""
        del metrics_dict
        return self.person_losses(outputs, batch)

    def get_image_metrics_and_images(
        self, outputs: dict[str, Tensor], batch: dict[str, Tensor]
    ) -> tuple[dict[str, float], dict[str, Tensor]]:
        """None: the benchmark compares frames itself."""
        del outputs, batch
        return {}, {}
