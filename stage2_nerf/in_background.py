"""Reading ahead and writing behind: decoding and encoding go on in threads while the avatar is rendered.

PyAV and OpenCV let other threads of Python run while they work, so threads are enough. Few frames wait at a time.
"""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, TypeVar

Item = TypeVar("Item")
WAITING = 4
"""Items that may wait between two threads."""
_END: Any = object()


def read_ahead(items: Iterable[Item], waiting: int = WAITING) -> Iterator[Item]:
    """The same items, of which the next few are made while one is used. What making them raises is raised here."""
    line: queue.Queue[Any] = queue.Queue(waiting)
    stopped = threading.Event()
    failure: list[BaseException] = []

    def make() -> None:
        try:
            for item in items:
                while not stopped.is_set():
                    try:
                        line.put(item, timeout=0.1)
                        break
                    except queue.Full:
                        continue
                if stopped.is_set():
                    return
        except BaseException as error:
            failure.append(error)
        finally:
            while not stopped.is_set():
                try:
                    line.put(_END, timeout=0.1)
                    break
                except queue.Full:
                    continue

    thread = threading.Thread(target=make, daemon=True)
    thread.start()
    try:
        while (item := line.get()) is not _END:
            yield item
        if failure:
            raise failure[0]
    finally:
        stopped.set()
        thread.join()


class WriteBehind:
    """Hands work to a thread that does it in order; use as a context manager.

    The block ends when all is done. What the work raises is raised at the next call, or at the block's end.
    """

    def __init__(self, waiting: int = WAITING) -> None:
        self._line: queue.Queue[Any] = queue.Queue(waiting)
        self._failure: list[BaseException] = []
        self._thread = threading.Thread(target=self._work, daemon=True)

    def do(self, work: Callable[..., Any], *arguments: Any) -> None:
        """Do this after what was asked for before."""
        if self._failure:
            raise self._failure[0]
        self._line.put((work, arguments))

    def __enter__(self) -> "WriteBehind":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._line.put(_END)
        self._thread.join()
        if error is None and self._failure:
            raise self._failure[0]

    def _work(self) -> None:
        while (item := self._line.get()) is not _END:
            if self._failure:
                # Nothing follows a failure, but whoever hands over must not wait forever.
                continue
            work, arguments = item
            try:
                work(*arguments)
            except BaseException as error:
                self._failure.append(error)
