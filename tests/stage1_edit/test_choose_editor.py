import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
import tyro

from stage1_edit.choose_editor import (
    EditorConfig,
    check_editor,
    choose_editor,
    resolve_editor_name,
    resolve_noise_name,
)
from stage1_edit.instruct_pix2pix import InstructPix2PixConfig
from stage1_edit.offline_editor import OfflineEditor
from stage1_edit.prompts import EditPrompt
from tracking.errors import UserError

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
PROMPTS = [EditPrompt("make it silver", "hair")]


@dataclass
class Run:
    """Whatever has an editor."""

    editor: EditorConfig = field(default_factory=EditorConfig)


def test_auto_without_cuda_is_the_offline_editor_and_says_why(caplog: pytest.LogCaptureFixture) -> None:
    editor = choose_editor(EditorConfig(), CPU)
    assert isinstance(editor, OfflineEditor)
    (record,) = caplog.records
    assert "offline editor" in record.getMessage() and "CUDA" in record.getMessage()


def test_auto_with_cuda_needs_the_weights(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("diffusers")
    config = EditorConfig(instruct_pix2pix=InstructPix2PixConfig(model=str(tmp_path)))
    assert resolve_editor_name(config, CUDA) == "offline"
    assert str(tmp_path) in caplog.records[0].getMessage()
    (tmp_path / "model_index.json").write_text("{}")
    assert resolve_editor_name(config, CUDA) == "instruct-pix2pix"


def test_a_name_is_taken_at_its_word(caplog: pytest.LogCaptureFixture) -> None:
    assert resolve_editor_name(EditorConfig("offline"), CUDA) == "offline"
    assert resolve_editor_name(EditorConfig("instruct-pix2pix"), CPU) == "instruct-pix2pix"
    assert not caplog.records


@pytest.mark.parametrize("name", ["instruct-pix2pix", "controlnet", "sdedit", "flux-kontext"])
def test_a_missing_package_is_told_with_its_cure(monkeypatch: pytest.MonkeyPatch, name) -> None:
    for module in [module for module in sys.modules if module.split(".")[0] == "diffusers"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(UserError, match=r"pip install 'portrait-edit\[diffusion\]'"):
        choose_editor(EditorConfig(name), CPU)


def test_the_editors_flag_is_its_name_and_its_settings_hang_on_it() -> None:
    typed = ["--editor", "sdedit", "--editor.consistency", "tokenflow", "--editor.sdedit.sampling-steps", "7"]
    chosen = tyro.cli(Run, args=typed).editor
    assert (chosen.name, chosen.consistency, chosen.sdedit.sampling_steps) == ("sdedit", "tokenflow", 7)
    assert chosen.label() == "sdedit+tokenflow" and EditorConfig("sdedit").label() == "sdedit"


def test_frames_are_given_in_the_batches_that_the_editor_samples() -> None:
    config = EditorConfig("sdedit")
    config.sdedit.frames_at_once = 9
    assert config.frames_at_once() == 9 and EditorConfig("offline").frames_at_once() == 4


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (EditorConfig("offline", consistency="cross-frame"), "offline editor has no use"),
        (EditorConfig("offline", noise="shared"), "offline editor has no use"),
        (EditorConfig("flux-kontext", consistency="tokenflow"), "FLUX.1 Kontext cannot be tied"),
        (EditorConfig("sdedit", consistency="tokenflow", anchors=0), "at least one anchor"),
    ],
)
def test_what_does_not_go_together_is_told_before_anything_is_loaded(config: EditorConfig, told: str) -> None:
    with pytest.raises(UserError, match=told):
        check_editor(config, PROMPTS)


def test_frames_that_attention_ties_together_begin_with_noise_that_is_alike() -> None:
    """Attention to anchors cannot undo what noise of every frame's own does."""
    assert resolve_noise_name(EditorConfig("sdedit")) == "per-frame"
    assert {resolve_noise_name(EditorConfig("sdedit", name)) for name in ("cross-frame", "tokenflow")} == {"warped"}
    assert resolve_noise_name(EditorConfig("sdedit", "tokenflow", noise="per-frame")) == "per-frame"


def test_the_offline_editor_refuses_prompts_at_once() -> None:
    check_editor(EditorConfig("offline"), PROMPTS)
    with pytest.raises(UserError, match="It knows"):
        check_editor(EditorConfig("offline"), [EditPrompt("teach it manners")])
