"""Closed forms of the sampling loop, without any network."""

import numpy as np
import pytest
import torch

from stage1_edit.autoencoder import Autoencoder
from stage1_edit.denoising import denoise, noised, schedule_from
from stage1_edit.diffusion_editor import DiffusionEditor, EditBatch
from stage1_edit.diffusion_pictures import diffusion_size, from_diffusion_range, to_diffusion_range
from stage1_edit.instruct_pix2pix import InstructPix2Pix, InstructPix2PixConfig

CPU = torch.device("cpu")


def pictures(seed: int) -> torch.Tensor:
    return torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("level", [0.02, 0.25, 0.5, 0.98])
def test_a_partial_start_is_the_picture_and_noise_in_ddpms_proportions(tiny, level: float) -> None:
    """x_t = sqrt(alpha_t) x_0 + sqrt(1 - alpha_t) noise (Ho et al. 2020, equation 4)."""
    schedule = schedule_from(tiny.scheduler("DDIMScheduler"), 5, level, CPU)
    start, noise = pictures(0), pictures(1)
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    alpha = (1 - betas).cumprod(0)[int(schedule.timesteps[0])]
    expected = alpha.sqrt() * start + (1 - alpha).sqrt() * noise
    torch.testing.assert_close(noised(schedule, start, noise), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("level", [0.25, 0.5])
def test_eulers_start_has_the_noise_of_its_own_sigma(tiny, level: float) -> None:
    """x = x_0 + sigma noise (Karras et al. 2022)."""
    schedule = schedule_from(tiny.scheduler("EulerDiscreteScheduler"), 5, level, CPU)
    start, noise = pictures(0), pictures(1)
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    alphas = (1 - betas).cumprod(0)
    # Its timesteps may lie between those that were trained.
    sigma = float(np.interp(float(schedule.timesteps[0]), np.arange(1000), ((1 - alphas) / alphas).sqrt().numpy()))
    torch.testing.assert_close(noised(schedule, start, noise), start + sigma * noise, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["DDIMScheduler", "DPMSolverMultistepScheduler"])
@pytest.mark.parametrize("level", [0.3, 1.0])
def test_who_knows_the_clean_picture_arrives_at_it(tiny, name: str, level: float) -> None:
    """With the exact noise (x_t - sqrt(alpha) x_0) / sqrt(1 - alpha) for a prediction every step leads to x_0."""
    scheduler = tiny.scheduler(name)
    schedule = schedule_from(scheduler, 5, level, CPU)
    target, alphas = pictures(2), scheduler.alphas_cumprod

    def knowing(scaled: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        alpha = alphas[int(timestep)]
        return (scaled - alpha.sqrt() * target) / (1 - alpha).sqrt()

    generators = [torch.Generator().manual_seed(seed) for seed in range(2)]
    start = noised(schedule, pictures(0) if level < 1 else None, pictures(1))
    arrived = denoise(knowing, schedule, start, generators)
    # The last alpha is the first timestep's and not 1: a trace of noise remains.
    torch.testing.assert_close(arrived, target, atol=0.2, rtol=0)
    assert (arrived - target).abs().mean() < 0.05


def test_the_callers_scheduler_is_left_as_it_was(tiny) -> None:
    scheduler = tiny.ddim()
    before = scheduler.timesteps.clone()
    schedule_from(scheduler, 5, 0.5, CPU)
    assert torch.equal(scheduler.timesteps, before) and scheduler.num_inference_steps is None


def test_a_lower_noise_level_stays_nearer_to_the_render(instruct, ask) -> None:
    config = InstructPix2PixConfig(longer_side=32, sampling_steps=5, precision="fp32")
    editor = DiffusionEditor(config, instruct, InstructPix2Pix(config, instruct))
    autoencoder = Autoencoder(instruct.pipeline.vae, CPU)
    distances = []
    with torch.no_grad():
        render = autoencoder.scaled(autoencoder.encode(to_diffusion_range([ask().render], (32, 32))))
        for level in (0.01, 0.1, 0.5, 0.98):
            sampled = editor._sample(EditBatch([ask(level)], (32, 32)), [torch.Generator().manual_seed(1)])
            distances.append(float((sampled - render).abs().mean()))
    assert distances == sorted(distances) and distances[0] < 0.1 * distances[-1]


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(512, 512, (512, 512)), (144, 176, (416, 512)), (1080, 1920, (288, 512)), (1000, 10, (512, 8))],
)
def test_the_diffusion_size_keeps_the_shape_in_multiples_of_8(height: int, width: int, expected) -> None:
    assert diffusion_size(height, width, 512) == expected


def test_ranges_convert_there_and_back() -> None:
    image = torch.rand(16, 24, 3)
    pixels = to_diffusion_range([image], (16, 24))
    assert pixels.shape == (1, 3, 16, 24) and pixels.min() < -0.9 and pixels.max() > 0.9
    torch.testing.assert_close(from_diffusion_range(pixels, (16, 24))[0], image)
