"""Maps of a frame steadied by its neighbours: averaged along the optical flow, wherever these show the same thing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from tracking.flow_look_up import look_up
from tracking.matting import fit_within

FLOW_SIZE = 256
"""Longer side, in pixels, of the pictures between which motion is estimated."""
SAME_COLOR = 0.06
"""Colour difference, in [0, 1], at which a neighbour's pixel stops being taken for the same."""

Maps = Float32[np.ndarray, "height width *channels"]


@dataclass(frozen=True)
class Neighbor:
    """Where a frame's pixels are in a neighbour, and how sure it is that these show the same."""

    flow: Float32[np.ndarray, "height width 2"]
    """Pixels of these pictures, from the frame to the neighbour."""
    weight: Float32[np.ndarray, "height width"]

    def warp(self, maps: Maps) -> tuple[Maps, Float32[np.ndarray, "height width"]]:
        """The neighbour's maps, of any size, as the frame would have them, and their weight."""
        height, width = maps.shape[:2]
        flow, weight = self.flow, self.weight
        scale = width / weight.shape[1], height / weight.shape[0]
        if weight.shape != (height, width):
            flow = cv2.resize(flow, (width, height), interpolation=cv2.INTER_LINEAR)
            weight = cv2.resize(weight, (width, height), interpolation=cv2.INTER_LINEAR)
        return look_up(maps, flow, scale), weight


class MotionBlend:
    """Averages per-pixel maps of a frame with those of its neighbours."""

    def __init__(self) -> None:
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)

    def shrink(self, image: UInt8[np.ndarray, "height width 3"]) -> UInt8[np.ndarray, "h w"]:
        """The grey picture that motion is seen in."""
        size, _ = fit_within(image.shape[1], image.shape[0], FLOW_SIZE)
        return cv2.cvtColor(cv2.resize(image, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)

    def both_ways(self, before: UInt8[np.ndarray, "h w"], after: UInt8[np.ndarray, "h w"]) -> tuple[Neighbor, Neighbor]:
        """How the earlier of two shrunk frames relates to the later one, and the later to the earlier."""
        return self.neighbor(before, after), self.neighbor(after, before)

    def neighbor(self, small: UInt8[np.ndarray, "h w"], other: UInt8[np.ndarray, "h w"]) -> Neighbor:
        """How one shrunk frame relates to another one beside it."""
        # Without a guess OpenCV starts from rest.
        no_guess: Any = None
        flow = np.asarray(self._flow.calc(small, other, no_guess))
        warped = look_up(other, flow)
        difference = cv2.blur(cv2.absdiff(small, warped).astype(np.float32), (3, 3)) / np.float32(255 * SAME_COLOR)
        return Neighbor(flow, cv2.exp(-difference * difference))


def blend(maps: Maps, neighbors: Sequence[tuple[Neighbor, Maps]]) -> Maps:
    """The maps, averaged with those of the neighbours wherever these show the same thing."""
    # OpenCV adds up in place; its types do not know maps of truth values, which never get here.
    total: Any = maps.copy()
    weights = np.ones(maps.shape[:2], dtype=np.float32)
    for neighbor, others in neighbors:
        warped, weight = neighbor.warp(others)
        if maps.ndim == 2:
            cv2.accumulateProduct(warped, weight, total)
        else:
            total += warped * weight[..., None]
        weights += weight
    return total / (weights if maps.ndim == 2 else weights[..., None])
