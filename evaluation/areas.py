"""The parts of a picture that a number may be said of: everything, the person, the mouth, the eyes."""

import numpy as np
from jaxtyping import Bool, Float, Float32

from evaluation.measurement import FramePair
from tracking.face_regions import LEFT_EYE, OUTER_LIPS, RIGHT_EYE
from tracking.regions import is_in_region

BOX_MARGIN = 0.25
"""What is added to the boxes around mouth and eyes on every side, as a fraction of their width."""
SURELY_PERSON = 0.5
"""A pixel whose matte is above this counts as the person's, where a choice must be made."""

WHOLE, IN_MATTE, MOUTH, EYES = "", "_in_matte", "_mouth", "_eyes"
AREAS = {
    WHOLE: "in the whole frame",
    IN_MATTE: "weighted by the source's matte",
    MOUTH: "in the box around the source's lips, widened by a quarter of its width",
    EYES: "in the box around the source's eyes, widened by a quarter of its width",
}
"""What is added to a measure's name, and what it means."""


def area_weights(pair: FramePair) -> dict[str, Float32[np.ndarray, "height width"]]:
    """How much each pixel counts, for every one of `AREAS` that is known of the frame."""
    height, width = pair.source.shape[:2]
    weights = {WHOLE: np.ones((height, width), np.float32)}
    if pair.matte is not None:
        weights[IN_MATTE] = pair.matte
    if pair.source_face is not None:
        for name, box in face_boxes(pair.source_face.landmarks, height, width).items():
            weights[name] = np.zeros((height, width), np.float32)
            weights[name][box] = 1
    return weights


def person_and_region(pair: FramePair, regions: tuple[str, ...]) -> dict[str, Bool[np.ndarray, "height width"]]:
    """Which pixels of the source show the person, and which the named regions of it.

    Returns:
        Under "_in_matte" and "_" with the region's name; without what is not known of the frame.
    """
    if pair.matte is None:
        return {}
    person = pair.matte > SURELY_PERSON
    masks = {IN_MATTE: person}
    if pair.labels is not None:
        masks.update({f"_{region}": person & is_in_region(pair.labels, region) for region in regions})
    return masks


def face_boxes(
    landmarks: Float[np.ndarray, "478 dimensions"], height: int, width: int
) -> dict[str, tuple[slice, slice]]:
    """The rows and columns of the boxes around mouth and eyes."""
    return {
        MOUTH: landmark_box(landmarks[list(OUTER_LIPS), :2], height, width),
        EYES: landmark_box(landmarks[[*LEFT_EYE, *RIGHT_EYE], :2], height, width),
    }


def landmark_box(points: Float[np.ndarray, "points 2"], height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of the widened box around landmarks, as far as the picture goes."""
    low, high = points.min(axis=0), points.max(axis=0)
    margin = BOX_MARGIN * (high[0] - low[0])
    left, top = np.floor(low - margin).clip(0, (width, height)).astype(int)
    right, bottom = np.ceil(high + margin).clip(0, (width, height)).astype(int)
    return slice(top, bottom), slice(left, right)
