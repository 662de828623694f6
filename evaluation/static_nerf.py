"""What Instruct-NeRF2NeRF does to a moving head: the stock static nerfacto, edited by iterative dataset update.

The cameras move around a head that is taken to stand still (its tracked pose is undone, which favours this baseline);
whatever else moves, lips, eyes and shoulders, it can only average. Steps, rays and the sizes of fields are cut to what
a CPU does in minutes, and frames are rendered small, which costs little: a static picture of a talking face is blurred
anyway. Edits come more often than in the original, in proportion, so that all frames are edited.

Haque et al. 2023, arXiv 2303.12789; Tancik et al. 2023 (nerfacto).
"""

from dataclasses import dataclass, field
from unittest import mock

import cv2
import numpy as np
import torch
from jaxtyping import Float
from nerfstudio.cameras.camera_optimizers import CameraOptimizerConfig
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.models.nerfacto import NerfactoModel, NerfactoModelConfig
from rich.progress import track
from torch import Tensor

from evaluation.measurement import Picture
from stage1_edit.dataset_update import DatasetUpdater
from stage1_edit.editor import FrameEditor, Image
from stage1_edit.prompts import EditPrompt
from stage1_edit.schedule import IterativeDatasetUpdate, IterativeDatasetUpdateConfig
from stage2_nerf.datamanager import PortraitDataManager


def small_nerfacto() -> NerfactoModelConfig:
    """Stock nerfacto with fewer and smaller grids and samples."""
    return NerfactoModelConfig(
        implementation="torch",
        num_levels=8,
        log2_hashmap_size=13,
        max_res=512,
        hidden_dim=32,
        hidden_dim_color=32,
        num_proposal_samples_per_ray=(32, 16),
        num_nerf_samples_per_ray=16,
        proposal_net_args_list=[
            {"hidden_dim": 16, "log2_hashmap_size": 12, "num_levels": 4, "max_res": 64, "use_linear": False},
            {"hidden_dim": 16, "log2_hashmap_size": 12, "num_levels": 4, "max_res": 128, "use_linear": False},
        ],
        proposal_weights_anneal_max_num_iters=200,
        proposal_warmup=500,
        use_appearance_embedding=False,
        # The head's poses are tracked; and the optimizer's corrections are unknown to a frame that is rendered.
        camera_optimizer=CameraOptimizerConfig(mode="off"),
        eval_num_rays_per_chunk=1 << 13,
    )


@dataclass(frozen=True)
class StaticNerfConfig:
    """The size of the baseline."""

    reconstruction_steps: int = 500
    edit_steps: int = 300
    learning_rate: float = 1e-2
    """Adam's step size; nerfacto's own."""
    steps_between_edits: int = 3
    """Instruct-NeRF2NeRF edits every tenth of 15,000 steps; with as few steps as here, that would leave most frames as
    they were."""
    greatest_side: int = 64
    """Frames are rendered with a longer side of at most so many pixels, and enlarged."""
    model: NerfactoModelConfig = field(default_factory=small_nerfacto)


class StaticNerf:
    """A static scene, learned from the training frames of a clip."""

    def __init__(self, config: StaticNerfConfig, frames: PortraitDataManager) -> None:
        self.config = config
        self.frames = frames
        cameras = frames.train_dataset.cameras
        # As nerfstudio's own dataparsers do: the farthest camera is at a distance of one.
        self._scale = 1 / float(cameras.camera_to_worlds[:, :, 3].abs().max())
        # The constructor would download LPIPS' network, which only nerfstudio's own evaluation uses.
        with mock.patch("torchmetrics.image.lpip.LearnedPerceptualImagePatchSimilarity"):
            model = config.model.setup(scene_box=frames.train_dataset.scene_box, num_train_data=len(frames))
        assert isinstance(model, NerfactoModel)
        self.model = model.to(frames.device)
        parameters = [parameter for group in self.model.get_param_groups().values() for parameter in group]
        self._optimizer = torch.optim.Adam(parameters, lr=config.learning_rate, eps=1e-15)
        self._callbacks = self.model.get_training_callbacks(None)  # pyright: ignore[reportArgumentType]
        self._step = 0

    def reconstruct(self) -> None:
        """Learn the frames as they were filmed."""
        self.frames.restore()
        for _ in track(range(self.config.reconstruction_steps), "Training the static scene"):
            self.train_step()

    def edit(self, editor: FrameEditor, prompt: EditPrompt) -> None:
        """Go on training while frames are replaced by edits of their renders."""
        config = self.config
        schedule = IterativeDatasetUpdateConfig(steps_between_edits=config.steps_between_edits, frames_first=0)
        generator = torch.Generator().manual_seed(0)
        updater = DatasetUpdater(
            editor,
            IterativeDatasetUpdate(schedule, len(self.frames), config.edit_steps, generator),
            _Frames(self.frames),
            self.render,
            prompt,
        )
        for _ in track(range(config.edit_steps), "Editing the static scene"):
            updater.step()
            self.train_step()

    def train_step(self) -> None:
        """One of nerfacto's own training steps."""
        self.model.train()
        for callback in self._callbacks:
            if "BEFORE" in callback.where_to_run[0].name:
                callback.run_callback(self._step)
        rays, batch = self.frames.next_train(self._step)
        outputs = self.model(self._scaled(rays))
        losses = self.model.get_loss_dict(outputs, batch, self.model.get_metrics_dict(outputs, batch))
        self._optimizer.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()
        self._optimizer.step()
        for callback in self._callbacks:
            if "AFTER" in callback.where_to_run[0].name:
                callback.run_callback(self._step)
        self._step += 1

    def render(self, row: int) -> Image:
        """The scene from a training frame's camera, at the size of the clip's images."""
        camera = self.frames.camera(row)
        width, height = int(camera.width.item()), int(camera.height.item())
        scale = min(1.0, self.config.greatest_side / max(width, height))
        camera.rescale_output_resolution(scale)
        self.model.eval()
        with torch.no_grad():
            bundle = self._scaled(camera.generate_rays(camera_indices=0))
            picture: Float[Tensor, "height width 3"] = self.model.get_outputs_for_camera_ray_bundle(bundle)["rgb"]
        enlarged = cv2.resize(picture.cpu().numpy(), (width, height), interpolation=cv2.INTER_CUBIC)
        return torch.from_numpy(enlarged).clamp(0, 1)

    def picture(self, row: int) -> Picture:
        """The same in eight bits."""
        return np.rint(self.render(row).numpy() * 255).astype(np.uint8)

    def _scaled(self, rays: RayBundle) -> RayBundle:
        rays.origins = rays.origins * self._scale
        return rays


@dataclass(frozen=True)
class _Frames:
    """The training frames as a `FrameStore`; edits are kept in memory alone."""

    frames: PortraitDataManager

    def __len__(self) -> int:
        return len(self.frames)

    def original(self, frame: int) -> Image:
        return self.frames.original(frame)

    def matte(self, frame: int) -> Float[Tensor, "height width 1"]:
        return self.frames.matte(frame)

    def labels(self, frame: int) -> Tensor:
        return self.frames.labels(frame)

    def replace(self, frame: int, image: Image) -> None:
        self.frames.replace(frame, image)
