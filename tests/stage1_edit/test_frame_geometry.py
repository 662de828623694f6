"""What is drawn from a frame's track: correspondences, control pictures, noise."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from stage1_edit.control_pictures import FACE_LINES, control_picture, depth, edges, face_lines, normals
from stage1_edit.correspondences import SurfaceCorrespondences, surface_places
from stage1_edit.frame_geometry import FrameGeometry
from stage1_edit.head_crops import Box, cropped_geometry, head_outline
from stage1_edit.starting_noise import SharedNoise
from stage1_edit.warped_noise import FINENESS, WarpedNoise, gather, shown_at, source_cells
from tracking.cameras import project, rigid, rotation_from_vector, transform
from tracking.clip import Intrinsics
from tracking.head_model import HeadModel
from tracking.proxy_mesh import head_shell

SIDE = 64
SHAPE = (4, 16, 16)


def head(turn: float = 0.0, shift: float = 0.0) -> FrameGeometry:
    """A head 60 cm before a camera, turned about the vertical by radians, and shifted to the right by centimetres."""
    identity = np.zeros(len(HeadModel.load().identity_basis))
    vertices, triangles = head_shell(identity)
    to_camera = rigid(rotation_from_vector(np.array([0.0, turn, 0.0])), np.array([shift, 0.0, -60.0]))
    camera = Intrinsics(1.6 * SIDE, SIDE / 2, SIDE / 2, SIDE, SIDE)
    landmarks = project(transform(to_camera, HeadModel.load().neutral(identity).astype(np.float64)), camera)
    return FrameGeometry(transform(to_camera, vertices), triangles, camera, landmarks, len(triangles))


def test_a_frame_corresponds_to_itself() -> None:
    places, seen = surface_places(head(), head(), (16, 24))
    covered = head().seen((16, 24)).covered
    assert covered[seen].all() and 0.2 < seen.mean() < 0.9
    # A pixel whose surface is seen edge on may be taken for hidden.
    assert (covered & ~seen).sum() <= 1
    rows, columns = np.mgrid[:16, :24]
    itself = np.stack([(columns + 0.5) / 24, (rows + 0.5) / 16], -1)
    np.testing.assert_allclose(places[seen], itself[seen], atol=1e-6)


def test_a_tracked_point_is_found_again() -> None:
    """The tip of the nose is where the track says, in a frame turned by 20 degrees."""
    here, there = head(), head(np.radians(20))
    places, seen = surface_places(here, there, (SIDE, SIDE))
    column, row = here.landmarks[1].astype(int)
    assert seen[row, column]
    np.testing.assert_allclose(places[row, column] * SIDE, there.landmarks[1], atol=1.0)
    assert np.linalg.norm(there.landmarks[1] - here.landmarks[1]) > 4


def test_what_is_turned_away_is_not_seen() -> None:
    """Of the cheek that a turn by 70 degrees hides, nothing is found; most of the other one is."""
    here, there = head(), head(np.radians(70))
    _, seen = surface_places(here, there, (SIDE, SIDE))
    # The head turns its nose to the picture's right; the cheek on that side goes behind.
    middle, height = SIDE // 2, int(here.landmarks[1, 1])
    right, left = here.landmarks[[454, 234], 0].max(), here.landmarks[[454, 234], 0].min()
    hidden = seen[height, int(0.5 * (middle + right)) : int(right) - 1].mean()
    shown = seen[height, int(left) + 2 : middle - 2].mean()
    assert hidden < 0.35 and shown > 0.8


def test_without_a_track_nothing_corresponds() -> None:
    _, seen = SurfaceCorrespondences([None, head()]).places(1, 0, (8, 8))
    assert not seen.any()


def test_a_frame_may_be_stretched() -> None:
    """Twice the height and half the width: the same shape, in other pixels."""
    plain, stretched = head(0.3).seen((SIDE, SIDE)).covered, head(0.3).seen((2 * SIDE, SIDE // 2)).covered
    repeated = plain.repeat(2, axis=0)[:, ::2]
    assert (stretched == repeated).mean() > 0.97


def test_the_head_hides_the_shoulders_hull_whatever_the_depths() -> None:
    """A plate 20 cm before the nose is seen around the head only."""
    behind = head()
    corners = np.array([[-30.0, -30, -30], [30, -30, -30], [30, 30, -30], [-30, 30, -30]])
    plate = np.array([[0, 1, 2], [0, 2, 3]]) + len(behind.vertices)
    both = replace(
        behind,
        vertices=np.concatenate([behind.vertices, corners]),
        triangles=np.concatenate([behind.triangles, plate]),
        _seen={},
    )
    alone, seen = behind.seen((SIDE, SIDE)), both.seen((SIDE, SIDE))
    assert seen.covered.all() and np.array_equal(seen.depth[alone.covered], alone.depth[alone.covered])
    np.testing.assert_allclose(seen.depth[~alone.covered], 30)


def test_what_reaches_behind_the_camera_is_left_out() -> None:
    near = replace(head(), vertices=head().vertices + np.array([0, 0, 58.0]), _seen={})
    assert near.seen((8, 8)).triangle.shape == (8, 8)


def test_the_nearest_point_is_white_and_what_is_not_there_black() -> None:
    picture = depth(head(), (SIDE, SIDE))
    covered = head().seen((SIDE, SIDE)).covered
    assert picture.max() == pytest.approx(1) and not picture[~covered].any() and picture[covered].min() > 0.3
    row, column, _ = np.unravel_index(picture.argmax(), picture.shape)
    assert np.hypot(column - SIDE / 2, row - head().landmarks[1, 1]) < 5


def test_normals_are_blue_to_the_front_red_to_the_left_and_green_up() -> None:
    picture = normals(head(), (SIDE, SIDE))
    covered = head().seen((SIDE, SIDE)).covered
    rows, columns = np.nonzero(covered)
    left, right = (columns < np.percentile(columns, 15)), (columns > np.percentile(columns, 85))
    top, bottom = (rows < np.percentile(rows, 10)), (rows > np.percentile(rows, 90))
    colors = picture[covered]
    assert colors[left, 0].mean() > 0.7 > 0.3 > colors[right, 0].mean()
    assert colors[top, 1].mean() > 0.65 > 0.45 > colors[bottom, 1].mean()
    assert colors[:, 2].min() >= 0.45
    np.testing.assert_allclose(picture[~covered], np.tile([0.5, 0.5, 1.0], ((~covered).sum(), 1)))
    np.testing.assert_allclose(np.linalg.norm(picture * 2 - 1, axis=-1), 1, atol=1e-5)


def test_lines_are_drawn_where_the_landmarks_are() -> None:
    size = (4 * SIDE, 4 * SIDE)
    picture = face_lines(head(), size)
    for loop, _, color in FACE_LINES:
        for point in loop[1:-1:3]:
            column, row = np.rint(head().landmarks[point] * 4 - 0.5).astype(int)
            around = picture[row - 2 : row + 3, column - 2 : column + 3]
            assert np.abs(around - np.array(color) / 255).sum(-1).min() < 0.15, point
    assert (picture.sum(-1) == 0).mean() > 0.7


def test_edges_are_where_brightness_jumps() -> None:
    image = torch.zeros(40, 40, 3)
    image[:, 20:] = 1
    picture = edges(image, (80, 80))
    assert picture[:, 37:43].any(axis=(1, 2)).all()
    picture[:, 37:43] = 0
    assert not picture.any()


@pytest.mark.parametrize("name", ["canny", "landmarks", "depth", "normals"])
def test_control_pictures_have_the_diffusion_models_size(make_request: Callable, name) -> None:
    asked = replace(make_request("make it silver"), geometry=head())
    picture = control_picture(name, asked, (48, 56))
    assert picture.shape == (3, 48, 56) and picture.min() >= 0 and picture.max() <= 1 and picture.std() > 0.02


def test_depth_and_normals_end_at_the_matte(make_request: Callable) -> None:
    """Where nobody is it is far away, and faces the camera; where somebody is, it is as the mesh says."""
    asked = replace(make_request("make it silver"), geometry=head(), matte=torch.zeros(SIDE, SIDE, 1))
    assert not control_picture("depth", asked, (SIDE, SIDE)).any()
    wall = torch.tensor([0.5, 0.5, 1.0])[:, None, None]
    torch.testing.assert_close(control_picture("normals", asked, (SIDE, SIDE)), wall.expand(3, SIDE, SIDE))
    whole = replace(asked, matte=torch.ones(SIDE, SIDE, 1))
    drawn = torch.from_numpy(depth(head(), (SIDE, SIDE))).movedim(-1, 0)
    torch.testing.assert_close(control_picture("depth", whole, (SIDE, SIDE)), drawn)


def generators(count: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in range(count)]


def test_shared_noise_is_the_same_for_all_frames_at_all_times() -> None:
    noise = SharedNoise(5)
    first = noise.draw(SHAPE, generators(2), [None, None])
    later = noise.draw(SHAPE, generators(3)[2:], [None])
    assert torch.equal(first[0], first[1]) and torch.equal(first[0], later[0])
    assert not torch.equal(first, SharedNoise(6).draw(SHAPE, generators(2), [None, None]))


def test_noise_sticks_to_the_surface() -> None:
    """A head shifted by two latent cells carries its noise along; what is around it stands still."""
    cell = SIDE / SHAPE[2]
    # So many centimetres at 60 are one cell; the skull's depth spoils that a little, so the face is looked at.
    centimetres = 2 * cell * 60 / (1.6 * SIDE)
    here, there = head(), head(shift=centimetres)
    noise = WarpedNoise(3)
    reference, moved = noise.draw(SHAPE, generators(2), [here, there])
    column, row = (here.landmarks[1] / cell).astype(int)

    def around(noise: torch.Tensor, column: int) -> torch.Tensor:
        return noise[:, row - 1 : row + 2, column - 1 : column + 2].flatten()

    def correlation(one: torch.Tensor, other: torch.Tensor) -> float:
        return float(torch.corrcoef(torch.stack([one, other]))[0, 1])

    assert correlation(around(reference, column), around(moved, column + 2)) > 0.6
    assert abs(correlation(around(reference, column), around(moved, column))) < 0.5
    torch.testing.assert_close(reference[:, :, 15], moved[:, :, 15])


def test_warped_noise_has_unit_variance_whatever_is_met_how_often() -> None:
    size = (SHAPE[1] * FINENESS, SHAPE[2] * FINENESS)
    cells, known = source_cells(head(0.5), head(-0.4), size)
    fine, own = (torch.randn(4000, *size, generator=generator) for generator in generators(2))
    noise = gather(fine, own, torch.from_numpy(cells), torch.from_numpy(known))
    assert 0.3 < known.mean() < 1.0
    variance = noise.var(0)
    assert (variance - 1).abs().max() < 0.12 and abs(float(variance.mean()) - 1) < 0.01


def test_the_reference_gets_the_sum_of_its_own_fine_cells() -> None:
    reference = WarpedNoise(3).draw(SHAPE, generators(1), [None])[0]
    fine = torch.randn((4, 64, 64), generator=torch.Generator().manual_seed(3))
    expected = fine.unfold(1, FINENESS, FINENESS).unfold(2, FINENESS, FINENESS).sum((-1, -2)) / FINENESS
    torch.testing.assert_close(reference, expected)


def test_what_is_new_gets_the_second_noise() -> None:
    """Fully unknown: the first does not count."""
    fine, other, second = (torch.randn(4, 64, 64, generator=generator) for generator in generators(3))
    cells, unknown = torch.arange(64 * 64).view(64, 64), torch.zeros(64, 64, dtype=torch.bool)
    assert torch.equal(gather(fine, second, cells, unknown), gather(other, second, cells, unknown))


def test_a_head_cut_out_gets_noise_as_fine_as_the_whole_frame() -> None:
    """Looked up in the frame's noise, where the head is a third as large, neighbours would be alike."""
    whole = head()
    box = Box(*(int(side) for side in whole.landmarks[1] - SIDE / 6), SIDE // 3, SIDE // 3)
    noise = WarpedNoise(3)
    _, cut = noise.draw((500, *SHAPE[1:]), generators(2), [whole, cropped_geometry(whole, box)])
    left, right = cut[:, 6:10, 6:9].flatten(), cut[:, 6:10, 7:10].flatten()
    assert abs(float(torch.corrcoef(torch.stack([left, right]))[0, 1])) < 0.1


def test_frames_that_show_the_same_get_the_same_noise_even_of_what_the_first_did_not_show() -> None:
    """Noise of every frame's own, in the half of the picture that the reference does not show, was most of the flicker
    of a turned head."""
    turned, asked = head(0.5), generators(3)
    noises = WarpedNoise(3).draw(SHAPE, asked, [head(-0.4), turned, turned])
    assert torch.equal(noises[1], noises[2])
    assert not torch.equal(noises[0], noises[1])
    later = [torch.randn(4, generator=generator) for generator in asked]
    assert torch.equal(later[0], later[1]) and torch.equal(later[0], later[2])


def test_a_run_that_goes_on_draws_the_noise_that_it_began_with() -> None:
    """Whole frames and heads cut out: whichever frame comes first."""
    typical, first, later = head(), head(-0.4), head(0.5)

    def cut(geometry: FrameGeometry) -> FrameGeometry:
        return cropped_geometry(geometry, Box(12, 8, SIDE // 2, SIDE // 2))

    for part in (lambda geometry: geometry, cut):
        whole = WarpedNoise(3, typical).draw(SHAPE, generators(2), [part(first), part(later)])
        rest = WarpedNoise(3, typical).draw(SHAPE, generators(1), [part(later)])
        assert torch.equal(whole[1], rest[0]) and not torch.equal(whole[0], whole[1])


def test_the_reference_shows_its_head_in_the_middle_of_a_picture_of_another_size() -> None:
    """Of a head in the middle of a crop the noise hardly moves."""
    typical = head(shift=5.0)
    lowest, highest = head_outline(typical)
    side = 2 * round(float((highest - lowest).max()) / 2)
    left, top = np.rint((lowest + highest - side) / 2).astype(int)
    cut = cropped_geometry(typical, Box(int(left), int(top), side, side))
    shown = shown_at(typical, cut.intrinsics)
    np.testing.assert_allclose(head_outline(shown).mean(axis=0), side / 2)
    np.testing.assert_allclose(shown.landmarks, cut.landmarks, atol=0.51)
    assert shown_at(typical, typical.intrinsics) is typical
