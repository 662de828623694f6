"""The compiled look-ups give what `grid_sample` gives, values and every gradient, and the same bits each time."""

import pytest
import torch
from torch.testing import assert_close

from stage2_nerf.deformation import normalise, sample_volumes, warp
from stage2_nerf.plane_look_up import look_up_planes, sample_planes

BOX = torch.tensor([[-1.0, -2, 0.5], [3, 1, 2]])


def levels():
    torch.manual_seed(0)
    shapes = [(1, 3, 5, 5, 4), (1, 3, 16, 16, 8), (4, 3, 7, 7, 4)]
    return [torch.randn(shape, requires_grad=True) for shape in shapes]


def points(count=500, reach=1.2):
    torch.manual_seed(1)
    return (reach * (torch.rand(count, 3) * 2 - 1)).requires_grad_(), torch.randint(4, (count,))


def gradients(outputs, inputs):
    torch.manual_seed(2)
    return torch.autograd.grad(outputs, inputs, torch.randn(outputs.shape))


@pytest.fixture(params=[1, 2])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_planes_and_their_gradients_are_those_of_grid_sample(threads):
    tables = levels()
    # Enough for several slices.
    positions, frame = points(2000)
    expected = torch.cat([sample_planes(positions, frame, table) for table in tables], dim=1)
    found = look_up_planes(positions, frame, tables)
    assert_close(found, expected, atol=1e-5, rtol=1e-4)
    inputs = [positions, *tables]
    for ours, theirs in zip(gradients(found, inputs), gradients(expected, inputs), strict=True):
        assert_close(ours, theirs, atol=2e-4, rtol=1e-3)


def test_warp_and_its_gradients_are_those_of_grid_sample(threads):
    torch.manual_seed(0)
    displacement = (0.2 * torch.randn(4, 6, 6, 6, 3)).requires_grad_()
    unit, frame = points(2000)
    positions = ((unit.detach() + 1) / 2 * (BOX[1] - BOX[0]) + BOX[0]).requires_grad_()
    moved = positions + sample_volumes(displacement, normalise(positions, BOX), frame)
    expected = normalise(moved, BOX)
    found = warp(positions, frame, displacement, BOX)
    assert_close(found, expected, atol=1e-5, rtol=1e-4)
    for ours, theirs in zip(
        gradients(found, [positions, displacement]), gradients(expected, [positions, displacement]), strict=True
    ):
        assert_close(ours, theirs, atol=1e-4, rtol=1e-3)


def test_a_plane_that_is_a_ramp_has_its_slope_as_gradient():
    """Rising by 3 from the left edge at -1 to the right edge at 1: 1.5 for a move by 1; nothing beyond the edges."""
    ramp = torch.linspace(0, 3, 9).expand(1, 3, 9, 9)[..., None].repeat(1, 1, 1, 1, 4)
    positions = torch.tensor([[0.3, 0.1, -0.2], [1.5, 0.0, 0.0]], requires_grad=True)
    features = look_up_planes(positions, torch.zeros(2, dtype=torch.long), [ramp])
    # The first plane's width is along x, and so is the second's; the third's is along y.
    slopes = [torch.autograd.grad(features[:, column].sum(), positions, retain_graph=True)[0] for column in (0, 4, 8)]
    for slope, axis in zip(slopes, (0, 0, 1), strict=True):
        expected = torch.zeros(3).index_fill(0, torch.tensor(axis), 1.5)
        assert_close(slope[0], expected, atol=1e-4, rtol=0)
    assert slopes[0][1].abs().max() == 0


def test_two_equal_runs_give_equal_bits_on_any_number_of_threads():
    runs = []
    for count in (1, 2, 2, 3):
        before = torch.get_num_threads()
        torch.set_num_threads(count)
        tables = levels()
        positions, frame = points(5000)
        displacement = torch.zeros(4, 6, 6, 6, 3, requires_grad=True)
        features = look_up_planes(warp(positions, frame, displacement, BOX), frame, tables)
        runs.append([features.detach(), *gradients(features, [positions, displacement, *tables])])
        torch.set_num_threads(before)
    for run in runs[1:]:
        assert all(torch.equal(ours, first) for ours, first in zip(run, runs[0], strict=True))


def test_only_wanted_gradients_are_made():
    tables = [table.detach() for table in levels()]
    tables[1].requires_grad_()
    positions, frame = points(50)
    look_up_planes(positions.detach(), frame, tables).sum().backward()
    assert tables[1].grad is not None and tables[0].grad is None


def test_a_position_that_is_no_number_gives_features_that_are_none():
    tables = levels()
    positions = torch.tensor([[float("nan"), 0, 0], [0.1, 0.2, 0.3]])
    features = look_up_planes(positions, torch.tensor([0, 3]), tables)
    assert features[0].isnan().any() and not features[1].isnan().any()
    canonical = warp(positions, torch.tensor([0, 3]), torch.zeros(4, 6, 6, 6, 3), BOX)
    assert canonical[0].isnan().any() and not canonical[1].isnan().any()


def test_a_frame_that_is_not_there_is_refused():
    with pytest.raises(IndexError):
        look_up_planes(torch.zeros(1, 3), torch.tensor([4]), levels())
    with pytest.raises(IndexError):
        warp(torch.zeros(1, 3), torch.tensor([-1]), torch.zeros(2, 3, 3, 3, 3), BOX)


def test_planes_of_one_texel_are_constant():
    tables = [torch.arange(12.0).reshape(1, 3, 1, 1, 4)]
    features = look_up_planes(torch.rand(7, 3) * 2 - 1, torch.zeros(7, dtype=torch.long), tables)
    assert_close(features, torch.arange(12.0).expand(7, 12))


def test_no_points_have_no_features():
    positions = torch.zeros(0, 3, requires_grad=True)
    features = look_up_planes(positions, torch.zeros(0, dtype=torch.long), levels())
    assert features.shape == (0, 3 * (4 + 8 + 4))
    features.sum().backward()
