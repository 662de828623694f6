"""One label for every pixel: from how likely each part is there, and the outlines that landmarks draw."""

import math

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from tracking.face_regions import HeadFrame, paint_face
from tracking.part_places import HAIR, NECK, PARTS, SKIN, Posterior
from tracking.regions import Label

EAR_TOP, EARLOBE = -0.2, 0.3
"""How far down, in face heights from the point between the ears, an ear reaches."""
JAW = 0.45
"""How far down the sides of the face reach before the neck begins, in face heights."""
CHEEK_WIDTH = 0.01
"""How far the cheeks reach beyond the landmarks' outline, in face heights."""
EYE_LINE = -0.1
"""How far down a fringe may reach, in face heights."""
RIM_WIDTH = 0.15
"""How far into the face's outline hair may fall beside the cheeks, in face heights."""
SURELY_PERSON = 0.9
"""A matte above this shows the person alone."""


def _label_of_part() -> UInt8[np.ndarray, "256"]:
    """The label of a part outside of the face: below the earlobes, from there to the ears' top, and above."""
    table = np.zeros(256, np.uint8)
    for level, skin in enumerate((Label.NECK, Label.EARS, Label.FACE_SKIN)):
        row = table[level * len(PARTS) : (level + 1) * len(PARTS)]
        row[:] = Label.CLOTHES
        row[HAIR] = Label.HAIR
        row[[SKIN, NECK]] = skin
    return table


LABEL_OF_PART = _label_of_part()


def label_pixels(
    posterior: Float32[np.ndarray, "h w parts"],
    matte: Float32[np.ndarray, "height width"],
    landmarks: Float[np.ndarray, "478 3"],
) -> UInt8[np.ndarray, "height width"]:
    """The region of every pixel: background exactly where the matte is 0.

    Args:
        posterior: how likely each pixel shows each part, at any size.
        landmarks: pixels.
    """
    height, width = matte.shape
    head = HeadFrame.of(landmarks)
    _, down = head.coordinates(width, height)
    face = paint_face(landmarks, width, height)
    part = _likeliest(posterior, (width, height))
    # A soft edge shows a mixture of person and background: it belongs to the nearest pixel that shows the person alone.
    part = _nearest(part, (matte > SURELY_PERSON) | (face > 0), matte > 0)
    level = (down < EARLOBE).view(np.uint8) + (down < EAR_TOP).view(np.uint8)
    labels = np.asarray(cv2.LUT(part + np.uint8(len(PARTS)) * level, LABEL_OF_PART))
    _paint_around_face(labels, part, down, face, head.face_height)
    labels[matte == 0] = Label.BACKGROUND
    return labels


def _paint_around_face(
    labels: UInt8[np.ndarray, "height width"],
    part: UInt8[np.ndarray, "height width"],
    down: Float32[np.ndarray, "height width"],
    face: UInt8[np.ndarray, "height width"],
    face_height: float,
) -> None:
    """Label, in place, what the landmarks outline, and the cheeks beside it."""
    rows, columns = np.flatnonzero(face.any(axis=1)), np.flatnonzero(face.any(axis=0))
    if not len(rows):
        return
    margin = math.ceil(CHEEK_WIDTH * face_height) + 2
    box = tuple(slice(max(0, found[0] - margin), found[-1] + 1 + margin) for found in (rows, columns))
    labels, part, down, face = labels[box], part[box], down[box], face[box]
    beside_oval = cv2.distanceTransform((face == 0).astype(np.uint8), cv2.DIST_L2, 3) < CHEEK_WIDTH * face_height
    labels[((part == SKIN) | (part == NECK)) & beside_oval & (down < JAW)] = Label.FACE_SKIN
    # Inside the oval everything is face, but for hair that falls over the forehead and along the cheeks.
    rim = cv2.distanceTransform((face > 0).astype(np.uint8), cv2.DIST_L2, 3) < RIM_WIDTH * face_height
    fringe = (part == HAIR) & ((face == Label.FACE_SKIN) | (face == Label.BROWS)) & ((down < EYE_LINE) | rim)
    painted = (face > 0) & ~fringe
    labels[painted] = face[painted]


def _likeliest(posterior: Posterior, size: tuple[int, int]) -> UInt8[np.ndarray, "height width"]:
    """The likeliest part of every pixel of a picture, whose width and height are given."""
    best, *others = (cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR) for plane in cv2.split(posterior))
    part = np.zeros(size[::-1], dtype=np.uint8)
    for index, likelihood in enumerate(others, 1):
        # The last part that beats all before it is the likeliest.
        part = np.maximum(part, np.asarray(cv2.compare(likelihood, best, cv2.CMP_GT), np.uint8) & np.uint8(index))
        best = cv2.max(best, likelihood)
    return part


def _nearest(
    values: UInt8[np.ndarray, "height width"],
    sure: Bool[np.ndarray, "height width"],
    wanted: Bool[np.ndarray, "height width"],
) -> UInt8[np.ndarray, "height width"]:
    """Every wanted pixel takes the value of the nearest sure one."""
    if not sure.any():
        return values
    _, nearest = cv2.distanceTransformWithLabels(
        (~sure).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    # OpenCV numbers the sure pixels from 1, row by row.
    unsure = wanted & ~sure
    values[unsure] = values[sure][np.asarray(nearest)[unsure].astype(np.int64) - 1]
    return values
