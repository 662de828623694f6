"""A field of density and colour features in canonical space: one for the head, one for the torso.

The two differ only in what moves them. The head field lives in head space and is conditioned on the expression, whose
displacement the head model knows; the torso field lives in torso space and is conditioned on the head's pose on it.
"""

from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from stage2_nerf.deformation import Deformation, warp
from stage2_nerf.encodings import BlendedEncoding, BlendedEncodingConfig, BlendedHashGrids
from stage2_nerf.expression_track import principal_directions
from stage2_nerf.nearest_mixture import drawn_to
from stage2_nerf.tiny_cuda import FusedNetwork


@dataclass
class CanonicalFieldConfig:
    """Size of one field."""

    encoding: BlendedEncodingConfig = field(default_factory=BlendedEncodingConfig)
    """How canonical space is described."""
    code_size: int = 8
    """Numbers that conditions are reduced to; each blends one basis of the encoding. On held-out frames of the carphone
    clip after 500 steps, 5, 8 and 16 gave 27.7, 27.7 and 27.2 dB."""
    hidden_width: int = 64
    """Neurons in each hidden layer of the decoder."""
    feature_size: int = 32
    """Numbers that the decoder hands to the colour heads (the original's and every style's)."""
    deformation_resolution: int = 16
    """Voxels along a side of the learned deformation, where no displacement is known beforehand."""
    initial_log_density: float = 0.0
    """Where densities start, as a natural logarithm per scene unit. The hull is about two units deep, so rays start
    half stopped; in a trial on the carphone clip 200 steps reached 23.8 dB from here and 19.5 dB from -3."""


@dataclass
class BlendedFrames:
    """One field's tables, blended for the moments of a bundle of rays."""

    codes: Float[Tensor, "moments code"]
    displacement: Float[Tensor, "moments depth height width 3"]
    encoding: Tensor


class CanonicalField(nn.Module):
    """Density and features of canonical space, reached from observed space through a deformation."""

    box: Tensor
    condition_mean: Tensor
    parts: Tensor

    def __init__(
        self,
        config: CanonicalFieldConfig,
        box: Float[Tensor, "2 3"],
        conditions: Float[Tensor, "frames conditions"],
        known_displacement: Float[Tensor, "conditions depth height width 3"] | None,
        parts: Bool[Tensor, "parts conditions"] | None = None,
    ) -> None:
        """Build a field.

        Args:
            config: its size.
            box: lowest and highest corner of its space, in scene units.
            conditions: what the clip's frames are conditioned on; the reduced code starts as its principal components.
            known_displacement: what one unit of each condition moves the surface by, over the box, in scene units.
            parts: conditions that have nothing to do with those of the other parts; all are one part where none are
                given.
        """
        super().__init__()
        self.config = config
        self.register_buffer("box", box)
        mean, directions = principal_directions(conditions, config.code_size)
        self.register_buffer("condition_mean", mean)
        self.condition_to_code = nn.Parameter(directions)
        parts = torch.ones(1, conditions.shape[1], dtype=torch.bool) if parts is None else parts
        self.register_buffer("parts", parts, persistent=False)
        self.deformation = Deformation(known_displacement, config.code_size, config.deformation_resolution)
        self.encoding = config.encoding.build(config.code_size)
        self.decoder = build_decoder(config, self.encoding)

    def codes(self, conditions: Float[Tensor, "moments conditions"]) -> Float[Tensor, "moments code"]:
        """The reduced codes of some conditions."""
        return (conditions - self.condition_mean) @ self.condition_to_code.T

    def blend(
        self,
        conditions: Float[Tensor, "moments conditions"],
        shift: Float[Tensor, "moments code"] | float = 0.0,
        seen: Float[Tensor, "frames conditions"] | None = None,
    ) -> BlendedFrames:
        """Blend the tables for some moments, once for all the points that look at them.

        Args:
            conditions: what the field is conditioned on.
            shift: added to the reduced code.
            seen: conditions of the clip, where those asked for may be none of its own. Codes are then drawn to the
                clip's. The known displacement is not held back.
        """
        codes = (self.codes(conditions) if seen is None else self.drawn_codes(conditions, seen)) + shift
        return BlendedFrames(codes, self.deformation.blend(conditions, codes), self.encoding.blend(codes))

    def drawn_codes(
        self, conditions: Float[Tensor, "moments conditions"], seen: Float[Tensor, "frames conditions"]
    ) -> Float[Tensor, "moments code"]:
        """The reduced codes of some conditions, drawn to those of the clip's.

        A code is the sum of what the parts add to it, and each is drawn to what the part has added in the clip: a blink
        was seen, whatever the mouth did.
        """
        asked, shown = ((values - self.condition_mean)[:, None] * self.parts for values in (conditions, seen))
        added, known = (values @ self.condition_to_code.T for values in (asked, shown))
        return torch.stack([drawn_to(added[:, part], known[:, part]) for part in range(len(self.parts))]).sum(0)

    def to_canonical(
        self, positions: Float[Tensor, "points 3"], frame: Int[Tensor, "points"], blended: BlendedFrames
    ) -> Float[Tensor, "points 3"]:
        """Observed positions in scene units to canonical positions in [-1, 1] within the box."""
        return warp(positions, frame, blended.displacement, self.box)

    def forward(
        self, canonical: Float[Tensor, "points 3"], frame: Int[Tensor, "points"], blended: BlendedFrames
    ) -> tuple[Float[Tensor, "points"], Float[Tensor, "points features"]]:
        """Density per scene unit, and features for the colour heads, at canonical positions in [-1, 1]."""
        encoded = self.encoding(canonical, frame, blended.encoding)
        log_density, features = self.decoder(encoded).split([1, self.config.feature_size], dim=-1)
        density = torch.exp((log_density[:, 0] + self.config.initial_log_density).clamp(max=9.0))
        return density, features


def build_decoder(config: CanonicalFieldConfig, encoding: BlendedEncoding) -> nn.Module:
    """What makes a logarithm of density and features of an encoding's: fused with tiny-cuda-nn for hash grids."""
    outputs = 1 + config.feature_size
    if isinstance(encoding, BlendedHashGrids):
        return FusedNetwork(encoding.out_dim, config.hidden_width, outputs, config.encoding.hash_implementation)
    return nn.Sequential(
        nn.Linear(encoding.out_dim, config.hidden_width),
        nn.ReLU(inplace=True),
        nn.Linear(config.hidden_width, outputs),
    )
