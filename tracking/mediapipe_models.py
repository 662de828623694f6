"""MediaPipe's bundled models, behind one import and without their noise."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np


def load_solutions() -> Any:
    """The module `mediapipe.solutions`.

    Raises:
        ImportError: MediaPipe is not installed, or is a release that no longer bundles its models.
    """
    # glog writes what is below this level (2: errors) to standard error.
    os.environ.setdefault("GLOG_minloglevel", "2")
    try:
        with silenced_native_log():
            from mediapipe.python import solutions
    except ImportError as error:
        raise ImportError("Tracking needs MediaPipe with its bundled models: pip install mediapipe==0.10.9") from error
    return solutions


def start_quietly(make_solution: Callable[[], Any]) -> Any:
    """Build a solution and run it once on a blank picture, which is when its threads say what they have to say."""
    with silenced_native_log():
        solution = make_solution()
        solution.process(np.zeros((64, 64, 3), dtype=np.uint8))
    return solution


@contextlib.contextmanager
def silenced_native_log() -> Iterator[None]:
    """Drop what native code writes to standard error; TensorFlow Lite announces its delegate whatever it is told."""
    try:
        standard_error = sys.__stderr__.fileno() if sys.__stderr__ else -1
        saved = os.dup(standard_error)
    except (OSError, ValueError):
        yield
        return
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), standard_error)
    try:
        yield
    finally:
        os.dup2(saved, standard_error)
        os.close(saved)
