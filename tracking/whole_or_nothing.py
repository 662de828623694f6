"""Folders and files that appear under their names only when they are whole."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tracking.errors import UserError


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A folder to write to, which takes the given name if all goes well and is removed if anything does not.

    Raises:
        UserError: the place is not writable.
    """
    folder = folder.resolve()
    try:
        workshop = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise UserError(f"Cannot write to {folder.parent} ({error.strerror}): choose another folder.") from error
    try:
        partial = workshop / "new"
        partial.mkdir()
        yield partial
        if folder.exists():
            folder.rename(workshop / "old")
        partial.rename(folder)
    finally:
        shutil.rmtree(workshop, ignore_errors=True)


def require_room_for_clip(clip: Path, overwrite: bool) -> None:
    """Check, before any work is done, that a clip may be written under this name.

    Raises:
        UserError: the name is taken, or the place does not exist or is not writable.
    """
    if clip.is_file():
        raise UserError(f"{clip} is a file: give the name of a folder to write the clip to.")
    if clip.is_dir() and any(clip.iterdir()):
        if not (clip / "tracking.npz").is_file():
            raise UserError(f"{clip} holds something that is no tracked clip: give the name of a new folder.")
        if not overwrite:
            raise UserError(f"{clip} is already a tracked clip: use it, give another name, or add --overwrite.")
    parent = clip.resolve().parent
    if not parent.is_dir():
        raise UserError(f"The folder {clip.parent} does not exist: create it, or write somewhere else.")
    if not os.access(parent, os.W_OK):
        raise UserError(f"The folder {clip.parent} is not writable: choose another, or change its permissions.")
