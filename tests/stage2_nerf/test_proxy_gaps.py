"""Hulls of a person's parts: no ray through the person misses them all."""

from dataclasses import replace

import numpy as np
import pytest

from stage2_nerf.proxy_gaps import PartHull, close_gaps, covered_by
from stage2_nerf.proxy_grid import voxel_centres
from tracking.clip import Intrinsics, TrackedClip

SIZE = 80
LENS = Intrinsics(focal_length=160.0, center_x=SIZE / 2, center_y=SIZE / 2, width=SIZE, height=SIZE)


def box_of_voxels(low: tuple[float, float, float], high: tuple[float, float, float]) -> PartHull:
    """A part whose space is the camera's, 80 cm before it: 40 cm fill the picture."""
    points = voxel_centres(np.array([low, high]), 24)
    camera = np.eye(4)
    camera[2, 3] = -80
    everywhere = np.ones(len(points), bool)
    spacing = float(np.subtract(high, low).max()) / 23
    return PartHull(points, spacing, np.stack([camera, camera]), everywhere, everywhere, everywhere)


def matte(rows: slice, columns: slice) -> np.ndarray:
    """Two frames that show the person in a rectangle."""
    mattes = np.zeros((2, SIZE, SIZE), np.float32)
    mattes[:, rows, columns] = 1
    return mattes


def parts() -> list[PartHull]:
    return [box_of_voxels((-10, -4, -5), (10, 16, 5)), box_of_voxels((-10, -16, -5), (10, 4, 5))]


def test_a_whole_hull_is_left_as_it_is() -> None:
    hulls = close_gaps(parts(), matte(slice(20, 60), slice(24, 56)), LENS)
    assert all(hull.all() for hull in hulls)
    head, torso = parts()
    little = [replace(head, kept=head.points[:, 1] > 2), replace(torso, kept=torso.points[:, 1] < 4)]
    closed = close_gaps(little, matte(slice(20, 60), slice(24, 56)), LENS)
    for hull, part in zip(closed, little, strict=True):
        np.testing.assert_array_equal(hull, part.kept)


@pytest.mark.parametrize("is_shown", [True, False])
def test_a_gap_goes_to_the_part_that_is_seen_there_or_else_to_both(is_shown: bool) -> None:
    """Hair that hangs before the shoulders is inside neither the head's shell nor where the torso is seen."""
    head, torso = parts()
    hanging = (np.abs(head.points[:, 0]) < 3) & (head.points[:, 1] < 3)
    head = replace(head, kept=head.points[:, 1] > 3, shown=hanging & is_shown | (head.points[:, 1] > 3))
    torso = replace(torso, kept=np.abs(torso.points[:, 0]) > 3, shown=np.abs(torso.points[:, 0]) > 3)
    mattes = matte(slice(22, 58), slice(24, 56))
    gap = (mattes > 0.5) & ~covered_by([head, torso], [head.kept, torso.kept], mattes, LENS)
    assert gap.sum() > 50
    hulls = close_gaps([head, torso], mattes, LENS)
    missed = (mattes > 0.5) & ~covered_by([head, torso], hulls, mattes, LENS)
    # Below the head's box there is the torso's alone, and it was not seen there.
    assert missed.sum() == 0
    assert (hulls[0] & ~head.kept).any()
    assert (hulls[0] >= head.kept).all() and (hulls[1] >= torso.kept).all()
    if is_shown:
        added = hulls[0] & ~head.kept
        assert (np.abs(head.points[added, 0]) < 3).all()


def test_nothing_is_given_back_where_the_mattes_allow_nobody() -> None:
    head, torso = parts()
    nobody = np.zeros(len(head.points), bool)
    bare = [replace(part, kept=nobody, shown=nobody, allowed=nobody) for part in (head, torso)]
    assert not any(hull.any() for hull in close_gaps(bare, matte(slice(20, 60), slice(24, 56)), LENS))


def test_every_pixel_of_a_tracked_person_is_met(tiny_clip: TrackedClip) -> None:
    """The avatar's own hulls, of a real clip, in frames that they were not made of too."""
    from stage2_nerf.clip_dataparser import PortraitClipDataParserConfig

    outputs = PortraitClipDataParserConfig(data=tiny_clip.root).setup().get_dataparser_outputs("train")
    metadata = outputs.metadata
    mattes = np.stack([tiny_clip.matte(int(frame)) for frame in tiny_clip.frames])
    found = []
    for part, to_space in (("head", tiny_clip.track.camera_to_head), ("torso", tiny_clip.track.camera_to_torso)):
        proxy = metadata[f"{part}_proxy"]
        box, hull = 10 * proxy.box.numpy().astype(float), proxy.hull.numpy()
        points = voxel_centres(box, len(hull))
        cameras = np.linalg.inv(to_space[tiny_clip.frames])
        kept = hull.ravel()
        spacing = float((box[1] - box[0]).max()) / (len(hull) - 1)
        found.append(PartHull(points, spacing, cameras, kept, kept, kept))
    covered = covered_by(found, [part.kept for part in found], mattes, tiny_clip.intrinsics)
    missed = (mattes > 0.9) & ~covered
    assert missed.sum() / (mattes > 0.9).sum() < 0.002
