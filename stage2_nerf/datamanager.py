"""The clip's frames for training: at hand in bounded memory, replaceable by edits, drawn where they matter."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.data.datamanagers.base_datamanager import VanillaDataManager, VanillaDataManagerConfig
from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs
from nerfstudio.data.datasets.base_dataset import InputDataset
from nerfstudio.data.utils.dataloaders import FixedIndicesEvalDataloader, RandIndicesEvalDataloader
from nerfstudio.model_components.ray_generators import RayGenerator
from torch import Tensor

from stage2_nerf.clip_dataparser import PortraitClipDataParserConfig
from stage2_nerf.frame_cache import open_frames
from stage2_nerf.frame_columns import FrameColumn
from stage2_nerf.frame_store import FrameStore
from stage2_nerf.losses import over
from stage2_nerf.part_exchange import PartExchange
from stage2_nerf.pixel_sampler import FrameTurns, PortraitPixelSampler, PortraitPixelSamplerConfig, frame_weights
from tracking.background import local_background
from tracking.clip import TrackedClip


class PortraitDataset(InputDataset):
    """Frames of a tracked clip, decoded one at a time, each with its matte, its labels and its own background."""

    exclude_batch_keys_from_device = ["image", "matte", "labels", "background"]  # noqa: RUF012 (nerfstudio's field)

    def __init__(self, dataparser_outputs: DataparserOutputs, scale_factor: float = 1.0) -> None:
        # nerfstudio copies the metadata for every dataset; the tables of a long clip take hundreds of megabytes.
        super().__init__(replace(dataparser_outputs, metadata={}), scale_factor)
        self.metadata = dataparser_outputs.metadata
        self._dataparser_outputs = dataparser_outputs

    @property
    def dataparser_outputs(self) -> DataparserOutputs:
        """What the dataset was made from."""
        return self._dataparser_outputs

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

    @property
    def frame_numbers(self) -> list[int]:
        """The source video's number of each frame."""
        return [int(frame) for frame in self.metadata["frames"]]


@dataclass
class PortraitDataManagerConfig(VanillaDataManagerConfig):
    """The clip and how it is drawn from."""

    _target: type = field(default_factory=lambda: PortraitDataManager)
    dataparser: PortraitClipDataParserConfig = field(default_factory=PortraitClipDataParserConfig)  # pyright: ignore
    """The clip."""
    pixel_sampler: PortraitPixelSamplerConfig = field(default_factory=PortraitPixelSamplerConfig)  # pyright: ignore
    """Which pixels are trained on."""
    train_num_rays_per_batch: int = 1024
    """Rays in a training step, in all processes together."""
    eval_num_rays_per_batch: int = 1024
    """Rays in an evaluation step."""
    most_in_memory: float = 2.0
    """Gigabytes of decoded frames that are held in memory (1,450 frames at 512 x 512), edited ones apart. Those of a
    longer clip go into a file, once, of which a step's few are read."""
    frame_folder: Path | None = None
    """Where to keep that file; beside the clip's pictures if none is given."""


class PortraitDataManager(VanillaDataManager[PortraitDataset]):
    """Hands out training rays, and takes edited frames in place of the filmed ones.

    Its methods speak of frames by their row: the position among the training frames.
    """

    config: PortraitDataManagerConfig
    train_pixel_sampler: PortraitPixelSampler

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.train_dataparser_outputs = self.train_dataset.dataparser_outputs

    def create_eval_dataset(self) -> PortraitDataset:
        """The evaluation frames, as nerfstudio makes them.

        It would go on to compare the size of every training camera with the first one's, which takes 20 seconds for
        10,000 frames, and does so only where it finds the dataparser's outputs. Ours are all of one size.
        """
        dataset = super().create_eval_dataset()
        self.train_dataparser_outputs = None  # pyright: ignore[reportAttributeAccessIssue]
        return dataset

    def setup_train(self) -> None:
        """Set up what training rays are drawn with. nerfstudio's own way would decode the whole clip into floats."""
        self.image_batch = self.columns_of(self.train_dataset)
        self.iter_train_image_dataloader = repeat(self.image_batch)
        sampler = self._get_pixel_sampler(self.train_dataset, self.config.train_num_rays_per_batch)
        assert isinstance(sampler, PortraitPixelSampler)
        self.train_pixel_sampler = sampler
        track = self.train_dataset.metadata["clip"].track
        expressions = torch.from_numpy(track.expression[self.frame_numbers]).float()
        flags, names = track.flags[self.frame_numbers], track.expression_names
        sampler.frame_weights = frame_weights(sampler.config, expressions, flags, names)
        sampler.exchange = PartExchange(self.train_dataset.metadata["clip"], self.frame_numbers)
        self.train_ray_generator = RayGenerator(self.train_dataset.cameras.to(self.device))

    def next_train(self, step: int) -> tuple[RayBundle, dict[str, Any]]:
        """A step's rays and what they should see; rays that wear parts of other frames' expressions are told so."""
        rays, batch = super().next_train(step)
        if "worn" in batch:
            rays.metadata["worn"] = batch.pop("worn").to(self.device)
        return rays, batch

    def setup_eval(self) -> None:
        """Set up what evaluation rays and pictures come from; pictures are decoded when they are asked for."""
        self.iter_eval_image_dataloader = repeat(self.columns_of(self.eval_dataset))
        self.eval_pixel_sampler = self._get_pixel_sampler(self.eval_dataset, self.config.eval_num_rays_per_batch)
        self.eval_ray_generator = RayGenerator(self.eval_dataset.cameras.to(self.device))
        self.fixed_indices_eval_dataloader = FixedIndicesEvalDataloader(self.eval_dataset, device=self.device)
        self.eval_dataloader = RandIndicesEvalDataloader(self.eval_dataset, device=self.device)

    @cached_property
    def store(self) -> FrameStore:
        """The decoded frames, made when the first is asked for: rendering and evaluating pictures need none."""
        clip: TrackedClip = self.train_dataset.metadata["clip"]
        return open_frames(clip, self.config.most_in_memory, self.config.frame_folder)

    def columns_of(self, dataset: PortraitDataset) -> dict[str, Any]:
        """A dataset's frames as pixel samplers see them: colour to train on in [0, 1], the rest from 0 to 255."""
        clip: TrackedClip = dataset.metadata["clip"]
        frames = torch.from_numpy(np.searchsorted(clip.frames, dataset.metadata["frames"]))
        size = clip.intrinsics.height, clip.intrinsics.width

        def image(frame: Int[Tensor, "*pixels"], y: Int[Tensor, "*pixels"], x: Int[Tensor, "*pixels"]) -> Tensor:
            return self.store.training_images(frame, y, x).float() / 255

        def pixels(part: Any, *index: Int[Tensor, "*pixels"]) -> Tensor:
            return self.store.pixels(part, *index)

        def background(*index: Int[Tensor, "*pixels"]) -> Tensor:
            return self.store.backgrounds(*index)

        return {
            "image_idx": torch.arange(len(dataset)),
            "image": FrameColumn(image, frames, *size, 3),
            "matte": FrameColumn(partial(pixels, "matte"), frames, *size, 1),
            "labels": FrameColumn(partial(pixels, "labels"), frames, *size, 1),
            "background": FrameColumn(background, frames, *size, 3),
        }

    def share_rays(self, processes: int) -> None:
        """Draw only one of so many processes' share of the rays of every training step."""
        if self.test_mode == "inference" or processes == 1:
            return
        sampler = self.train_pixel_sampler
        sampler.set_num_rays_per_batch(max(1, self.config.train_num_rays_per_batch // processes))
        sampler.frames_per_batch = max(1, sampler.config.frames_per_batch // processes)
        if sampler.config.exchanged_frames:
            sampler.exchanged_frames = max(1, sampler.config.exchanged_frames // processes)

    def __len__(self) -> int:
        return len(self.train_dataset)

    def place(self, row: int) -> int:
        """A training frame's number among all tracked frames."""
        return int(self.image_batch["image"].frames[row])

    def original(self, row: int) -> Float[Tensor, "height width 3"]:
        """The frame as it was filmed."""
        return self.store.whole(self.place(row), "image").float() / 255

    def matte(self, row: int) -> Float[Tensor, "height width 1"]:
        """The frame's matte."""
        return self.store.whole(self.place(row), "matte").float() / 255

    def labels(self, row: int) -> UInt8[Tensor, "height width"]:
        """The frame's region labels."""
        return self.store.whole(self.place(row), "labels")[..., 0]

    def replace(self, row: int, image: Float[Tensor, "height width 3"]) -> None:
        """Train on this picture of the frame from now on."""
        self.store.replace(self.place(row), (image.detach().clamp(0, 1) * 255).round().to(torch.uint8))

    def restore(self) -> None:
        """Train on the filmed frames again, on all of the person, and on any frame at any time."""
        self.store.restore()
        self.train_pixel_sampler.favour(None)
        self.draw_in_turns(None)

    def train_only_on(self, rows: Sequence[int] | None) -> None:
        """Draw pixels from these frames alone; from all where none are given."""
        self.train_pixel_sampler.allowed_rows = None if rows is None else torch.tensor(rows)

    def favour(self, region: str) -> None:
        """Draw mostly from the only region of the person that is being edited; from all of it for `person`."""
        self.train_pixel_sampler.favour(region)

    def exchange_no_expressions(self) -> None:
        """Let every frame wear its own expression alone from now on: the avatar is learned, and a style has none."""
        self.train_pixel_sampler.exchange = None

    def draw_in_turns(self, turns: FrameTurns | None) -> None:
        """Draw frames in turns; anew for every batch where none are given."""
        self.train_pixel_sampler.turns = turns

    @property
    def frame_numbers(self) -> list[int]:
        """The source video's number of each training frame."""
        return self.train_dataset.frame_numbers

    def camera(self, row: int) -> Cameras:
        """The camera of a training frame."""
        return self.train_dataset.cameras[row : row + 1].to(self.device)

    def over_background(self, row: int, outputs: dict[str, Tensor]) -> Float[Tensor, "height width 3"]:
        """A rendered frame over its own background."""
        background = self.store.whole_background(self.place(row)).float() / 255
        return over(outputs["foreground"].to(background), outputs["accumulation"].to(background), background)
