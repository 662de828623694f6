"""Fixtures shared by all tests."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def carphone() -> Path:
    """A real talking portrait: 120 frames of 176 x 144 pixels.

    The environment variable PORTRAIT_EDIT_DEMO_CLIP may name the file; otherwise it is fetched once.
    """
    stated = os.environ.get("PORTRAIT_EDIT_DEMO_CLIP")
    path = Path(stated) if stated else REPOSITORY / "demo" / "carphone.mp4"
    if not path.is_file():
        subprocess.run([sys.executable, REPOSITORY / "scripts" / "fetch_demo_clip.py"], check=True)
    return path
