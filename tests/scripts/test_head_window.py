"""The square around the head that the small editor edits: what goes in comes back at its place."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from head_window import HeadWindow, HeadWindowEditor
from torch.testing import assert_close

from stage1_edit.editor import EditRequest, Image
from stage1_edit.frame_geometry import FrameGeometry
from stage1_edit.prompts import EditPrompt
from tracking.cameras import project
from tracking.clip import Intrinsics

WINDOW = HeadWindow(left=20, top=8, side=32, size=64)


def request() -> EditRequest:
    rows, columns = torch.meshgrid(torch.linspace(0, 1, 48), torch.linspace(0, 1, 64), indexing="ij")
    picture = torch.stack([rows, columns, 0.5 * (rows + columns)], dim=-1)
    labels = torch.zeros(48, 64, dtype=torch.uint8)
    labels[20:30, 30:40] = 6
    vertices = np.array([[0.0, 0.0, -30.0], [4.0, 0.0, -30.0], [0.0, 3.0, -28.0]])
    camera = Intrinsics(60.0, 32.0, 24.0, 64, 48)
    geometry = FrameGeometry(vertices, np.array([[0, 1, 2]]), camera, project(vertices, camera), 1)
    generator = torch.Generator().manual_seed(0)
    return EditRequest(
        EditPrompt("x"), picture, picture, torch.ones(48, 64, 1), labels, 1.0, generator, geometry=geometry
    )


@dataclass
class Brighter:
    """Adds a tenth, and remembers what it saw."""

    seen: EditRequest | None = None

    def edit(self, requests: list[EditRequest]) -> list[Image]:
        self.seen = requests[0]
        return [request.original + 0.1 for request in requests]

    def check(self, prompt: EditPrompt) -> None: ...


def test_an_editor_that_changes_nothing_leaves_the_frame_as_it_was() -> None:
    asked = request()
    cut = WINDOW.request(asked)
    assert cut.original.shape == (64, 64, 3)
    # The picture is a ramp, which survives being enlarged and shrunk, but for where bicubic weights meet the edge.
    assert_close(WINDOW.pasted(asked.render, cut.original), asked.render, atol=2e-3, rtol=0)


def test_the_edit_shows_inside_and_nothing_changes_outside() -> None:
    asked = request()
    edited = HeadWindowEditor(Brighter(), WINDOW).edit([asked])[0]
    change = edited - asked.render
    assert_close(change[20:28, 32:40], torch.full((8, 8, 3), 0.1), atol=2e-3, rtol=0)
    change[8:40, 20:52] = 0
    assert change.abs().max() == 0


def test_landmarks_and_mesh_stay_together_in_the_square() -> None:
    editor = Brighter()
    HeadWindowEditor(editor, WINDOW).edit([request()])
    assert editor.seen is not None
    geometry = editor.seen.geometry
    assert geometry is not None
    assert_close(torch.from_numpy(project(geometry.vertices, geometry.intrinsics)).float(),
                 torch.from_numpy(np.asarray(geometry.landmarks)).float(), atol=1e-3, rtol=1e-5)  # fmt: skip


def test_labels_stay_whole_numbers_at_their_place() -> None:
    labels = WINDOW.request(request()).labels
    assert labels.unique().tolist() == [0, 6]
    assert (labels == 6).nonzero().float().mean(0).sub(torch.tensor([2 * 16.5, 2 * 14.5])).abs().max() < 1.5


def test_the_region_outside_of_the_square_keeps_the_render_and_not_the_original() -> None:
    asked = request()
    asked = replace(asked, render=asked.render * 0.5)
    edited = HeadWindowEditor(Brighter(), WINDOW).edit([asked])[0]
    assert_close(edited[0], asked.render[0])
