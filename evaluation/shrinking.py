"""A pair of frames made smaller, for what need not be seen at full size."""

from dataclasses import replace

import cv2
import numpy as np

from evaluation.measurement import FaceMeasurement, FramePair
from tracking.matting import fit_within


def shrink(pair: FramePair, size: int) -> FramePair:
    """The pair with its longer side made at most `size` pixels; the pair itself if it is no larger.

    Pictures and mattes are averaged, labels are picked, and landmarks scaled.
    """
    height, width = pair.source.shape[:2]
    small, scale = fit_within(width, height, size)
    if scale == 1:
        return pair
    source, edited = (
        cv2.resize(picture, small, interpolation=cv2.INTER_AREA) for picture in (pair.source, pair.edited)
    )
    scales = np.array([small[0] / width, small[1] / height])
    return replace(
        pair,
        source=source,
        edited=edited,
        matte=None if pair.matte is None else cv2.resize(pair.matte, small, interpolation=cv2.INTER_AREA),
        labels=None if pair.labels is None else cv2.resize(pair.labels, small, interpolation=cv2.INTER_NEAREST),
        source_face=_scaled(pair.source_face, scales),
        edited_face=_scaled(pair.edited_face, scales),
        target=None if pair.target is None else cv2.resize(pair.target, small, interpolation=cv2.INTER_AREA),
    )


def _scaled(face: FaceMeasurement | None, scales: np.ndarray) -> FaceMeasurement | None:
    return None if face is None else replace(face, landmarks=face.landmarks * scales)
