"""Runs whose edits are guarded, and runs whose edits were made elsewhere, through `ns-train`'s main."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from stage1_edit.edited_frames import EditedFrames
from stage1_edit.editor import EditRequest, FrameEditor, Image
from stage1_edit.expression_guard import ExpressionGuard, ExpressionGuardConfig
from stage1_edit.external_editor import ExternalEditorConfig
from stage1_edit.prompts import EditPrompt
from stage2_nerf.run_page import PAGE_NAME
from stage2_nerf.trainer import PortraitEditTrainerConfig
from stage2_nerf.training_record import read_record
from tracking.clip import TrackedClip, write_png
from tracking.head_model import HeadModel
from tracking.landmarks import DetectedFace

STATUE = EditPrompt("turn him into a bronze statue")
ALWAYS_MOVED, MOVED_ONCE = 2, 4
"""Source frames."""


class MovingEditor:
    """Paints people white, which the detector below takes for an open mouth, or grey."""

    def edit(self, requests: Sequence[EditRequest]) -> list[Image]:
        return [torch.full_like(request.original, 1.0 if self.moves(request) else 0.5) for request in requests]

    def moves(self, request: EditRequest) -> bool:
        return request.frame == ALWAYS_MOVED or (request.frame == MOVED_ONCE and request.fidelity == 1)

    def check(self, prompt: EditPrompt) -> None: ...


class Detector:
    """Sees one face, whose lips hang where much of the picture is white."""

    def detect(self, image: np.ndarray) -> list[DetectedFace]:
        face = HeadModel.load().mean.astype(np.float64) * [1, -1, -1] + [image.shape[1] / 2, image.shape[0] / 2, 0]
        if (image == 255).all(-1).mean() > 0.15:
            face[[14, 87, 317, 17, 84, 314, 61, 291], 1] += 5
        return [DetectedFace(face)]


@pytest.fixture
def train(
    train_with: Callable[[PortraitEditTrainerConfig, FrameEditor | None], None],
    tiny_preset: PortraitEditTrainerConfig,
    tiny_clip: TrackedClip,
    tmp_path: Path,
) -> Callable[..., Path]:
    """Trains, and returns the run's folder."""

    def run(editor: FrameEditor | None = None, external: Path | None = None) -> Path:
        config = deepcopy(tiny_preset)
        config.output_dir, config.experiment_name, config.timestamp = tmp_path / "outputs", "tiny", "now"
        config.data = tiny_clip.root
        pipeline = config.pipeline
        pipeline.prompts = (STATUE,)  # pyright: ignore[reportAttributeAccessIssue]
        pipeline.reconstruction_steps = 2  # pyright: ignore[reportAttributeAccessIssue]
        if external is not None:
            chosen = replace(pipeline.editor, name="external", external=ExternalEditorConfig(external))  # pyright: ignore
            pipeline.editor = chosen  # pyright: ignore[reportAttributeAccessIssue]
        train_with(config, editor)
        return config.get_base_dir()

    return run


def test_edits_that_moved_the_face_are_retried_or_left_out_and_counted_everywhere(train, capsys) -> None:
    guard = ExpressionGuard(ExpressionGuardConfig(), MovingEditor(), Detector())
    folder = train(guard)
    edited = EditedFrames(folder / "edited", STATUE, "offline")
    assert ALWAYS_MOVED not in edited and MOVED_ONCE in edited and len(edited) > 5
    assert (edited.read(MOVED_ONCE) != 1).any()
    counts = guard.counts
    assert counts.dropped >= 1 and counts.retried > counts.dropped
    assert edited.journal.guarded == counts
    last = read_record(folder)[-1]
    assert (last.edited_frames, last.retried_edits, last.dropped_edits) == (
        counts.edits,
        counts.retried,
        counts.dropped,
    )
    told = f"{counts.retried} moved the face and were retried, {counts.dropped} dropped"
    assert told in (folder / PAGE_NAME).read_text()
    output = " ".join(capsys.readouterr().out.split())
    assert f"Expression guard: {counts.retried} of {counts.edits} edits retried, {counts.dropped} dropped." in output


def test_a_painted_keyframe_alone_is_trained_on(train, tiny_clip: TrackedClip, tmp_path: Path) -> None:
    frame = int(tiny_clip.frames[3])
    painted = 255 - tiny_clip.image(frame)
    (tmp_path / "painted").mkdir()
    write_png(tmp_path / "painted" / f"{frame:05d}.png", painted)
    folder = train(external=tmp_path / "painted")
    edited = EditedFrames(folder / "edited", STATUE, "external painted")
    assert edited.frames == (frame,)
    # Only the person is taken from it: the background is the clip's own.
    shown = (edited.read(frame).numpy() * 255).round()
    outside, inside = tiny_clip.matte(frame) == 0, tiny_clip.matte(frame) == 1
    assert (shown[outside] == tiny_clip.image(frame)[outside]).all() and (shown[inside] == painted[inside]).all()
    assert read_record(folder)[-1].phase == str(STATUE)
    assert "external painted" in (folder / PAGE_NAME).read_text()


def test_pictures_of_another_shape_are_refused_before_anything_is_trained(
    train, tiny_clip: TrackedClip, tmp_path: Path, capsys
) -> None:
    (tmp_path / "painted").mkdir()
    cv2.imwrite(str(tmp_path / "painted" / f"{int(tiny_clip.frames[3])}.png"), np.zeros((50, 50, 3), np.uint8))
    with pytest.raises(SystemExit) as stop:
        train(external=tmp_path / "painted")
    assert stop.value.code == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("portrait-edit: ") and "is 50 x 50, and the clip's frames are" in error
    assert not (tmp_path / "outputs").exists()
