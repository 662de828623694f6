"""Long measurements made one by one, each in a process of its own, and kept: an interrupted benchmark goes on.

A process of its own makes peak memory the measurement's own, and lets two be made at once, each on its own threads.
"""

import json
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import redirect_stderr, redirect_stdout
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from unittest import mock

from measuring import use_threads, write_measurements
from nerfstudio.utils.rich_utils import CONSOLE

from tracking.errors import UserError

Settings = dict[str, Any]
"""What a measurement depends on, as JSON could hold it."""
Result = dict[str, Any]


def measure_each(
    measure: Callable[[Settings], Result],
    wanted: dict[str, Settings],
    folder: Path,
    *,
    processes: int,
    threads: int,
    again: bool = False,
) -> dict[str, Result]:
    """Make the measurements that have not been made yet with the same settings.

    Every result says when it was `measured`. That the code has changed since is not noticed: `again` is for that.

    Args:
        measure: makes one; a function of a module, for it is called in another process.
        wanted: the settings of each measurement, by its name.
        folder: where results are kept, and beside each a log of what was printed.
        processes: how many to make at once.
        threads: of each process.
        again: make all of them, whatever is kept.

    Raises:
        UserError: a measurement's process was ended, as it is where memory runs out; what is measured by then is kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {name: {**settings, "threads": threads} for name, settings in wanted.items()}
    results = {name: None if again else kept(folder, name, settings) for name, settings in wanted.items()}
    missing = [(measure, name, wanted[name], folder) for name, result in results.items() if result is None]
    for name, result in results.items():
        if result is not None:
            CONSOLE.print(f"{name}: measured before, {result['measured']}, in {folder}", soft_wrap=True)
    if not missing:
        return {name: result for name, result in results.items() if result is not None}
    # Libraries read these once, when they are loaded, so the new processes must find them.
    limits = {"OMP_NUM_THREADS": str(threads), "NUMBA_NUM_THREADS": str(threads)}
    with (
        # This process keeps its own: numba refuses another number once its threads run.
        mock.patch.dict(os.environ, limits),
        ThreadPoolExecutor(max(1, min(processes, len(missing)))) as starters,
        CONSOLE.status(f"Measuring {', '.join(name for _, name, _, _ in missing)}: {folder}/*.log tell how far it is"),
    ):
        started = [starters.submit(measure_apart, task) for task in missing]
        try:
            for done in as_completed(started):
                name, result = done.result()
                results[name] = result
                CONSOLE.print(f"{name}: measured")
        except BaseException:
            starters.shutdown(wait=False, cancel_futures=True)
            raise
    return {name: result for name, result in results.items() if result is not None}


def measure_apart(task: tuple[Callable[[Settings], Result], str, Settings, Path]) -> tuple[str, Result]:
    """Make one measurement in a process of its own.

    Raises:
        UserError: the process ended before the measurement did.
    """
    _, name, _, folder = task
    # A pool of several processes would wait for ever for what one that was killed had begun.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        try:
            return process.submit(measure_and_keep, task).result()
        except BrokenProcessPool as error:
            raise UserError(
                f"{name}: its process was ended from outside, most likely because memory ran out; {folder / name}.log "
                "tells how far it was. Run the same command again with fewer processes: what is measured is kept."
            ) from error


def measure_and_keep(task: tuple[Callable[[Settings], Result], str, Settings, Path]) -> tuple[str, Result]:
    """Make one measurement and write it down whole."""
    measure, name, settings, folder = task
    with (folder / f"{name}.log").open("w") as log, redirect_stdout(log), redirect_stderr(log):
        use_threads(settings["threads"])
        result = {"measured": datetime.now(timezone.utc).isoformat(timespec="seconds"), **measure(settings)}
    partial = folder / f"{name}.partial.json"
    write_measurements(partial, {"settings": settings, "result": result})
    partial.replace(folder / f"{name}.json")
    return name, result


def kept(folder: Path, name: str, settings: Settings) -> Result | None:
    """A result that was made with these settings."""
    path = folder / f"{name}.json"
    if not path.is_file():
        return None
    found = json.loads(path.read_text())
    return found["result"] if found["settings"] == json.loads(json.dumps(settings)) else None
