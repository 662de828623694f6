"""Corrections of the training frames."""

import torch
from scipy.spatial.transform import Rotation
from torch.testing import assert_close

from stage2_nerf.frame_refinement import FrameRefinement, move


def refinement():
    torch.manual_seed(0)
    corrections = FrameRefinement(torch.tensor([0.0, 0.2, 0.6, 1.0]), code_size=3)
    for parameter in corrections.parameters():
        torch.nn.init.normal_(parameter)
    return corrections


def test_corrections_start_as_none():
    corrections = FrameRefinement(torch.linspace(0, 1, 5), code_size=3).at(torch.rand(7))
    assert corrections.head.abs().max() == corrections.torso.abs().max() == corrections.code.abs().max() == 0


def test_a_training_frame_has_its_own_and_a_held_out_one_what_lies_between():
    table = refinement()
    assert_close(table.at(table.times).head, table.head)
    assert_close(table.at(torch.tensor([0.5])).code[0], 0.25 * table.code[1] + 0.75 * table.code[2])
    assert_close(table.at(torch.tensor([-1.0, 3.0])).torso, table.torso[[0, -1]])


def test_one_frame_is_enough():
    table = FrameRefinement(torch.tensor([0.5]), code_size=2)
    assert_close(table.at(torch.tensor([0.0, 1.0])).code, torch.zeros(2, 2))


def test_small_motions_are_rigid_to_first_order():
    motion = torch.tensor([[0.01, -0.02, 0.015, 0.1, 0.2, -0.3]])
    rotation = torch.from_numpy(Rotation.from_rotvec(motion[0, :3].numpy()).as_matrix()).float()
    origins, directions = torch.randn(2, 9, 3)
    directions = directions / directions.norm(dim=-1, keepdim=True)
    moved, turned = move(origins, directions, motion, torch.zeros(9, dtype=torch.long))
    assert_close(moved, origins @ rotation.T + motion[0, 3:], atol=2e-3, rtol=0)
    assert_close(turned, directions @ rotation.T, atol=1e-3, rtol=0)


def test_roughness_is_zero_for_a_steady_drift_and_not_for_a_shake():
    table = FrameRefinement(torch.linspace(0, 1, 6), code_size=1)
    with torch.no_grad():
        table.head[:, 0] = torch.linspace(0, 1, 6)
    assert table.roughness() < 1e-12
    with torch.no_grad():
        table.head[::2, 0] += 1
    assert table.roughness() > 0.1
