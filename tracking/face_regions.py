"""The parts of a face that its landmarks outline, and coordinates that move with the head."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from tracking.regions import Label

# Outlines in MediaPipe's topology, each a closed path.
FACE_OVAL = (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176,
             149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109)  # fmt: skip
OUTER_LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
INNER_LIPS = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)
RIGHT_EYE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
LEFT_EYE = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
RIGHT_BROW = (46, 53, 52, 65, 55, 107, 66, 105, 63, 70)
LEFT_BROW = (276, 283, 282, 295, 285, 336, 296, 334, 293, 300)

FOREHEAD_TOP, CHIN, RIGHT_EAR, LEFT_EAR = 10, 152, 234, 454

PAINT_ORDER = (
    (Label.FACE_SKIN, (FACE_OVAL,)),
    (Label.BROWS, (RIGHT_BROW, LEFT_BROW)),
    (Label.EYES, (RIGHT_EYE, LEFT_EYE)),
    (Label.LIPS, (OUTER_LIPS,)),
    (Label.MOUTH_INTERIOR, (INNER_LIPS,)),
)
"""What each outline encloses; later ones lie on top."""

SUBPIXEL_BITS = 4


def paint_face(landmarks: Float[np.ndarray, "478 3"], width: int, height: int) -> UInt8[np.ndarray, "height width"]:
    """The labels of what the landmarks outline; background elsewhere.

    Args:
        landmarks: pixels of the picture to paint.
    """
    labels = np.zeros((height, width), dtype=np.uint8)
    for label, outlines in PAINT_ORDER:
        for outline in outlines:
            if label != Label.MOUTH_INTERIOR or is_mouth_open(landmarks):
                labels[inside(landmarks, outline, width, height)] = label
    return labels


def is_mouth_open(landmarks: Float[np.ndarray, "478 3"]) -> bool:
    """Whether the lips are apart, by more than the landmarks' noise of about half a pixel."""
    lower, upper = landmarks[INNER_LIPS[5], :2], landmarks[INNER_LIPS[15], :2]
    return float(np.linalg.norm(lower - upper)) >= 0.5


def inside(
    landmarks: Float[np.ndarray, "478 3"], outline: tuple[int, ...], width: int, height: int
) -> Bool[np.ndarray, "height width"]:
    """The pixels that an outline encloses."""
    mask = np.zeros((height, width), dtype=np.uint8)
    # Pixel (0, 0) covers [0, 1), and OpenCV's integers are pixel centres.
    points = np.rint((landmarks[list(outline), :2] - 0.5) * 2**SUBPIXEL_BITS).astype(np.int32)
    cv2.fillPoly(mask, [points], [1], shift=SUBPIXEL_BITS)
    return mask > 0


@dataclass(frozen=True)
class HeadFrame:
    """Picture coordinates that move, turn and grow with the head.

    The origin lies between the ears, `across` runs to the picture's right and `down` to the chin. The unit is the
    face's height, from the top of the forehead's outline to the chin.
    """

    origin: Float[np.ndarray, "2"]
    across: Float[np.ndarray, "2"]
    down: Float[np.ndarray, "2"]
    face_height: float
    """Pixels."""

    @classmethod
    def of(cls, landmarks: Float[np.ndarray, "478 3"]) -> "HeadFrame":
        axis = landmarks[CHIN] - landmarks[FOREHEAD_TOP]
        down = axis[:2] / max(float(np.linalg.norm(axis[:2])), 1e-6)
        origin = (landmarks[RIGHT_EAR, :2] + landmarks[LEFT_EAR, :2]) / 2
        return cls(origin, np.array([down[1], -down[0]]), down, float(np.linalg.norm(axis)))

    def coordinates(
        self, width: int, height: int
    ) -> tuple[Float32[np.ndarray, "height width"], Float32[np.ndarray, "height width"]]:
        """How far across and down from the origin every pixel's centre lies."""
        x = np.arange(width, dtype=np.float32)[None] + 0.5 - self.origin[0]
        y = np.arange(height, dtype=np.float32)[:, None] + 0.5 - self.origin[1]
        across = (x * self.across[0] + y * self.across[1]) / self.face_height
        down = (x * self.down[0] + y * self.down[1]) / self.face_height
        return across.astype(np.float32), down.astype(np.float32)
