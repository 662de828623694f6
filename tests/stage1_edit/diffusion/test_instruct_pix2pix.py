"""Against diffusers' own InstructPix2Pix pipelines, with tiny random weights: nothing is downloaded."""

from dataclasses import replace

import pytest
import torch

from stage1_edit.diffusion_editor import DiffusionEditor
from stage1_edit.diffusion_weights import DiffusionModel
from stage1_edit.guided_network import text_and_image_guidance
from stage1_edit.instruct_pix2pix import InstructPix2Pix, InstructPix2PixConfig
from stage1_edit.text_features import TextFeatures
from tracking.errors import UserError

CONFIG = InstructPix2PixConfig(longer_side=32, sampling_steps=5, precision="fp32")


def make_editor(model: DiffusionModel, config: InstructPix2PixConfig = CONFIG) -> DiffusionEditor:
    return DiffusionEditor(config, model, InstructPix2Pix(config, model))


@pytest.fixture
def editor(instruct: DiffusionModel) -> DiffusionEditor:
    return make_editor(instruct)


def diffusers_own(pipeline, asked, **settings) -> torch.Tensor:
    expected = pipeline(
        prompt=asked.prompt.text,
        image=asked.original.movedim(-1, 0)[None],
        **{"num_inference_steps": 5, "guidance_scale": 7.5, "image_guidance_scale": 1.5, **settings},
        generator=torch.Generator().manual_seed(3),
        output_type="pt",
    ).images[0]
    return expected.movedim(0, -1)


@pytest.mark.parametrize(
    "scheduler",
    [
        "DDIMScheduler",
        "EulerDiscreteScheduler",
        "EulerAncestralDiscreteScheduler",
        "DPMSolverMultistepScheduler",
        "HeunDiscreteScheduler",
        "LCMScheduler",
    ],
)
def test_from_pure_noise_the_picture_is_diffusers_own(instruct: DiffusionModel, tiny, ask, scheduler: str) -> None:
    instruct.pipeline.scheduler = tiny.scheduler(scheduler)
    asked = ask()
    (edited,) = make_editor(instruct).edit([asked])
    torch.testing.assert_close(edited, diffusers_own(instruct.pipeline, asked), atol=1e-4, rtol=0)


@pytest.mark.parametrize("negative", ["", "blur"])
def test_sdxl_too(tiny, ask, negative: str) -> None:
    model = DiffusionModel(tiny.pipeline_xl("StableDiffusionXLInstructPix2PixPipeline", 8), torch.device("cpu"))
    asked = ask()
    (edited,) = make_editor(model, replace(CONFIG, negative_prompt=negative)).edit([asked])
    expected = diffusers_own(
        model.pipeline,
        asked,
        height=32,
        width=32,
        negative_prompt=negative or None,
        original_size=(32, 32),
        target_size=(32, 32),
    )
    torch.testing.assert_close(edited, expected, atol=1e-4, rtol=0)


def test_at_both_scales_1_the_network_is_asked_once_a_step(instruct: DiffusionModel, ask) -> None:
    once = make_editor(instruct, replace(CONFIG, guidance_scale=1.0, image_guidance_scale=1.0))
    nearly = make_editor(instruct, replace(CONFIG, guidance_scale=1 + 1e-5, image_guidance_scale=1 - 1e-5))
    torch.testing.assert_close(once.edit([ask()]), nearly.edit([ask()]), atol=1e-4, rtol=0)
    assert (once.network_evaluations, nearly.network_evaluations) == (5, 15)


def test_noise_level_0_returns_the_render_and_1_ignores_it(editor: DiffusionEditor, ask) -> None:
    still = ask(noise_level=0.0)
    assert torch.equal(editor.edit([still])[0], still.render)
    other = replace(ask(), render=torch.zeros(32, 32, 3))
    torch.testing.assert_close(editor.edit([ask()])[0], editor.edit([other])[0], rtol=0, atol=0)


@pytest.mark.parametrize("scheduler", ["DDIMScheduler", "EulerDiscreteScheduler", "LCMScheduler", "TCDScheduler"])
def test_as_many_steps_are_taken_at_every_noise_level(instruct: DiffusionModel, tiny, ask, scheduler: str) -> None:
    counts = []
    instruct.pipeline.scheduler = tiny.scheduler(scheduler)
    editor = make_editor(instruct)
    for level in (0.02, 0.3, 0.5, 0.77, 0.98, 1.0):
        timesteps: list[int] = []
        handle = instruct.pipeline.unet.register_forward_pre_hook(
            lambda _, args, seen=timesteps: seen.append(int(args[1]))
        )
        editor.edit([ask(noise_level=level)])
        handle.remove()
        counts.append(len(timesteps))
        # The grid of 1000 timesteps starts at the level, up to the grid's spacing.
        assert abs(timesteps[0] / 1000 - level) < level / 5 + 0.01
    assert set(counts) == {5}


def test_requests_given_together_are_edited_as_if_alone(editor: DiffusionEditor, ask) -> None:
    def requests() -> list:
        return [ask(0.6, seed=1), ask(1.0, seed=3), ask(0.6, seed=2, text="a jade bust"), ask(0.6, 4, side=24)]

    together = editor.edit(requests())
    alone = [editor.edit([asked])[0] for asked in requests()]
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=0)


def test_no_more_frames_than_allowed_are_sampled_at_once(instruct: DiffusionModel, ask) -> None:
    sizes: list[int] = []
    handle = instruct.pipeline.unet.register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    make_editor(instruct, replace(CONFIG, frames_at_once=2)).edit([ask(seed=seed) for seed in range(5)])
    handle.remove()
    assert sizes == [6] * 10 + [3] * 5


def test_a_generator_of_several_frames_gives_each_its_own_noise(editor: DiffusionEditor, ask) -> None:
    shared = torch.Generator().manual_seed(1)
    first, second = editor.edit([replace(ask(), generator=shared) for _ in range(2)])
    assert (first - second).abs().max() > 0.01
    shared.manual_seed(1)
    again = editor.edit([replace(ask(), generator=shared) for _ in range(2)])
    assert torch.equal(again[0], first) and torch.equal(again[1], second)


def test_a_picture_of_any_shape_comes_back_in_its_own(editor: DiffusionEditor, ask) -> None:
    original = torch.rand(45, 71, 3)
    (edited,) = editor.edit([replace(ask(0.5), original=original, render=original)])
    assert edited.shape == original.shape and edited.min() >= 0 and edited.max() <= 1


def test_guidance_by_hand() -> None:
    """Equation 3 with e(text) = 5, e(image) = 3, e() = 2: 2 + 7.5 * (5 - 3) + 1.5 * (3 - 2) = 18.5."""
    nothing = TextFeatures(torch.zeros(1, 1, 1))
    branches = text_and_image_guidance(7.5, 1.5, nothing, nothing, torch.zeros(1, 4, 1, 1))
    assert sum(branch.weight * answer for branch, answer in zip(branches, (5.0, 3.0, 2.0), strict=True)) == 18.5


def test_a_render_of_another_size_is_told(editor: DiffusionEditor, ask) -> None:
    with pytest.raises(UserError, match="16 x 32 and the filmed frame 32 x 32"):
        editor.edit([replace(ask(0.5), render=torch.zeros(32, 16, 3))])


def test_a_frame_with_numbers_that_are_not_finite_is_told(editor: DiffusionEditor, ask) -> None:
    with pytest.raises(UserError, match="not finite"):
        editor.edit([replace(ask(0.5), render=torch.full((32, 32, 3), float("nan")))])


def test_too_small_a_gpu_is_told_with_the_settings_to_lower(editor: DiffusionEditor, ask, monkeypatch) -> None:
    def run_out(*arguments, **options):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(editor.model.pipeline.unet, "forward", run_out)
    with pytest.raises(UserError, match=r"memory_saving to slicing or offload.*frames_at_once.*longer_side"):
        editor.edit([ask()])
