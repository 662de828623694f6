"""Edits gathered on the head and shown again."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from stage1_edit.frame_geometry import FrameGeometry
from stage1_edit.surface_aggregation import (
    SurfaceChange,
    SurfaceStarts,
    gathered,
    is_opening,
    texels_for,
    view_of,
)

SIDE = 96
Head = Callable[..., FrameGeometry]


def painted(shape: FrameGeometry, straight: FrameGeometry) -> np.ndarray:
    """A change that is a smooth function of the place on the person, which the head that looks straight ahead tells."""
    colors = 0.2 * np.sin(0.5 * straight.vertices + np.arange(3))
    return shape.seen((SIDE, SIDE)).interpolate(colors, shape.triangles).astype(np.float32)


def known_where(change: SurfaceChange, shape: FrameGeometry) -> np.ndarray:
    """Where a start is made of the change alone: all of a start of 0 over 1."""
    ones = torch.ones(SIDE, SIDE, 1)
    start = SurfaceChange(change.texels, 0 * change.change, change.weight).start(
        torch.zeros(SIDE, SIDE, 3), torch.ones(SIDE, SIDE, 3), ones, shape
    )
    return (start[..., 0] == 0).numpy()


def view(texels, shape: FrameGeometry, change: np.ndarray):
    return view_of(texels, change, np.ones((SIDE, SIDE), np.float32), shape)


def started(change: SurfaceChange, shape: FrameGeometry, original: torch.Tensor | None = None) -> np.ndarray:
    grey = torch.full((SIDE, SIDE, 3), 0.5) if original is None else original
    return change.start(grey, torch.zeros(SIDE, SIDE, 3), torch.ones(SIDE, SIDE, 1), shape).numpy()


def test_a_frame_that_is_gathered_alone_comes_back_as_it_was(head: Head) -> None:
    shape = head(0.2, SIDE)
    change = 0.2 * np.sin(np.mgrid[:SIDE, :SIDE][1] / 6)[..., None] * np.float32([1, -0.5, 0.3])
    texels = texels_for([shape])
    found = gathered(texels, [view(texels, shape, change.astype(np.float32))])
    where = known_where(found, shape)
    assert where.mean() > 0.1
    assert np.abs(started(found, shape) - 0.5 - change)[where].max() < 0.01


def test_what_two_frames_saw_is_shown_to_a_third(head: Head) -> None:
    straight, shapes = head(0.0, SIDE), [head(turn, SIDE) for turn in (-0.5, 0.4, 0.1)]
    texels = texels_for(shapes[:2])
    found = gathered(texels, [view(texels, shape, painted(shape, straight)) for shape in shapes[:2]])
    where = known_where(found, shapes[2])
    expected = painted(shapes[2], straight)
    assert where.mean() > 0.1 and np.abs(expected[where]).mean() > 0.05
    assert np.abs(started(found, shapes[2]) - 0.5 - expected)[where].mean() < 0.012


def test_identical_edits_stay_as_they_are_and_one_that_is_another_is_ignored(head: Head) -> None:
    shapes = [head(turn, SIDE) for turn in (-0.2, -0.1, 0.0, 0.1, 0.2)]
    texels = texels_for(shapes)
    flat = np.full((SIDE, SIDE, 3), 0.12, np.float32)
    views = [view(texels, shape, flat) for shape in shapes]
    agreed = gathered(texels, views)
    where = known_where(agreed, shapes[2])
    np.testing.assert_allclose(started(agreed, shapes[2])[where], 0.62, atol=1e-5)
    views[1] = view(texels, shapes[1], -3 * flat)
    np.testing.assert_allclose(started(gathered(texels, views), shapes[2])[where], 0.62, atol=1e-4)


def test_the_frame_keeps_its_own_detail(head: Head) -> None:
    shape = head(0.0, SIDE)
    texels = texels_for([shape])
    found = gathered(texels, [view(texels, shape, np.full((SIDE, SIDE, 3), 0.1, np.float32))])
    original = 0.2 + 0.5 * torch.rand(SIDE, SIDE, 3, generator=torch.Generator().manual_seed(0))
    where = known_where(found, shape)
    np.testing.assert_allclose(started(found, shape, original)[where], original.numpy()[where] + 0.1, atol=1e-5)


def test_elsewhere_the_start_is_the_render(head: Head) -> None:
    """Beside the head, inside of mouth and eyes, outside of the matte, and on the side that nobody saw."""
    shape = head(0.0, SIDE)
    texels = texels_for([shape])
    found = gathered(texels, [view(texels, shape, np.full((SIDE, SIDE, 3), 0.1, np.float32))])
    visibility = shape.seen((SIDE, SIDE))
    start = started(found, shape)
    assert (start[~visibility.covered] == 0).all()
    opening = is_opening(shape.triangles)[visibility.triangle] & visibility.covered
    assert opening.any() and (start[opening] < 0.5).all()
    behind = head(np.pi * 0.8, SIDE)
    assert (started(found, behind) == 0).mean() > 0.9
    nobody = found.start(torch.ones(SIDE, SIDE, 3), torch.zeros(SIDE, SIDE, 3), torch.zeros(SIDE, SIDE, 1), shape)
    assert (nobody == 0).all()


def test_grazing_views_count_less_and_hidden_ones_not_at_all(head: Head) -> None:
    frontal, turned = head(0.0, SIDE), head(0.9, SIDE)
    texels = texels_for([frontal, turned])
    flat = np.zeros((SIDE, SIDE, 3), np.float32)
    nose = np.flatnonzero((texels.barycentric[:, 0] == 1) & (frontal.triangles[texels.triangle, 0] == 4))[0]
    ears = [np.flatnonzero((frontal.triangles[texels.triangle] == point).any(1))[0] for point in (234, 454)]
    weights = [view(texels, shape, flat).weight for shape in (frontal, turned)]
    assert weights[0][nose] > 0.7
    assert sum(weights[1][ear] == 0 for ear in ears) == 1, "one side of a turned head is hidden"


def test_what_was_gathered_for_a_round_survives_and_is_not_taken_for_another(head: Head, tmp_path: Path) -> None:
    shape = head(0.1, SIDE)
    original = torch.full((SIDE, SIDE, 3), 0.4)
    pictures = {0: original + 0.2, 1: original + 0.2}
    looked = []

    def edited(frame: int) -> torch.Tensor:
        looked.append(frame)
        return pictures[frame]

    def starts() -> SurfaceStarts:
        ones = torch.ones(SIDE, SIDE, 1)
        file = tmp_path / "surface.npz"
        return SurfaceStarts([1, 0], lambda _: original, edited, lambda _: ones, lambda _: shape, file)

    first = starts()
    first.begin(1, {0, 1}, is_round=True)
    whole = first.start(original, 0 * original, torch.ones(SIDE, SIDE, 1), shape)
    assert abs(float(whole.max()) - 0.6) < 1e-3
    # Amid the round one frame has been edited again, into something else.
    pictures[1] = 0 * original
    resumed = starts()
    looked.clear()
    resumed.begin(1, {0, 1}, is_round=True)
    assert not looked
    assert torch.equal(resumed.start(original, 0 * original, torch.ones(SIDE, SIDE, 1), shape), whole)
    resumed.begin(2, {0, 1}, is_round=True)
    assert sorted(looked) == [0, 1]


def test_only_frames_that_were_edited_again_are_looked_at_again(head: Head) -> None:
    shape, original = head(0.0, SIDE), torch.full((SIDE, SIDE, 3), 0.4)
    looked = []

    def edited(frame: int) -> torch.Tensor:
        looked.append(frame)
        return original + 0.1

    ones = torch.ones(SIDE, SIDE, 1)
    starts = SurfaceStarts(range(5), lambda _: original, edited, lambda _: ones, lambda _: shape, most_views=3)
    starts.begin(0, {0, 2, 3, 4}, is_round=False)
    starts.replaced(2)
    starts.begin(10, {0, 2, 3, 4}, is_round=False)
    assert looked == [0, 2, 3, 2], "the most telling three, and what changed"


@pytest.mark.parametrize("done", [set(), {9}])
def test_before_anything_is_edited_edits_start_from_the_render(head: Head, done: set[int]) -> None:
    shape, picture = head(0.0, SIDE), torch.rand(SIDE, SIDE, 3)
    ones = torch.ones(SIDE, SIDE, 1)
    starts = SurfaceStarts([0], lambda _: picture, lambda _: picture, lambda _: ones, lambda _: shape)
    starts.begin(0, done, is_round=False)
    assert torch.equal(starts.start(picture, picture + 1, ones, shape), picture + 1)
