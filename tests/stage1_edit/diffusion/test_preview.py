"""`portrait-preview`, with tiny random weights and with the offline editor."""

import logging
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from stage1_edit import preview as command
from stage1_edit.choose_editor import EditorConfig
from stage1_edit.instruct_pix2pix import InstructPix2PixConfig
from stage1_edit.preview import PreviewConfig, PreviewPipelineConfig, check_seeds, preview, trials, with_strengths
from stage1_edit.preview_sheet import CELL, GAP, LABEL_WIDTH, LINE, SheetRow, draw_sheet
from stage1_edit.prompts import EditPrompt
from tracking.clip import TrackedClip
from tracking.errors import UserError

SILVER = EditPrompt("make it silver", "hair")


def config(clip: Path, output: Path, *prompts: EditPrompt, **editor) -> PreviewConfig:
    editor = EditorConfig(**{"name": "offline", **editor})
    return PreviewConfig(clip, PreviewPipelineConfig(prompts or (SILVER,), editor), output, keyframes=2)


def weights(tiny_model, folder: Path) -> dict:
    tiny_model.pipeline.save_pretrained(folder)
    return {"model": str(folder), "longer_side": 32, "sampling_steps": 1, "local_files_only": True}


def cells(sheet: np.ndarray, row: int, picture_height: int, title_lines: int = 1) -> np.ndarray:
    """A row's pictures, without its label and captions."""
    top = LINE * (title_lines + 1) + row * (picture_height + LINE + GAP)
    return sheet[top : top + picture_height, LABEL_WIDTH:]


def test_the_sheet_shows_each_picture_at_its_place() -> None:
    colors = [(200, 0, 0), (0, 200, 0), (0, 0, 200), (9, 9, 9)]
    pictures = [np.full((30, 40, 3), color, np.uint8) for color in colors]
    sheet = draw_sheet("title", [SheetRow("a", pictures[:2], ["", ""]), SheetRow("b", pictures[2:], ["", ""])])
    height = CELL * 30 // 40
    for row in (0, 1):
        for column in (0, 1):
            shown = cells(sheet, row, height)[:, column * (CELL + GAP) : column * (CELL + GAP) + CELL]
            assert (shown == colors[2 * row + column]).all()


def test_offline_every_prompt_has_its_strengths(tiny_clip: TrackedClip, tmp_path: Path) -> None:
    told = []
    path = preview(config(tiny_clip.root, tmp_path / "p.png"), lambda done, due: told.append((done, due)))
    sheet = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    assert told == [(0, 6), (2, 6), (4, 6), (6, 6)]
    height, width = tiny_clip.intrinsics.height, tiny_clip.intrinsics.width
    rows = [cells(sheet, row, round(CELL * height / max(height, width))).astype(float) for row in range(4)]
    # Slightly silver hair is nearer to what was filmed than silver hair.
    distances = [np.abs(row - rows[0]).mean() for row in rows]
    assert distances[0] == 0 < distances[1] < distances[2]
    assert [item.name for item in tmp_path.iterdir()] == ["p.png"]


def test_words_of_strength_are_not_doubled() -> None:
    assert [prompt.text for prompt in with_strengths(SILVER)] == [
        "slightly make it silver",
        "make it silver",
        "very make it silver",
    ]
    already = EditPrompt("make it very red", "lips")
    assert with_strengths(already) == [already]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("instruct-pix2pix", {"text 5, image 1.2", "text 5, image 1.5", "text 9, image 1.2", "text 9, image 1.5"}),
     ("sdedit", {"text 5, noise 0.5", "text 5, noise 1", "text 9, noise 0.5", "text 9, noise 1"})],
)  # fmt: skip
def test_rows_are_what_the_editor_can_be_set_to(name, expected: set[str]) -> None:
    asked = config(Path(), Path(), SILVER, name=name)
    asked = replace(asked, text_guidance=(5.0, 9.0), image_guidance=(1.2, 1.5), noise_levels=(0.5, 1.0))
    found = trials(asked, name)
    assert {trial.label.removesuffix(": hair: make it silver") for trial in found} == expected


def test_guidance_reaches_the_network(tiny_clip, instruct, tmp_path: Path, caplog) -> None:
    settings = InstructPix2PixConfig(**weights(instruct, tmp_path / "weights"))
    asked = config(tiny_clip.root, tmp_path / "p.png", name="instruct-pix2pix", instruct_pix2pix=settings)
    asked = replace(asked, text_guidance=(2.0, 2.0, 9.0), image_guidance=(1.5,))
    with caplog.at_level(logging.INFO, logger="stage1_edit.diffusion_weights"):
        sheet = cv2.imread(str(preview(asked)))
    assert any("GB of memory" in record.getMessage() for record in caplog.records)
    height, width = tiny_clip.intrinsics.height, tiny_clip.intrinsics.width
    rows = [cells(sheet, row, round(CELL * height / max(height, width))).astype(float) for row in range(4)]
    # The same guidance twice gives the same pictures, for all rows have the same randomness; another gives others.
    assert (rows[1] == rows[2]).all() and np.abs(rows[1] - rows[3]).mean() > 0.01
    assert np.abs(rows[0] - rows[1]).mean() > 1


def test_every_seed_of_shared_noise_is_a_row_of_its_own(tiny_clip, instruct, tmp_path: Path) -> None:
    settings = InstructPix2PixConfig(**weights(instruct, tmp_path / "weights"))
    chosen = {"name": "instruct-pix2pix", "noise": "warped", "instruct_pix2pix": settings, "seed": 4}
    asked = config(tiny_clip.root, tmp_path / "p.png", **chosen)
    asked = replace(asked, text_guidance=(7.5,), image_guidance=(1.5,), seeds=(4, 5, 4))
    labels = [trial.label.split(":")[0] for trial in trials(asked, "instruct-pix2pix")]
    assert labels == [f"text 7.5, image 1.5, seed {seed}" for seed in (4, 5, 4)]
    height, width = tiny_clip.intrinsics.height, tiny_clip.intrinsics.width
    size = round(CELL * height / max(height, width))
    sheet = cv2.imread(str(preview(asked)))
    rows = [cells(sheet, row, size).astype(float) for row in range(4)]
    assert (rows[1] == rows[3]).all() and np.abs(rows[1] - rows[2]).mean() > 1
    # The editor's own seed is what training will begin with.
    alone = cv2.imread(str(preview(replace(asked, seeds=(), output=tmp_path / "own.png"))))
    assert (cells(alone, 1, size) == rows[1]).all()


def test_seeds_of_noise_that_is_every_frames_own_are_refused() -> None:
    for chosen in ({"name": "offline"}, {"name": "flux-kontext"}, {"name": "instruct-pix2pix"}):
        asked = replace(config(Path(), Path(), **chosen), seeds=(1, 2))
        with pytest.raises(UserError, match="noise that all frames share"):
            check_seeds(asked, asked.pipeline.editor)


def test_what_cannot_be_tried_is_told_and_nothing_is_written(tiny_clip, describe, tmp_path: Path, monkeypatch) -> None:
    asked = config(tiny_clip.root, tmp_path / "p.png")
    there = tmp_path / "there.png"
    there.write_text("mine")
    none = replace(asked, pipeline=PreviewPipelineConfig((), asked.pipeline.editor))
    text_model = InstructPix2PixConfig(**weights(describe, tmp_path / "weights"))
    wrong_kind = config(tiny_clip.root, tmp_path / "p.png", name="instruct-pix2pix", instruct_pix2pix=text_model)
    for refused, words in (
        (none, "add --pipeline.prompts"),
        (config(tiny_clip.root, tmp_path / "p.png", EditPrompt(" ".strip())), "is empty"),
        (config(tiny_clip.root, tmp_path / "p.png", EditPrompt("Don't change the image.")), "asks for nothing"),
        (config(tiny_clip.root, tmp_path / "p.png", EditPrompt("quantum")), "does not know 'quantum'"),
        (config(tmp_path / "missing", tmp_path / "p.png"), "is not a tracked clip"),
        (replace(asked, output=tmp_path / "p.jpg"), "ends in .png"),
        (replace(asked, output=tmp_path / "no" / "p.png"), "does not exist"),
        (replace(asked, output=there), "exists: add --overwrite"),
        (replace(asked, keyframes=0), "--keyframes"),
        (replace(asked, text_guidance=()), "--text-guidance"),
        (replace(asked, noise_levels=(0.0,)), "--noise-levels"),
        (wrong_kind, "cannot follow instructions"),
    ):
        with pytest.raises(UserError, match=words):
            preview(refused)
    assert there.read_text() == "mine" and not (tmp_path / "p.png").exists()


def test_an_interrupt_leaves_nothing(tiny_clip: TrackedClip, tmp_path: Path) -> None:
    def interrupt(done: int, due: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        preview(config(tiny_clip.root, tmp_path / "p.png"), interrupt)
    assert not list(tmp_path.iterdir())


def test_the_command_takes_the_flags_of_ns_train(tiny_clip: TrackedClip, tmp_path: Path, monkeypatch, capsys) -> None:
    flags = [
        "--data",
        str(tiny_clip.root),
        "--pipeline.prompts",
        "hair: make it silver",
        "--pipeline.editor",
        "offline",
    ]
    flags += ["--keyframes", "1", "--output", str(tmp_path / "p.png")]
    monkeypatch.setattr(sys, "argv", ["portrait-preview", *flags])
    command.main()
    assert "Wrote" in capsys.readouterr().out and (tmp_path / "p.png").is_file()
    with pytest.raises(SystemExit) as stop:
        command.main()
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("portrait-edit: ") and "exists: add --overwrite" in error and error.count("\n") == 1
