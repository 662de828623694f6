"""What the measuring scripts share: the circumstances of a measurement, and the file that it goes to."""

import json
import os
import platform
import resource
import shlex
import sys
from datetime import datetime, timezone
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import torch


def circumstances() -> dict[str, Any]:
    """When, how and on what the measurements were made: not where, so that no one's folders are told."""
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": shlex.join(["python", *(without_folders(word) for word in sys.argv)]),
        "machine": {
            "processor": processor_name(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
            "system": platform.system(),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "opencv": cv2.__version__,
        },
    }


def use_threads(threads: int) -> None:
    """Compute on so many threads from now on, in torch and, where it is there, numba.

    numba comes first: when its OpenMP layer starts, everything in the process that uses OpenMP gets as many threads as
    there are cores, torch too. With both cores busy that made a training step seven times slower.
    """
    if find_spec("numba") is not None:
        import numba

        numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))  # pyright: ignore
    torch.set_num_threads(threads)


def peak_memory_bytes() -> int:
    """The most memory that this process has held so far; on a CUDA device, the most that torch held there."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return held if platform.system() == "Darwin" else 1024 * held


def forget_peak_memory() -> None:
    """Begin to note the peak anew, where the system can."""
    switch = Path("/proc/self/clear_refs")
    if switch.exists():
        switch.write_text("5")


def peak_memory() -> int | None:
    """The most memory of this process since, in megabytes; none where the system does not tell."""
    facts = Path("/proc/self/status")
    if not facts.is_file():
        return None
    line = next(line for line in facts.read_text().splitlines() if line.startswith("VmHWM"))
    return round(int(line.split()[1]) / 1024)


def without_folders(word: str) -> str:
    """The word as typed; of an absolute path the name alone."""
    return Path(word).name if Path(word).is_absolute() else word


def processor_name() -> str:
    """The processor's model, where the system tells it."""
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def write_measurements(path: Path, measurements: dict[str, Any]) -> None:
    """Write them as JSON, making the folder if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(measurements, indent=2) + "\n", encoding="utf-8")
