"""What a face looks like from afar: the colours of skin, hair and brows, in a few hundred numbers.

Faces of one person are told from another's by these: of eight people filmed in ten clips, the histograms of one person,
averaged over three frames, are at most 0.36 apart, and those of two people at least 0.61. The landmarks' own shape does
not tell people apart, for pose and expression change it more than the person does.
"""

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8

from tracking.face_square import FaceSquare
from tracking.picture_pyramid import PicturePyramid

THUMBNAIL_PIXELS = 24
THUMBNAIL_BORDER = 4
"""Pixels of a thumbnail that are left out on all sides: they show what is behind the face."""
BINS = (6, 8, 8)
RANGES = (0, 100, -30, 50, -30, 50)
"""Of CIELAB's L, a and b: skin, hair and lips lie within."""

Appearance = Float32[np.ndarray, "384"]


def face_appearance(picture: PicturePyramid, square: FaceSquare) -> Appearance:
    """The colours in a face's square, as square roots of their shares: Euclidean distance is then Hellinger's."""
    reduction = picture.reduction_to(square.size, 2 * THUMBNAIL_PIXELS)
    thumbnail = square.reduced(reduction).cut(picture.reduced(reduction), THUMBNAIL_PIXELS)
    inside = slice(THUMBNAIL_BORDER, THUMBNAIL_PIXELS - THUMBNAIL_BORDER)
    return _histogram(thumbnail[inside, inside])


def appearance_distance(one: Float[np.ndarray, "384"], other: Float[np.ndarray, "384"]) -> float:
    """0 for equal colours, the square root of 2 for none in common."""
    return float(np.linalg.norm(one - other))


def _histogram(image: UInt8[np.ndarray, "height width 3"]) -> Appearance:
    colors = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    # Outside of the ranges, the nearest bin is meant.
    low, high = np.array(RANGES[::2], np.float32), np.array(RANGES[1::2], np.float32)
    colors = np.clip(colors, low, high - 1e-3).reshape(-1, 1, 3)
    counts = cv2.calcHist([colors], [0, 1, 2], None, list(BINS), list(RANGES))
    # A colour at the border of two bins is to be like those on either side.
    smooth = cv2.GaussianBlur(counts.reshape(BINS[0], -1), (3, 3), 0)
    return np.sqrt(smooth / smooth.sum()).ravel().astype(np.float32)
