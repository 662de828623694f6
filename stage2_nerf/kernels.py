"""How loops over rays are compiled for the CPU, and shared among its threads.

Kernels are compiled by numba when they are first called, and kept on disk for the next process. They release Python's
lock, so plain threads run them side by side: numba's own parallel loops either forbid calls from two threads at once
(the viewer renders beside the trainer) or forbid forks afterwards (data loaders fork).
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise
from typing import Any, TypeVar

import numba
import torch

# Joins neighbouring loads and sums into vectors, as C compilers do by default: look-ups took 10 to 40 % less time.
numba.config.SLP_VECTORIZE = 1  # pyright: ignore[reportPrivateImportUsage, reportAttributeAccessIssue]

SMALLEST_SLICE = 512
"""Items below which handing a slice to another thread costs more than it gains."""

Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(function: Function) -> Function:
    """Compile a function of numpy arrays and numbers; sums may be reordered, but infinities and NaN are kept."""
    # Without "nnan" and "ninf": a NaN in the fields must come out as one, not as any value.
    compiled = numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "arcp", "nsz"}, error_model="numpy")
    return compiled(function)  # pyright: ignore[reportReturnType]


def in_slices(function: Callable[[int, int], None], count: int, smallest: int = SMALLEST_SLICE) -> None:
    """Call `function(start, stop)` for slices that together are `range(count)`, on as many threads as torch may use.

    This thread takes a slice as well. The first error of any slice is raised once all have ended.
    """
    slices = max(1, min(torch.get_num_threads(), count // smallest))
    bounds = [count * i // slices for i in range(slices + 1)]
    others = [pool().submit(function, *pair) for pair in pairwise(bounds[1:])]
    try:
        function(bounds[0], bounds[1])
    finally:
        for other in others:
            other.exception()
    for other in others:
        other.result()


@lru_cache(maxsize=1)
def pool() -> ThreadPoolExecutor:
    """The threads of this process, made at the first use."""
    return ThreadPoolExecutor(max_workers=max(1, (torch.get_num_threads() or 1)), thread_name_prefix="kernels")
