"""Where a clip's frames are decoded to, once: memory, or for a long clip a file that later runs find again.

    clip/.frames.portrait-edit    one page that says what the file was made from, then a record for each tracked frame

The file is written under another name and takes its own when it is whole. It is made again when a picture of the clip
changes. Several processes that want it wait for the first of them.
"""

import errno
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from nerfstudio.utils.rich_utils import CONSOLE
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from stage2_nerf.frame_record import FrameLayout, write_record
from stage2_nerf.frame_store import FileFrames, FrameStore, MemoryFrames
from tracking.clip import TrackedClip
from tracking.console import say
from tracking.errors import UserError, writing_failed

FORMAT = 1
"""Raised whenever records change, so that older files are made again."""
FIRST_PAGE = 4096
"""Bytes before the first record."""
GIGABYTE = 1e9
WORTH_A_BAR = 200
"""Frames, at 256 x 256, that take about two seconds to decode."""


def open_frames(clip: TrackedClip, most_in_memory: float, folder: Path | None) -> FrameStore:
    """All tracked frames of a clip: from memory if they need no more than so many gigabytes, else from a file.

    Args:
        folder: where to keep the file; the clip's own folder if none is given.

    Raises:
        UserError: the file cannot be written, or there is no room for it.
    """
    layout = FrameLayout(clip.intrinsics.height, clip.intrinsics.width)
    frames = len(clip.frames)
    size = frames * layout.size
    if size <= most_in_memory * GIGABYTE:
        records = np.empty((frames, layout.size), dtype=np.uint8)
        decode(clip, layout, lambda row, record: np.copyto(records[row], record))
        return MemoryFrames(layout, records, clip.plate())
    folder = clip.root if folder is None else folder
    file = folder / (".frames.portrait-edit" if folder == clip.root else f".{clip.root.name}.frames.portrait-edit")
    identity = clip_identity(clip)
    with locked(folder):
        if not is_made_from(file, identity):
            make_file(clip, layout, file, identity, size)
    return FileFrames(layout, file, FIRST_PAGE, frames, clip.plate())


def make_file(clip: TrackedClip, layout: FrameLayout, file: Path, identity: str, size: int) -> None:
    """Decode a clip into a file, which takes its name when it is whole.

    Raises:
        UserError: there is no room for it, or it may not be written there.
    """
    free = shutil.disk_usage(file.parent).free
    if free < size + FIRST_PAGE:
        raise UserError(
            f"The decoded frames of {clip.root} need {size / GIGABYTE:.1f} GB in {file.parent}, which has "
            f"{free / GIGABYTE:.1f} GB left: free some, or name another place with "
            "--pipeline.datamanager.frame-folder."
        )
    say(
        CONSOLE,
        f"Decoding {len(clip.frames)} frames into {file}, once: {size / GIGABYTE:.1f} GB of "
        f"{free / GIGABYTE:.1f} GB free. Delete it whenever you like.",
    )
    partial = file.with_name(f"{file.name}.partial")
    try:
        with partial.open("wb", buffering=0) as writing:
            descriptor = writing.fileno()
            # Reserved at once: a disk that fills up in the middle would have cost minutes for nothing.
            os.posix_fallocate(descriptor, 0, FIRST_PAGE + size)
            os.pwrite(descriptor, identity.encode().ljust(FIRST_PAGE), 0)
            decode(
                clip,
                layout,
                lambda row, record: os.pwrite(descriptor, record.data, FIRST_PAGE + row * layout.size),
            )
        partial.replace(file)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise UserError(
                f"Cannot write to {file.parent}, where this long clip's decoded frames are to be kept "
                f"({size / GIGABYTE:.1f} GB): name another place with --pipeline.datamanager.frame-folder."
            ) from error
        raise writing_failed(file, error) from error
    finally:
        partial.unlink(missing_ok=True)


def decode(clip: TrackedClip, layout: FrameLayout, keep: Callable[[int, np.ndarray], object]) -> None:
    """Decode every tracked frame, on all cores, and hand over each one's row and record."""
    plate = clip.plate()
    threads = os.cpu_count() or 1

    def make(row: int) -> None:
        record = np.empty(layout.size, dtype=np.uint8)
        write_record(clip, int(clip.frames[row]), plate, layout, record)
        keep(row, record)

    pixels = len(clip.frames) * layout.height * layout.width
    bars = Progress(
        TextColumn("Decoding frames"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=CONSOLE,
        disable=pixels < WORTH_A_BAR * 256 * 256,
    )
    with ThreadPoolExecutor(threads) as workers, bars:
        try:
            for _ in bars.track(workers.map(make, range(len(clip.frames))), total=len(clip.frames)):
                pass
        except BaseException:
            workers.shutdown(cancel_futures=True)
            raise


def clip_identity(clip: TrackedClip) -> str:
    """What a file of decoded frames depends on: the pictures' sizes and times of change, and the layout's version."""
    digest = hashlib.sha256()
    paths = [clip.background_path]
    for frame in clip.frames.tolist():
        paths += clip.picture_paths(frame)
    for path in paths:
        facts = path.stat()
        digest.update(f"{path.name} {facts.st_size} {facts.st_mtime_ns}\n".encode())
    facts = {
        "what": "portrait-edit frames",
        "format": FORMAT,
        "width": clip.intrinsics.width,
        "height": clip.intrinsics.height,
        "frames": len(clip.frames),
        "background": clip.background_kind,
        "pictures": digest.hexdigest(),
    }
    return json.dumps(facts)


def is_made_from(file: Path, identity: str) -> bool:
    """Whether a whole file is there that was made from this clip as it is now."""
    if not file.is_file():
        return False
    with file.open("rb") as reading:
        return reading.read(FIRST_PAGE).rstrip() == identity.encode()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes from making the same file; whoever comes later waits here and finds it made."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
