import json
from pathlib import Path

import pytest
import torch

from stage1_edit.edited_frames import EditedFrames, folder_name
from stage1_edit.prompts import EditPrompt
from tracking.errors import UserError

HAIR = EditPrompt.parse("hair: make it silver")


def test_edited_frames_survive_a_reopen(tmp_path: Path) -> None:
    image = torch.rand(12, 10, 3, generator=torch.Generator().manual_seed(0))
    frames = EditedFrames(tmp_path, HAIR, "offline")
    assert frames.frames == ()
    frames.write(12, torch.zeros(12, 10, 3))
    frames.write(12, image)
    frames.write(100_003, image)
    reopened = EditedFrames(tmp_path, HAIR, "offline")
    assert reopened.frames == (12, 100_003) and 12 in reopened and 13 not in reopened and len(reopened) == 2
    # 8-bit rounding moves a value by half a level at most.
    assert (reopened.read(12) - image).abs().max() <= 0.5 / 255 + 1e-6


def test_every_prompt_and_editor_has_its_own_folder() -> None:
    names = {
        folder_name(EditPrompt("make it silver", "hair"), "offline"),
        folder_name(EditPrompt("hair make it silver"), "offline"),
        folder_name(EditPrompt("make it silver", "hair"), "instruct-pix2pix"),
        folder_name(EditPrompt("Make it silver", "hair"), "offline"),
        folder_name(EditPrompt("銀色の髪"), "offline"),
        folder_name(EditPrompt("x" * 500), "offline"),
    }
    assert len(names) == 6
    assert all(len(name) < 64 and name.isascii() for name in names)
    assert folder_name(HAIR, "offline").startswith("hair-make-it-silver-")


def test_the_prompt_lies_beside_its_frames(tmp_path: Path) -> None:
    frames = EditedFrames(tmp_path, HAIR, "offline")
    description = json.loads((frames.folder / "prompt.json").read_text())
    assert description == {"region": "hair", "text": "make it silver", "editor": "offline"}


def test_a_half_written_frame_is_no_frame(tmp_path: Path) -> None:
    frames = EditedFrames(tmp_path, HAIR, "offline")
    (frames.folder / "00007.partial.png").write_bytes(b"half")
    assert EditedFrames(tmp_path, HAIR, "offline").frames == ()
    assert not list(frames.folder.glob("*.partial.*"))


def test_reading_what_is_not_there(tmp_path: Path) -> None:
    frames = EditedFrames(tmp_path, HAIR, "offline")
    with pytest.raises(KeyError):
        frames.read(3)
    frames.write(3, torch.zeros(4, 4, 3))
    frames.path(3).write_bytes(b"damaged")
    with pytest.raises(UserError, match="edited anew"):
        frames.read(3)
