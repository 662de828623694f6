"""Prompts over the limit, and numbers that overflow in 16 bits."""

from dataclasses import replace

import pytest
import torch

from stage1_edit.autoencoder import Autoencoder, is_spoiled
from stage1_edit.diffusion_editor import DiffusionEditor
from stage1_edit.diffusion_weights import DiffusionModel
from stage1_edit.instruct_pix2pix import InstructPix2Pix, InstructPix2PixConfig
from stage1_edit.prompts import EditPrompt
from stage1_edit.text_features import TextEncoding, text_over_limit
from tracking.errors import UserError

CPU = torch.device("cpu")
CONFIG = InstructPix2PixConfig(longer_side=32, sampling_steps=2)


def editor_of(model: DiffusionModel) -> DiffusionEditor:
    return DiffusionEditor(CONFIG, model, InstructPix2Pix(CONFIG, model))


def test_what_is_cut_off_is_said(instruct, tiny, caplog) -> None:
    """The letters' tokenizer holds 14 of them between its two marks."""
    assert text_over_limit(tiny.tokenizer, "abcdefghijklmn") == ""
    assert text_over_limit(tiny.tokenizer, "abcdefghijklmn opq").replace(" ", "") == "opq"
    editor_of(instruct).check(EditPrompt("abcdefghijklmn opq"))
    (record,) = caplog.records
    assert "longer than the 14 tokens" in record.getMessage() and "'" in record.getMessage()


def test_a_text_is_encoded_once(instruct) -> None:
    encoding = TextEncoding(instruct.pipeline, CPU)
    asked: list[int] = []
    handle = instruct.pipeline.text_encoder.register_forward_hook(lambda *_: asked.append(1))
    assert encoding("gold") is encoding("gold") and len(asked) == 1
    encoding("silver")
    handle.remove()
    assert len(asked) == 2


def overflowing_vae(tiny):
    """An autoencoder whose middle exceeds what 16 bits hold, and is brought back by a normalisation."""
    vae = tiny.vae()
    vae.decoder.conv_in.weight.data *= 3e5
    return vae


def test_an_autoencoder_that_overflows_turns_to_32_bits_and_says_so(tiny, ask, caplog) -> None:
    pipeline = tiny.pipeline("StableDiffusionInstructPix2PixPipeline", 8, vae=overflowing_vae(tiny))
    (expected,) = editor_of(DiffusionModel(pipeline, CPU)).edit([ask()])
    pipeline = tiny.pipeline("StableDiffusionInstructPix2PixPipeline", 8, vae=overflowing_vae(tiny)).to(torch.float16)
    (edited,) = editor_of(DiffusionModel(pipeline, CPU)).edit([ask()])
    assert pipeline.vae.dtype == torch.float32 and pipeline.unet.dtype == torch.float16
    told = [record.getMessage() for record in caplog.records if record.name.startswith("stage1_edit")]
    assert told == ["The autoencoder overflowed in 16 bits, and computes in 32 from now on."]
    torch.testing.assert_close(edited, expected, atol=0.05, rtol=0)


def test_a_network_that_overflows_turns_to_32_bits_and_starts_again(tiny, ask, caplog) -> None:
    def pipeline():
        unet = tiny.unet(8)
        unet.conv_in.weight.data *= 3e5
        return tiny.pipeline("StableDiffusionInstructPix2PixPipeline", 8, unet=unet)

    (expected,) = editor_of(DiffusionModel(pipeline(), CPU)).edit([ask()])
    half = pipeline().to(torch.float16)
    (edited,) = editor_of(DiffusionModel(half, CPU)).edit([ask()])
    assert half.unet.dtype == torch.float32
    assert any("U-Net overflowed" in record.getMessage() for record in caplog.records)
    torch.testing.assert_close(edited, expected, atol=0.05, rtol=0)


def test_bf16_edits_nearly_as_32_bits_do(tiny, instruct, ask) -> None:
    half = tiny.pipeline("StableDiffusionInstructPix2PixPipeline", 8).to(torch.bfloat16)
    (edited,) = editor_of(DiffusionModel(half, CPU)).edit([ask()])
    (expected,) = editor_of(instruct).edit([ask()])
    assert edited.dtype == torch.float32 and (edited - expected).abs().mean() < 0.02


def test_what_is_not_finite_in_32_bits_too_is_told(tiny, ask) -> None:
    broken = tiny.vae()
    broken.decoder.conv_in.bias.data[0] = float("nan")
    model = DiffusionModel(tiny.pipeline("StableDiffusionInstructPix2PixPipeline", 8, vae=broken), CPU)
    with pytest.raises(UserError, match="not finite: check its files"):
        editor_of(model).edit([ask()])


def test_black_pictures_count_as_spoiled() -> None:
    grey, black = torch.zeros(1, 3, 4, 4), torch.full((1, 3, 4, 4), -1.0)
    assert not is_spoiled(grey) and is_spoiled(black) and is_spoiled(torch.cat([grey, black]))
    assert is_spoiled(grey / 0)


def test_latents_scale_there_and_back(tiny) -> None:
    autoencoder = Autoencoder(tiny.vae(latents_mean=[1.0, 2.0, 3.0, 4.0], latents_std=[2.0] * 4), CPU)
    latents = torch.randn(1, 4, 2, 2)
    scaled = autoencoder.scaled(latents)
    torch.testing.assert_close(scaled[0, 1], (latents[0, 1] - 2) / 2 * autoencoder.vae.config.scaling_factor)
    with torch.no_grad():
        torch.testing.assert_close(autoencoder.decode(scaled), autoencoder.vae.decode(latents).sample)


def test_a_black_edit_is_kept_and_reported(tiny, ask, caplog) -> None:
    dark = tiny.vae()
    dark.decoder.conv_out.weight.data *= 0
    dark.decoder.conv_out.bias.data[:] = -2.0
    model = DiffusionModel(tiny.pipeline("StableDiffusionInstructPix2PixPipeline", 8, vae=dark), CPU)
    (edited,) = editor_of(model).edit([replace(ask(), original=torch.rand(32, 32, 3))])
    assert edited.max() == 0 and "black picture" in caplog.records[-1].getMessage()
