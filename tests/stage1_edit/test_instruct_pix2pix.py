"""Against diffusers' own InstructPix2Pix pipeline, with tiny random weights built here: nothing is downloaded."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from stage1_edit.editor import EditRequest
from stage1_edit.instruct_pix2pix import (
    InstructPix2Pix,
    InstructPix2PixConfig,
    diffusion_size,
    from_diffusion_range,
    guide,
    has_weights,
    load_pipeline,
    to_diffusion_range,
)
from stage1_edit.prompts import EditPrompt
from tracking.errors import UserError

diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")

CONFIG = InstructPix2PixConfig(longer_side=32, sampling_steps=5, half_precision=False)


def tiny_tokenizer(folder: Path):
    """CLIP's tokenizer with letters for a vocabulary."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    pieces = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({piece: index for index, piece in enumerate(pieces)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return transformers.CLIPTokenizer.from_pretrained(folder, model_max_length=16)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory):
    torch.manual_seed(0)
    unet = diffusers.UNet2DConditionModel(
        block_out_channels=(32, 64),
        layers_per_block=1,
        sample_size=16,
        in_channels=8,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=32,
        norm_num_groups=8,
    )
    vae = diffusers.AutoencoderKL(
        block_out_channels=[8, 16, 16, 16],
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        latent_channels=4,
        norm_num_groups=8,
    )
    text_config = transformers.CLIPTextConfig(
        hidden_size=32,
        intermediate_size=37,
        num_attention_heads=4,
        num_hidden_layers=2,
        vocab_size=54,
        max_position_embeddings=16,
        bos_token_id=52,
        eos_token_id=53,
    )
    built = diffusers.StableDiffusionInstructPix2PixPipeline(
        vae=vae,
        text_encoder=transformers.CLIPTextModel(text_config),
        tokenizer=tiny_tokenizer(tmp_path_factory.mktemp("tokenizer")),
        unet=unet,
        scheduler=diffusers.DDIMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1, clip_sample=False
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    built.set_progress_bar_config(disable=True)
    for part in (built.unet, built.vae, built.text_encoder):
        part.eval()
    return built


def request(noise_level: float = 1.0, seed: int = 3, side: int = 32, text: str = "make it bronze") -> EditRequest:
    generator = torch.Generator().manual_seed(100)
    original, render = (torch.rand(side, side, 3, generator=generator) for _ in range(2))
    matte, labels = torch.ones(side, side, 1), torch.ones(side, side, dtype=torch.uint8)
    seeded = torch.Generator().manual_seed(seed)
    return EditRequest(EditPrompt(text), original, render, matte, labels, noise_level, seeded)


@pytest.mark.parametrize("scheduler", ["DDIMScheduler", "EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler"])
def test_from_pure_noise_the_picture_is_diffusers_own(pipeline, scheduler: str) -> None:
    pipeline.scheduler = getattr(diffusers, scheduler).from_config(pipeline.scheduler.config)
    asked = request()
    (edited,) = InstructPix2Pix(CONFIG, pipeline).edit([asked])
    expected = pipeline(
        prompt=asked.prompt.text,
        image=asked.original.movedim(-1, 0)[None],
        num_inference_steps=5,
        guidance_scale=7.5,
        image_guidance_scale=1.5,
        generator=torch.Generator().manual_seed(3),
        output_type="pt",
    ).images[0]
    torch.testing.assert_close(edited, expected.movedim(0, -1), atol=1e-4, rtol=0)


@pytest.fixture
def editor(pipeline) -> InstructPix2Pix:
    pipeline.scheduler = diffusers.DDIMScheduler.from_config(pipeline.scheduler.config)
    return InstructPix2Pix(CONFIG, pipeline)


def test_noise_level_0_returns_the_render_and_1_ignores_it(editor: InstructPix2Pix) -> None:
    still = request(noise_level=0.0)
    assert torch.equal(editor.edit([still])[0], still.render)
    other = replace(request(), render=torch.zeros(32, 32, 3))
    torch.testing.assert_close(editor.edit([request()])[0], editor.edit([other])[0], rtol=0, atol=0)


def test_a_lower_noise_level_stays_nearer_to_the_render(editor: InstructPix2Pix) -> None:
    latents = []
    embeddings = editor._embed("make it bronze")
    generator = torch.Generator().manual_seed(0)
    image, render = (torch.randn(1, 4, 4, 4, generator=generator) for _ in range(2))
    with torch.no_grad():
        for level in (0.01, 0.1, 0.5, 0.98):
            seeded = [torch.Generator().manual_seed(1)]
            latents.append(editor.sample(embeddings, image, render, level, seeded))
    distances = [float((latent - render).abs().mean()) for latent in latents]
    assert distances == sorted(distances) and distances[0] < 0.1 * distances[-1]


def test_as_many_steps_are_taken_at_every_noise_level(editor: InstructPix2Pix) -> None:
    counts = []
    unet = editor.pipeline.unet
    for level in (0.02, 0.3, 0.5, 0.77, 0.98, 1.0):
        timesteps: list[int] = []
        handle = unet.register_forward_pre_hook(lambda _, args, seen=timesteps: seen.append(int(args[1])))
        editor.edit([request(noise_level=level)])
        handle.remove()
        counts.append(len(timesteps))
        # DDIM's grid of 1000 steps starts at the level, up to the grid's spacing.
        assert abs(timesteps[0] / 1000 - level) < level / 5 + 0.01
    assert set(counts) == {5}


def test_requests_given_together_are_edited_as_if_alone(editor: InstructPix2Pix) -> None:
    def requests() -> list[EditRequest]:
        return [request(0.6, seed=1), request(0.6, seed=2, text="a jade bust"), request(1.0, seed=3)]

    together = editor.edit(requests())
    alone = [editor.edit([asked])[0] for asked in requests()]
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=0)


def test_a_picture_of_any_shape_comes_back_in_its_own(editor: InstructPix2Pix) -> None:
    original = torch.rand(45, 71, 3)
    asked = replace(request(0.5), original=original, render=original)
    (edited,) = editor.edit([asked])
    assert edited.shape == original.shape and edited.min() >= 0 and edited.max() <= 1


def test_guidance_by_hand() -> None:
    """Equation 3 with e(text) = 5, e(image) = 3, e() = 2: 2 + 7.5 * (5 - 3) + 1.5 * (3 - 2) = 18.5."""
    text, image, none = (torch.full((1, 1, 1, 1), value) for value in (5.0, 3.0, 2.0))
    assert guide(text, image, none, 7.5, 1.5).item() == 18.5


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


def test_numbers_that_are_not_finite_are_reported(editor: InstructPix2Pix) -> None:
    asked = replace(request(0.5), render=torch.full((32, 32, 3), float("nan")))
    with pytest.raises(UserError, match="not finite"):
        editor.edit([asked])


def test_weights_that_are_not_there_are_told_in_one_sentence(tmp_path: Path) -> None:
    config = InstructPix2PixConfig(model=str(tmp_path), local_files_only=True)
    assert not has_weights(str(tmp_path))
    with pytest.raises(UserError, match="cannot be loaded"):
        load_pipeline(config, torch.device("cpu"))


def test_a_saved_pipeline_is_found_and_loaded(pipeline, tmp_path: Path) -> None:
    pipeline.save_pretrained(tmp_path)
    assert has_weights(str(tmp_path))
    config = replace(CONFIG, model=str(tmp_path))
    editor = InstructPix2Pix.from_pretrained(config, torch.device("cpu"))
    assert isinstance(editor.pipeline.scheduler, diffusers.DDIMScheduler)
    torch.testing.assert_close(editor.edit([request()]), InstructPix2Pix(CONFIG, editor.pipeline).edit([request()]))
