"""How loops over rays are compiled for the CPU, and shared among its threads.

Kernels are compiled by numba when they are first called, and kept on disk for the next process. They release Python's
lock, so plain threads run them side by side: numba's own parallel loops either forbid calls from two threads at once
(the viewer renders beside the trainer) or forbid forks afterwards (data loaders fork).
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise
from threading import Lock
from typing import Any, TypeVar

import numba
import torch

# Joins neighbouring loads and sums into vectors, as C compilers do by default: look-ups took 2/3 of the time with it.
numba.config.SLP_VECTORIZE = 1  # pyright: ignore[reportAttributeAccessIssue]

SMALLEST_SLICE = 512
"""Items below which handing a slice to another thread costs more than it gains."""

Function = TypeVar("Function", bound=Callable[..., Any])
Piece = TypeVar("Piece")
Result = TypeVar("Result")


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


def on_all_threads(function: Callable[[Piece], Result], pieces: Sequence[Piece]) -> list[Result]:
    """`function` of every piece, whole pieces side by side on as many threads as torch may use, each computing alone.

    torch's own threads share every single operation and wait for each other after it, which for operations of a
    millisecond costs much of what they gain, and many times more where another process holds one of the cores.
    """
    threads = torch.get_num_threads()
    if threads == 1 or len(pieces) < 2:
        return [function(piece) for piece in pieces]
    remaining = iter(enumerate(pieces))
    lock = Lock()
    results: dict[int, Result] = {}
    inference, gradients = torch.is_inference_mode_enabled(), torch.is_grad_enabled()

    def work() -> None:
        # These modes belong to each thread.
        with torch.inference_mode(inference), torch.set_grad_enabled(gradients and not inference):
            while True:
                with lock:
                    number, piece = next(remaining, (-1, None))
                if number < 0:
                    return
                results[number] = function(piece)  # pyright: ignore[reportArgumentType]

    workers = [single_threaded_pool().submit(work) for _ in range(min(threads, len(pieces)))]
    for worker in workers:
        worker.exception()
    # What a thread sets for itself becomes what later threads begin with.
    torch.set_num_threads(threads)
    for worker in workers:
        worker.result()
    return [results[number] for number in range(len(pieces))]


@lru_cache(maxsize=1)
def single_threaded_pool() -> ThreadPoolExecutor:
    """Threads in which torch uses no others."""
    return ThreadPoolExecutor(
        max_workers=os.cpu_count(), thread_name_prefix="pieces", initializer=torch.set_num_threads, initargs=(1,)
    )


@lru_cache(maxsize=1)
def pool() -> ThreadPoolExecutor:
    """The threads of this process, made at the first use."""
    return ThreadPoolExecutor(max_workers=os.cpu_count(), thread_name_prefix="kernels")
