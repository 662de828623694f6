"""The motion table that the model owns."""

import torch
from scipy.spatial.transform import Rotation
from torch.testing import assert_close

from stage2_nerf.expression_track import ExpressionTrack, pose_vectors, principal_directions, rotation_vectors

PARTS = torch.tensor([[True, False, False, False, False, False, True], [False, True, True, False, False, False, False]])
PARTS = torch.cat([PARTS, ~PARTS.any(0, keepdim=True)])


def transforms(count):
    result = torch.eye(4).repeat(count, 1, 1)
    angles = torch.linspace(-0.4, 0.5, count)
    vectors = torch.stack([angles, 0.5 * angles, -angles], dim=1).numpy()
    result[:, :3, :3] = torch.from_numpy(Rotation.from_rotvec(vectors).as_matrix()).float()
    result[:, :3, 3] = torch.randn(count, 3)
    return result


def track():
    torch.manual_seed(0)
    return ExpressionTrack(torch.tensor([0.0, 0.1, 0.25, 0.5, 1.0]), torch.rand(5, 7), transforms(5), PARTS)


def test_at_a_frames_time_is_that_frames_own():
    table = track()
    expression, transform = table.at(table.frame_times)
    assert_close(expression, table.expression_codes)
    assert_close(transform, table.head_to_torso)


def test_between_two_frames_is_between_them_and_rigid():
    table = track()
    expression, transform = table.at(torch.tensor([0.375]))
    assert_close(expression[0], (table.expression_codes[2] + table.expression_codes[3]) / 2)
    rotation = transform[0, :3, :3]
    assert_close(rotation @ rotation.T, torch.eye(3), atol=1e-5, rtol=1e-5)
    assert_close(torch.det(rotation), torch.tensor(1.0))


def test_outside_of_the_clip_its_ends_hold():
    table = track()
    expression, _ = table.at(torch.tensor([-1.0, 2.0]))
    assert_close(expression, table.expression_codes[[0, -1]])


def test_rays_without_a_time_see_the_mean():
    table = track()
    states = table.resolve(None, None, rays=3)
    assert_close(states.expression[states.frame], table.expression_codes.mean(0).expand(3, -1))


def test_an_expression_that_a_ray_carries_wins():
    table = track()
    carried = torch.rand(6, 7)
    states = table.resolve(torch.full((6, 1), 0.5), carried, rays=6)
    assert_close(states.expression[states.frame], carried)
    assert_close(states.head_to_torso[states.frame], table.head_to_torso[3].expand(6, 4, 4))


def test_every_ray_finds_its_own_moment():
    table = track()
    times = table.frame_times[torch.tensor([3, 0, 3, 4, 1])]
    states = table.resolve(times[:, None], None, rays=5)
    assert len(states.expression) == 4
    assert_close(states.expression[states.frame], table.expression_codes[[3, 0, 3, 4, 1]])


def test_rotation_vectors_invert_the_exponential():
    vectors = torch.tensor([[0.0, 0.0, 0.0], [1e-4, 0, 0], [0.3, -0.5, 0.2], [0.0, 3.0, 0.0]])
    matrices = torch.from_numpy(Rotation.from_rotvec(vectors.numpy()).as_matrix()).float()
    assert_close(rotation_vectors(matrices), vectors, atol=1e-5, rtol=1e-4)


def test_pose_of_the_mean_is_zero():
    table = track()
    assert pose_vectors(table.mean_head_to_torso[None], table.mean_head_to_torso).abs().max() < 1e-5


def test_small_directions_stay_small():
    """The tracker's noise must not become a code as large as the expressions."""
    torch.manual_seed(0)
    table = 0.001 * torch.randn(200, 6)
    table[:, 2] += torch.randn(200)
    mean, directions = principal_directions(table, 4)
    deviation = ((table - mean) @ directions.T).std(0)
    assert_close(deviation[0], torch.tensor(1.0), atol=1e-3, rtol=1e-3)
    assert deviation[1:].max() < 0.01


def test_a_table_with_fewer_frames_than_codes_leaves_the_rest_empty():
    _, directions = principal_directions(torch.randn(3, 8), 5)
    assert directions.shape == (5, 8)
    assert directions[3:].abs().max() == 0
