"""Editing by diffusion, whatever the method: what InstructPix2Pix, ControlNet and SDEdit have in common."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import torch

from stage1_edit.autoencoder import Autoencoder, is_spoiled
from stage1_edit.consistency import Anchor, Anchors, BatchLayout, Consistency, IndependentFrames
from stage1_edit.denoising import denoise, noised, schedule_from
from stage1_edit.diffusion_config import DiffusionConfig
from stage1_edit.diffusion_pictures import Latents, diffusion_size, from_diffusion_range, to_diffusion_range
from stage1_edit.diffusion_weights import HOW_TO_SAVE_MEMORY, DiffusionModel
from stage1_edit.editor import EditRequest, Image
from stage1_edit.guided_network import GuidedNetwork
from stage1_edit.prompts import EditPrompt
from stage1_edit.starting_noise import IndependentNoise, StartingNoise, own_generators
from stage1_edit.text_features import TextEncoding
from tracking.errors import UserError

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EditBatch:
    """Frames of one size, prompt, noise level and fidelity, that are sampled together."""

    requests: Sequence[EditRequest]
    size: tuple[int, int]
    """Height and width that the diffusion model sees."""

    @property
    def prompt(self) -> EditPrompt:
        return self.requests[0].prompt

    @property
    def noise_level(self) -> float:
        return self.requests[0].noise_level

    @property
    def fidelity(self) -> float:
        return self.requests[0].fidelity

    @property
    def steps_by_level(self) -> bool:
        return self.requests[0].steps_by_level


class EditingMethod(Protocol):
    """What one way of editing adds to the loop: which conditions the network is asked under."""

    @property
    def branches(self) -> int:
        """How many conditions it is asked under at every step, for each frame."""
        ...

    def network(self, batch: EditBatch, encoding: TextEncoding, autoencoder: Autoencoder) -> GuidedNetwork:
        """The network that will denoise these frames."""
        ...


class DiffusionEditor:
    """Follows free text (a `FrameEditor`). Frames of one size, prompt and noise level are sampled together."""

    def __init__(
        self,
        config: DiffusionConfig,
        model: DiffusionModel,
        method: EditingMethod,
        consistency: Consistency | None = None,
        noise: StartingNoise | None = None,
        anchors: int = 0,
    ) -> None:
        """Take loaded weights.

        Args:
            consistency: ties the frames of a batch together; without one each is edited by itself.
            noise: what sampling begins with; by default every frame's own.
            anchors: how many frames, the first that a prompt is followed on, are sampled along in all later batches, so
                that these are consistent with each other too.
        """
        self.config = config
        self.model = model
        self.method = method
        self.consistency = consistency or IndependentFrames()
        self.noise = noise or IndependentNoise()
        self.anchors = Anchors(anchors)
        self.network_evaluations = 0
        """How many times a U-Net has been asked for one picture."""
        self._encoding = TextEncoding(model.pipeline, model.device)
        self._autoencoder = Autoencoder(model.pipeline.vae, model.device)

    def check(self, prompt: EditPrompt) -> None:
        """Any text will do; what is over the text encoder's limit is told now."""
        self._encoding(prompt.text)

    def forget(self, requests: Sequence[EditRequest]) -> None:
        """Follow these frames' edits no more."""
        self.anchors.forget(requests)

    def followed(self, prompt: EditPrompt) -> list[Anchor]:
        """What the next edits by a prompt will follow."""
        return self.anchors.of_prompt(prompt)

    def follow(self, anchors: Sequence[Anchor]) -> None:
        """Follow what an earlier, interrupted run followed."""
        self.anchors.take_up(anchors)

    def evaluations_for(self, frames: int, noise_level: float, steps_by_level: bool) -> int:
        """How often the network will be asked for one picture while so many frames are edited, anchors included."""
        if frames < 1 or noise_level <= 0:
            return 0
        scheduler, steps = self.model.pipeline.scheduler, self.config.sampling_steps
        schedule = schedule_from(scheduler, steps, noise_level, self.model.device, steps_by_level)
        asked = frames + self.anchors.count * -(-frames // self.config.frames_at_once)
        return asked * self.method.branches * len(schedule.timesteps)

    @torch.no_grad()
    def edit(self, requests: Sequence[EditRequest]) -> list[Image]:
        """Edit frames; those of one size, prompt and noise level consistently.

        Raises:
            UserError: a frame cannot be edited, or the GPU's memory is too small; the message says what to do.
        """
        edits: list[Image | None] = [None] * len(requests)
        for members in batches(requests, self.config.frames_at_once):
            group = [requests[index] for index in members]
            still = group[0].noise_level <= 0
            with told_when_memory_runs_out():
                edited = [request.render for request in group] if still else self._edit(group)
            for index, image in zip(members, edited, strict=True):
                edits[index] = image
        return [edit for edit in edits if edit is not None]

    def _edit(self, requests: list[EditRequest]) -> list[Image]:
        for request in requests:
            check_frame(request)
        height, width, _ = requests[0].original.shape
        size = diffusion_size(height, width, self.config.longer_side)
        anchored, anchor_generators = self.anchors.beside(requests)
        batch = EditBatch([*anchored, *requests], size)
        generators = [*anchor_generators, *own_generators([request.generator for request in requests])]
        states = [generator.get_state() for generator in generators]
        pixels = self._autoencoder.decode(self._sample(batch, generators))
        if is_spoiled(pixels) and self._use_32_bits():
            for generator, state in zip(generators, states, strict=True):
                generator.set_state(state)
            pixels = self._autoencoder.decode(self._sample(batch, generators))
        if not torch.isfinite(pixels).all():
            cure = (
                "check its files, or choose another"
                if self.model.pipeline.unet.dtype == torch.float32
                else "set the editor's precision to bf16 or fp32"
            )
            raise UserError(f"{self.config.model} returned numbers that are not finite: {cure}.")
        if is_spoiled(pixels):
            _logger.warning("%s returned a black picture, in 32 bits too.", self.config.model)
        self.model.pipeline.maybe_free_model_hooks()
        images = [
            image.to(request.original)
            for image, request in zip(from_diffusion_range(pixels, (height, width)), batch.requests, strict=True)
        ]
        self.anchors.keep(batch.requests, states, images)
        return images[len(anchored) :]

    def _use_32_bits(self) -> bool:
        """Let the networks compute in 32 bits from now on; tells whether that is a change."""
        networks = [self.model.pipeline.unet, *self.model.controlnets]
        if all(network.dtype == torch.float32 for network in networks):
            return False
        if self.config.memory_saving == "sequential-offload":
            # Its layers are elsewhere, and cannot be turned one and all.
            return False
        _logger.warning("The U-Net overflowed in 16 bits, and computes in 32 from now on.")
        for network in networks:
            network.to(dtype=torch.float32)
        return True

    def _sample(self, batch: EditBatch, generators: Sequence[torch.Generator]) -> Latents:
        """Denoise from the renders noised to the noise level, or from pure noise at level 1."""
        device = self.model.device
        network = self.method.network(batch, self._encoding, self._autoencoder)
        scheduler, steps = self.model.pipeline.scheduler, self.config.sampling_steps
        schedule = schedule_from(scheduler, steps, batch.noise_level, device, batch.steps_by_level)
        start = None
        if batch.noise_level < 1:
            renders = to_diffusion_range([request.render for request in batch.requests], batch.size)
            start = self._autoencoder.scaled(self._autoencoder.encode(renders))
        vae = self.model.pipeline.vae.config
        shrink = 2 ** (len(vae.block_out_channels) - 1)
        shape = (vae.latent_channels, -(-batch.size[0] // shrink), -(-batch.size[1] // shrink))
        geometry = [request.geometry for request in batch.requests]
        noise = self.noise.draw(shape, generators, geometry).to(device)
        layout = BatchLayout(
            frames=len(batch.requests),
            anchors=min(self.anchors.count, len(batch.requests)),
            branches=network.branches,
            size=(shape[1], shape[2]),
            numbers=[request.frame for request in batch.requests],
            geometry=geometry,
        )
        with self.consistency.applied([self.model.pipeline.unet, *self.model.controlnets], layout):
            latents = denoise(network, schedule, noised(schedule, start, noise), generators)
        self.network_evaluations += network.evaluations
        _logger.info("%d network evaluations so far.", self.network_evaluations)
        return latents


def batches(requests: Sequence[EditRequest], frames_at_once: int) -> list[list[int]]:
    """The requests' indices, grouped by what can be sampled together, in the order of their first members."""
    groups: dict[tuple[object, ...], list[int]] = {}
    for index, request in enumerate(requests):
        alike = (
            *(request.original.shape, request.noise_level, request.steps_by_level),
            *(request.fidelity, request.prompt),
        )
        groups.setdefault(alike, []).append(index)
    return [
        group[start : start + frames_at_once]
        for group in groups.values()
        for start in range(0, len(group), frames_at_once)
    ]


def check_frame(request: EditRequest) -> None:
    """See whether a frame can be edited.

    Raises:
        UserError: its pictures are of unlike size, or hold numbers that are not finite.
    """
    if request.original.shape != request.render.shape:
        height, width, _ = request.original.shape
        rows, columns, _ = request.render.shape
        raise UserError(
            f"The avatar's picture is {columns} x {rows} and the filmed frame {width} x {height}: render at the "
            "frame's size."
        )
    if not (torch.isfinite(request.original).all() and torch.isfinite(request.render).all()):
        raise UserError(
            "A frame to edit holds numbers that are not finite: the avatar's training diverged, so train it again "
            "with a smaller learning rate."
        )


@contextmanager
def told_when_memory_runs_out() -> Iterator[None]:
    """Tell in a sentence what to do about too small a GPU."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise UserError(f"The GPU's memory is too small for this edit: {HOW_TO_SAVE_MEMORY}.") from error
