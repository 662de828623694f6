"""What was found in some frames of a video, as a row for every frame of it."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Int, Shaped


def over_frames(
    values: Shaped[np.ndarray, "chosen *shape"],
    frames: Int[np.ndarray, "chosen"] | Bool[np.ndarray, "frames"] | slice,
    count: int,
    missing: Any = np.nan,
) -> Shaped[np.ndarray, "frames *shape"]:
    """Rows of all frames, of the values' own type.

    Args:
        values: one row for each chosen frame.
        frames: which these are.
        count: how many frames there are.
        missing: what the rows of the others hold.
    """
    rows = np.full((count, *values.shape[1:]), missing, values.dtype)
    rows[frames] = values
    return rows
