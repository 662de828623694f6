"""A run's folder explains itself."""

import base64
import json
import re
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch

from stage1_edit.edited_frames import folder_name
from stage1_edit.prompts import EditPrompt
from stage2_nerf.run_page import RunFacts, run_page, write_run_page
from stage2_nerf.training_record import RECORD_NAME, TrainingMoment, TrainingRecord, phases, read_record

HAIR, TRICKY = EditPrompt("make it silver", "hair"), EditPrompt('turn <him> & her into "bronze"')


@pytest.fixture
def facts(tmp_path: Path) -> RunFacts:
    run = tmp_path / "a run"
    run.mkdir()
    return RunFacts(run, tmp_path / "clip", tmp_path / "talk.mp4", (HAIR, TRICKY), "offline", (("Steps", "2000"),))


def test_moments_are_kept_in_order_across_runs(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir(), second.mkdir()
    record = TrainingRecord(first)
    assert record.seconds_before == 0
    record.add(TrainingMoment("", 20, 1.5, 22.0))
    record.add(TrainingMoment("hair: make it silver", 20, 3.0, 25.0, 4))
    resumed = TrainingRecord(second, earlier=first)
    assert resumed.seconds_before == 3.0
    resumed.add(TrainingMoment("hair: make it silver", 40, 4.5, 26.0, 8))
    moments = read_record(second)
    assert [moment.seconds for moment in moments] == [1.5, 3.0, 4.5]
    assert {name: len(rows) for name, rows in phases(moments).items()} == {"": 1, "hair: make it silver": 2}
    # A run that goes on in its own folder takes nothing twice.
    assert TrainingRecord(second, earlier=first).seconds_before == 4.5
    assert len(read_record(second)) == 3


def test_a_line_that_was_cut_off_is_passed_over(tmp_path: Path) -> None:
    record = TrainingRecord(tmp_path)
    record.add(TrainingMoment("", 20, 1.5, 22.0))
    with (tmp_path / RECORD_NAME).open("a") as file:
        file.write('{"phase": "", "step": 40, "seco')
    assert [moment.step for moment in read_record(tmp_path)] == [20]


def test_the_page_lists_prompts_videos_edits_and_training(facts: RunFacts) -> None:
    (facts.folder / "take #2.mp4").touch()
    (facts.folder / ".partial.mp4").touch()
    edits = facts.folder / "edited" / folder_name(HAIR, "offline")
    edits.mkdir(parents=True)
    for number in range(20):
        (edits / f"{number:05d}.png").touch()
    record = TrainingRecord(facts.folder)
    for step in (20, 40):
        record.add(TrainingMoment("", step, step / 10, 20.0 + step / 20))
    page = run_page(facts)
    assert "make it silver" in page
    assert "turn &lt;him&gt; &amp; her" in page and "<him>" not in page
    assert page.count("<video") == 1 and 'src="take%20%232.mp4"' in page
    assert ">take #2.mp4</a>" in page
    assert page.count("<img") == 6 and "frame 19 edited" in page
    assert "22.0 dB" in page and "<svg" in page


def test_videos_are_shown_by_their_middle_before_they_are_played(facts: RunFacts) -> None:
    """Where a browser has no H.264 that is all it can show. A cut-off file has no picture, and is listed as well."""
    shades = np.linspace(0, 255, 41).round().astype(np.uint8)
    with av.open(str(facts.folder / "fade.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 640, 320, "yuv420p"
        for shade in shades:
            picture = np.full((320, 640, 3), shade, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode())
    (facts.folder / "cut off.mp4").write_bytes((facts.folder / "fade.mp4").read_bytes()[:40])
    page = run_page(facts)
    assert page.count("<video") == 2
    (encoded,) = re.findall(r'poster="data:image/jpeg;base64,([^"]+)"', page)
    shown = cv2.imdecode(np.frombuffer(base64.b64decode(encoded), np.uint8), cv2.IMREAD_COLOR)
    assert shown is not None and shown.shape == (240, 480, 3)
    assert abs(float(shown.mean()) - shades[20]) < 10


def test_a_fresh_run_has_a_page_too(facts: RunFacts) -> None:
    page = write_run_page(facts).read_text()
    assert "None was rendered" in page
    assert not list(facts.folder.glob("*.partial*"))


def test_the_page_names_only_what_is_beside_it(facts: RunFacts) -> None:
    (facts.folder / "out.mp4").touch()
    for address in re.findall(r'(?:src|href)="([^"]+)"', run_page(facts)):
        assert not address.startswith(("/", "http", "file:")), address


def test_the_commands_survive_a_shell(facts: RunFacts) -> None:
    assert "&#x27;" in run_page(facts), "a folder with a blank in its name is quoted"


def test_a_record_is_lines_of_json(tmp_path: Path) -> None:
    TrainingRecord(tmp_path).add(TrainingMoment("", 1, 0.1, 20.0))
    assert json.loads((tmp_path / RECORD_NAME).read_text())["psnr_in_matte"] == 20.0


def test_time_spent_waiting_for_a_prompt_is_not_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stage2_nerf import run_diary

    clock = [0.0]
    monkeypatch.setattr(run_diary.time, "monotonic", lambda: clock[0])
    diary = run_diary.RunDiary(tmp_path, None)
    clock[0] = 2.0
    diary.note("", 20, torch.tensor(20.0), 0, is_last=True)
    diary.rest()
    clock[0] = 1000.0
    diary.note("bronze", 1, torch.tensor(20.0), 0, is_last=False)
    clock[0] = 1003.0
    diary.note("bronze", 20, torch.tensor(22.0), 0, is_last=False)
    assert [moment.seconds for moment in read_record(tmp_path)] == [2.0, 5.0]
    assert read_record(tmp_path)[1].psnr_in_matte == 21.0
