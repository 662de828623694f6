"""MediaPipe's bundled models, behind one import and without their noise."""

import contextlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

UNUSED_IMPORTS = ("matplotlib", "matplotlib.pyplot", "sounddevice")
"""What MediaPipe imports for its drawings and its microphone: two thirds of the 1.5 s that its own import takes."""


def load_solutions() -> Any:
    """The module `mediapipe.solutions`.

    Raises:
        ImportError: MediaPipe is not installed, or is a release that no longer bundles its models.
    """
    # glog writes what is below this level (2: errors) to standard error.
    os.environ.setdefault("GLOG_minloglevel", "2")
    try:
        with silenced_native_log(), imported_when_used(*UNUSED_IMPORTS):
            from mediapipe.python import solutions
    except ImportError as error:
        raise ImportError("Tracking needs MediaPipe with its bundled models: pip install mediapipe==0.10.9") from error
    return solutions


@contextlib.contextmanager
def imported_when_used(*names: str) -> Iterator[None]:
    """Whoever imports these modules meanwhile gets stand-ins that import the real ones once something of them is used.

    Modules that are loaded already, or not installed, are left as they are.
    """
    stand_ins: dict[str, ModuleType] = {}
    for name in names:
        package, _, part = name.partition(".")
        if name not in sys.modules and (package in stand_ins or importlib.util.find_spec(package) is not None):
            stand_ins[name] = sys.modules[name] = _StandIn(name)
            if package in stand_ins and part:
                setattr(stand_ins[package], part, stand_ins[name])
    try:
        yield
    finally:
        for name, stand_in in stand_ins.items():
            if sys.modules.get(name) is stand_in:
                del sys.modules[name]


class _StandIn(ModuleType):
    def __getattr__(self, name: str) -> Any:
        # The import system's own questions do not count as use.
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(importlib.import_module(self.__name__), name)


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
