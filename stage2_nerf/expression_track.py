"""The clip's motion, owned by the model: every stock command knows only a ray's time, and still renders the right face.

The table travels in the checkpoint as buffers. What a frame's rays need is resolved once per distinct frame.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from stage2_nerf.face_parts import face_parts
from stage2_nerf.part_exchange import worn


@dataclass
class FrameStates:
    """The distinct moments that a bundle of rays looks at."""

    frame: Int[Tensor, "rays"]
    """Which of the moments each ray belongs to."""
    expression: Float[Tensor, "moments expressions"]
    head_to_torso: Float[Tensor, "moments 4 4"]
    times: Float[Tensor, "moments"]
    has_time: bool = True
    """Whether the moments are the clip's; else they show its mean."""
    is_driven: bool = False
    """Whether the expressions were given, and are not those that the clip has at these times."""
    is_posed: bool = False
    """Whether the head's pose on its torso was given."""


def to_rotation(matrices: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3 3"]:
    """The nearest rotations, by singular value decomposition (Schoenemann 1966)."""
    u, _, vh = torch.linalg.svd(matrices)
    sign = torch.ones_like(matrices[..., 0])
    sign[..., 2] = torch.det(u @ vh)
    return (u * sign[..., None, :]) @ vh


def rotation_vectors(rotations: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3"]:
    """Axis times angle, in radians, of rotations by less than half a turn (Rodrigues' formula, inverted)."""
    skew = torch.stack(
        [
            rotations[..., 2, 1] - rotations[..., 1, 2],
            rotations[..., 0, 2] - rotations[..., 2, 0],
            rotations[..., 1, 0] - rotations[..., 0, 1],
        ],
        dim=-1,
    )
    cosine = (rotations.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2
    sine = skew.norm(dim=-1) / 2
    angle = torch.atan2(sine, cosine)
    return skew * torch.where(sine > 1e-6, angle / (2 * sine.clamp(min=1e-6)), 0.5)[..., None]


def neighbours(
    frame_times: Float[Tensor, "frames"], times: Float[Tensor, "moments"]
) -> tuple[Int[Tensor, "moments"], Int[Tensor, "moments"], Float[Tensor, "moments"]]:
    """The frames before and after each moment, and how far the moment is from the one to the other, in [0, 1].

    Args:
        frame_times: when each frame is shown, increasing.
        times: the moments; before the first frame and after the last they are at it.
    """
    last = len(frame_times) - 1
    after = torch.searchsorted(frame_times, times.contiguous()).clamp(min(1, last), last)
    before = (after - 1).clamp(min=0)
    span = (frame_times[after] - frame_times[before]).clamp(min=1e-9)
    return before, after, ((times - frame_times[before]) / span).clamp(0, 1)


def pose_vectors(
    head_to_torso: Float[Tensor, "moments 4 4"], mean_head_to_torso: Float[Tensor, "4 4"]
) -> Float[Tensor, "moments 6"]:
    """The head's pose on its torso as six numbers: rotation from the mean in radians, and translation from it."""
    rotation = head_to_torso[:, :3, :3] @ mean_head_to_torso[:3, :3].T
    translation = head_to_torso[:, :3, 3] - mean_head_to_torso[:3, 3]
    return torch.cat([rotation_vectors(rotation), translation], dim=-1)


class ExpressionTrack(nn.Module):
    """Expression and head-on-torso pose of every tracked frame of a clip, and of the moments between them."""

    frame_times: Tensor
    expression_codes: Tensor
    head_to_torso: Tensor
    mean_head_to_torso: Tensor
    face_parts: Tensor

    def __init__(
        self,
        frame_times: Float[Tensor, "frames"],
        expression_codes: Float[Tensor, "frames expressions"],
        head_to_torso: Float[Tensor, "frames 4 4"],
        face_parts: Bool[Tensor, "parts expressions"],
    ) -> None:
        """Hold a clip's table.

        Args:
            frame_times: when each frame is shown, increasing, 0 at the clip's start and 1 at its end.
            expression_codes: each frame's named expressions.
            head_to_torso: each frame's rigid transform, in scene units.
            face_parts: which expressions are which part's of the face (`face_parts`).
        """
        super().__init__()
        self.register_buffer("face_parts", face_parts, persistent=False)
        self.register_buffer("frame_times", frame_times)
        self.register_buffer("expression_codes", expression_codes)
        self.register_buffer("head_to_torso", head_to_torso)
        mean = head_to_torso.mean(0)
        mean[:3, :3] = to_rotation(mean[:3, :3])
        self.register_buffer("mean_head_to_torso", mean)

    @classmethod
    def of(cls, metadata: Mapping[str, Any]) -> "ExpressionTrack":
        """The table of a clip that the dataparser has read."""
        parts = face_parts(metadata["clip"].track.expression_names)
        return cls(metadata["frame_times"], metadata["expression_codes"], metadata["head_to_torso"], parts)

    def at(
        self, times: Float[Tensor, "moments"]
    ) -> tuple[Float[Tensor, "moments expressions"], Float[Tensor, "moments 4 4"]]:
        """Expression and head-to-torso transform at any time; exactly a frame's own at that frame's time."""
        before, after, fraction = neighbours(self.frame_times, times)
        expression = torch.lerp(self.expression_codes[before], self.expression_codes[after], fraction[:, None])
        transform = torch.lerp(self.head_to_torso[before], self.head_to_torso[after], fraction[:, None, None])
        between = (fraction > 0) & (fraction < 1)
        if between.any():
            transform[between, :3, :3] = to_rotation(transform[between, :3, :3])
        return expression, transform

    def resolve(
        self,
        times: Float[Tensor, "rays 1"] | None,
        expression: Float[Tensor, "rays expressions"] | None,
        rays: int,
        exchanged: Float[Tensor, "rays 4"] | None = None,
    ) -> FrameStates:
        """What each ray looks at: its own expression if it carries one, else its time's, else the clip's mean.

        Args:
            times: each ray's time, where the camera has one.
            expression: each ray's own expression code, where somebody drives the avatar.
            rays: how many rays there are.
            exchanged: in training, which part of the face wears which others' expressions
                (`part_exchange.Exchange.of_rays`).
        """
        device = self.frame_times.device
        if times is None and expression is None:
            mean = self.expression_codes.mean(0, keepdim=True)
            middle = torch.full((1,), 0.5, device=device)
            zeros = torch.zeros(rays, dtype=torch.long, device=device)
            return FrameStates(zeros, mean, self.mean_head_to_torso[None], middle, has_time=False)
        key = torch.full((rays,), 0.5, device=device) if times is None else times[:, 0]
        if exchanged is not None:
            rows, frame = torch.unique(torch.cat([key[:, None], exchanged], dim=1), dim=0, return_inverse=True)
            expression, poses = self.at(rows[:, 0])
            donors = torch.lerp(self.at(rows[:, 2])[0], self.at(rows[:, 3])[0], rows[:, 4:])
            expression = worn(expression, donors, rows[:, 1].long(), self.face_parts)
            return FrameStates(frame, expression, poses, rows[:, 0])
        if expression is None:
            moments, frame = torch.unique(key, return_inverse=True)
            return FrameStates(frame, *self.at(moments), moments)
        rows, frame = torch.unique(torch.cat([key[:, None], expression], dim=1), dim=0, return_inverse=True)
        return self.driven(frame, rows[:, 0], rows[:, 1:], times is not None)

    def driven(
        self,
        frame: Int[Tensor, "rays"],
        times: Float[Tensor, "moments"],
        expression: Float[Tensor, "moments expressions"],
        has_time: bool,
    ) -> FrameStates:
        """Given expressions, on the torso as it is at these times; on its mean pose where no time is given."""
        poses = self.at(times)[1] if has_time else self.mean_head_to_torso.expand(len(times), 4, 4)
        return FrameStates(frame, expression, poses, times, has_time, is_driven=True)

    def resolve_pictures(
        self,
        times: Float[Tensor, "pictures"] | None,
        expression: Float[Tensor, "pictures expressions"] | None,
        pictures: int,
        pixels: int,
    ) -> FrameStates:
        """As `resolve`, for whole pictures of so many pixels each, whose rays need not be told apart.

        Raises:
            ValueError: an expression has the wrong number of values.
        """
        device = self.frame_times.device
        if expression is not None and expression.shape != (pictures, self.expression_codes.shape[1]):
            wanted = (pictures, self.expression_codes.shape[1])
            raise ValueError(f"Expressions of shape {tuple(expression.shape)} were given instead of {wanted}.")
        frame = torch.arange(pictures, device=device).repeat_interleave(pixels)
        if times is None and expression is None:
            return self.resolve(None, None, pictures * pixels)
        key = torch.full((pictures,), 0.5, device=device) if times is None else times.to(device)
        if expression is None:
            return FrameStates(frame, *self.at(key), key)
        return self.driven(frame, key, expression.to(device), times is not None)


def principal_directions(
    table: Float[Tensor, "frames conditions"], size: int
) -> tuple[Float[Tensor, "conditions"], Float[Tensor, "size conditions"]]:
    """Mean of a table and the map to its leading principal components, the first of them scaled to unit deviation.

    The others keep their size relative to the first. Scaling each to unit deviation would turn the tracker's noise into
    codes as large as the expressions: on the carphone clip that cost 5 dB on held-out frames.
    """
    mean = table.mean(0)
    _, values, directions = torch.linalg.svd(table - mean, full_matrices=False)
    deviation = values / max(len(table) - 1, 1) ** 0.5
    rows = torch.zeros(size, table.shape[1], dtype=table.dtype)
    count = min(size, len(directions))
    rows[:count] = directions[:count] / deviation[:1].clamp(min=1e-6)
    return mean, rows
