"""Optical flow between frames, and how far a frame is from an earlier one carried along it."""

from typing import Protocol

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

from tracking.flow_look_up import Flow, look_up, origins

Picture = UInt8[np.ndarray, "height width 3"]
Mask = Bool[np.ndarray, "height width"]

RETURNS_WITHIN = 1.0
"""A pixel is visible in both frames if it comes back to within so many pixels when it is followed there and back."""


class FlowEstimator(Protocol):
    """Says how pixels move between two pictures."""

    def flow(self, origin: Picture, destination: Picture) -> Flow:
        """Where each pixel of the first picture lies in the second: across and down from its own place, in pixels."""
        ...


class DenseInverseSearch:
    """OpenCV's DIS flow (Kroeger et al., ECCV 2016), its preset "medium": about 27 ms at 512 x 512 on one core."""

    def __init__(self) -> None:
        self._search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def flow(self, origin: Picture, destination: Picture) -> Flow:
        greys = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (origin, destination)]
        return np.asarray(self._search.calc(*greys, None))  # pyright: ignore


def backward_flow(before: Picture, after: Picture, estimator: FlowEstimator | None = None) -> tuple[Flow, Mask]:
    """Where each pixel of a frame comes from in an earlier frame, and whether it was visible there.

    Args:
        estimator: DIS if none is given.
    """
    estimator = estimator or DenseInverseSearch()
    backward, forward = estimator.flow(after, before), estimator.flow(before, after)
    returned = backward + look_up(forward, backward)
    height, width = after.shape[:2]
    x, y = origins(backward)
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    return backward, inside & (np.linalg.norm(returned, axis=-1) < RETURNS_WITHIN)


def warp_difference(before: Picture, after: Picture, flow: Flow) -> Float32[np.ndarray, "height width"]:
    """Squared difference, mean over channels, of a frame and an earlier one carried onto it. Colours in [0, 1]."""
    carried = look_up(before.astype(np.float32) / 255, flow)
    return ((after.astype(np.float32) / 255 - carried) ** 2).mean(axis=-1)
