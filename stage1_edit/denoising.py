"""The sampling loop that all diffusion editors share: a picture, partly noised, is denoised step by step.

Which network is asked, under which conditions and with which guidance is the denoiser's business; how noise is removed
at each step is the scheduler's, one of diffusers' own.
"""

import copy
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from stage1_edit.diffusion_pictures import Latents


class Denoiser(Protocol):
    """Tells what the network takes for noise."""

    def __call__(self, scaled: Latents, timestep: Float[Tensor, ""]) -> Latents:
        """The prediction with guidance, of whatever kind the scheduler was configured for (noise, velocity, ...).

        Args:
            scaled: noisy latents, after the scheduler's `scale_model_input`.
        """
        ...


@dataclass(frozen=True)
class NoiseSchedule:
    """A scheduler set to begin at some noise level. It serves one sampling: stepping leaves traces in it."""

    scheduler: Any
    timesteps: Float[Tensor, "steps"]


def schedule_from(
    scheduler: Any, sampling_steps: int, noise_level: float, device: torch.device, steps_by_level: bool = False
) -> NoiseSchedule:
    """Cut the way from a noise level down to 0 into steps, as many at every level or as many as the level's share.

    As many: so that a small change is made as carefully as a large one, the full process is cut into `sampling_steps /
    noise_level` steps, of which the last `sampling_steps` are taken (Instruct-NeRF2NeRF does the same). By level: the
    full process is cut into `sampling_steps`, of which the last `sampling_steps * noise_level` are taken (SDEdit's way,
    and that of diffusers' image-to-image pipelines), which costs that much less. Schedulers made for a few steps at
    distilled timesteps (LCM, TCD) are told the level and choose the timesteps themselves.

    Args:
        scheduler: any of diffusers'; it is copied, not changed. Those of second order ask the network twice a step.
        noise_level: in (0, 1].
        steps_by_level: whether a weaker edit takes fewer steps; one at least.
    """
    scheduler = copy.deepcopy(scheduler)
    trained = int(scheduler.config.num_train_timesteps)
    options = inspect.signature(scheduler.set_timesteps).parameters
    taken = steps_at(sampling_steps, noise_level)
    if "strength" in options and "original_inference_steps" in options:
        sampling_steps = max(1, min(taken if steps_by_level else sampling_steps, int(trained * noise_level)))
        # The distilled schedule is refined where it has fewer timesteps below the level than are asked for.
        distilled = next(
            count
            for count in range(min(scheduler.config.original_inference_steps, trained), trained + 1)
            if trained % count == 0 and int(count * noise_level) >= sampling_steps
        )
        scheduler.set_timesteps(sampling_steps, device=device, original_inference_steps=distilled, strength=noise_level)
        return NoiseSchedule(scheduler, scheduler.timesteps)
    if steps_by_level:
        steps = sampling_steps
        skipped = steps - taken
    else:
        steps = min(round(sampling_steps / noise_level), trained)
        skipped = max(0, min(round(steps * (1 - noise_level)), steps - 1))
    scheduler.set_timesteps(steps, device=device)
    first = skipped * getattr(scheduler, "order", 1)
    if first > 0 and hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(first)
    return NoiseSchedule(scheduler, scheduler.timesteps[first:])


def steps_at(sampling_steps: int, noise_level: float) -> int:
    """How many of a full process' steps an edit at a noise level takes, if it takes the level's share; one at least."""
    return max(1, round(sampling_steps * noise_level))


def noised(schedule: NoiseSchedule, start: Latents | None, noise: Latents) -> Latents:
    """The latents that sampling begins with: pure noise, or a picture noised to the schedule's first timestep."""
    if start is None:
        return noise * schedule.scheduler.init_noise_sigma
    return schedule.scheduler.add_noise(start, noise, schedule.timesteps[:1].expand(len(noise)))


def denoise(
    denoiser: Denoiser, schedule: NoiseSchedule, latents: Latents, generators: Sequence[torch.Generator]
) -> Latents:
    """Step from the first timestep to a clean picture.

    Args:
        latents: as `noised` gives them, in 32 bits whatever the network computes in.
        generators: one for each picture, for schedulers that add noise of their own.
    """
    scheduler = schedule.scheduler
    options = {}
    if "generator" in inspect.signature(scheduler.step).parameters:
        options["generator"] = list(generators)
    for timestep in schedule.timesteps:
        prediction = denoiser(scheduler.scale_model_input(latents, timestep), timestep)
        latents = scheduler.step(prediction, timestep, latents, **options).prev_sample
    return latents
