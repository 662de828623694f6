"""SDEdit and ControlNet against diffusers' own pipelines, with tiny random weights."""

from dataclasses import replace

import pytest
import torch

from stage1_edit.autoencoder import Autoencoder
from stage1_edit.control_pictures import control_picture
from stage1_edit.controlnet import ControlNet, ControlNetConfig
from stage1_edit.diffusion_editor import DiffusionEditor
from stage1_edit.diffusion_pictures import to_diffusion_range
from stage1_edit.diffusion_weights import DiffusionModel
from stage1_edit.sdedit import SDEdit, SDEditConfig
from tracking.errors import UserError

SCHEDULERS = ["DDIMScheduler", "EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler", "UniPCMultistepScheduler"]
SDEDIT = SDEditConfig(longer_side=32, sampling_steps=5, precision="fp32")
CONTROLNET = ControlNetConfig(
    longer_side=32, sampling_steps=5, precision="fp32", controls=("canny", "normals"), strengths=(0.7, 0.4)
)


def diffusers_own(name: str, model: DiffusionModel, asked, nets=(), **settings) -> torch.Tensor:
    """What diffusers' pipeline of that name makes of the same parts and seed."""
    import diffusers

    parts = {key: value for key, value in model.pipeline.components.items() if key != "image_encoder"}
    if nets:
        parts["controlnet"] = list(nets)
    pipeline = getattr(diffusers, name)(**parts, requires_safety_checker=False)
    pipeline.set_progress_bar_config(disable=True)
    images = pipeline(
        prompt=asked.prompt.text,
        guidance_scale=7.5,
        generator=torch.Generator().manual_seed(3),
        output_type="pt",
        **settings,
    ).images
    return images[0].movedim(0, -1)


def latents_of(model: DiffusionModel, image: torch.Tensor) -> torch.Tensor:
    """diffusers samples from the encoder's distribution, we take its mode: so latents are handed over."""
    autoencoder = Autoencoder(model.pipeline.vae, model.device)
    with torch.no_grad():
        return autoencoder.scaled(autoencoder.encode(to_diffusion_range([image], (32, 32))))


def controls(asked) -> list[torch.Tensor]:
    return [control_picture(name, asked, (32, 32))[None] for name in CONTROLNET.controls]


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_sdedit_is_diffusers_image_to_image(describe: DiffusionModel, tiny, ask, scheduler: str) -> None:
    """Half of a grid of ten steps is five steps from noise level 0.5."""
    describe.pipeline.scheduler = tiny.scheduler(scheduler)
    asked = ask(0.5)
    (edited,) = DiffusionEditor(SDEDIT, describe, SDEdit(SDEDIT, describe)).edit([asked])
    expected = diffusers_own(
        "StableDiffusionImg2ImgPipeline",
        describe,
        asked,
        image=latents_of(describe, asked.render),
        strength=0.5,
        num_inference_steps=10,
    )
    torch.testing.assert_close(edited, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_from_pure_noise_sdedit_is_diffusers_text_to_image(describe, tiny, ask, scheduler: str) -> None:
    describe.pipeline.scheduler = tiny.scheduler(scheduler)
    (edited,) = DiffusionEditor(SDEDIT, describe, SDEdit(SDEDIT, describe)).edit([ask()])
    expected = diffusers_own("StableDiffusionPipeline", describe, ask(), height=32, width=32, num_inference_steps=5)
    torch.testing.assert_close(edited, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_two_controlnets_are_diffusers_own(describe, tiny, ask, head, scheduler: str) -> None:
    describe.pipeline.scheduler = tiny.scheduler(scheduler)
    asked = ask(geometry=head(0.2, side=32))
    (edited,) = DiffusionEditor(CONTROLNET, describe, ControlNet(CONTROLNET, describe)).edit([asked])
    expected = diffusers_own(
        "StableDiffusionControlNetPipeline",
        describe,
        asked,
        nets=describe.controlnets,
        image=controls(asked),
        controlnet_conditioning_scale=[0.7, 0.4],
        num_inference_steps=5,
    )
    torch.testing.assert_close(edited, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("scheduler", SCHEDULERS[:3])
def test_controlnets_from_the_render_are_diffusers_own(describe, tiny, ask, head, scheduler: str) -> None:
    describe.pipeline.scheduler = tiny.scheduler(scheduler)
    asked = ask(0.5, geometry=head(0.2, side=32))
    (edited,) = DiffusionEditor(CONTROLNET, describe, ControlNet(CONTROLNET, describe)).edit([asked])
    expected = diffusers_own(
        "StableDiffusionControlNetImg2ImgPipeline",
        describe,
        asked,
        nets=describe.controlnets,
        image=latents_of(describe, asked.render),
        control_image=controls(asked),
        height=32,
        width=32,
        strength=0.5,
        controlnet_conditioning_scale=[0.7, 0.4],
        num_inference_steps=10,
    )
    torch.testing.assert_close(edited, expected, atol=1e-4, rtol=0)


def test_a_controlnet_without_strength_does_nothing(describe: DiffusionModel, ask, head) -> None:
    config = replace(CONTROLNET, strengths=(0.0, 0.0))
    asked = ask(geometry=head(side=32))
    held = DiffusionEditor(config, describe, ControlNet(config, describe)).edit([asked])
    free = DiffusionEditor(SDEDIT, describe, SDEdit(SDEDIT, describe)).edit([ask()])
    torch.testing.assert_close(held, free)


def test_a_model_distilled_with_guidance_is_told_its_scale_and_asked_once(tiny, ask) -> None:
    unet = tiny.unet(4, time_cond_proj_dim=16)
    torch.nn.init.normal_(unet.time_embedding.cond_proj.weight)
    model = DiffusionModel(tiny.pipeline("StableDiffusionPipeline", unet=unet), torch.device("cpu"))
    model.pipeline.scheduler = tiny.scheduler("LCMScheduler")
    editor = DiffusionEditor(SDEDIT, model, SDEdit(SDEDIT, model))
    expected = diffusers_own("StableDiffusionPipeline", model, ask(), height=32, width=32, num_inference_steps=5)
    torch.testing.assert_close(editor.edit([ask()])[0], expected, atol=1e-4, rtol=0)
    assert editor.network_evaluations == 5


def test_controls_without_a_track_are_told(describe: DiffusionModel, ask) -> None:
    with pytest.raises(UserError, match="held to normals"):
        DiffusionEditor(CONTROLNET, describe, ControlNet(CONTROLNET, describe)).edit([ask()])


def test_settings_that_do_not_pair_up_are_told() -> None:
    with pytest.raises(UserError, match=r"2 controls \(canny, normals\) and 1 strengths"):
        replace(CONTROLNET, strengths=(1.0,)).all_strengths()
    with pytest.raises(UserError, match="held to nothing"):
        replace(CONTROLNET, controls=()).all_weights()
    assert replace(CONTROLNET, strengths=()).all_strengths() == (1.0, 1.0)
