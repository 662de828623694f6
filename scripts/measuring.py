"""What the measuring scripts share: the circumstances of a measurement, and the file that it goes to."""

import json
import os
import platform
import shlex
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch


def spread_evenly(count: int, wanted: int) -> list[int]:
    """So many of the numbers below `count`, evenly spread, each once."""
    return np.unique(np.linspace(0, count - 1, min(wanted, count)).round().astype(int)).tolist()


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
