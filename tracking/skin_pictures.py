"""Small grey pictures of the face, upright and of one size in every frame, by which its skin is followed."""

from dataclasses import replace

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from tracking.face_square import FaceSquare
from tracking.landmarks import Face

SKIN_PIXELS = 128
"""Sides of a picture. A face is about 107 pixels high in it."""
GROWTH = 0.8
"""Side of the square that is kept, over the side of the one that MediaPipe's face mesh looks at."""

SkinPicture = UInt8[np.ndarray, "128 128"]
"""Brightness; the picture's edge is carried on outside it."""


def skin_picture(image: UInt8[np.ndarray, "height width 3"], landmarks: Face) -> SkinPicture:
    """What a face looks like.

    Args:
        image: RGB.
        landmarks: pixels of the image.
    """
    square = _square(landmarks)
    # Only what is seen is turned to grey, so that large pictures cost no more.
    reach = square.size / 2 * (abs(np.cos(square.rotation)) + abs(np.sin(square.rotation))) + 2
    height, width = image.shape[:2]
    left, right = np.clip([np.floor(square.x - reach), np.ceil(square.x + reach)], 0, width).astype(int)
    top, bottom = np.clip([np.floor(square.y - reach), np.ceil(square.y + reach)], 0, height).astype(int)
    if right - left < 2 or bottom - top < 2:
        return np.zeros((SKIN_PIXELS, SKIN_PIXELS), np.uint8)
    grey = cv2.cvtColor(np.ascontiguousarray(image[top:bottom, left:right]), cv2.COLOR_RGB2GRAY)
    return replace(square, x=square.x - left, y=square.y - top).cut(grey, SKIN_PIXELS)


def to_skin_picture(landmarks: Face) -> Float[np.ndarray, "2 3"]:
    """The similarity that takes pixels of the image to those of the picture, both counted from the edges."""
    return _square(landmarks).to_cut(SKIN_PIXELS)


def _square(landmarks: Face) -> FaceSquare:
    return FaceSquare.around(landmarks).shifted(0, 0, GROWTH, 0)
