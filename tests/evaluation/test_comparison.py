"""Evaluations as a file, as a page, and next to each other."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evaluation.compare import compare_folders, short_names
from evaluation.comparison import compare
from evaluation.measurement import Measure
from evaluation.report import ReportPictures, report_page, sheet_rows, worst_rows
from evaluation.results import Evaluation, EvaluationSet
from tracking.errors import UserError

FRAMES = np.arange(40)


def evaluation(name: str, shift: float = 0.0, frames: np.ndarray = FRAMES, is_edit: bool = True) -> Evaluation:
    """Three measures: one of every frame, one of the whole, and one that is missing."""
    curve = np.sin(frames / 3.0) + shift
    measures = [
        Measure("landmark_distance", float(curve.mean()), "How far <lips> moved.", "", "lower", curve=curve),
        Measure("lip_aperture_correlation", 0.9 + shift / 10, "In time?", "", "higher"),
        Measure("identity", None, "The same person?", "", "higher", "No weights: fetch them."),
    ]
    return Evaluation(name, is_edit, "edit.mp4", frames, frames / 25, measures, [f"About {name}."])


def evaluations(*entries: Evaluation, source: str = "talk.mp4") -> EvaluationSet:
    return EvaluationSet(source, 25.0, (96, 64), list(entries), ["Of all."])


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    curve = np.array([0.25, np.nan, 0.5])
    measures = [Measure("psnr", math.inf, "Like?", "dB", "higher", curve=curve)]
    entry = replace(evaluation("hair"), measures=measures, frames=FRAMES[:3], seconds=FRAMES[:3] / 4)
    evaluations(entry).save(tmp_path)
    (read,) = EvaluationSet.load(tmp_path).evaluations
    assert (read.name, read.is_edit, read.remarks) == ("hair", True, ["About hair."])
    np.testing.assert_array_equal(read.measures[0].curve, curve)
    np.testing.assert_array_equal(read.seconds, [0, 0.25, 0.5])
    assert read.measures[0].value is None, "infinity is no number of JSON's"
    assert (read.measures[0].unit, read.measures[0].better) == ("dB", "higher")


@pytest.mark.parametrize(
    ("text", "expected"),
    [(None, "does not exist"), ("{", "damaged"), ("[]", "not written by"), ('{"format": "other"}', "not written by")],
)
def test_what_is_no_evaluation_is_refused(tmp_path: Path, text: str | None, expected: str) -> None:
    if text is not None:
        (tmp_path / "metrics.json").write_text(text)
    with pytest.raises(UserError, match=expected):
        EvaluationSet.load(tmp_path)


def test_differences_are_of_the_frames_that_both_have() -> None:
    first = evaluations(evaluation("hair"))
    second = evaluations(evaluation("hair", shift=0.5, frames=FRAMES[10:]))
    (comparison,) = compare([first, second], ["a", "b"])
    rows = {row.measure.name: row for row in comparison.measures}
    assert comparison.frames == 30
    interval = rows["landmark_distance"].differences[0].interval
    assert interval is not None
    assert interval.mean == pytest.approx(0.5) == interval.low
    assert rows["lip_aperture_correlation"].differences[0].change == pytest.approx(0.05)
    assert rows["lip_aperture_correlation"].differences[0].interval is None
    assert math.isnan(rows["identity"].differences[0].change)


def test_edits_of_the_same_prompt_are_compared_and_else_the_only_ones() -> None:
    unedited = evaluation("unedited", is_edit=False)
    hair, statue = evaluation("hair"), evaluation("statue")
    first = evaluations(unedited, hair, statue)
    found = compare([first, evaluations(unedited, statue)], ["a", "b"])
    assert [comparison.subject for comparison in found] == ["unedited", "statue"]
    found = compare([evaluations(hair), evaluations(evaluation("other.mp4"))], ["a", "b"])
    assert [comparison.subject for comparison in found] == ["hair / other.mp4"]
    with pytest.raises(UserError, match="share no edit"):
        compare([evaluations(hair, statue), evaluations(evaluation("other.mp4"))], ["a", "b"])
    with pytest.raises(UserError, match="different source"):
        compare([first, evaluations(hair, source="other.mp4")], ["a", "b"])
    with pytest.raises(UserError, match="no frame in common"):
        compare([evaluations(hair), evaluations(evaluation("hair", frames=FRAMES + 100))], ["a", "b"])


def test_folders_of_runs_and_of_evaluations_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, shift in (("run", 0.0), ("other", 0.5)):
        folder = tmp_path / name / "evaluation" if name == "run" else tmp_path / name
        folder.mkdir(parents=True)
        evaluations(evaluation("hair", shift)).save(folder)
    compare_folders([tmp_path / "run", tmp_path / "other"], tmp_path / "out", overwrite=False)
    assert "Landmark distance" in capsys.readouterr().out
    written = json.loads((tmp_path / "out" / "comparison.json").read_text())["comparisons"][0]
    assert written["names"] == ["run", "other"]
    assert written["measures"]["landmark_distance"]["differences"][0]["mean_over_frames"]["mean"] == 0.5
    page = (tmp_path / "out" / "comparison.html").read_text()
    assert re.search(r'class="bad">0.500 \[0.500, 0.500\]', page), "a greater distance is surely worse"
    with pytest.raises(UserError, match="--overwrite"):
        compare_folders([tmp_path / "run", tmp_path / "other"], tmp_path / "out", overwrite=False)


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yml").touch()
    with pytest.raises(UserError, match="two folders"):
        compare_folders([tmp_path], None, overwrite=False)
    with pytest.raises(UserError, match="has not been evaluated"):
        compare_folders([tmp_path / "run", tmp_path], None, overwrite=False)
    with pytest.raises(UserError, match="holds no evaluation"):
        compare_folders([tmp_path, tmp_path], None, overwrite=False)


def test_names_tell_folders_apart() -> None:
    assert short_names([Path("/a/x/evaluation"), Path("/b/y")]) == ["x", "y"]
    assert short_names([Path("/a/x"), Path("/b/x")]) == ["a/x", "b/x"]


def test_the_report_explains_every_number_and_needs_nothing_outside(tmp_path: Path) -> None:
    video = tmp_path / "side.mp4"
    video.write_bytes(b"video")
    entries = [evaluation("hair: make it <silver>"), evaluation("statue", 0.1)]
    pictures = [
        ReportPictures(dict.fromkeys([*sheet_rows(entry), *dict(worst_rows(entry))], ("data:a", "data:b")))
        for entry in entries
    ]
    page = report_page(evaluations(*entries), pictures, [video, video])
    for expected in ("How far &lt;lips&gt; moved.", "hair: make it &lt;silver&gt;", "Of all.", "About statue."):
        assert expected in page
    assert "Identity: No weights: fetch them." in page
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    assert "<script" not in page


def test_the_worst_frame_is_the_one_with_the_greatest_distance() -> None:
    entry = evaluation("hair")
    curve = entry.measures[0].curve
    assert curve is not None
    assert worst_rows(entry) == [(int(curve.argmax()), ["landmark_distance"])]
