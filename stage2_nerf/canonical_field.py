"""A field of density and colour features in canonical space: one for the head, one for the torso.

The two differ only in what moves them. The head field lives in head space and is conditioned on the expression, whose
displacement the head model knows; the torso field lives in torso space and is conditioned on the head's pose on it.
"""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from stage2_nerf.deformation import Deformation, warp
from stage2_nerf.encodings import BlendedEncoding, BlendedEncodingConfig, BlendedHashGrids
from stage2_nerf.expression_track import principal_directions
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


USUAL = (0.02, 0.98)
"""Between these shares of a clip's frames its codes count as usual."""
ROOM_BEYOND = 0.15
"""How far beyond the usual codes a driven avatar may go, as a share of their range."""
NEIGHBOURS, DRAWN = 6, 0.8
"""To so many of the clip's codes the nearest way is gone this far. Bounded one by one alone, a woman's codes driven by
a man's speech mixed as they never had, and her chin and cheeks broke into blotches."""


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

    def __init__(
        self,
        config: CanonicalFieldConfig,
        box: Float[Tensor, "2 3"],
        conditions: Float[Tensor, "frames conditions"],
        known_displacement: Float[Tensor, "conditions depth height width 3"] | None,
    ) -> None:
        """Build a field.

        Args:
            config: its size.
            box: lowest and highest corner of its space, in scene units.
            conditions: what the clip's frames are conditioned on; the reduced code starts as its principal components.
            known_displacement: what one unit of each condition moves the surface by, over the box, in scene units.
        """
        super().__init__()
        self.config = config
        self.register_buffer("box", box)
        mean, directions = principal_directions(conditions, config.code_size)
        self.register_buffer("condition_mean", mean)
        self.condition_to_code = nn.Parameter(directions)
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
                clip's: the tables know nothing beyond, nor of mixtures that never occurred, and turn into specks and
                blotches. The known displacement is not held back.
        """
        codes = self.codes(conditions) + shift
        if seen is not None:
            codes = drawn_to(codes, self.codes(seen))
        return BlendedFrames(codes, self.deformation.blend(conditions, codes), self.encoding.blend(codes))

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


def drawn_to(codes: Float[Tensor, "moments code"], seen: Float[Tensor, "frames code"]) -> Float[Tensor, "moments code"]:
    """Codes drawn to those that were seen: each bounded, and moved most of the way to the seen ones nearest to it.

    The nearest are weighted by a Gaussian of their distance that is as wide as half the way to the last of them, so the
    result moves smoothly where the codes do.
    """
    low, high = torch.quantile(seen, seen.new_tensor(USUAL), dim=0)
    room = ROOM_BEYOND * (high - low)
    codes = codes.clamp(low - room, high + room)
    distances = torch.cdist(codes, seen)
    last = distances.topk(min(NEIGHBOURS, len(seen)), largest=False).values[:, -1:]
    weights = torch.softmax(-0.5 * (distances / (0.5 * last).clamp(min=1e-6)) ** 2, dim=1)
    return torch.lerp(codes, weights @ seen, DRAWN)


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
