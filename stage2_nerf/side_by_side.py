"""Whole frames rendered side by side on a CPU: one to a thread, each computing alone.

Sharing a single small frame among threads gains little, for it is a chain of operations of a millisecond, each of which
waits for its slowest part; frames need nothing of each other. torch's operations and the compiled loops let other
threads of Python run while they work, so threads are enough, and they share one avatar.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import nn

MOST_PIXELS_AT_ONCE = 1 << 20
"""Pixels that frames in the making may have together, but for one frame, however large. A pixel takes about a kilobyte
while it is rendered."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def frames_at_once(device: torch.device, pixels: int) -> int:
    """How many frames of so many pixels to render side by side: as many as torch may use threads, if they are small.

    One where there is a GPU, which shares its own work out.
    """
    if device.type != "cpu":
        return 1
    return max(1, min(torch.get_num_threads(), MOST_PIXELS_AT_ONCE // max(pixels, 1)))


def side_by_side(work: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Generator[Result, None, None]:
    """What some work makes of items, in their order, so many of them at once.

    torch's threads are divided among the workers. Items are asked for in this thread, as workers become free: at most
    one result more than there are workers is kept. Whatever work or items raise is raised here, when its turn comes;
    then, or when the caller stops, nothing new is begun, and what is under way ends first.

    Args:
        work: may be called in several threads at once.
        items: to work on.
        workers: how many at once; with one the work is done in this thread.
    """
    if workers <= 1:
        yield from map(work, items)
        return
    threads = torch.get_num_threads()
    under_way: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(
        workers, "frames", initializer=torch.set_num_threads, initargs=(max(1, threads // workers),)
    )
    try:
        for item in items:
            under_way.append(pool.submit(work, item))
            if len(under_way) > workers:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        # What a thread sets for itself becomes what later threads begin with.
        torch.set_num_threads(threads)


@contextmanager
def at_rest(module: nn.Module) -> Iterator[None]:
    """Within the block a module does not train, and so may be rendered in several threads at once."""
    if not module.training:
        # Another thread may be in such a block.
        yield
        return
    module.eval()
    try:
        yield
    finally:
        module.train()
