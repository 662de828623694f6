"""Pictures looked up along an optical flow."""

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float32

Flow = Float32[np.ndarray, "height width 2"]
"""Where each pixel of one picture lies in another: across and down from its own place, in pixels."""

MOST_CHANNELS = 4
"""What OpenCV looks up at once."""


def look_up(
    picture: Any, flow: Flow, scale: tuple[float, float] = (1.0, 1.0), interpolation: int = cv2.INTER_LINEAR
) -> Any:
    """The picture's values where the flow points; beyond its edges it goes on as its edge is.

    Args:
        picture: height x width, or height x width x any number of channels, of numbers that OpenCV knows.
        flow: in pixels of the picture, once it is multiplied by the scale.
        scale: of the flow, across and down.
        interpolation: OpenCV's constant for it.

    Returns:
        The flow's height and width, the picture's channels.
    """
    x, y = origins(flow, scale)

    def at_origins(channels: np.ndarray) -> np.ndarray:
        return cv2.remap(channels, x, y, interpolation, borderMode=cv2.BORDER_REPLICATE)

    if picture.ndim == 2 or picture.shape[-1] <= MOST_CHANNELS:
        found = at_origins(picture)
        return found if found.ndim == picture.ndim else found[..., None]
    starts = range(0, picture.shape[-1], MOST_CHANNELS)
    return np.concatenate(
        [
            at_origins(np.ascontiguousarray(picture[..., start : start + MOST_CHANNELS])).reshape(*flow.shape[:2], -1)
            for start in starts
        ],
        axis=-1,
    )


def origins(
    flow: Flow, scale: tuple[float, float] = (1.0, 1.0)
) -> tuple[Float32[np.ndarray, "height width"], Float32[np.ndarray, "height width"]]:
    """The x and y that each pixel's flow points to."""
    across, down = cv2.split(flow)
    columns, rows = _grid(flow.shape[1], flow.shape[0])
    return cv2.scaleAdd(across, scale[0], columns), cv2.scaleAdd(down, scale[1], rows)


@lru_cache(maxsize=8)
def _grid(width: int, height: int) -> tuple[Float32[np.ndarray, "height width"], Float32[np.ndarray, "height width"]]:
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return columns, rows
