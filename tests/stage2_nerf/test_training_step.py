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


def test_fog_from_aside_is_pushed_out_or_together(pipeline):
    """The loss of rays that nobody filmed reaches the densities, and no colour; without its weight there are none."""
    outputs, losses, _ = pipeline.get_train_loss_dict(0)
    rays = pipeline.datamanager.config.train_num_rays_per_batch
    share, model = pipeline.model.config.side_share, pipeline.model
    assert outputs["accumulation_aside"].shape == (round(share * rays), 1)
    assert all(len(values) == rays for name, values in outputs.items() if name != "accumulation_aside")
    shaping = model.head_field.decoder[-1].weight
    shaped, coloured = torch.autograd.grad(losses["aside"], (shaping, model.head_colour.weight), allow_unused=True)
    assert shaped[0].abs().sum() > 0
    assert coloured is None or coloured.abs().sum() == 0
    weight, model.config.side_weight = model.config.side_weight, 0.0
    outputs, losses, _ = pipeline.get_train_loss_dict(0)
    model.config.side_weight = weight
    assert "aside" not in losses and "accumulation_aside" not in outputs
