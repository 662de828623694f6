"""What tracking left over, learned with the avatar: a small correction of each frame's poses and expression.

One degree of pose noise costs about 4 dB, more than any change of the field wins back. So every training frame has its
own small rigid motion of the head, one of the torso, and a shift of the reduced expression code. Between training
frames (in held-out ones, and in the viewer) the corrections are interpolated in time.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from stage2_nerf.expression_track import neighbours


@dataclass
class Corrections:
    """Corrections at some moments."""

    head: Float[Tensor, "moments 6"]
    """Rotation vector in radians and translation in scene units, applied in head space."""
    torso: Float[Tensor, "moments 6"]
    """The same in torso space."""
    code: Float[Tensor, "moments code"]
    """Added to the reduced expression code."""


class FrameRefinement(nn.Module):
    """Corrections of the training frames, zero at first."""

    times: Tensor

    def __init__(self, times: Float[Tensor, "frames"], code_size: int) -> None:
        """Hold corrections for frames shown at these increasing times."""
        super().__init__()
        self.register_buffer("times", times)
        self.head = nn.Parameter(torch.zeros(len(times), 6))
        self.torso = nn.Parameter(torch.zeros(len(times), 6))
        self.code = nn.Parameter(torch.zeros(len(times), code_size))

    def at(self, times: Float[Tensor, "moments"]) -> Corrections:
        """Corrections at any time; a training frame's own at its time."""
        before, after, fraction = neighbours(self.times, times)
        tables = (self.head, self.torso, self.code)
        return Corrections(*(torch.lerp(table[before], table[after], fraction[:, None]) for table in tables))

    def mean(self, moments: int) -> Corrections:
        """The mean over the training frames, for moments that none of them shows."""
        return Corrections(*(table.mean(0).expand(moments, -1) for table in (self.head, self.torso, self.code)))

    def size(self) -> Float[Tensor, ""]:
        """Mean squared correction."""
        return (self.head**2).mean() + (self.torso**2).mean() + (self.code**2).mean()

    def roughness(self) -> Float[Tensor, ""]:
        """Mean squared second difference over time: corrections may be large, but must not shake."""
        tables = (self.head, self.torso)
        return torch.stack([(torch.diff(table, n=2, dim=0) ** 2).mean() for table in tables]).sum()


def move(
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    motion: Float[Tensor, "moments 6"],
    frame: Int[Tensor, "rays"],
) -> tuple[Float[Tensor, "rays 3"], Float[Tensor, "rays 3"]]:
    """Rays after a small rigid motion, to first order in its rotation: x + r x x + t."""
    rotation, translation = motion[frame].split(3, dim=-1)
    moved = origins + torch.cross(rotation, origins, dim=-1) + translation
    turned = directions + torch.cross(rotation, directions, dim=-1)
    return moved, turned / turned.norm(dim=-1, keepdim=True)


def carry(
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    transforms: Float[Tensor, "moments 4 4"],
    frame: Int[Tensor, "rays"],
) -> tuple[Float[Tensor, "rays 3"], Float[Tensor, "rays 3"]]:
    """Rays in another space, each by its own moment's rigid transform."""
    if len(transforms) == 1:
        rotation, translation = transforms[0, :3, :3], transforms[0, :3, 3]
        return origins @ rotation.T + translation, directions @ rotation.T
    own = transforms[frame]
    moved = torch.einsum("rij,rj->ri", own[:, :3, :3], origins) + own[:, :3, 3]
    return moved, torch.einsum("rij,rj->ri", own[:, :3, :3], directions)
