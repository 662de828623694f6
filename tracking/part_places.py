"""Where, relative to the head, the parts of a person are found: as anatomy has it, and as a clip shows it."""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float32

from tracking.face_regions import HeadFrame

PARTS = ("skin", "hair", "neck", "clothes")
"""What colour and place tell apart. Ears are skin beside the face."""
SKIN, HAIR, NECK, CLOTHES = range(len(PARTS))

MAP_LEFT, MAP_TOP, MAP_RIGHT, MAP_BOTTOM = -2.5, -1.5, 2.5, 3.0
MAP_CELL = 0.05
"""The place maps' extent and cell, in face heights around the point between the ears."""

Posterior = Float32[np.ndarray, "height width parts"]
PlaceMap = Float32[np.ndarray, "rows columns parts"]


def rough_anatomy() -> PlaceMap:
    """Where the parts of any person are, before a pixel has been looked at."""
    columns = np.arange(MAP_LEFT, MAP_RIGHT, MAP_CELL, dtype=np.float32)[None] + MAP_CELL / 2
    rows = np.arange(MAP_TOP, MAP_BOTTOM, MAP_CELL, dtype=np.float32)[:, None] + MAP_CELL / 2
    beside = np.abs(columns) + 0 * rows
    down = rows + 0 * columns

    def fade(value: np.ndarray, edge: float, width: float) -> np.ndarray:
        """From 1 below the edge to 0 above it."""
        return 1 / (1 + np.exp(np.clip((value - edge) / width, -30, 30)))

    face = fade((beside / 0.42) ** 2 + ((down - 0.05) / 0.58) ** 2, 1.0, 0.15)
    skin = 0.9 * face + 0.25 * fade((beside / 0.6) ** 2 + (down / 0.75) ** 2, 1.0, 0.1)
    crown = fade((beside / 0.95) ** 2 + (down / 1.1) ** 2, 1.0, 0.15) * fade(down, 0.25, 0.08)
    falling = fade(beside, 0.9, 0.08) * fade(down, 1.3, 0.15)
    hair = 1.3 * crown * (1 - 0.7 * face) + 0.8 * falling * (1 - face)
    neck = (
        fade(beside, 0.36, 0.05) * fade(-down, -0.45, 0.04) * (0.8 * fade(down, 0.8, 0.06) + 0.2 * fade(down, 1.6, 0.1))
    )
    clothes = 0.6 * fade(-down, -0.75, 0.08) + 0.2 * fade(-down, -0.5, 0.05)
    # Anything may be anywhere, but clothes are hardly ever above the chin.
    anatomy = np.stack([skin + 0.003, hair + 0.003, neck + 0.003, clothes + 0.0003], axis=-1)
    return (anatomy / anatomy.sum(axis=-1, keepdims=True)).astype(np.float32)


def sample_places(places: PlaceMap, head: HeadFrame, width: int, height: int) -> Posterior:
    """The place map as it lies over a picture."""
    columns, rows = _map_positions(head, width, height)
    return cv2.remap(places, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def average_places(heads: Sequence[HeadFrame], posteriors: Sequence[Posterior]) -> PlaceMap:
    """The mean posterior by place relative to the head; even where no pixel of the person was seen."""
    rows, columns = rough_anatomy().shape[:2]
    total = np.full((rows * columns, len(PARTS)), 1e-3)
    for head, posterior in zip(heads, posteriors, strict=True):
        height, width = posterior.shape[:2]
        column, row = (np.rint(position).astype(int) for position in _map_positions(head, width, height))
        valid = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
        cells = (row * columns + column)[valid]
        for part in range(len(PARTS)):
            total[:, part] += np.bincount(cells, weights=posterior[..., part][valid], minlength=rows * columns)
    spread = cv2.GaussianBlur(total.reshape(rows, columns, -1).astype(np.float32), (0, 0), 2)
    return spread / spread.sum(axis=-1, keepdims=True)


def _map_positions(
    head: HeadFrame, width: int, height: int
) -> tuple[Float32[np.ndarray, "height width"], Float32[np.ndarray, "height width"]]:
    """Column and row in the place maps, of every pixel."""
    across, down = head.coordinates(width, height)
    return (across - MAP_LEFT) / MAP_CELL - 0.5, (down - MAP_TOP) / MAP_CELL - 0.5
