"""One training step through the real pipeline: what it teaches whom."""

from copy import deepcopy

import pytest
import torch
from torch.testing import assert_close

from tracking.clip import TrackedClip


@pytest.fixture(scope="module")
def pipeline(tiny_clip: TrackedClip, tiny_preset):
    torch.manual_seed(0)
    config = deepcopy(tiny_preset.pipeline)
    config.datamanager.data = tiny_clip.root
    made = config.setup(device="cpu", test_mode="val")
    made.train()
    return made


def test_the_sampler_learns_where_the_batch_was_wrong(pipeline):
    sampler = pipeline.datamanager.train_pixel_sampler
    sampler.forget()
    outputs, _, _ = pipeline.get_train_loss_dict(0)
    row, y, x = sampler.drawn
    error = outputs["colour_error"][:, 0]
    alone = (sampler.error_map.index(row, y, x)[:, None] == sampler.error_map.index(row, y, x)).sum(1) == 1
    assert alone.any()
    assert_close(sampler.error_map.around(row, y, x)[alone], (error.clamp(min=1e-6) / error.mean())[alone])


def test_only_the_drawn_frames_are_refined_by_what_was_seen(pipeline):
    pipeline.datamanager.train_only_on([3, 9])
    _, losses, _ = pipeline.get_train_loss_dict(0)
    pipeline.datamanager.train_only_on(None)
    refinement = pipeline.model.refinement
    tables = (refinement.head, refinement.torso, refinement.code)
    for table, gradient in zip(tables, torch.autograd.grad(losses["colour"], tables), strict=True):
        assert gradient.shape == table.shape
        assert gradient.abs().sum(dim=1).nonzero()[:, 0].tolist() == [3, 9]
