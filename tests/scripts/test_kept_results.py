"""Measurements that are made one by one and kept."""

import importlib
from pathlib import Path

import pytest
from kept_results import measure_each

from tracking.errors import UserError

MODULE = """
import os, signal

def doubled(settings):
    if settings["number"] < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"twice": 2 * settings["number"]}
"""
"""A file of its own, for the measuring process imports what it calls."""


def test_a_measurement_whose_process_is_killed_ends_the_benchmark_and_the_others_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where memory runs out: a pool of processes would wait for it for ever."""
    (tmp_path / "doubling_for_a_test.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    doubled = importlib.import_module("doubling_for_a_test").doubled
    wanted = {"one": {"number": 1}, "killed": {"number": -1}}
    with pytest.raises(UserError, match="killed: its process was ended"):
        measure_each(doubled, wanted, tmp_path, processes=1, threads=1)
    # Kept: it is not made again, for that would write a log.
    (tmp_path / "one.log").unlink()
    found = measure_each(doubled, {"one": {"number": 1}}, tmp_path, processes=1, threads=1)
    assert found["one"]["twice"] == 2 and not (tmp_path / "one.log").exists()
