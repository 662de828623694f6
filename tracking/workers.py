"""The same function for many pieces of work, spread over processes.

Processes are started afresh rather than forked: MediaPipe and OpenCV have threads of their own, which a fork would
leave in pieces. What goes in and out should be small. With one worker everything runs in the calling process.
"""

import contextlib
import ctypes
import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Any, TypeVar

import cv2
from threadpoolctl import threadpool_limits

from tracking.errors import ResumableError

Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")
Advance = Callable[[int], None]
"""Says that so many more frames are done."""

POLL_SECONDS = 0.1
"""How often progress is looked at."""


class WorkStoppedError(Exception):
    """Raised inside a worker once its result is no longer wanted."""


def usable_cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Workers:
    """Runs functions of the form `function(advance, *arguments)`; use as a context manager.

    Functions, arguments and results must be picklable. If anything goes wrong, Ctrl-C included, what is under way is
    told to stop, and the processes end.
    """

    def __init__(self, count: int) -> None:
        """
        Args:
            count: of processes; 1 starts none.
        """
        self.count = count
        self._pool: ProcessPoolExecutor | None = None
        self._resources = contextlib.ExitStack()
        # There is a process for every core. The algebra's own threads would wait for each other in circles, on cores
        # that other processes need; and with one process results are to be the same as with several.
        self._resources.enter_context(threadpool_limits(1, user_api="blas"))
        if count > 1:
            # In force from the first submitted work on, which is when a process starts.
            self._resources.enter_context(_environment(OPENBLAS_NUM_THREADS="1"))
            context = multiprocessing.get_context("spawn")
            self._stop = context.Event()
            self._done = context.Value("q", 0)
            self._pool = ProcessPoolExecutor(count, context, _prepare_worker, (self._stop, self._done))

    @property
    def decoding_threads(self) -> int:
        """Threads that decode in each process: one where there are several processes, else as many as it likes."""
        return 1 if self.count > 1 else 0

    def run(
        self, function: Callable[..., Result], work: Mapping[Key, tuple[Any, ...]], advance: Advance
    ) -> Iterator[tuple[Key, Result]]:
        """Every piece's key and result, as they get ready.

        Args:
            function: defined at the top of a module.
            work: the arguments of every piece, by a name.
            advance: is told of progress, in the calling process.

        Raises:
            UserError: a worker was ended from outside, or the function raised it. Other errors come as they are.
        """
        if self._pool is None:
            for key, arguments in work.items():
                yield key, function(advance, *arguments)
            return
        self._done.value = told = 0
        futures = {self._pool.submit(_work, function, arguments): key for key, arguments in work.items()}
        waiting = set(futures)
        while waiting:
            ready, waiting = wait(waiting, POLL_SECONDS, FIRST_COMPLETED)
            now = self._done.value
            advance(now - told)
            told = now
            for future in ready:
                yield futures[future], _result(future)
        advance(self._done.value - told)

    def start(self, function: Callable[..., Result], *arguments: Any) -> Callable[[], Result]:
        """Begin a single piece of work beside what the calling process does next; returns what waits for its result."""
        if self._pool is None:
            return lambda: function(ignore_progress, *arguments)
        future = self._pool.submit(_work, function, arguments)
        return lambda: _result(future)

    def __enter__(self) -> "Workers":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._stop.set()
            self._pool.shutdown(cancel_futures=True)
        self._resources.close()


@contextlib.contextmanager
def _environment(**variables: str) -> Iterator[None]:
    """Environment variables for the processes that are started meanwhile; what the user has set stays."""
    added = {name: value for name, value in variables.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def ignore_progress(count: int) -> None:
    """Progress that nobody asks for."""


def _result(future: "Future[Result]") -> Result:
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise ResumableError(
            "One of the processes that track was ended from outside, most likely because memory ran out: give the same "
            "command again with --workers 1; it goes on where it stopped."
        ) from error


_worker_stop: Any = None
_worker_done: Any = None


def _prepare_worker(stop: Any, done: Any) -> None:
    """Make a new process a worker: deaf to Ctrl-C, of which its parent tells it, and gone when its parent is."""
    global _worker_stop, _worker_done
    _worker_stop, _worker_done = stop, done
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What is to be said of the video, the parent has said.
    logging.getLogger("tracking").setLevel(logging.ERROR)
    # MediaPipe's threads would each hold memory back in an arena of its own; -8 is glibc's name for their number.
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(-8, 2)
    # There is a process for every core.
    cv2.setNumThreads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _give_memory_back() -> None:
    """Return to the system what freed arrays leave behind: in several processes it adds up to more than is needed."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def _end_with_parent() -> None:
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _work(function: Callable[..., Result], arguments: tuple[Any, ...]) -> Result:
    def advance(count: int) -> None:
        if _worker_stop.is_set():
            raise WorkStoppedError
        with _worker_done.get_lock():
            _worker_done.value += count

    try:
        return function(advance, *arguments)
    finally:
        _give_memory_back()
