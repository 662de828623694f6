"""Frames as a numbered sequence of PNG pictures, for programs that want opacity or no video at all."""

import os
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import numpy as np
from jaxtyping import UInt8

from tracking.clip import write_png
from tracking.errors import UserError
from tracking.whole_or_nothing import whole_folder


class PictureWriter:
    """Writes `frame_00000.png` and so on into a folder, with `VideoWriter`'s interface.

    Use as a context manager. The folder appears under its name only when the block ends well.

    Raises:
        UserError: the folder cannot be written; see `require_writable_pictures`.
    """

    def __init__(self, folder: Path) -> None:
        require_writable_pictures(folder)
        self.path = folder
        self._written = 0
        self._resources = ExitStack()

    def write(self, image: UInt8[np.ndarray, "height width channels"], timestamp: int) -> None:
        """Append a picture, RGB or RGBA with colours not multiplied by opacity; time stamps are not kept."""
        del timestamp
        write_png(self._folder / f"frame_{self._written:05d}.png", np.ascontiguousarray(image))
        self._written += 1

    def __enter__(self) -> "PictureWriter":
        self._folder = self._resources.enter_context(whole_folder(self.path))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._resources.__exit__(kind, error, traceback)


def require_writable_pictures(folder: Path) -> None:
    """Check, before any work is done, that a sequence of pictures can be written under this name.

    Raises:
        UserError: the name is a file's, holds something else, or the place is missing or not writable.
    """
    if folder.suffix:
        raise UserError(
            f"Pictures go to a folder, and {folder} looks like a file: give a name without {folder.suffix}."
        )
    if folder.exists() and not (folder.is_dir() and all(path.suffix == ".png" for path in folder.iterdir())):
        raise UserError(f"{folder} holds something that is no picture sequence: give the name of a new folder.")
    parent = folder.resolve().parent
    if not parent.is_dir():
        raise UserError(f"The folder {folder.parent} does not exist: create it, or write somewhere else.")
    if not os.access(parent, os.W_OK):
        raise UserError(f"The folder {folder.parent} is not writable: choose another, or change its permissions.")
