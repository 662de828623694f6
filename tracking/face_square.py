"""The square of a picture that a face fills, cut out upright for a model and mapped back."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from tracking.landmarks import Face

EYE_CORNERS = (33, 263)
"""The outer corners of the eyes, at the left and at the right of an upright picture."""
BOX_GROWTH = 1.5
"""Side of the square over the longer side of the landmarks' box, as MediaPipe's face mesh was trained."""


@dataclass(frozen=True)
class FaceSquare:
    """A square in a picture, in pixels."""

    x: float
    """Its centre, from the picture's left edge."""
    y: float
    """Its centre, from the picture's top edge."""
    size: float
    """Length of a side."""
    rotation: float = 0.0
    """By how much the face is turned clockwise in the picture, in radians."""

    @classmethod
    def around(cls, face: Face) -> "FaceSquare":
        """The square of a face that was seen, by the rule of MediaPipe's face_landmark_landmarks_to_roi."""
        points = face[:, :2]
        lowest, highest = np.nanmin(points, axis=0), np.nanmax(points, axis=0)
        across = points[EYE_CORNERS[1]] - points[EYE_CORNERS[0]]
        x, y = (lowest + highest) / 2
        return cls(
            float(x), float(y), BOX_GROWTH * float(max(highest - lowest)), float(np.arctan2(across[1], across[0]))
        )

    def shifted(self, across: float, down: float, growth: float, turn: float) -> "FaceSquare":
        """The square moved by shares of its side along its own axes, grown, and turned by radians."""
        cosine, sine = np.cos(self.rotation), np.sin(self.rotation)
        return FaceSquare(
            self.x + self.size * (across * cosine - down * sine),
            self.y + self.size * (across * sine + down * cosine),
            self.size * growth,
            self.rotation + turn,
        )

    def reduced(self, reduction: int) -> "FaceSquare":
        """The same square in a picture of which `reduction` x `reduction` pixels have become one."""
        return replace(self, x=self.x / reduction, y=self.y / reduction, size=self.size / reduction)

    def distance(self, other: "FaceSquare") -> float:
        """How far apart two squares' centres are, as a share of the larger one's side."""
        return float(np.hypot(self.x - other.x, self.y - other.y)) / max(self.size, other.size)

    def to_picture(
        self, points: Float[np.ndarray, "points 3"], mirrored: bool = False
    ) -> Float[np.ndarray, "points 3"]:
        """From shares of the square (x right, y down, z alike) to pixels of the picture."""
        matrix = self._matrix(mirrored)
        flat = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
        return np.column_stack([flat, self.size * points[:, 2]])

    def to_cut(self, pixels: int) -> Float[np.ndarray, "2 3"]:
        """The similarity that takes pixels of the picture to those of what `cut` gives, both counted from the edges."""
        return pixels * cv2.invertAffineTransform(self._matrix(mirrored=False))

    def cut(
        self, picture: UInt8[np.ndarray, "height width 3"], pixels: int, mirrored: bool = False
    ) -> UInt8[np.ndarray, "pixels pixels 3"]:
        """The square's content, upright; the picture's edge is carried on outside.

        A large square is cut larger and averaged down: picked pixels would make the landmarks jump as the face moves.
        """
        factor = max(1, int(np.ceil(self.size / pixels - 0.5)))
        side = factor * pixels
        matrix = self._matrix(mirrored)
        matrix[:, :2] /= side
        # Pixel (0, 0) has its centre at (0.5, 0.5).
        matrix[:, 2] += matrix[:, :2] @ np.array([0.5, 0.5]) - 0.5
        flags = cv2.WARP_INVERSE_MAP | (cv2.INTER_CUBIC if self.size < pixels else cv2.INTER_LINEAR)
        patch = cv2.warpAffine(picture, matrix, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return cv2.resize(patch, (pixels, pixels), interpolation=cv2.INTER_AREA) if factor > 1 else patch

    def _matrix(self, mirrored: bool) -> Float[np.ndarray, "2 3"]:
        """From shares of the square, in homogeneous coordinates, to pixels."""
        cosine, sine = self.size * np.cos(self.rotation), self.size * np.sin(self.rotation)
        linear = np.array([[cosine, -sine], [sine, cosine]])
        if mirrored:
            linear[:, 0] *= -1
        corner = np.array([self.x, self.y]) - linear @ np.array([0.5, 0.5])
        return np.column_stack([linear, corner])
