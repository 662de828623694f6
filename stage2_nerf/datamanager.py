"""The clip's frames for training: whole in memory, replaceable by edits, drawn where they matter."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.data.datamanagers.base_datamanager import VanillaDataManager, VanillaDataManagerConfig
from nerfstudio.data.datasets.base_dataset import InputDataset
from torch import Tensor

from stage2_nerf.clip_dataparser import PortraitClipDataParserConfig
from stage2_nerf.losses import over
from stage2_nerf.pixel_sampler import PortraitPixelSampler, PortraitPixelSamplerConfig, expression_rarity
from tracking.background import local_background
from tracking.clip import TrackedClip


class PortraitDataset(InputDataset):
    """Frames of a tracked clip, each with its matte, its labels and its own background."""

    exclude_batch_keys_from_device = ["image", "matte", "labels", "background"]  # noqa: RUF012 (nerfstudio's field)

    def get_metadata(self, data: dict[str, Any]) -> dict[str, UInt8[Tensor, "height width channels"]]:
        """Matte (0 to 255), region labels and background of the frame, each image-shaped."""
        clip: TrackedClip = self.metadata["clip"]
        frame = int(self.metadata["frames"][data["image_idx"]])
        matte = clip.matte(frame)
        background = local_background(data["image"].numpy(), matte, self.plate)
        return {
            "matte": torch.from_numpy((matte * 255).round().astype(np.uint8))[..., None],
            "labels": torch.from_numpy(clip.labels(frame))[..., None],
            "background": torch.from_numpy((background * 255).round().astype(np.uint8)),
        }

    @cached_property
    def plate(self) -> Float[np.ndarray, "height width 3"] | None:
        """The clean background plate, in [0, 1]; none where the background moves."""
        clip: TrackedClip = self.metadata["clip"]
        return clip.plate()


@dataclass
class PortraitDataManagerConfig(VanillaDataManagerConfig):
    """The clip and how it is drawn from."""

    _target: type = field(default_factory=lambda: PortraitDataManager)
    dataparser: PortraitClipDataParserConfig = field(default_factory=PortraitClipDataParserConfig)  # pyright: ignore
    """The clip."""
    pixel_sampler: PortraitPixelSamplerConfig = field(default_factory=PortraitPixelSamplerConfig)  # pyright: ignore
    """Which pixels are trained on."""
    train_num_rays_per_batch: int = 1024
    """Rays in a training step."""
    eval_num_rays_per_batch: int = 1024
    """Rays in an evaluation step."""


class PortraitDataManager(VanillaDataManager[PortraitDataset]):
    """Hands out training rays, and takes edited frames in place of the filmed ones.

    Its methods speak of frames by their row: the position among the training frames.
    """

    config: PortraitDataManagerConfig
    train_pixel_sampler: PortraitPixelSampler

    def setup_train(self) -> None:
        """Load the frames, in order: nerfstudio's loader shuffles them before it makes the one batch that it yields."""
        super().setup_train()
        batch: dict[str, Any] = next(self.iter_train_image_dataloader)  # pyright: ignore[reportAssignmentType]
        order = torch.argsort(batch["image_idx"])
        for key, value in batch.items():
            batch[key] = value[order.to(value.device)]
        self.image_batch: dict[str, Any] = batch
        own_expressions = self.train_dataset.metadata["clip"].track.expression[self.frame_numbers]
        self.train_pixel_sampler.frame_weights = expression_rarity(
            torch.from_numpy(own_expressions).float(), self.train_pixel_sampler.config.rare_expression_weight
        )
        self.original_images = (batch["image"] * 255).round().to(torch.uint8)

    def __len__(self) -> int:
        return len(self.train_dataset)

    def original(self, row: int) -> Float[Tensor, "height width 3"]:
        """The frame as it was filmed."""
        return self.original_images[row].float() / 255

    def matte(self, row: int) -> Float[Tensor, "height width 1"]:
        """The frame's matte."""
        return self.image_batch["matte"][row].float() / 255

    def labels(self, row: int) -> UInt8[Tensor, "height width"]:
        """The frame's region labels."""
        return self.image_batch["labels"][row, ..., 0]

    def replace(self, row: int, image: Float[Tensor, "height width 3"]) -> None:
        """Train on this picture of the frame from now on."""
        self.image_batch["image"][row] = image.to(self.image_batch["image"])

    def restore(self) -> None:
        """Train on the filmed frames again."""
        self.image_batch["image"].copy_(self.original_images.float() / 255)

    def train_only_on(self, rows: Sequence[int] | None) -> None:
        """Draw pixels from these frames alone; from all where none are given."""
        self.train_pixel_sampler.allowed_rows = None if rows is None else torch.tensor(rows)

    @property
    def frame_numbers(self) -> list[int]:
        """The source video's number of each training frame."""
        return [int(frame) for frame in self.train_dataset.metadata["frames"]]

    def camera(self, row: int) -> Cameras:
        """The camera of a training frame."""
        return self.train_dataset.cameras[row : row + 1].to(self.device)

    def over_background(self, row: int, outputs: dict[str, Tensor]) -> Float[Tensor, "height width 3"]:
        """A rendered frame over its own background."""
        background = self.image_batch["background"][row].float() / 255
        return over(outputs["foreground"].to(background), outputs["accumulation"].to(background), background)
