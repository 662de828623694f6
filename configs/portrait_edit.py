"""The method's name: `ns-train portrait-edit --data clip/`."""

import torch
from nerfstudio.configs.base_config import LoggingConfig, MachineConfig, ViewerConfig
from nerfstudio.engine.schedulers import ExponentialDecaySchedulerConfig
from nerfstudio.plugins.types import MethodSpecification

from stage2_nerf.optimizer import FusedAdamConfig
from stage2_nerf.pipeline import PortraitEditPipelineConfig, PortraitEditTrainerConfig

portrait_edit = MethodSpecification(
    config=PortraitEditTrainerConfig(
        method_name="portrait-edit",
        pipeline=PortraitEditPipelineConfig(),
        optimizers={
            "fields": {
                "optimizer": FusedAdamConfig(lr=1e-2, eps=1e-15),
                "scheduler": ExponentialDecaySchedulerConfig(lr_final=1e-3),
            },
            "refinement": {
                "optimizer": FusedAdamConfig(lr=1e-3, eps=1e-15),
                "scheduler": ExponentialDecaySchedulerConfig(lr_final=1e-4),
            },
        },
        steps_per_save=200,
        steps_per_eval_batch=0,
        steps_per_eval_image=0,
        steps_per_eval_all_images=0,
        machine=MachineConfig(device_type="cuda" if torch.cuda.is_available() else "cpu"),
        logging=LoggingConfig(steps_per_log=20),
        viewer=ViewerConfig(websocket_host="127.0.0.1", quit_on_train_completion=True),
        vis="viewer",
    ),
    description="Text-driven editing of talking-portrait videos, consistent in 3D and in time.",
)
