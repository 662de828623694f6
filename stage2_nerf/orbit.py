"""A camera that swings around the head, for looking at the avatar from where nobody filmed it."""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras
from torch import Tensor


@dataclass(frozen=True)
class Swing:
    """A swing of the camera: it starts in the middle, goes to one side, then to the other, and back."""

    degrees: float
    """How far it goes to either side."""
    seconds: float
    """How long it takes."""

    def yaw_at(self, seconds: float) -> float:
        """The yaw in degrees, so many seconds after the swing began."""
        return self.degrees * math.sin(2 * math.pi * seconds / self.seconds)


def orbit(
    camera_to_head: Float[Tensor, "*cameras 3 4"], pivot: Float[Tensor, "3"], degrees: float
) -> Float[Tensor, "*cameras 3 4"]:
    """Cameras turned about the vertical of their own pictures through a pivot, which stays where it was in them.

    Args:
        camera_to_head: OpenGL cameras.
        pivot: in the same space.
        degrees: of yaw; positive takes the camera to its right, and shows more of the person's left.
    """
    up = camera_to_head[..., :3, 1]
    angle = math.radians(degrees)
    # Rodrigues' rotation about each camera's own upward axis.
    zeros = torch.zeros_like(up[..., 0])
    x, y, z = up.unbind(-1)
    cross = torch.stack([zeros, -z, y, z, zeros, -x, -y, x, zeros], dim=-1).unflatten(-1, (3, 3))
    identity = torch.eye(3, dtype=up.dtype, device=up.device)
    rotation = identity + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross
    position = (rotation @ (camera_to_head[..., 3] - pivot)[..., None])[..., 0] + pivot
    return torch.cat([rotation @ camera_to_head[..., :3], position[..., None]], dim=-1)


def orbited(cameras: Cameras, pivot: Float[Tensor, "3"], degrees: float) -> Cameras:
    """The same cameras, at the same moments, from the side."""
    return replace(cameras, camera_to_worlds=orbit(cameras.camera_to_worlds, pivot.to(cameras.device), degrees))
