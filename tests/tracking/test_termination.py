"""A command that is told to end leaves nothing half written."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tracking.termination import ended_in_order


def test_what_is_half_written_is_cleared_away(tmp_path: Path) -> None:
    script = """
import sys, time
from pathlib import Path

from tracking.termination import ended_in_order
from tracking.whole_or_nothing import whole_folder

with ended_in_order(), whole_folder(Path(sys.argv[1]) / "clip") as folder:
    (folder / "picture").write_text("half")
    (Path(sys.argv[1]) / "begun").touch()
    time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", script, tmp_path], stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "begun").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.terminate()
    _, said = process.communicate(timeout=30)
    assert process.returncode == 143 and said == ""
    assert [path.name for path in tmp_path.iterdir()] == ["begun"]


def test_afterwards_the_signal_is_whose_it_was() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended, ended_in_order():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1)
    assert ended.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is before
