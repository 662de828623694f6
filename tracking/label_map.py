"""One label for every pixel: from how likely each part is there, and the outlines that landmarks draw."""

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from tracking.face_regions import HeadFrame, paint_face
from tracking.part_places import HAIR, NECK, SKIN, Posterior
from tracking.regions import Label

EAR_TOP, EARLOBE = -0.2, 0.3
"""How far down, in face heights from the point between the ears, an ear reaches."""
JAW = 0.45
"""How far down the sides of the face reach before the neck begins, in face heights."""
CHEEK_WIDTH = 0.02
"""How far the cheeks reach beyond the landmarks' outline, in face heights."""
EYE_LINE = -0.1
"""How far down a fringe may reach, in face heights."""
RIM_WIDTH = 0.15
"""How far into the face's outline hair may fall beside the cheeks, in face heights."""
SURELY_PERSON = 0.9
"""A matte above this shows the person alone."""


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
    part = _likeliest(cv2.resize(posterior, (width, height), interpolation=cv2.INTER_LINEAR))
    # A soft edge shows a mixture of person and background: it belongs to the nearest pixel that shows the person alone.
    part = _nearest(part, (matte > SURELY_PERSON) | (face > 0), matte > 0)
    is_skin = (part == SKIN) | (part == NECK)
    labels = np.full((height, width), Label.CLOTHES, dtype=np.uint8)
    labels[part == HAIR] = Label.HAIR
    labels[is_skin] = Label.NECK
    labels[is_skin & (down < EARLOBE)] = Label.EARS
    labels[is_skin & (down < EAR_TOP)] = Label.FACE_SKIN
    beside_oval, rim = _around_outline(face > 0, CHEEK_WIDTH * head.face_height, RIM_WIDTH * head.face_height)
    labels[is_skin & beside_oval & (down < JAW)] = Label.FACE_SKIN
    # Inside the oval everything is face, but for hair that falls over the forehead and along the cheeks.
    fringe = (part == HAIR) & ((face == Label.FACE_SKIN) | (face == Label.BROWS)) & ((down < EYE_LINE) | rim)
    painted = (face > 0) & ~fringe
    labels[painted] = face[painted]
    labels[matte == 0] = Label.BACKGROUND
    return labels


def _likeliest(posterior: Posterior) -> UInt8[np.ndarray, "height width"]:
    best, *others = cv2.split(posterior)
    part = np.zeros(posterior.shape[:2], dtype=np.uint8)
    for index, likelihood in enumerate(others, 1):
        part[cv2.compare(likelihood, best, cv2.CMP_GT) > 0] = index
        best = cv2.max(best, likelihood)
    return part


def _around_outline(
    face: Bool[np.ndarray, "height width"], outside: float, inside: float
) -> tuple[Bool[np.ndarray, "height width"], Bool[np.ndarray, "height width"]]:
    """The pixels that are nearer to the face than `outside`, itself included, and those nearer to what it is not than
    `inside`, that included. Distances are looked for around the face only."""
    near, rim = np.zeros_like(face), ~face
    rows, columns = np.flatnonzero(face.any(axis=1)), np.flatnonzero(face.any(axis=0))
    if len(rows):
        margin = int(np.ceil(outside)) + 2
        box = tuple(slice(max(0, found[0] - margin), found[-1] + 1 + margin) for found in (rows, columns))
        part = face[box].astype(np.uint8)
        near[box] = cv2.distanceTransform(1 - part, cv2.DIST_L2, 3) < outside
        rim[box] = cv2.distanceTransform(part, cv2.DIST_L2, 3) < inside
    return near, rim


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
