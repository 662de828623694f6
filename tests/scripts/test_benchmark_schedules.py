"""What the comparison of schedules counts, and what it refuses."""

from pathlib import Path

import pytest
import torch
from benchmark_schedules import WAYS, Arguments, CountedAsDiffusion, check

from stage1_edit.editing_cost import network_behind
from stage1_edit.editor import EditRequest
from stage1_edit.offline_editor import OfflineEditor
from stage1_edit.prompts import EditPrompt
from tracking.errors import UserError


def test_an_editor_without_a_network_is_counted_as_instruct_pix2pix() -> None:
    editor = CountedAsDiffusion(OfflineEditor())
    grey, ones = torch.full((8, 8, 3), 0.5), torch.ones(8, 8, 1)
    labels, generator = torch.ones(8, 8, dtype=torch.uint8), torch.Generator()

    def ask(level: float, by_level: bool) -> EditRequest:
        prompt = EditPrompt("make it sepia")
        return EditRequest(prompt, grey, grey, ones, labels, level, generator, steps_by_level=by_level)

    editor.edit([ask(1.0, False), ask(0.3, False), ask(0.3, True)])
    assert editor.network_evaluations == 60 + 60 + 18
    assert network_behind(editor) is editor, "a schedule takes it for what it stands for"


def test_what_cannot_be_measured_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no way 'guess'"):
        check(Arguments(tmp_path, tmp_path, ways=("guess",)))
    for way in ("edit_then_fit_tokenflow", "edit_then_fit_warped_noise"):
        with pytest.raises(UserError, match="--editor-model"):
            check(Arguments(tmp_path, tmp_path, ways=(way,)))
    untied = tuple(way for way, one in WAYS.items() if (one.consistency, one.noise) == ("none", "auto"))
    with pytest.raises(UserError, match="no finished run"):
        check(Arguments(tmp_path, tmp_path, ways=untied))
