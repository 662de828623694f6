"""The method's two sizes: settings come as a CPU bears them, and a GPU takes others in their place.

What is written down here is the whole difference. It is applied when a run starts, and so recorded in its config.yml:
rendering elsewhere takes the run's size, not the machine's.
"""

from typing import Any, Literal

import torch
from nerfstudio.utils.rich_utils import CONSOLE

from tracking.console import say

Size = Literal["auto", "gpu", "cpu"]

GPU_SIZE: dict[str, Any] = {
    "pipeline.reconstruction_steps": 6000,
    "pipeline.style_training.steps": 1500,
    "pipeline.datamanager.train_num_rays_per_batch": 8192,
    "pipeline.datamanager.eval_num_rays_per_batch": 8192,
    "pipeline.datamanager.pixel_sampler.frames_per_batch": 16,
    "pipeline.model.sampler.walk_steps": 48,
    "pipeline.model.sampler.samples": 16,
    "pipeline.model.eval_num_rays_per_chunk": 1 << 18,
}
"""What a GPU takes: eight times the rays in a step, from twice the frames, through half as many samples again.

Nothing here changes the shape of a parameter: a GPU's checkpoint fits a CPU's run as far as its encoding does.
"""


def resolve_size(size: Size, device: torch.device) -> Literal["gpu", "cpu"]:
    """The size that `auto` means on this device; says so in one line."""
    if size != "auto":
        return size
    if device.type == "cuda":
        say(CONSOLE, "Size: the GPU's (--size cpu takes the smaller one).")
        return "gpu"
    say(CONSOLE, "Size: the CPU's, for no CUDA device is used (--size gpu takes the larger one).")
    return "cpu"


def apply_size(config: Any, size: Literal["gpu", "cpu"]) -> None:
    """Take the size's settings, except where something was stated.

    Args:
        config: the trainer's configuration, whose settings are the CPU's as they come.
    """
    if size == "cpu":
        return
    as_it_comes = type(config.pipeline)()
    for path, value in GPU_SIZE.items():
        *parents, name = path.removeprefix("pipeline.").split(".")
        here, default = config.pipeline, as_it_comes
        for parent in parents:
            here, default = getattr(here, parent), getattr(default, parent)
        if getattr(here, name) == getattr(default, name):
            setattr(here, name, value)
