"""Diffusion pipelines with tiny random weights, built here: nothing is downloaded."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from stage1_edit.diffusion_config import DiffusionConfig
from stage1_edit.diffusion_weights import DiffusionModel
from stage1_edit.editor import EditRequest
from stage1_edit.prompts import EditPrompt

CPU = torch.device("cpu")
TOKENS = 16


class TinyDiffusion:
    """Makes the parts of pipelines. All weights follow from their seed."""

    def __init__(self, folder: Path) -> None:
        self.diffusers = pytest.importorskip("diffusers")
        self.transformers = pytest.importorskip("transformers")
        letters = "abcdefghijklmnopqrstuvwxyz"
        pieces = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
        (folder / "vocab.json").write_text(json.dumps({piece: index for index, piece in enumerate(pieces)}))
        (folder / "merges.txt").write_text("#version: 0.2\n")
        self.tokenizer = self.transformers.CLIPTokenizer.from_pretrained(folder, model_max_length=TOKENS)

    def unet(self, in_channels: int, **settings: Any) -> Any:
        torch.manual_seed(0)
        return self.diffusers.UNet2DConditionModel(
            block_out_channels=(32, 64),
            layers_per_block=1,
            sample_size=16,
            in_channels=in_channels,
            out_channels=4,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            norm_num_groups=8,
            **{"cross_attention_dim": 32, **settings},
        ).eval()

    def vae(self, **settings: Any) -> Any:
        torch.manual_seed(1)
        return self.diffusers.AutoencoderKL(
            block_out_channels=[8, 16, 16, 16],
            down_block_types=["DownEncoderBlock2D"] * 4,
            up_block_types=["UpDecoderBlock2D"] * 4,
            norm_num_groups=8,
            **{"latent_channels": 4, **settings},
        ).eval()

    def text_encoder(self, projected: bool = False) -> Any:
        torch.manual_seed(2 + projected)
        config = self.transformers.CLIPTextConfig(
            hidden_size=32,
            intermediate_size=37,
            num_attention_heads=4,
            num_hidden_layers=2,
            vocab_size=54,
            max_position_embeddings=TOKENS,
            bos_token_id=52,
            eos_token_id=53,
            projection_dim=32,
        )
        kind = self.transformers.CLIPTextModelWithProjection if projected else self.transformers.CLIPTextModel
        return kind(config).eval()

    def controlnet(self, seed: int) -> Any:
        torch.manual_seed(seed)
        net = self.diffusers.ControlNetModel(
            block_out_channels=(32, 64),
            layers_per_block=1,
            in_channels=4,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            cross_attention_dim=32,
            norm_num_groups=8,
            conditioning_embedding_out_channels=(8, 16, 16, 16),
        ).eval()
        # New ControlNets begin with zeros, and would do nothing.
        for layer in (*net.controlnet_down_blocks, net.controlnet_mid_block, net.controlnet_cond_embedding.conv_out):
            torch.nn.init.normal_(layer.weight, std=0.2)
        return net

    def ddim(self) -> Any:
        return self.diffusers.DDIMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1, clip_sample=False
        )

    def pipeline(self, name: str, in_channels: int = 4, **parts: Any) -> Any:
        """A Stable Diffusion pipeline of any class."""
        built = getattr(self.diffusers, name)(
            **{
                "vae": self.vae(),
                "text_encoder": self.text_encoder(),
                "tokenizer": self.tokenizer,
                "unet": self.unet(in_channels),
                "scheduler": self.ddim(),
                "safety_checker": None,
                "feature_extractor": None,
                "requires_safety_checker": False,
                **parts,
            }
        )
        built.set_progress_bar_config(disable=True)
        return built

    def pipeline_xl(self, name: str, in_channels: int = 4) -> Any:
        """An SDXL pipeline of any class."""
        unet = self.unet(
            in_channels,
            cross_attention_dim=64,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=6 * 8 + 32,
        )
        built = getattr(self.diffusers, name)(
            vae=self.vae(),
            text_encoder=self.text_encoder(),
            text_encoder_2=self.text_encoder(projected=True),
            tokenizer=self.tokenizer,
            tokenizer_2=self.tokenizer,
            unet=unet,
            scheduler=self.ddim(),
        )
        built.set_progress_bar_config(disable=True)
        return built

    def scheduler(self, name: str) -> Any:
        return getattr(self.diffusers, name).from_config(self.ddim().config)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyDiffusion:
    return TinyDiffusion(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="session")
def instruct(tiny: TinyDiffusion) -> DiffusionModel:
    """InstructPix2Pix."""
    return DiffusionModel(tiny.pipeline("StableDiffusionInstructPix2PixPipeline", 8), CPU)


@pytest.fixture(scope="session")
def describe(tiny: TinyDiffusion) -> DiffusionModel:
    """A text-to-image model with two ControlNets."""
    return DiffusionModel(tiny.pipeline("StableDiffusionPipeline"), CPU, (tiny.controlnet(5), tiny.controlnet(6)))


@pytest.fixture(autouse=True)
def ddim_again(request: pytest.FixtureRequest) -> None:
    """Tests may put another scheduler into the shared pipelines."""
    if "tiny" in request.fixturenames:
        tiny = request.getfixturevalue("tiny")
        for name in {"instruct", "describe"} & set(request.fixturenames):
            request.getfixturevalue(name).pipeline.scheduler = tiny.ddim()


def make_request(
    noise_level: float = 1.0,
    seed: int = 3,
    side: int = 32,
    text: str = "make it bronze",
    picture: int = 100,
    **more: Any,
) -> EditRequest:
    generator = torch.Generator().manual_seed(picture)
    original, render = (torch.rand(side, side, 3, generator=generator) for _ in range(2))
    matte, labels = torch.ones(side, side, 1), torch.ones(side, side, dtype=torch.uint8)
    seeded = torch.Generator().manual_seed(seed)
    return EditRequest(EditPrompt(text), original, render, matte, labels, noise_level, seeded, **more)


@pytest.fixture(scope="session")
def ask() -> Callable[..., EditRequest]:
    """Makes requests of random pictures."""
    return make_request


@pytest.fixture(scope="session")
def small() -> DiffusionConfig:
    """Settings for tiny weights."""
    return DiffusionConfig(longer_side=32, sampling_steps=5, precision="fp32")
