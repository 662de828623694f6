"""Where the shoulders are, guessed from how the head moves."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from tracking.cameras import rigid
from tracking.smoothing import whittaker


@dataclass
class TorsoConfig:
    """How the torso follows the head."""

    neck_base: tuple[float, float, float] = (0.0, -14.0, -7.0)
    """Where the neck meets the shoulders, in head space, in centimetres."""
    attenuation: float = 0.6
    """How much of the neck base's slow motion the torso makes."""
    smoothing_seconds: float = 0.5
    """Motions quicker than about this are the head's alone."""


def torso_poses(
    head_to_camera: Float[np.ndarray, "tracked 4 4"],
    frames: Int[np.ndarray, "tracked"],
    length: int,
    frame_rate: float,
    config: TorsoConfig,
) -> Float[np.ndarray, "tracked 4 4"]:
    """Camera-to-torso transforms of the tracked frames.

    Torso space has the camera's axes; its origin is the neck base as the head carries it, slowly and only in part,
    about the clip's mean. This is a prior and no measurement: nothing of the shoulders is looked at.
    """
    carried = head_to_camera[:, :3, 3] + head_to_camera[:, :3, :3] @ np.array(config.neck_base)
    mean = np.median(carried, 0)
    series = np.zeros((length, 3))
    series[frames] = carried - mean
    weights = np.zeros((length, 3))
    weights[frames] = 1.0
    # A Whittaker smoother halves the amplitude at the angular frequency w (per frame) with strength * w^4 = 1.
    strength = (config.smoothing_seconds * frame_rate / np.pi) ** 4
    slow = whittaker(series, np.full(3, strength), weights)[frames]
    position = mean + config.attenuation * slow
    return rigid(np.broadcast_to(np.eye(3), (len(frames), 3, 3)), -position)
