"""The head, edited by itself and pasted back."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch

from stage1_edit.editing_cost import network_behind
from stage1_edit.editor import EditRequest
from stage1_edit.frame_geometry import FrameGeometry
from stage1_edit.head_crops import (
    Box,
    HeadCropConfig,
    HeadCropEditor,
    crop_side,
    cropped_geometry,
    head_outline,
    paste_mask,
)
from stage1_edit.prompts import EditPrompt
from tracking.cameras import project, rigid, transform
from tracking.clip import Intrinsics
from tracking.head_model import HeadModel
from tracking.proxy_mesh import head_shell
from tracking.regions import Label

SIDE = 160


def head(right: float = 0.0, distance: float = 120.0) -> FrameGeometry:
    """A head before a camera, so many centimetres to the right."""
    model = HeadModel.load()
    identity = np.zeros(len(model.identity_basis))
    vertices, triangles = head_shell(identity, hair=2.0)
    to_camera = rigid(np.eye(3), np.array([right, 0.0, -distance]))
    camera = Intrinsics(1.6 * SIDE, SIDE / 2, SIDE / 2, SIDE, SIDE)
    landmarks = project(transform(to_camera, model.neutral(identity).astype(np.float64)), camera)
    return FrameGeometry(transform(to_camera, vertices), triangles, camera, landmarks, len(triangles))


def request(region: str = "person", geometry: FrameGeometry | None = None, noise_level: float = 1.0) -> EditRequest:
    """A grey frame: the head where the geometry has it, clothes below."""
    geometry = geometry or head()
    lowest, highest = head_outline(geometry)
    labels = torch.zeros(SIDE, SIDE, dtype=torch.uint8)
    labels[int(highest[1]) :, 20:140] = int(Label.CLOTHES)
    top, left, bottom, right = (int(value) for value in (lowest[1], lowest[0], highest[1], highest[0]))
    labels[top + 6 : bottom - 2, left + 6 : right - 6] = int(Label.FACE_SKIN)
    matte = (labels > 0).float()[..., None]
    generator = torch.Generator().manual_seed(0)
    original = torch.rand(SIDE, SIDE, 3, generator=generator)
    return EditRequest(
        *(EditPrompt("anything", region), original, original * 0.5, matte, labels, noise_level, generator, 3, geometry)
    )


class Editor:
    """Remembers what it was asked, and paints whole frames 0.25 and crops 0.75."""

    def __init__(self) -> None:
        self.asked: list[list[EditRequest]] = []

    def edit(self, requests):
        self.asked.append(list(requests))
        return [torch.full_like(one.original, 0.25 if one.original.shape[0] == SIDE else 0.75) for one in requests]

    def check(self, prompt: EditPrompt) -> None: ...


def cropping(**settings) -> HeadCropEditor:
    return HeadCropEditor(HeadCropConfig("on", **settings), Editor())


def test_a_person_is_edited_whole_and_the_head_again() -> None:
    editor, asked = cropping(noise_level=0.6), request()
    (edit,) = editor.edit([asked])
    (whole,), (crop,) = editor.editor.asked
    assert whole is asked and crop.original.shape[0] == editor.side < SIDE
    box = editor.box(asked)
    assert torch.equal(crop.original, box.cut(asked.original)) and torch.equal(crop.labels, box.cut(asked.labels))
    # The head's edit starts from the whole frame's.
    assert (crop.render == 0.25).all() and crop.noise_level == 0.6
    face, clothes = asked.labels == Label.FACE_SKIN, asked.labels == Label.CLOTHES
    assert (edit[face] > 0.5).float().mean() > 0.9 and (edit[clothes][-1000:] == 0.25).all()
    assert edit.min() >= 0.25 and edit.max() <= 0.75


def test_the_face_alone_needs_no_whole_frame() -> None:
    editor, asked = cropping(), request("face", noise_level=0.9)
    (edit,) = editor.edit([asked])
    ((crop,),) = editor.editor.asked
    assert crop.noise_level == 0.9 and torch.equal(crop.render, editor.box(asked).cut(asked.render))
    mask = paste_mask(asked, editor.box(asked))
    assert torch.equal(edit[mask[..., 0] == 0], asked.original[mask[..., 0] == 0])
    assert (edit[asked.labels == Label.FACE_SKIN] == 0.75).float().mean() > 0.8


def test_hair_that_hangs_out_of_the_crop_is_edited_with_the_whole_frame() -> None:
    editor, asked = cropping(), request("hair")
    labels = asked.labels.clone()
    labels[100:, 60:100] = int(Label.HAIR)
    asked = replace(asked, labels=labels, matte=(labels > 0).float()[..., None])
    editor.edit([asked])
    assert len(editor.editor.asked) == 2 and editor.editor.asked[0] == [asked]


def test_the_crop_moves_with_the_head_and_never_changes_its_size() -> None:
    editor = cropping()
    boxes = [editor.box(request(geometry=head(right, distance))) for right, distance in ((0, 120), (8, 115), (-9, 130))]
    assert len({(box.width, box.height) for box in boxes}) == 1
    assert boxes[2].left < boxes[0].left < boxes[1].left
    for box, right in zip(boxes[:1], (0,), strict=True):
        lowest, highest = head_outline(head(right))
        assert box.left <= lowest[0] and box.top <= lowest[1]
        assert box.left + box.width >= highest[0] and box.top + box.height >= highest[1]


def test_the_side_holds_nearly_all_heads_with_their_margin() -> None:
    heads = [head(0, 120)] * 19 + [head(0, 60)]
    side = float(np.ptp(head_outline(heads[0]), axis=0).max())
    assert crop_side(heads[:19], 0.1) == pytest.approx(1.2 * side, abs=1)
    assert crop_side(heads[:19], 0.1) <= crop_side(heads, 0.1) < 1.5 * side


def test_a_head_at_the_frames_edge_is_cropped_inside_the_frame() -> None:
    editor = cropping()
    editor.box(request())
    box = editor.box(request(geometry=head(50)))
    assert box.left + box.width == SIDE


def test_a_head_that_fills_the_frame_is_edited_once() -> None:
    editor = cropping()
    asked = request(geometry=head(0, 50))
    assert (editor.edit([asked])[0] == 0.25).all() and len(editor.editor.asked) == 1


def test_without_a_track_frames_are_edited_whole() -> None:
    editor = cropping()
    assert (editor.edit([replace(request(), geometry=None)])[0] == 0.25).all()


def test_frames_given_together_stay_together() -> None:
    editor = cropping()
    editor.edit([request(), request(geometry=head(5))])
    assert [len(batch) for batch in editor.editor.asked] == [2, 2]


def test_a_frame_that_the_editor_leaves_out_stays_out() -> None:
    class Choosy(Editor):
        def edit(self, requests):
            super().edit(requests)
            return [None for _ in requests]

    editor = HeadCropEditor(HeadCropConfig("on"), Choosy())
    assert editor.edit([request(), request("face")]) == [None, None]


def test_the_crops_camera_sees_the_same_points_where_the_crop_shows_them() -> None:
    geometry, box = head(), Box(20, 30, 90, 90)
    cropped = cropped_geometry(geometry, box)
    before, after = (project(one.vertices, one.intrinsics) for one in (geometry, cropped))
    np.testing.assert_allclose(after, before - [20, 30])
    np.testing.assert_allclose(cropped.landmarks, geometry.landmarks - [20, 30])
    seen, whole = cropped.seen((90, 90)), geometry.seen((SIDE, SIDE))
    assert (seen.triangle == whole.triangle[30:120, 20:110]).mean() > 0.999


@dataclass
class Counting(Editor):
    """Asks a network ten times for an edit from pure noise."""

    asked: list[list[EditRequest]] = field(default_factory=list)
    network_evaluations: int = 0

    def evaluations_for(self, frames: int, noise_level: float, steps_by_level: bool) -> int:
        return frames * round(10 * noise_level if steps_by_level else 10)

    def edit(self, requests):
        self.network_evaluations += sum(
            self.evaluations_for(1, one.noise_level, one.steps_by_level) for one in requests
        )
        return super().edit(requests)


@pytest.mark.parametrize("noise_level", [1.0, 0.3])
def test_a_head_that_is_edited_again_is_paid_for(noise_level: float) -> None:
    """A budget that counted whole frames alone would be overrun by the heads'."""
    editor = HeadCropEditor(HeadCropConfig("on", noise_level=0.6), Counting())
    assert network_behind(editor) is editor
    requests = [replace(request(noise_level=noise_level), steps_by_level=True) for _ in range(3)]
    foretold = editor.evaluations_for(3, noise_level, True)
    editor.edit(requests)
    assert foretold == editor.network_evaluations == 3 * (16 if noise_level == 1 else 6)
    before = editor.network_evaluations
    editor.edit([replace(request("face", noise_level=noise_level), steps_by_level=True)])
    assert editor.network_evaluations - before < editor.evaluations_for(1, noise_level, True)
