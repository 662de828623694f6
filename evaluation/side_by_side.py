"""A small video of source and edit side by side, for looking at in a page."""

from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import cv2
import numpy as np
from av.error import FFmpegError

from evaluation.measurement import FramePair
from tracking.errors import UserError

GREATEST_HEIGHT = 320
"""Pixels; browsers enlarge what is smaller."""
TIME_BASE = Fraction(1, 90000)
OPTIONS = {"crf": "23", "preset": "medium"}


class SideBySide:
    """Writes pairs of frames, source to the left, as H.264 that every browser plays. A context manager."""

    def __init__(self, path: Path, frames_per_second: float) -> None:
        self.path = path
        self._rate = Fraction(frames_per_second).limit_denominator(1001)
        self._partial = path.with_name(f".{path.stem}.partial{path.suffix}")
        self._container: Any = None
        self._stream: Any = None
        self._first: float | None = None
        self._last = -1

    def update(self, pair: FramePair) -> None:
        """Append a pair."""
        height = min(GREATEST_HEIGHT, pair.source.shape[0]) // 2 * 2
        width = max(2, round(height * pair.source.shape[1] / pair.source.shape[0] / 2) * 2)
        panels = [
            cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA) for picture in (pair.source, pair.edited)
        ]
        if self._container is None:
            self._open(2 * width, height)
        picture = np.concatenate(panels, axis=1, dtype=np.uint8)
        frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format="yuv420p")
        self._first = pair.time if self._first is None else self._first
        self._last = max(self._last + 1, round((pair.time - self._first) / TIME_BASE))
        frame.pts, frame.time_base = self._last, TIME_BASE
        self._container.mux(self._stream.encode(frame))

    def __enter__(self) -> "SideBySide":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._container is None:
            return
        if error is None:
            self._container.mux(self._stream.encode())
        self._container.close()
        if error is None:
            self._partial.replace(self.path)
        else:
            self._partial.unlink(missing_ok=True)

    def _open(self, width: int, height: int) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._container = av.open(str(self._partial), "w", options={"movflags": "+faststart"})
        except (OSError, FFmpegError) as error:
            raise UserError(f"Cannot write {self.path} ({error.strerror}): choose another --output.") from error
        self._stream = self._container.add_stream("libx264", rate=self._rate, options=OPTIONS)
        self._stream.width, self._stream.height, self._stream.pix_fmt = width, height, "yuv420p"
        self._stream.time_base = self._stream.codec_context.time_base = TIME_BASE
