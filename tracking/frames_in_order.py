"""Frames by number, for those who mostly ask for them in order."""

from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import UInt8

NumberedFrames = Iterator[tuple[int, UInt8[np.ndarray, "height width 3"]]]


class FramesInOrder:
    """Frames of a video that is decoded from its beginning whenever an earlier frame is asked for.

    One frame is held at a time, however long the video.
    """

    def __init__(self, restart: Callable[[], NumberedFrames]) -> None:
        """
        Args:
            restart: begins to give the frames with their numbers, which increase.
        """
        self._restart = restart
        self._frames = restart()
        self._last: tuple[int, UInt8[np.ndarray, "height width 3"]] | None = None

    def __call__(self, number: int) -> UInt8[np.ndarray, "height width 3"]:
        """The frame of that number.

        Raises:
            IndexError: there is none.
        """
        if self._last is not None and number < self._last[0]:
            self._frames, self._last = self._restart(), None
        while self._last is None or self._last[0] < number:
            self._last = next(self._frames, None)
            if self._last is None:
                break
        if self._last is None or self._last[0] != number:
            self._frames, self._last = self._restart(), None
            raise IndexError(f"There is no frame {number}.")
        return self._last[1]
