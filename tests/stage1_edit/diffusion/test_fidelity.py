"""Requests for a more faithful edit, as the expression guard makes them, and the head's own edit: with real loops."""

from dataclasses import replace

import pytest
import torch

from stage1_edit.choose_editor import EditorConfig, build_editor, make_editor
from stage1_edit.diffusion_editor import DiffusionEditor, batches
from stage1_edit.expression_guard import ExpressionGuard, ExpressionGuardConfig, _Tried
from stage1_edit.guided_network import more_faithful
from stage1_edit.head_crops import HeadCropConfig, HeadCropEditor
from stage1_edit.instruct_pix2pix import InstructPix2Pix, InstructPix2PixConfig
from stage1_edit.sdedit import SDEdit, SDEditConfig

CONFIG = InstructPix2PixConfig(longer_side=32, sampling_steps=2, guidance_scale=7.0, image_guidance_scale=1.5)


def instruct_editor(model, config=CONFIG, **options) -> DiffusionEditor:
    return DiffusionEditor(config, model, InstructPix2Pix(config, model), **options)


def test_fidelity_multiplies_image_guidance_and_divides_text_guidance_above_1(instruct, ask) -> None:
    faithful = instruct_editor(instruct).edit([replace(ask(), fidelity=2.0)])
    by_hand = replace(CONFIG, guidance_scale=4.0, image_guidance_scale=3.0)
    torch.testing.assert_close(faithful, instruct_editor(instruct, by_hand).edit([ask()]))
    assert (faithful[0] - instruct_editor(instruct).edit([ask()])[0]).abs().max() > 1e-3


def test_of_editors_without_image_guidance_it_weakens_the_text(describe, ask) -> None:
    config = SDEditConfig(longer_side=32, sampling_steps=2, guidance_scale=5.0)
    by_hand = replace(config, guidance_scale=3.0)
    edits = [
        DiffusionEditor(settings, describe, SDEdit(settings, describe)).edit([request])[0]
        for settings, request in ((config, replace(ask(), fidelity=2.0)), (by_hand, ask()))
    ]
    torch.testing.assert_close(*edits)


@pytest.mark.parametrize(
    ("scale", "fidelity", "expected"), [(7.5, 1, 7.5), (7.5, 1.3, 6.0), (1.0, 4, 1.0), (2, 2, 1.5)]
)
def test_text_guidance_falls_towards_1_and_never_below(scale: float, fidelity: float, expected: float) -> None:
    assert more_faithful(scale, fidelity) == pytest.approx(expected)


def test_frames_of_unlike_fidelity_are_not_sampled_together(ask) -> None:
    asked = [ask(), replace(ask(), fidelity=1.5), ask(), replace(ask(), fidelity=1.5)]
    assert batches(asked, 4) == [[0, 2], [1, 3]]


def test_anchors_are_as_faithful_as_those_that_follow_them(instruct, ask) -> None:
    config = EditorConfig("instruct-pix2pix", consistency="cross-frame", anchors=1)
    editor = make_editor(config, CONFIG, instruct, InstructPix2Pix(CONFIG, instruct))
    editor.edit([ask(), ask(picture=7)])
    known, _ = editor.anchors.beside([replace(ask(), fidelity=2.0, noise_level=0.5)])
    assert [(one.fidelity, one.noise_level) for one in known] == [(2.0, 0.5)]


def test_frames_that_the_guard_rejects_are_no_anchors(instruct, ask, monkeypatch) -> None:
    """Of four frames, all of one batch, the guard rejects the first two, however often they are tried."""
    config = EditorConfig("instruct-pix2pix", consistency="cross-frame", anchors=2)
    editor = make_editor(config, CONFIG, instruct, InstructPix2Pix(CONFIG, instruct))
    guard = ExpressionGuard(ExpressionGuardConfig(retries=1), HeadCropEditor(HeadCropConfig("on"), editor))
    monkeypatch.setattr(guard, "_looked_at", lambda asked, edit: _Tried(edit, 2.0 if asked.frame < 2 else 0.0, "lips"))
    edits = guard.edit([ask(picture=number, frame=number) for number in range(4)])
    assert [edit is None for edit in edits] == [True, True, False, False]
    known, _ = editor.anchors.beside([ask()])
    assert [one.frame for one in known] == [2, 3]


def test_editors_are_wrapped_as_they_are_asked_to_be(instruct, describe) -> None:
    for mode, name, guarded in (
        ("auto", "instruct-pix2pix", True),
        ("off", "instruct-pix2pix", False),
        ("auto", "offline", False),
        ("on", "offline", True),
    ):
        config = EditorConfig(name, guard=ExpressionGuardConfig(mode), head_crop=HeadCropConfig("on"))
        editor = build_editor(config, name, instruct if name == "instruct-pix2pix" else None)
        assert isinstance(editor, ExpressionGuard) == guarded
        inner = editor.editor if isinstance(editor, ExpressionGuard) else editor
        assert isinstance(inner, HeadCropEditor) == (name == "instruct-pix2pix")


def test_a_heads_crop_is_edited_at_the_models_full_size(instruct, ask, head) -> None:
    seen = []
    inner = instruct_editor(instruct)
    sample = inner._sample
    inner._sample = lambda batch, generators: (seen.append((batch.size, batch.noise_level)), sample(batch, generators))[
        1
    ]
    # The same head, half as large, as the clip's camera sees it from farther away.
    far = replace(head(side=96), vertices=head(side=96).vertices * [1, 1, 2.5])
    asked = replace(ask(side=96), geometry=far)
    editor = HeadCropEditor(HeadCropConfig("on", noise_level=0.6), inner)
    (edit,) = editor.edit([asked])
    assert editor.side is not None and editor.side < 80
    assert seen == [((32, 32), 1.0), ((32, 32), 0.6)]
    assert edit.shape == asked.original.shape and edit.isfinite().all()
