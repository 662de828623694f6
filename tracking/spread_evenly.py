"""So many of a row of things, evenly spread: which frames stand for a clip."""

import numpy as np


def spread_evenly(count: int, most: int) -> list[int]:
    """At most `most` of the positions below `count`, evenly spread, including both ends, each once."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)).tolist()
