"""Against diffusers' own FLUX.1 Kontext pipeline, with tiny random weights."""

from dataclasses import replace

import pytest
import torch

from stage1_edit.diffusion_weights import DiffusionModel
from stage1_edit.flux_kontext import FluxKontext, FluxKontextConfig, pack, timestep_shift
from tracking.errors import UserError

CPU = torch.device("cpu")
CONFIG = FluxKontextConfig(longer_side=32, sampling_steps=3, prompt_tokens=16, precision="fp32")


@pytest.fixture(scope="module")
def kontext(tiny) -> DiffusionModel:
    torch.manual_seed(0)
    transformer = tiny.diffusers.FluxTransformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        axes_dims_rope=(4, 4, 8),
        guidance_embeds=True,
    ).eval()
    t5 = tiny.transformers.T5EncoderModel(
        tiny.transformers.T5Config(
            d_model=32, d_kv=8, d_ff=37, num_layers=2, num_heads=4, vocab_size=64, relative_attention_num_buckets=8
        )
    ).eval()
    pipeline = tiny.diffusers.FluxKontextPipeline(
        scheduler=tiny.diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=tiny.vae(shift_factor=0.1, scaling_factor=0.36, use_quant_conv=False, use_post_quant_conv=False),
        text_encoder=tiny.text_encoder(),
        tokenizer=tiny.tokenizer,
        text_encoder_2=t5,
        tokenizer_2=tiny.tokenizer,
        transformer=transformer,
    )
    pipeline.set_progress_bar_config(disable=True)
    return DiffusionModel(pipeline, CPU)


def test_from_pure_noise_the_picture_is_diffusers_own(kontext: DiffusionModel, ask) -> None:
    editor = FluxKontext(CONFIG, kontext)
    (edited,) = editor.edit([ask()])
    with torch.no_grad():
        original = editor._encode(ask().original, (32, 32))
    expected = kontext.pipeline(
        image=original,
        prompt=ask().prompt.text,
        height=32,
        width=32,
        max_area=32 * 32,
        num_inference_steps=3,
        guidance_scale=2.5,
        generator=torch.Generator().manual_seed(3),
        max_sequence_length=16,
        output_type="pt",
    ).images[0]
    torch.testing.assert_close(edited, expected.movedim(0, -1), atol=1e-4, rtol=0)
    assert editor.network_evaluations == 3


def test_a_lower_noise_level_stays_nearer_to_the_render(kontext: DiffusionModel, ask) -> None:
    editor = FluxKontext(CONFIG, kontext)
    autoencoded = editor.edit([ask(1e-4)])[0]
    distances = [float((editor.edit([ask(level)])[0] - autoencoded).abs().mean()) for level in (0.02, 0.3, 0.98)]
    assert distances == sorted(distances) and distances[0] < 0.5 * distances[-1]
    assert torch.equal(editor.edit([ask(0.0)])[0], ask(0.0).render)


def test_as_many_steps_are_taken_at_every_noise_level(kontext: DiffusionModel, ask) -> None:
    for level in (0.02, 0.5, 0.98, 1.0):
        times: list[float] = []
        handle = kontext.pipeline.transformer.register_forward_pre_hook(
            lambda _, args, options, seen=times: seen.append(float(options["timestep"])), with_kwargs=True
        )
        editor = FluxKontext(CONFIG, kontext)
        editor.edit([ask(level)])
        handle.remove()
        _, start = editor._times(level, (32, 32))
        # The start that the render is mixed for is the one at which the network is first asked.
        assert len(times) == 3 and times[0] == pytest.approx(start, abs=1e-6)


def test_the_shift_is_linear_between_its_ends() -> None:
    """256 tokens: 0.5; 4096: 1.15; half way: half way."""
    assert [timestep_shift(tokens, {}) for tokens in (256, 2176, 4096)] == pytest.approx([0.5, 0.825, 1.15])


def test_tokens_are_two_by_two_latents_with_all_their_channels() -> None:
    latents = torch.arange(2 * 4 * 6.0).view(1, 2, 4, 6)
    tokens = pack(latents)
    assert tokens.shape == (1, 6, 8)
    assert tokens[0, 1].tolist() == [2, 3, 8, 9, 26, 27, 32, 33]


def test_unlike_frames_are_told(kontext: DiffusionModel, ask) -> None:
    with pytest.raises(UserError, match="render at the frame's size"):
        FluxKontext(CONFIG, kontext).edit([replace(ask(0.5), render=torch.zeros(16, 32, 3))])
