"""Another person's head motion for the avatar, kept to the poses that the avatar was filmed in.

Head motion is carried over as offsets from the usual pose: the other head's turn away from its mean orientation is made
away from the avatar's, its way from its median place from the avatar's. But the avatar knows its head from the sides
that its clip shows, and of its neck what the head has never hidden. A head elsewhere uncovers what was never seen, and
that is specks. So how the head sits on the torso, which moves as it was filmed to, is kept to how it sat in the clip.

An offset is six lengths, so that turns and shifts can be compared: the rotation vector r of R M^T (radians; M is the
mean rotation) times `TURNING_RADIUS`, and t - m (m is the median place):

    x = (TURNING_RADIUS r, t - m)

With p the point nearest to x in the convex hull of the clip's own offsets, and d = |x - p|, the avatar is given

    y = p + ROOM tanh(d / ROOM) (x - p) / d

which is x itself inside the hull, and so all along the clip's own motion, and lies at most `ROOM` outside it. It is the
gradient of a convex function with second derivatives between 0 and 1, as the projection p is (Moreau 1965): so it is
continuous, never turns a motion round and never makes one faster, and has no memory that could make it lag. The hull
rather than bounds of pitch, yaw and roll: a head that turns to a side also moves there, and a neck that nods carries it
forward. Within such bounds, but outside of the hull, necks were in specks still.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from stage2_nerf.nearest_mixture import mixture
from tracking.cameras import mean_rotation, rigid, rotation_from_vector, vector_from_rotation

TURNING_RADIUS = 20.0
"""Centimetres that a radian counts as: twice the way from the middle of a head to its surface, so that of a motion that
the avatar cannot make the shift is given up before the turn, which is what is seen. With half of this, of the yaw of a
clip of 250 frames that drove carphone, 0.74 of the correlation was left, with this 0.91."""
ROOM = 0.5
"""Centimetres by which an avatar is driven beyond its clip's poses at most: 1.4 degrees of a turn."""


def transfer_poses(
    driving: Float[np.ndarray, "frames 4 4"],
    driver: Float[np.ndarray, "driver_frames 4 4"],
    own: Float[np.ndarray, "own_frames 4 4"],
) -> Float[np.ndarray, "frames 4 4"]:
    """Another person's head motion, about where the avatar's head usually is.

    The other head's turn away from its mean orientation is made away from the avatar's, in camera space; its way from
    its median place is made from the avatar's, in proportion to the two heads' distances, so that it covers the same
    share of the picture.

    Args:
        driving: the other's head-to-camera transforms, frame by frame, in centimetres.
        driver: the same over the whole driving clip.
        own: the avatar's over its own clip.
    """
    turned = driving[:, :3, :3] @ mean_rotation(driver[:, :3, :3]).T @ mean_rotation(own[:, :3, :3])
    usual, home = np.median(driver[:, :3, 3], axis=0), np.median(own[:, :3, 3], axis=0)
    return rigid(turned, home + (driving[:, :3, 3] - usual) * (home[2] / usual[2]))


def limit_poses(
    poses: Float[np.ndarray, "frames 4 4"], own: Float[np.ndarray, "own_frames 4 4"]
) -> Float[np.ndarray, "frames 4 4"]:
    """Poses at most `ROOM` away from those that a clip shows and what lies between them.

    Args:
        poses: head-to-torso transforms, in centimetres.
        own: those of the avatar's clip.
    """
    rotation, place = mean_rotation(own[:, :3, :3]), np.median(own[:, :3, 3], axis=0)
    limited = drawn_near(offsets(poses, rotation, place), offsets(own, rotation, place))
    turned = rotation_from_vector(limited[:, :3] / TURNING_RADIUS) @ rotation
    return rigid(turned, limited[:, 3:] + place)


def offsets(
    poses: Float[np.ndarray, "frames 4 4"], rotation: Float[np.ndarray, "3 3"], place: Float[np.ndarray, "3"]
) -> Float[np.ndarray, "frames 6"]:
    """How far poses are from a rotation and a place, as the six lengths in centimetres that are said above."""
    turned = TURNING_RADIUS * vector_from_rotation(poses[:, :3, :3] @ rotation.T)
    return np.concatenate([turned, poses[:, :3, 3] - place], axis=1)


def drawn_near(
    points: Float[np.ndarray, "points axes"], seen: Float[np.ndarray, "seen axes"]
) -> Float[np.ndarray, "points axes"]:
    """Points that keep their place inside the convex hull of those seen, and come to at most `ROOM` outside it."""
    nearest = np.array([mixture(point, seen, locality=0.0) for point in points])
    away = points - nearest
    distance = np.linalg.norm(away, axis=1, keepdims=True)
    return nearest + away * np.where(distance < 1e-6, 1.0, ROOM * np.tanh(distance / ROOM) / np.maximum(distance, 1e-6))


@dataclass(frozen=True)
class Limited:
    """How much of a driver's head motion was held back."""

    share: float
    """Of all frames, the part whose pose was changed by more than a degree or half a centimetre."""
    degrees: float
    """The greatest change of the head's rotation."""
    centimetres: float
    """And of its place."""

    @classmethod
    def of(cls, before: Float[np.ndarray, "frames 4 4"], after: Float[np.ndarray, "frames 4 4"]) -> "Limited":
        """What the difference of two lists of poses is."""
        turned = np.degrees(
            np.linalg.norm(vector_from_rotation(after[:, :3, :3] @ before[:, :3, :3].swapaxes(-1, -2)), axis=1)
        )
        moved = np.linalg.norm(after[:, :3, 3] - before[:, :3, 3], axis=1)
        changed = (turned > 1) | (moved > 0.5)
        return cls(float(changed.mean()), float(turned.max()), float(moved.max()))

    @property
    def in_words(self) -> str:
        """What to tell of it."""
        return (
            f"The driver's head motion is held back in {self.share:.0%} of the frames, by up to {self.degrees:.0f} "
            f"degrees and {self.centimetres:.1f} cm: the avatar's clip does not show its head so."
        )
