"""What edits cost: counted, foretold, and less at lower noise levels where that is asked for."""

import math
from dataclasses import replace

import pytest
import torch

from stage1_edit.cross_frame_attention import CrossFrameAttention
from stage1_edit.denoising import schedule_from
from stage1_edit.diffusion_editor import DiffusionEditor
from stage1_edit.editing_cost import AsInstructPix2Pix
from stage1_edit.instruct_pix2pix import InstructPix2Pix, InstructPix2PixConfig
from stage1_edit.sdedit import SDEdit, SDEditConfig
from stage1_edit.token_flow import TokenFlow

CPU = torch.device("cpu")
CONFIG = InstructPix2PixConfig(longer_side=32, sampling_steps=5, precision="fp32", frames_at_once=2)


@pytest.mark.parametrize("level", [0.05, 0.25, 0.6, 1.0])
def test_by_level_steps_are_the_last_of_the_full_process(tiny, level: float) -> None:
    full = schedule_from(tiny.ddim(), 20, 1.0, CPU).timesteps
    taken = schedule_from(tiny.ddim(), 20, level, CPU, steps_by_level=True).timesteps
    assert len(taken) == max(1, round(20 * level))
    assert torch.equal(taken, full[-len(taken) :])


@pytest.mark.parametrize("scheduler", ["DDIMScheduler", "EulerDiscreteScheduler", "LCMScheduler", "TCDScheduler"])
def test_every_scheduler_takes_fewer_steps_at_lower_levels(tiny, scheduler: str) -> None:
    lengths = [
        len(schedule_from(tiny.scheduler(scheduler), 10, level, CPU, steps_by_level=True).timesteps)
        for level in (1.0, 0.6, 0.3)
    ]
    assert lengths == [10, 6, 3]


def test_by_level_an_edit_is_diffusers_image_to_image_of_the_full_process(describe, ask) -> None:
    """`strength` 0.6 of 5 steps are 3; with as many steps at every level they would be 5 of 8."""
    from diffusers import StableDiffusionImg2ImgPipeline

    config = SDEditConfig(longer_side=32, sampling_steps=5, precision="fp32")
    asked = replace(ask(0.6), steps_by_level=True)
    editor = DiffusionEditor(config, describe, SDEdit(config, describe))
    (edited,) = editor.edit([asked])
    parts = dict(describe.pipeline.components)
    pipeline = StableDiffusionImg2ImgPipeline(**parts, requires_safety_checker=False)
    pipeline.set_progress_bar_config(disable=True)
    with torch.no_grad():
        pixels = asked.render.movedim(-1, 0)[None] * 2 - 1
        latents = pipeline.vae.encode(pixels).latent_dist.mode() * pipeline.vae.config.scaling_factor
    expected = pipeline(
        prompt=asked.prompt.text,
        image=latents,
        strength=0.6,
        num_inference_steps=5,
        guidance_scale=config.guidance_scale,
        generator=torch.Generator().manual_seed(3),
        output_type="pt",
    ).images[0]
    torch.testing.assert_close(edited, expected.movedim(0, -1), atol=1e-4, rtol=0)
    assert editor.network_evaluations == 2 * 3


@pytest.mark.parametrize("strategy", [None, CrossFrameAttention(), TokenFlow()])
@pytest.mark.parametrize(("level", "by_level"), [(1.0, True), (0.6, True), (0.6, False)])
def test_what_is_foretold_is_what_is_counted(instruct, ask, strategy, level: float, by_level: bool) -> None:
    """Five frames in batches of two; the strategies' anchor is sampled along in every batch but the first."""
    anchors = 0 if strategy is None else 1
    editor = DiffusionEditor(CONFIG, instruct, InstructPix2Pix(CONFIG, instruct), strategy, anchors=anchors)
    requests = [
        replace(ask(level, side=64, picture=number, seed=number, frame=number), steps_by_level=by_level)
        for number in range(5)
    ]
    foretold = editor.evaluations_for(5, level, by_level)
    editor.edit(requests)
    steps = round(5 * level) if by_level else 5
    batches = math.ceil(5 / 2)
    assert editor.network_evaluations == 3 * steps * (5 + anchors * (batches - 1))
    assert foretold == 3 * steps * (5 + anchors * batches)
    # Once the anchor is known it is sampled along in the first batch, too: the forecast holds exactly.
    before = editor.network_evaluations
    editor.edit(requests)
    assert editor.network_evaluations - before == foretold


def test_branches_without_weight_cost_nothing(instruct) -> None:
    costs = [
        DiffusionEditor(config, instruct, InstructPix2Pix(config, instruct)).evaluations_for(1, 1.0, False)
        for config in (
            CONFIG,
            replace(CONFIG, image_guidance_scale=1.0),
            replace(CONFIG, guidance_scale=1.0, image_guidance_scale=1.0),
        )
    ]
    assert costs == [15, 10, 5]


def test_frames_at_unlike_ways_of_stepping_are_not_sampled_together(instruct, ask) -> None:
    editor = DiffusionEditor(CONFIG, instruct, InstructPix2Pix(CONFIG, instruct))
    editor.edit([ask(0.6), replace(ask(0.6), steps_by_level=True)])
    assert editor.network_evaluations == 3 * 5 + 3 * 3


def test_plans_for_editors_without_a_network_are_made_by_instruct_pix2pixs_price(instruct) -> None:
    config = InstructPix2PixConfig(longer_side=32, precision="fp32")
    editor = DiffusionEditor(config, instruct, InstructPix2Pix(config, instruct))
    for level, by_level in ((1.0, True), (0.6, True), (0.3, True), (0.3, False)):
        assert AsInstructPix2Pix().evaluations_for(7, level, by_level) == editor.evaluations_for(7, level, by_level)
