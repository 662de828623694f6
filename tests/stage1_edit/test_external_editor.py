"""Pictures edited elsewhere, matched to frames by name."""

import logging
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from stage1_edit.editor import EditRequest
from stage1_edit.external_editor import (
    ExternalEditor,
    ExternalEditorConfig,
    check_external,
    number_in,
    prompt_folder,
)
from stage1_edit.prompts import EditPrompt
from tracking.clip import SourceVideo, TrackedClip
from tracking.errors import UserError

PROMPT = EditPrompt("as a bronze statue")
HEIGHT, WIDTH = 24, 32


class Track:
    """Frames 0 to 9 were tracked."""

    tracked = np.ones(10, bool)


@pytest.fixture
def clip(tmp_path: Path) -> TrackedClip:
    """Crops, 32 x 24, of a video of 64 x 48, from (16, 12) on."""
    from tracking.clip import Intrinsics

    source = SourceVideo("talk.mp4", 64, 48, "25", "1/25", (16, 12, 32, 24))
    return TrackedClip(tmp_path / "clip", source, Intrinsics(40, 16, 12, WIDTH, HEIGHT), Track(), "plate")  # type: ignore


def paint(path: Path, level: int, width: int = WIDTH, height: int = HEIGHT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = np.full((height, width, 3), level, np.uint8)
    picture[..., 0] = 7  # OpenCV's blue
    assert cv2.imwrite(str(path), picture)
    return path


def request(frame: int | None, noise_level: float = 1.0) -> EditRequest:
    grey = torch.full((HEIGHT, WIDTH, 3), 0.5)
    labels = torch.ones(HEIGHT, WIDTH, dtype=torch.uint8)
    return EditRequest(
        PROMPT, grey, grey, torch.ones(HEIGHT, WIDTH, 1), labels, noise_level, torch.Generator(), frame=frame
    )


def editor(folder: Path, clip: TrackedClip | None = None) -> ExternalEditor:
    return ExternalEditor(ExternalEditorConfig(folder), clip)


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("00012", 12),
        ("12", 12),
        ("frame_12", 12),
        ("00012-v2", 12),
        ("2024_00012", 12),
        ("face3_7", 7),
        ("bronze", None),
    ],
)
def test_numbers_in_names(name: str, number: int | None) -> None:
    assert number_in(name) == number


def test_pictures_come_back_for_their_frames_and_nothing_for_the_others(tmp_path: Path, clip: TrackedClip) -> None:
    paint(tmp_path / "in" / "00003.png", 100)
    paint(tmp_path / "in" / "painted 5.bmp", 200)
    (tmp_path / "in" / "notes 4.txt").write_text("4")
    third, fourth, fifth = editor(tmp_path / "in", clip).edit([request(3, 0.2), request(4), request(5)])
    assert fourth is None
    for edit, level in ((third, 100), (fifth, 200)):
        assert edit.shape == (HEIGHT, WIDTH, 3)
        assert torch.equal((edit * 255).round(), torch.tensor([level, level, 7]).float().expand(HEIGHT, WIDTH, 3))


def test_another_size_of_the_same_shape_is_resized_and_said_once(tmp_path: Path, clip: TrackedClip, caplog) -> None:
    for frame in (0, 1):
        paint(tmp_path / "in" / f"{frame}.png", 80, 3 * WIDTH, 3 * HEIGHT)
    external = editor(tmp_path / "in", clip)
    with caplog.at_level(logging.WARNING):
        edits = external.edit([request(0), request(1)])
    assert [edit.shape for edit in edits] == [(HEIGHT, WIDTH, 3)] * 2
    assert [record.getMessage().endswith("resized from 96 x 72 to 32 x 24.") for record in caplog.records] == [True]


def test_whole_source_frames_are_cropped_as_the_clip_is(tmp_path: Path, clip: TrackedClip) -> None:
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[12:36, 16:48] = 255
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in" / "2.png"), picture)
    assert (editor(tmp_path / "in", clip).edit([request(2)])[0] == 1).all()


def test_another_shape_is_refused(tmp_path: Path, clip: TrackedClip) -> None:
    paint(tmp_path / "in" / "2.png", 9, 30, 30)
    with pytest.raises(
        UserError, match=r"2.png is 30 x 30, and the clip's frames are 32 x 24: give pictures of the same"
    ):
        editor(tmp_path / "in", clip).check(PROMPT)


def test_what_is_no_picture_is_told_before_anything_is_trained(tmp_path: Path, clip: TrackedClip) -> None:
    paint(tmp_path / "in" / "1.png", 9)
    (tmp_path / "in" / "2.png").write_bytes(b"not a picture")
    with pytest.raises(UserError, match=r"2.png cannot be read as a picture"):
        editor(tmp_path / "in", clip).check(PROMPT)
    (tmp_path / "in" / "2.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"2.png cannot be read as a picture"):
        editor(tmp_path / "in", clip).check(PROMPT)


def test_a_folder_without_use_is_told(tmp_path: Path, clip: TrackedClip) -> None:
    with pytest.raises(UserError, match=r"name their folder with --pipeline.editor.external.folder"):
        ExternalEditor(ExternalEditorConfig(), clip)
    with pytest.raises(UserError, match=r"There is no folder .*missing: name the one"):
        editor(tmp_path / "missing", clip)
    paint(tmp_path / "in" / "hand.png", 9)
    paint(tmp_path / "in" / "99.png", 9)
    with pytest.raises(UserError, match=r"No picture in .*in belongs to a frame: name them as in .*images"):
        editor(tmp_path / "in", clip).check(PROMPT)
    with pytest.raises(UserError, match=r"No picture in .*empty belongs to a frame: name them by frame numbers"):
        paint(tmp_path / "in" / "empty" / "x.png", 9)
        check_external(ExternalEditorConfig(tmp_path / "in" / "empty"), [PROMPT])


def test_two_pictures_of_one_frame_are_told(tmp_path: Path, clip: TrackedClip) -> None:
    paint(tmp_path / "in" / "2.png", 9)
    paint(tmp_path / "in" / "00002.png", 9)
    with pytest.raises(UserError, match=r"00002.png and 2.png in .* are both of frame 2: leave one of them"):
        editor(tmp_path / "in", clip).check(PROMPT)


def test_pictures_of_frames_that_were_not_tracked_are_left_and_said(tmp_path: Path, clip: TrackedClip, caplog) -> None:
    paint(tmp_path / "in" / "2.png", 9)
    paint(tmp_path / "in" / "77.png", 9)
    with caplog.at_level(logging.WARNING):
        editor(tmp_path / "in", clip).check(PROMPT)
    assert "1 of 2 pictures" in caplog.records[0].getMessage()


def test_each_of_several_prompts_has_its_own_folder(tmp_path: Path) -> None:
    other = EditPrompt("make it silver", "hair")
    assert prompt_folder(other) == "hair-make-it-silver"
    paint(tmp_path / "in" / prompt_folder(PROMPT) / "1.png", 10)
    with pytest.raises(UserError, match=r"has no folder hair-make-it-silver: with several prompts"):
        check_external(ExternalEditorConfig(tmp_path / "in"), [PROMPT, other])
    paint(tmp_path / "in" / prompt_folder(other) / "1.png", 20)
    check_external(ExternalEditorConfig(tmp_path / "in"), [PROMPT, other])
    external = editor(tmp_path / "in")
    levels = [float(external.edit([replace(request(1), prompt=prompt)])[0].max()) for prompt in (PROMPT, other)]
    assert levels == pytest.approx([10 / 255, 20 / 255])


def test_without_a_frame_number_nothing_can_be_matched(tmp_path: Path) -> None:
    paint(tmp_path / "in" / "1.png", 9)
    with pytest.raises(UserError, match="must be told which frame"):
        editor(tmp_path / "in").edit([request(None)])
