"""Edits that came out bright and dark by chance, brought to one tone."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from stage1_edit.common_tone import CommonTone, in_tone
from stage1_edit.frame_geometry import FrameGeometry
from stage1_edit.surface_aggregation import SurfaceStarts

SIDE = 96
Head = Callable[..., FrameGeometry]
ONES = torch.ones(SIDE, SIDE, 1)


def checks(size: int) -> torch.Tensor:
    """Squares of 1 and -1, so many pixels wide."""
    rows, columns = np.mgrid[:SIDE, :SIDE] // size
    return torch.from_numpy(np.where((rows + columns) % 2, 1.0, -1.0)).float()[..., None].expand(-1, -1, 3)


def test_a_tint_is_taken_off_and_detail_is_kept() -> None:
    agreed = torch.full((SIDE, SIDE, 3), 0.5)
    tinted = agreed + torch.tensor([0.1, 0.0, -0.2])
    assert torch.allclose(in_tone(tinted, agreed, ONES, ONES), agreed, atol=1e-6)
    detailed = agreed + 0.2 * checks(1)
    assert (in_tone(detailed + 0.1, agreed, ONES, ONES) - detailed)[8:-8, 8:-8].abs().max() < 0.01


def test_nothing_is_changed_outside_of_the_mask_or_where_nothing_is_known() -> None:
    edited, agreed = torch.rand(SIDE, SIDE, 3, generator=torch.Generator().manual_seed(0)), torch.zeros(SIDE, SIDE, 3)
    mask = ONES.clone()
    mask[:, :40] = 0
    found = in_tone(edited, agreed, ONES, mask)
    assert torch.equal(found[:, :40], edited[:, :40]) and (found[:, 40:] < edited[:, 40:]).any()
    assert torch.equal(in_tone(edited, agreed, 0 * ONES, ONES), edited)


def test_half_of_a_soft_pixel_is_shifted_by_half() -> None:
    agreed, edited = torch.full((SIDE, SIDE, 3), 0.6), torch.full((SIDE, SIDE, 3), 0.4)
    assert torch.allclose(in_tone(edited, agreed, ONES, 0.5 * ONES), torch.full((SIDE, SIDE, 3), 0.5), atol=1e-6)


@pytest.fixture
def frames(head: Head) -> list[FrameGeometry]:
    return [head(turn, SIDE) for turn in (-0.3, -0.1, 0.0, 0.1, 0.2, 0.35)]


def toned(
    shapes: list[FrameGeometry],
    edits: list[torch.Tensor],
    trusted: torch.Tensor = ONES,
    mask: torch.Tensor = ONES,
) -> list[torch.Tensor]:
    grey = torch.full((SIDE, SIDE, 3), 0.5)
    starts = SurfaceStarts(range(len(edits)), lambda _: grey, edits.__getitem__, lambda _: ONES, shapes.__getitem__)
    tone = CommonTone(lambda: starts, lambda _: trusted, lambda _: mask)
    found = list(tone.toned(range(len(edits))))
    assert [frame for frame, _ in found] == list(range(len(edits)))
    return [image for _, image in found]


def test_edits_that_differ_by_tints_come_out_alike(frames: list[FrameGeometry]) -> None:
    grey = torch.full((SIDE, SIDE, 3), 0.5)
    tints = 0.1 * torch.randn(len(frames), 3, generator=torch.Generator().manual_seed(1))
    edits = [grey + torch.tensor([0.2, 0.1, -0.1]) + tint for tint in tints]
    found = toned(frames, edits)
    middle = [slice(40, 56), slice(40, 56)]
    before = torch.stack([edit[middle].mean((0, 1)) for edit in edits]).std(0)
    after = torch.stack([edit[middle].mean((0, 1)) for edit in found]).std(0)
    assert (after < 0.1 * before).all()
    # An average over frames is kept: no frame's tint is taken for the truth.
    agreed = torch.stack([edit[middle].mean((0, 1)) for edit in found]).mean(0)
    assert (agreed - torch.stack(edits).mean((0, 1, 2))).abs().max() < 0.05


def test_an_edit_that_all_frames_agree_on_stays_as_it_was(frames: list[FrameGeometry]) -> None:
    edits = [torch.full((SIDE, SIDE, 3), 0.7) for _ in frames]
    assert all((after - 0.7).abs().max() < 0.005 for after in toned(frames, edits))


def test_of_no_edits_nothing_is_made(frames: list[FrameGeometry]) -> None:
    assert toned(frames, []) == []


def test_hair_that_alone_is_edited_keeps_each_frames_tone(frames: list[FrameGeometry]) -> None:
    """The face beside it is as filmed in all frames but for the border, which told of tints that were none."""
    hair = ONES.clone()
    hair[SIDE // 2 :] = 0
    edits = [0.5 + hair * (0.2 + 0.03 * number) * torch.ones(3) for number in range(len(frames))]
    for before, after in zip(edits, toned(frames, edits, 1 - hair, hair), strict=True):
        assert torch.equal(before, after)
