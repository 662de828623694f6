"""The editor that is inconsistent on purpose: by as much as it is told, and even around what it wraps."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from stage1_edit.editor import EditRequest, Image
from stage1_edit.prompts import EditPrompt

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import jittered_editor

    yield jittered_editor
    sys.modules.pop("jittered_editor")


class Brighter:
    """Adds a fifth."""

    def edit(self, requests: list[EditRequest]) -> list[Image]:
        return [torch.lerp(one.render, one.original + 0.2, one.noise_level) for one in requests]

    def check(self, prompt: EditPrompt) -> None:
        pass


def request(seed: int, noise_level: float = 1.0) -> EditRequest:
    generator = torch.Generator().manual_seed(0)
    original = 0.3 + 0.3 * torch.rand(24, 32, 3, generator=generator)
    ones = torch.ones(24, 32, 1)
    return EditRequest(
        EditPrompt("brighter"),
        original,
        original - 0.1,
        ones,
        ones[..., 0].to(torch.uint8),
        noise_level,
        torch.Generator().manual_seed(seed),
    )


def test_without_jitter_nothing_is_changed(module: ModuleType) -> None:
    editor = module.JitteredEditor(Brighter(), module.Jitter(0, 0, 0))
    torch.testing.assert_close(editor.edit([request(1)])[0], request(1).original + 0.2)


def test_at_noise_level_nought_the_render_is_given_back(module: ModuleType) -> None:
    editor = module.JitteredEditor(Brighter(), module.Jitter(0.5, 20, 0.2))
    torch.testing.assert_close(editor.edit([request(1, 0.0)])[0], request(1).render)


def test_frames_differ_and_their_mean_is_the_clean_edit(module: ModuleType) -> None:
    editor = module.JitteredEditor(Brighter(), module.Jitter())
    edits = torch.stack([editor.edit([request(seed)])[0] for seed in range(400)])
    clean = request(0).original + 0.2
    assert float((edits.mean(0) - clean).abs().mean()) < 0.01
    assert float(edits.std(0).mean()) > 0.03
    torch.testing.assert_close(editor.edit([request(5)])[0], edits[5])


def test_greys_have_no_hue_and_a_full_turn_is_none(module: ModuleType) -> None:
    image = torch.rand(4, 5, 3)
    torch.testing.assert_close(module.turned_hues(image, 360.0), image)
    grey = torch.full((2, 2, 3), 0.4)
    torch.testing.assert_close(module.turned_hues(grey, 70.0), grey)
    red = torch.tensor([[[1.0, 0, 0]]])
    np.testing.assert_allclose(module.turned_hues(red, 120.0).numpy(), [[[0, 1, 0]]], atol=1e-6)
