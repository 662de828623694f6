"""The methods that the benchmark compares, each as a configuration of nerfstudio's trainer on one tracked clip."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import torch
from baseline_blended_grids import BlendedGridsModelConfig
from baseline_nerfacto import nerfacto
from nerfstudio.configs.base_config import MachineConfig
from nerfstudio.configs.method_configs import all_methods
from nerfstudio.engine.schedulers import ExponentialDecaySchedulerConfig
from nerfstudio.engine.trainer import TrainerConfig
from nerfstudio.pipelines.base_pipeline import VanillaPipelineConfig
from reconstruction_quality import HELD_OUT_INTERVAL

from stage2_nerf.datamanager import PortraitDataManagerConfig
from stage2_nerf.optimizer import FusedAdamConfig
from stage2_nerf.pipeline import PortraitEditPipelineConfig
from stage2_nerf.trainer import PortraitEditTrainerConfig
from tracking.clip import TrackedClip

OURS = "portrait-edit"
ALL_FRAMES = 1 << 16
"""More than any clip has: a static scene has no tables to blend for each frame, so its rays come from all of them."""


@dataclass(frozen=True)
class Method:
    """Something that learns a person from a tracked clip, as a model with `render_frame` and `get_outputs`."""

    what: str
    """One sentence for the reader of the measurements."""
    configure: Callable[[TrackedClip, Path], TrainerConfig]
    """The training on a clip, with the folder that its run goes to."""


def ours(clip: TrackedClip, outputs: Path) -> PortraitEditTrainerConfig:
    """The method as registered, without prompts, with frames held out."""
    config = deepcopy(all_methods[OURS])
    assert isinstance(config, PortraitEditTrainerConfig)
    assert isinstance(config.pipeline, PortraitEditPipelineConfig)
    use_clip(config, config.pipeline.datamanager, clip, outputs)
    return config


def nerfacto_on_clip(small: bool, rays: int) -> Callable[[TrackedClip, Path], TrainerConfig]:
    """nerfacto in one of its sizes."""

    def configure(clip: TrackedClip, outputs: Path) -> TrainerConfig:
        config = nerfacto(small=small)
        datamanager = same_datamanager()
        datamanager.train_num_rays_per_batch = rays
        datamanager.pixel_sampler.frames_per_batch = ALL_FRAMES
        assert isinstance(config.pipeline, VanillaPipelineConfig)
        config.pipeline.datamanager = datamanager
        use_clip(config, datamanager, clip, outputs)
        return config

    return configure


def blended_grids(clip: TrackedClip, outputs: Path) -> TrainerConfig:
    """NeRFBlendShape's recipe."""
    datamanager = same_datamanager()
    datamanager.train_num_rays_per_batch = 1024
    datamanager.pixel_sampler.frames_per_batch = 4
    config = TrainerConfig(
        method_name="blended-grids",
        pipeline=VanillaPipelineConfig(datamanager=datamanager, model=BlendedGridsModelConfig()),
        optimizers={
            "fields": {
                "optimizer": FusedAdamConfig(lr=1e-2, eps=1e-15),
                "scheduler": ExponentialDecaySchedulerConfig(lr_final=1e-3),
            }
        },
        machine=MachineConfig(device_type="cuda" if torch.cuda.is_available() else "cpu"),
    )
    use_clip(config, datamanager, clip, outputs)
    return config


def same_datamanager() -> PortraitDataManagerConfig:
    """The avatar's own: the same frames, and rays drawn as it draws them, but without looking at its errors, and
    without frames that wear others' expressions."""
    pipeline = all_methods[OURS].pipeline
    assert isinstance(pipeline, PortraitEditPipelineConfig)
    datamanager = deepcopy(pipeline.datamanager)
    datamanager.pixel_sampler.exchanged_frames = 0
    return datamanager


def use_clip(config: TrainerConfig, datamanager: PortraitDataManagerConfig, clip: TrackedClip, outputs: Path) -> None:
    """Train on a clip, with frames held out, without a viewer."""
    datamanager.data = clip.root
    datamanager.dataparser.held_out_interval = HELD_OUT_INTERVAL
    config.output_dir, config.experiment_name, config.vis = outputs, clip.root.name, "tensorboard"


METHODS = {
    OURS: Method("this project's method as registered", ours),
    "nerfacto": Method(
        "nerfstudio's nerfacto as registered, as a static scene in the person's box", nerfacto_on_clip(False, 4096)
    ),
    "nerfacto-small": Method(
        "nerfacto with 8 levels of 2^14 entries, 64 + 32 + 24 samples and 1,024 rays", nerfacto_on_clip(True, 1024)
    ),
    "blended-grids": Method(
        "NeRFBlendShape's recipe: 46 hash grids blended by the expression, 32 even samples, 1,024 rays", blended_grids
    ),
}
