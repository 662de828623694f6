"""Optimizers take from a checkpoint what fits them."""

import torch
from torch import nn

from stage2_nerf.optimizer import FittingOptimizers, FusedAdamConfig


def optimizers(shape):
    """Two groups, of which the first has a parameter of the shape."""
    groups = {"fields": [nn.Parameter(torch.ones(shape))], "refinement": [nn.Parameter(torch.ones(3))]}
    config = {name: {"optimizer": FusedAdamConfig(lr=0.1), "scheduler": None} for name in groups}
    made = FittingOptimizers(config, groups)
    for name, parameters in groups.items():
        parameters[0].grad = torch.ones_like(parameters[0])
        made.optimizers[name].step()
    return made


def momenta(made, name):
    return [state["exp_avg"] for state in made.optimizers[name].state_dict()["state"].values()]


def test_groups_with_other_parameters_start_afresh_and_the_rest_goes_on():
    earlier = optimizers((4, 2))
    for made in earlier.optimizers.values():
        made.step()
    saved = {name: made.state_dict() for name, made in earlier.optimizers.items()}
    same, other = optimizers((4, 2)), optimizers((2, 4))
    fresh = [momentum.clone() for momentum in momenta(other, "fields")]
    same.load_optimizers(saved)
    other.load_optimizers(saved)
    assert torch.equal(momenta(same, "fields")[0], momenta(earlier, "fields")[0])
    assert torch.equal(momenta(other, "fields")[0], fresh[0])
    assert torch.equal(momenta(other, "refinement")[0], momenta(earlier, "refinement")[0])
