import sys
from pathlib import Path

import pytest
import torch

from stage1_edit.choose_editor import choose_editor, resolve_editor_name
from stage1_edit.instruct_pix2pix import InstructPix2PixConfig, load_pipeline
from stage1_edit.offline_editor import OfflineEditor, OfflineEditorConfig
from tracking.errors import UserError

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def test_auto_without_cuda_is_the_offline_editor_and_says_why(caplog: pytest.LogCaptureFixture) -> None:
    editor = choose_editor("auto", OfflineEditorConfig(), InstructPix2PixConfig(), CPU)
    assert isinstance(editor, OfflineEditor)
    (record,) = caplog.records
    assert "offline editor" in record.getMessage() and "CUDA" in record.getMessage()


def test_auto_with_cuda_needs_the_weights(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("diffusers")
    config = InstructPix2PixConfig(model=str(tmp_path))
    assert resolve_editor_name("auto", config, CUDA) == "offline"
    assert str(tmp_path) in caplog.records[0].getMessage()
    (tmp_path / "model_index.json").write_text("{}")
    assert resolve_editor_name("auto", config, CUDA) == "instruct-pix2pix"


def test_a_name_is_taken_at_its_word(caplog: pytest.LogCaptureFixture) -> None:
    assert resolve_editor_name("offline", InstructPix2PixConfig(), CUDA) == "offline"
    assert resolve_editor_name("instruct-pix2pix", InstructPix2PixConfig(), CPU) == "instruct-pix2pix"
    assert not caplog.records


def test_a_missing_package_is_told_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "diffusers"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(UserError, match=r"pip install 'portrait-edit\[diffusion\]'"):
        load_pipeline(InstructPix2PixConfig(), CPU)
