"""The methods' names: `ns-train portrait-edit --data clip/`, and two derived from it."""

from copy import deepcopy
from typing import Any

import torch
from nerfstudio.configs.base_config import LoggingConfig, MachineConfig, ViewerConfig
from nerfstudio.engine.schedulers import ExponentialDecaySchedulerConfig
from nerfstudio.plugins.types import MethodSpecification

from stage2_nerf.optimizer import FusedAdamConfig
from stage2_nerf.pipeline import PortraitEditPipelineConfig
from stage2_nerf.trainer import PortraitEditTrainerConfig

BASE = PortraitEditTrainerConfig(
    method_name="portrait-edit",
    pipeline=PortraitEditPipelineConfig(),
    optimizers={
        "fields": {
            "optimizer": FusedAdamConfig(lr=1e-2, eps=1e-15),
            "scheduler": ExponentialDecaySchedulerConfig(lr_final=1e-3),
        },
        "refinement": {
            # Slower than the fields: early on these are wrong by more than the poses, and faster corrections followed
            # them. From 1e-3, held-out frames of a clip with much turning were 0.5 dB worse after 300 steps.
            "optimizer": FusedAdamConfig(lr=3e-4, eps=1e-15),
            "scheduler": ExponentialDecaySchedulerConfig(lr_final=3e-5),
        },
    },
    steps_per_save=200,
    steps_per_eval_batch=0,
    steps_per_eval_image=0,
    steps_per_eval_all_images=0,
    machine=MachineConfig(device_type="cuda" if torch.cuda.is_available() else "cpu"),
    logging=LoggingConfig(steps_per_log=20),
    # Every displayed image is decoded before the first step; the cameras of a talking head hardly differ.
    viewer=ViewerConfig(websocket_host="127.0.0.1", quit_on_train_completion=True, max_num_display_images=24),
    vis="viewer",
)


def derived(method_name: str, **changes: Any) -> PortraitEditTrainerConfig:
    """The base under another name, with some of the trainer's settings changed."""
    config = deepcopy(BASE)
    config.method_name = method_name
    for name, value in changes.items():
        assert hasattr(config, name)
        setattr(config, name, value)
    return config


portrait_edit = MethodSpecification(
    config=BASE, description="Text-driven editing of talking-portrait videos, consistent in 3D and in time."
)

portrait_edit_small = MethodSpecification(
    config=derived("portrait-edit-small", size="cpu"),
    description="portrait-edit at the size for a CPU, whatever the machine has.",
)

portrait_head = MethodSpecification(
    config=derived("portrait-head", takes_prompts=False),
    description="Only the avatar of portrait-edit: the portrait is reconstructed, not edited.",
)
