"""Edits that differ from frame to frame agree after they were gathered on the surface."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from surface_aggregated_editor import SurfaceAggregatedEditor
from torch.testing import assert_close

from stage1_edit.editor import EditRequest, Image
from stage1_edit.frame_geometry import FrameGeometry
from stage1_edit.prompts import EditPrompt
from tracking.cameras import project, rigid, rotation_from_vector, transform
from tracking.clip import Intrinsics
from tracking.head_model import HeadModel
from tracking.proxy_mesh import head_shell
from tracking.regions import Label

SIDE = 64
TINTS = (0.05, 0.10, 0.15, 0.20, 0.30)


@dataclass
class Tinting:
    """Adds a tint of the frame's own to it from noise; from a weaker start it only looks at that."""

    levels: list[float] = field(default_factory=list)

    def edit(self, requests: Sequence[EditRequest]) -> list[Image]:
        self.levels.append(requests[0].noise_level)
        if requests[0].noise_level < 1:
            return [request.render for request in requests]
        return [request.original + TINTS[request.frame or 0] for request in requests]

    def check(self, prompt: EditPrompt) -> None: ...


def head(turn: float) -> FrameGeometry:
    """A head before the camera, turned by so many radians."""
    vertices, triangles = head_shell(np.zeros(len(HeadModel.load().identity_basis)))
    to_camera = rigid(rotation_from_vector(np.array([0.0, turn, 0.0])), np.array([0.0, 0.0, -60.0]))
    camera = Intrinsics(1.6 * SIDE, SIDE / 2, SIDE / 2, SIDE, SIDE)
    placed = transform(to_camera, vertices)
    return FrameGeometry(placed, triangles, camera, project(placed[:478], camera), len(triangles))


def requests() -> list[EditRequest]:
    picture = torch.full((SIDE, SIDE, 3), 0.4)
    matte, labels = torch.ones(SIDE, SIDE, 1), torch.full((SIDE, SIDE), int(Label.FACE_SKIN), dtype=torch.uint8)
    generator = torch.Generator().manual_seed(0)
    return [
        EditRequest(
            EditPrompt("x"), picture, picture, matte, labels, 1.0, generator, frame=frame, geometry=head(0.05 * frame)
        )
        for frame in range(len(TINTS))
    ]


def middle(picture: Image) -> float:
    return float(picture[28:36, 24:40].mean())


def test_frames_that_disagree_start_again_from_what_they_agree_on() -> None:
    editor = Tinting()
    first = Tinting().edit(requests())
    edits = SurfaceAggregatedEditor(editor, (0.5,)).edit(requests())
    before, after = (np.array([middle(edit) for edit in found]) for found in (first, edits))
    assert editor.levels == [1.0, 0.5]
    assert np.ptp(after) < 0.1 * np.ptp(before)
    assert 0.4 + min(TINTS) < after.mean() < 0.4 + max(TINTS)


def test_where_the_surface_is_not_seen_the_frames_own_edit_stays() -> None:
    edits = SurfaceAggregatedEditor(Tinting()).edit(requests())
    for edit, tint in zip(edits, TINTS, strict=True):
        assert_close(edit[:2, :2], torch.full((2, 2, 3), 0.4 + tint))


def test_without_further_levels_it_is_the_editor_itself() -> None:
    for found, expected in zip(SurfaceAggregatedEditor(Tinting(), ()).edit(requests()), Tinting().edit(requests()),
                               strict=True):  # fmt: skip
        assert_close(found, expected)
