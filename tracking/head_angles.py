"""Head poses in words people use: turned, raised, tilted, and how far away."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from tracking.cameras import rigid_inverse


class HeadAngles(NamedTuple):
    """Where the face points, as seen along the line from the camera to the head; NaN where the pose is."""

    yaw: Float[np.ndarray, "frames"]
    """Degrees to the picture's right."""
    pitch: Float[np.ndarray, "frames"]
    """Degrees upwards."""
    roll: Float[np.ndarray, "frames"]
    """Degrees by which the head leans to the picture's right."""
    distance: Float[np.ndarray, "frames"]
    """Centimetres from the camera to the origin of head space."""


def head_angles(camera_to_head: Float[np.ndarray, "frames 4 4"]) -> HeadAngles:
    """Yaw, pitch, roll and distance of heads.

    Against the line of sight rather than the camera's axis: a head that looks straight at a camera it stands to the
    side of has a yaw of 0, because that is the side of it that the camera sees. The head's rotation in a camera that
    is turned upright towards it is R_y(yaw) R_x(-pitch) R_z(-roll).
    """
    head_to_camera = rigid_inverse(np.asarray(camera_to_head, dtype=np.float64))
    rotation, position = head_to_camera[:, :3, :3], head_to_camera[:, :3, 3]
    distance = np.linalg.norm(position, axis=1)
    # The axes of a camera that is turned towards the head without tilting: x right, y up, z from the head to it.
    backward = -position / distance[:, None]
    right = np.cross([0.0, 1.0, 0.0], backward)
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    turned = np.stack([right, np.cross(backward, right), backward], axis=1) @ rotation
    yaw = np.arctan2(turned[:, 0, 2], turned[:, 2, 2])
    pitch = np.arcsin(np.clip(turned[:, 1, 2], -1, 1))
    roll = -np.arctan2(turned[:, 1, 0], turned[:, 1, 1])
    return HeadAngles(np.degrees(yaw), np.degrees(pitch), np.degrees(roll), distance)
