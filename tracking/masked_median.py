"""Medians over frames of which some do not count, fast enough for every pixel of a clip."""

import numpy as np
from jaxtyping import Bool, Float32, Int16, UInt8

LEFT_OUT = np.int16(16384)
"""Greater than any value that counts, and than twice any difference of two."""


def masked_median(
    values: UInt8[np.ndarray, "frames pixels 3"], counts: Bool[np.ndarray, "frames pixels"]
) -> tuple[Float32[np.ndarray, "pixels 3"], Float32[np.ndarray, "pixels 3"]]:
    """Every pixel's median over the frames in which it counts, and the median absolute deviation from that.

    Args:
        counts: at least one frame of every pixel.
    """
    number = counts.sum(axis=0)
    # Sorting is fastest along the last axis.
    levels = np.moveaxis(values, 0, -1).astype(np.int16)
    skipped = np.broadcast_to(~counts.T[:, None], levels.shape)
    twice_median = _twice_middle(np.where(skipped, LEFT_OUT, levels), number)
    distances = np.abs(2 * levels - twice_median[..., None])
    four_times_deviation = _twice_middle(np.where(skipped, LEFT_OUT, distances), number)
    return twice_median.astype(np.float32) / 2, four_times_deviation.astype(np.float32) / 4


def _twice_middle(values: Int16[np.ndarray, "pixels 3 frames"], number: np.ndarray) -> Int16[np.ndarray, "pixels 3"]:
    """The sum of the two middle ones of each row's smallest `number` values; twice the middle one if it is odd."""
    values = np.sort(values, axis=-1)
    places = np.stack([(number - 1) // 2, number // 2], axis=-1)[:, None]
    return np.take_along_axis(values, np.broadcast_to(places, (*values.shape[:2], 2)), axis=-1).sum(
        axis=-1, dtype=np.int16
    )
