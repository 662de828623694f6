"""Where the shoulders are: as their clothes move in the picture; where these are unseen, as the head's motion suggests.

Torso space has its origin at the neck base; at the reference frame it has the camera's axes. Of its motion the picture
shows the shift, the turn about the line of sight, and, by their size, the distance; a turn of the shoulders about the
spine is not measured.
"""

import logging
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

from tracking.cameras import project, rigid, rigid_inverse, rotation_from_vector
from tracking.clip import Intrinsics
from tracking.smoothing import whittaker
from tracking.torso_flow import TorsoFlowConfig

logger = logging.getLogger(__name__)

UNSEEN_WEIGHT = 0.02
"""How strongly a frame without clothes draws the torso back to the guess, against 1 for what clothes say."""


@dataclass
class TorsoConfig:
    """How the torso moves."""

    neck_base: tuple[float, float, float] = (0.0, -14.0, -7.0)
    """Where the neck meets the shoulders, in head space, in centimetres."""
    clothes_before: float = 6.0
    """How far the clothes that are followed lie before the neck base, in centimetres: it is they that grow by coming
    nearer."""
    attenuation: float = 0.6
    """How much of the neck base's slow motion the torso makes, where nothing else is known."""
    smoothing_seconds: float = 0.5
    """Motions quicker than about this are then the head's alone."""
    flow: TorsoFlowConfig = field(default_factory=TorsoFlowConfig)
    measured_smoothing_seconds: float = 0.15
    """Measured motions quicker than about this are taken for noise."""
    distance_smoothing_seconds: float = 0.2
    """The same of the distance, which the clothes' size tells less surely."""
    least_measured: float = 0.2
    """If the clothes could be followed in a smaller share of the frames, the head's motion alone is asked."""


def torso_poses(
    head_to_camera: Float[np.ndarray, "tracked 4 4"],
    frames: Int[np.ndarray, "tracked"],
    length: int,
    frame_rate: float,
    config: TorsoConfig,
) -> Float[np.ndarray, "tracked 4 4"]:
    """Camera-to-torso transforms of the tracked frames, as the head's motion suggests them.

    The neck base as the head carries it, slowly and only in part, about the clip's mean. This is a prior and no
    measurement: nothing of the shoulders is looked at.
    """
    position = _carried_neck(head_to_camera, frames, length, frame_rate, config)
    return rigid(np.broadcast_to(np.eye(3), (len(frames), 3, 3)), -position)


def measured_torso_poses(
    similarities: Float[np.ndarray, "tracked 2 3"],
    head_to_camera: Float[np.ndarray, "tracked 4 4"],
    frames: Int[np.ndarray, "tracked"],
    length: int,
    intrinsics: Intrinsics,
    frame_rate: float,
    config: TorsoConfig,
) -> Float[np.ndarray, "tracked 4 4"]:
    """Camera-to-torso transforms of the tracked frames: measured where clothes were followed, else guessed.

    Args:
        similarities: as `tracking.torso_flow.follow_torso` gives them, of the tracked frames; NaN where unseen.
        frames: the tracked frames' numbers among the `length` frames of the source.
    """
    guessed = _carried_neck(head_to_camera, frames, length, frame_rate, config)
    seen = np.isfinite(similarities[:, 0, 0])
    logger.info("The shoulders were followed in %d of %d frames.", seen.sum(), len(seen))
    if seen.mean() < config.least_measured:
        return rigid(np.broadcast_to(np.eye(3), (len(frames), 3, 3)), -guessed)
    before = np.array([0.0, 0.0, config.clothes_before])
    clothes, roll = _lifted(similarities[seen], guessed[seen] + before, intrinsics)
    # What the clothes add to the guess; where they are unseen it dies away.
    residual, weights = np.zeros((length, 4)), np.zeros((length, 4))
    weights[frames] = UNSEEN_WEIGHT
    residual[frames[seen], :3] = clothes - before - guessed[seen]
    residual[frames[seen], 3] = roll
    weights[frames[seen]] = 1.0
    seconds = np.full(4, config.measured_smoothing_seconds)
    seconds[2] = config.distance_smoothing_seconds
    smooth = whittaker(residual, _strength(seconds, frame_rate), weights)[frames]
    turn = rotation_from_vector(smooth[:, 3:] * np.array([0.0, 0.0, 1.0]))
    return rigid_inverse(rigid(turn, guessed + smooth[:, :3]))


def _carried_neck(
    head_to_camera: Float[np.ndarray, "tracked 4 4"],
    frames: Int[np.ndarray, "tracked"],
    length: int,
    frame_rate: float,
    config: TorsoConfig,
) -> Float[np.ndarray, "tracked 3"]:
    carried = head_to_camera[:, :3, 3] + head_to_camera[:, :3, :3] @ np.array(config.neck_base)
    mean = np.median(carried, 0)
    series, weights = np.zeros((length, 3)), np.zeros((length, 3))
    series[frames] = carried - mean
    weights[frames] = 1.0
    seconds = np.full(3, config.smoothing_seconds)
    return mean + config.attenuation * whittaker(series, _strength(seconds, frame_rate), weights)[frames]


def _strength(seconds: Float[np.ndarray, "channels"], frame_rate: float) -> Float[np.ndarray, "channels"]:
    """A Whittaker smoother halves the amplitude at the angular frequency w (per frame) with strength * w^4 = 1."""
    return (seconds * frame_rate / np.pi) ** 4


def _lifted(
    similarities: Float[np.ndarray, "seen 2 3"], guessed: Float[np.ndarray, "seen 3"], intrinsics: Intrinsics
) -> tuple[Float[np.ndarray, "seen 3"], Float[np.ndarray, "seen"]]:
    """The clothes' positions and the torso's turns about the line of sight that the similarities amount to.

    The reference's own position is not measured: it is such that the median position is the guess's.

    Args:
        guessed: where the clothes are thought to be, before the neck base.
    """
    scale = np.hypot(similarities[:, 0, 0], similarities[:, 1, 0])
    # The picture's y runs down, the camera's up.
    roll = -np.arctan2(similarities[:, 1, 0], similarities[:, 0, 0])
    anchor = guessed[0]
    position = guessed
    for _ in range(5):
        pixel = project(anchor, intrinsics)
        moved = similarities[:, :, :2] @ pixel + similarities[:, :, 2]
        depth = -anchor[2] / scale
        offset = (moved - [intrinsics.center_x, intrinsics.center_y]) * (depth / intrinsics.focal_length)[:, None]
        position = np.column_stack([offset[:, 0], -offset[:, 1], -depth])
        anchor = anchor + np.median(guessed - position, axis=0)
    return position, roll - np.median(roll)
