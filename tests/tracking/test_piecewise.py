"""Pieces of a stage are done once, told once, and given in their order, however they were begun."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tracking.piecewise import PiecewiseStage
from tracking.workers import Advance, Workers
from tracking.workshop import Workshop

FRAMES = {"a": 5, "b": 3, "c": 4, "d": 6}
COUNTING = """
def count_up(advance, frames, calls):
    with calls.open("a") as file:
        file.write(f"{frames}\\n")
    for _ in range(frames):
        advance(1)
    return list(range(frames))
"""


@pytest.fixture
def count_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[int]]:
    """A function in a module of its own, which new processes can import."""
    (tmp_path / "counting.py").write_text(COUNTING)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "counting", raising=False)
    return importlib.import_module("counting").count_up


@pytest.mark.parametrize("processes", [1, 2])
def test_pieces_kept_begun_and_new(tmp_path: Path, processes: int, count_up: Callable[..., list[int]]) -> None:
    (tmp_path / "stages").mkdir()
    calls = tmp_path / "calls"
    pieces = {key: (frames, calls) for key, frames in FRAMES.items()}
    bars: list[tuple[str, int | None, int]] = []
    told: list[int] = []

    def new_bar(stage: str, total: int | None, done: int = 0) -> Advance:
        bars.append((stage, total, done))
        return told.append

    with Workers(processes) as workers:
        stage = PiecewiseStage("numbers", "Counting", count_up, Workshop(tmp_path), workers)
        stage.begin("b", pieces["b"])()
        begun = {"c": stage.begin("c", pieces["c"])}
        results = list(stage.results(pieces, FRAMES, new_bar, begun))
    assert results == [list(range(frames)) for frames in FRAMES.values()]
    ((shown_as, total, done),) = bars
    # The second piece was kept before; the third, begun beside, may have been.
    assert (shown_as, total) == ("Counting", 18) and done in (3, 7)
    assert done + sum(told) == 18
    assert sorted(calls.read_text().split()) == sorted(str(frames) for frames in FRAMES.values())
