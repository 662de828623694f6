"""Fine texture: hair has it where skin has not, though they may be of one colour.

It helps to tell a bald crown from hair, and a fair fringe from the forehead.
"""

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8

from tracking.face_regions import HeadFrame, paint_face
from tracking.regions import Label

DETAIL = 0.006
"""Size of what counts as fine, in face heights."""
SURROUNDINGS = 0.02
"""How far around a pixel it is gathered, in face heights."""
FEATURE_MARGIN = 0.03
"""How far around eyes, brows and lips, whose edges are fine too, nothing is gathered, in face heights."""
LEAST_CONTRAST = 0.002
"""Contrast, of grey values in [0, 1], that says nothing."""
LEAST_SHARE = 0.1
"""Share of what is around a pixel from which its texture is taken as it is; where there is less it counts less."""
EVEN_ODDS, SLOPE, MOST = 0.3, 1.5, 1.5
"""Roughness above that of skin at which hair is as likely as skin, how much the logarithm of their odds grows with it,
and the most that it says."""


def roughness(
    image: UInt8[np.ndarray, "height width 3"], landmarks: Float[np.ndarray, "478 3"], size: tuple[int, int]
) -> Float32[np.ndarray, "rows columns"]:
    """The logarithm of the fine contrast around each pixel of a smaller picture.

    Args:
        image: the picture itself: a smaller one has lost its texture.
        landmarks: pixels of the image.
        size: width and height of the smaller picture.
    """
    face_height = HeadFrame.of(landmarks).face_height
    grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)).astype(np.float32) / 255
    side = 2 * max(1, round(DETAIL * face_height)) + 1
    detail = cv2.subtract(grey, cv2.blur(grey, (side, side)))
    power = cv2.resize(cv2.multiply(detail, detail), size, interpolation=cv2.INTER_AREA)
    scale = np.array([size[0] / image.shape[1], size[1] / image.shape[0], 1.0])
    small_face_height = face_height * scale[0]
    plain = _plain(landmarks * scale, size, max(1, round(FEATURE_MARGIN * small_face_height)))
    spread = (0, 0), max(0.6, SURROUNDINGS * small_face_height)
    share = np.maximum(cv2.GaussianBlur(plain, *spread), np.float32(LEAST_SHARE))
    gathered = cv2.divide(cv2.GaussianBlur(cv2.multiply(power, plain), *spread), share)
    return np.asarray(cv2.log(gathered + np.float32(LEAST_CONTRAST**2))) / 2


def evidence_against_skin(above_skin: Float32[np.ndarray, "rows columns"]) -> Float32[np.ndarray, "rows columns"]:
    """Logarithm of how much likelier than skin hair is by its roughness, of which the skin's is taken away."""
    return np.clip(SLOPE * (above_skin - EVEN_ODDS), -MOST, MOST)


def _plain(
    landmarks: Float[np.ndarray, "478 3"], size: tuple[int, int], margin: int
) -> Float32[np.ndarray, "rows columns"]:
    """One where no feature of the face is near, else zero."""
    features = (paint_face(landmarks, *size) > Label.FACE_SKIN).astype(np.uint8)
    near = cv2.dilate(features, np.ones((2 * margin + 1,) * 2, np.uint8))
    return (1 - near).astype(np.float32)
