"""nerfstudio's nerfacto on a tracked clip, read as a static scene: the camera moves around a head that stands still.

It is not handicapped. It sees the same rays as the avatar, is laid over each frame's own background and compared with
the filmed frame as the avatar is, is told the opacity by the same matte loss, and looks only inside the person's box,
which spares it the contraction of unbounded space. Its density starts a hundred times higher than registered, at the
model's own default: with the registered one the small size collapsed to nothing, at 14 dB. Everything else is
nerfstudio's own: networks, proposal sampling and its losses, appearance embeddings, pose refinement, learning rates.
"""

from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import torch
from baseline_avatar import BaselineAvatar, whole_person_box
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.configs.method_configs import all_methods
from nerfstudio.data.scene_box import SceneBox
from nerfstudio.engine.trainer import TrainerConfig
from nerfstudio.model_components.scene_colliders import AABBBoxCollider
from nerfstudio.models.nerfacto import NerfactoModel, NerfactoModelConfig
from nerfstudio.pipelines.base_pipeline import VanillaPipelineConfig
from torch import Tensor, nn

LPIPS = "torchmetrics.image.lpip.LearnedPerceptualImagePatchSimilarity"
"""What nerfacto downloads AlexNet for when it is built; it is not used in training."""


@dataclass
class NerfactoAvatarConfig(NerfactoModelConfig):
    """nerfacto inside the person's box, over a frame's own background."""

    _target: type = field(default_factory=lambda: NerfactoAvatar)


class NerfactoAvatar(BaselineAvatar, NerfactoModel):
    """nerfacto that learns a person over the frames' own backgrounds."""

    config: NerfactoAvatarConfig

    def populate_modules(self) -> None:
        """Build nerfacto inside the person's box, without the metric that would be downloaded."""
        metadata: dict[str, Any] = self.kwargs["metadata"]
        box = whole_person_box(metadata["head_proxy"], metadata["torso_proxy"], metadata["head_to_torso"])
        self.scene_box = SceneBox(aabb=box)
        with mock.patch(LPIPS, lambda **_: nn.Identity()):
            super().populate_modules()
        self.collider = AABBBoxCollider(SceneBox(aabb=nn.Parameter(box, requires_grad=False)), self.config.near_plane)

    def get_outputs(self, ray_bundle: RayBundle) -> dict[str, Any]:
        """nerfacto's outputs; over black, its colour is premultiplied."""
        outputs = super().get_outputs(ray_bundle)
        return {**outputs, "foreground": outputs["rgb"]}

    def get_metrics_dict(self, outputs: dict[str, Any], batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """nerfacto's own, which its losses need."""
        return super().get_metrics_dict(outputs, {"image": batch["image"].to(self.device).float()})

    def get_loss_dict(
        self, outputs: dict[str, Any], batch: dict[str, Tensor], metrics_dict: dict[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """nerfacto's losses, with the person's in place of that of colour."""
        losses = super().get_loss_dict(outputs, {"image": batch["image"].to(self.device).float()}, metrics_dict)
        del losses["rgb_loss"]
        return {**losses, **self.person_losses(outputs, batch)}


def nerfacto(*, small: bool) -> TrainerConfig:
    """nerfacto as registered; or smaller, for a CPU, where it makes thirty times as many steps in the same time."""
    config = deepcopy(all_methods["nerfacto"])
    pipeline = config.pipeline
    assert isinstance(pipeline, VanillaPipelineConfig)
    cuda = torch.cuda.is_available()
    config.machine.device_type = "cuda" if cuda else "cpu"
    registered = pipeline.model
    assert isinstance(registered, NerfactoModelConfig)
    model = NerfactoAvatarConfig(
        average_init_density=NerfactoModelConfig.average_init_density,
        camera_optimizer=registered.camera_optimizer,
        background_color="black",
        disable_scene_contraction=True,
        proposal_initial_sampler="uniform",
        implementation="tcnn" if cuda else "torch",
        eval_num_rays_per_chunk=4096,
    )
    if small:
        model.num_levels, model.log2_hashmap_size = 8, 14
        model.num_proposal_samples_per_ray, model.num_nerf_samples_per_ray = (64, 32), 24
        for network in model.proposal_net_args_list:
            network["log2_hashmap_size"] = 14
    pipeline.model = model
    return config
