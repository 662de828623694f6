"""Commands that are told to end by others: by a shutdown, a container that stops, a scheduler whose time is up."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def ended_in_order() -> Iterator[None]:
    """Let SIGTERM unwind what is under way, as Ctrl-C does, so that nothing half written is left behind.

    Exits with 143, as shells count it. By itself the signal ends a process where it stands. Put around a command's
    `main`; in another thread than the main one, where Python takes no signals, it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def unwind(number: int, frame: FrameType | None) -> None:
        del frame
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, unwind)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
