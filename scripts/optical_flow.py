"""Optical flow between frames, and how far a frame is from the one before carried along it."""

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

Picture = UInt8[np.ndarray, "height width 3"]
Mask = Bool[np.ndarray, "height width"]


def backward_flow(before: Picture, after: Picture) -> tuple[Float32[np.ndarray, "height width 2"], Mask]:
    """Where each pixel of a frame comes from in the frame before, and whether it was visible there.

    Visible is what comes back to within a pixel when it is followed there and back.
    """
    greys = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (before, after)]
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    backward, forward = (np.asarray(flow.calc(*pair, None)) for pair in (greys[::-1], greys))  # pyright: ignore
    returned = backward + look_up(forward, backward)
    height, width = greys[0].shape
    x, y = origins(backward)
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    return backward, inside & (np.linalg.norm(returned, axis=-1) < 1)


def warp_difference(
    before: Picture, after: Picture, flow: Float32[np.ndarray, "height width 2"]
) -> Float32[np.ndarray, "height width"]:
    """Squared difference, mean over channels, of a frame and the frame before carried onto it. Colours in [0, 1]."""
    carried = look_up(before.astype(np.float32) / 255, flow)
    return ((after.astype(np.float32) / 255 - carried) ** 2).mean(axis=-1)


def look_up(
    picture: Float32[np.ndarray, "height width channels"], flow: Float32[np.ndarray, "height width 2"]
) -> Float32[np.ndarray, "height width channels"]:
    """The picture's values where the flow points, interpolated."""
    return cv2.remap(picture, *origins(flow), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def origins(
    flow: Float32[np.ndarray, "height width 2"],
) -> tuple[Float32[np.ndarray, "height width"], Float32[np.ndarray, "height width"]]:
    """The x and y that each pixel's flow points to."""
    height, width = flow.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return x + flow[..., 0], y + flow[..., 1]
