"""Where a clip is made: a hidden folder beside it, which an interrupted command leaves and the next one goes on with.

    .clip.tracking/
        made_from.json    what identifies the work: the video file, the options, the code
        stages/           results of finished stages and stretches of frames, one file each
        new/              the clip so far
        lock              held by the command that works here

The clip takes its name only when it is whole. What is read back here was written by the same user, who alone may write
to the folder.
"""

import fcntl
import hashlib
import json
import logging
import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tracking.errors import ResumableError, UserError, writing_failed

logger = logging.getLogger(__name__)

Result = TypeVar("Result")


@dataclass(frozen=True)
class Workshop:
    """A folder in which a clip is being made."""

    folder: Path

    @property
    def clip(self) -> Path:
        """The clip so far."""
        return self.folder / "new"

    def is_kept(self, name: str) -> bool:
        """Whether a stage's result is there."""
        return self.path_of(name).is_file()

    def kept(self, name: str) -> Any:
        """A stage's result."""
        return read_stage(self.path_of(name))

    def once(self, name: str, make: Callable[[], Result]) -> Result:
        """The stage's result, which is made only if it is not there yet."""
        if not self.is_kept(name):
            write_stage(self.path_of(name), make())
        return self.kept(name)

    def path_of(self, name: str) -> Path:
        """The file of a stage's result, for `read_stage` and `write_stage` in another process."""
        return self.folder / "stages" / f"{name}.pickle"


def read_stage(path: Path) -> Any:
    """A stage's result from its file."""
    with path.open("rb") as file:
        return pickle.load(file)


def write_stage(path: Path, result: Any) -> None:
    """Write a stage's result to its file, whole or not at all."""
    partial = path.with_suffix(".partial")
    try:
        with partial.open("wb") as file:
            pickle.dump(result, file, protocol=pickle.HIGHEST_PROTOCOL)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise writing_failed(partial, error) from error
    partial.replace(path)


def code_mark(folder: Path, patterns: tuple[str, ...] = ("*.py",)) -> str:
    """What stands for the text of a folder's modules: what other code has begun may mean something else to this one.

    Args:
        folder: where they are.
        patterns: of the names of those that matter.
    """
    paths = {path for pattern in patterns for path in folder.glob(pattern)}
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(paths))).hexdigest()


def work_identity(video: Path, options: dict[str, Any]) -> dict[str, Any]:
    """What must be equal for work to go on: the file, the options that the result depends on, the code."""
    facts = video.stat()
    return {
        "video": str(video.resolve()),
        "size": facts.st_size,
        "modified": facts.st_mtime_ns,
        "options": json.loads(json.dumps(options, default=str)),
        "code": code_mark(Path(__file__).parent),
    }


@contextmanager
def open_workshop(clip: Path, identity: dict[str, Any]) -> Iterator[Workshop]:
    """The workshop of a clip, found as it was left or set up; when the block ends well, the clip takes its name.

    What is there is kept if the block is interrupted, and removed if the input turns out to be of no use.

    Raises:
        UserError: another command works on the same clip, or the folder cannot be written to.
    """
    clip = clip.resolve()
    folder = clip.parent / f".{clip.name}.tracking"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise UserError(f"Cannot write to {clip.parent} ({error.strerror}): choose another folder.") from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"Another portrait-track is writing {clip}: wait until it has ended, or give another name."
            ) from error
        yield from _at_work(folder, clip, identity)
    finally:
        os.close(lock)


def _at_work(folder: Path, clip: Path, identity: dict[str, Any]) -> Iterator[Workshop]:
    workshop = Workshop(folder)
    try:
        _set_up(workshop, identity)
        yield workshop
        if clip.exists():
            shutil.rmtree(folder / "old", ignore_errors=True)
            clip.rename(folder / "old")
        workshop.clip.rename(clip)
    except ResumableError:
        raise
    except UserError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    except BaseException:
        if not any((folder / "stages").glob("*.pickle")):
            shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)


def _set_up(workshop: Workshop, identity: dict[str, Any]) -> None:
    made_from = workshop.folder / "made_from.json"
    if _is_own(workshop.folder) and made_from.is_file() and made_from.read_text() == json.dumps(identity):
        logger.info("Going on with the tracking that was interrupted.")
        return
    for path in workshop.folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != "lock":
            path.unlink()
    (workshop.folder / "stages").mkdir()
    workshop.clip.mkdir()
    made_from.write_text(json.dumps(identity))


def _is_own(folder: Path) -> bool:
    """Whether nobody else can have written what is there."""
    facts = folder.stat()
    return facts.st_uid == os.geteuid() and not facts.st_mode & 0o022
