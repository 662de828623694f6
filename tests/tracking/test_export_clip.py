"""The commands `portrait-export` and `portrait-import`: what they write, and mistakes told in one line."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import tracking.export_clip
import tracking.import_clip
from tracking.arkit_csv import read_arkit_csv
from tracking.clip import TrackedClip, write_png


@pytest.fixture
def whole_clip(known_clip: TrackedClip) -> TrackedClip:
    """A clip with all its files."""
    for frame in known_clip.frames:
        for path in known_clip.picture_paths(frame):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_png(path, np.zeros((8, 8), np.uint8))
    write_png(known_clip.background_path, np.zeros((8, 8), np.uint8))
    known_clip.save_description()
    return known_clip


def run(main: Callable[[], None], monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["portrait", *map(str, arguments)])
    try:
        main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_export_writes_what_the_suffix_says(
    whole_clip: TrackedClip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    export = tracking.export_clip.main
    assert run(export, monkeypatch, whole_clip.root, tmp_path / "face.csv") == 0
    assert run(export, monkeypatch, whole_clip.root, tmp_path / "head.GLB") == 0
    assert "head.GLB" in capsys.readouterr().out
    assert len(read_arkit_csv(tmp_path / "face.csv").times) == len(whole_clip.frames)
    assert (tmp_path / "head.GLB").read_bytes()[:4] == b"glTF"


def test_export_tells_mistakes_in_one_line(
    whole_clip: TrackedClip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    export = tracking.export_clip.main
    (tmp_path / "there.csv").write_text("mine")
    for clip, output, message in (
        (whole_clip.root, tmp_path / "head.fbx", "ends in neither .csv nor .glb"),
        (whole_clip.root, tmp_path / "there.csv", "exists: add --overwrite"),
        (tmp_path / "none", tmp_path / "face.csv", "is not a tracked clip"),
    ):
        assert run(export, monkeypatch, clip, output) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
    assert (tmp_path / "there.csv").read_text() == "mine"
    assert run(export, monkeypatch, whole_clip.root, tmp_path / "there.csv", "--overwrite") == 0
    assert (tmp_path / "there.csv").read_text().startswith("Timecode")


def test_a_csv_goes_through_both_commands(
    whole_clip: TrackedClip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table, first = tmp_path / "face.csv", whole_clip.seconds[whole_clip.frames[0]]
    run(tracking.export_clip.main, monkeypatch, whole_clip.root, table)
    command = tracking.import_clip.main
    assert run(command, monkeypatch, table, whole_clip.root, "--offset", first) == 0
    assert "34 of 40 frames" in capsys.readouterr().out
    after = TrackedClip.load(whole_clip.root)
    np.testing.assert_allclose(after.track.expression, whole_clip.track.expression, atol=1e-3)
    assert run(command, monkeypatch, table, tmp_path / "none") == 2
    assert "is not a tracked clip" in capsys.readouterr().err
    assert run(command, monkeypatch, tmp_path / "none", tmp_path / "clip") == 2
    assert capsys.readouterr().err.startswith("portrait-edit: ")


def test_import_never_overwrites_what_is_no_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "transforms.json").write_text('{"frames": [{"expression": [0]}]}')
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "letter.txt").write_text("dear")
    command = tracking.import_clip.main
    assert run(command, monkeypatch, tmp_path / "data", tmp_path / "letters", "--overwrite") == 2
    assert "no tracked clip: give the name of a new folder" in capsys.readouterr().err
    assert (tmp_path / "letters" / "letter.txt").read_text() == "dear"
    assert run(command, monkeypatch, tmp_path / "data", tmp_path / "clip", "--frame-rate", "0") == 2
    assert "--frame-rate" in capsys.readouterr().err
