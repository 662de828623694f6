"""The small InstructPix2Pix: its parts, in diffusers' classes, and the folder that they are written to."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors.torch import load_file
from small_editor_vocabulary import make_tokenizer
from torch import Tensor

from stage1_edit.diffusion_weights import diffusers_library
from tracking.errors import UserError
from tracking.whole_or_nothing import whole_folder

LATENT_CHANNELS = 4
TEXT_SPREAD = 10.0
"""How much larger the untrained text encoder's weights are than those that training would begin with: of these, "make
the hair silver" and "make the hair blond" get features whose cosine is 0.99, which the U-Net is slow to tell apart."""


@dataclass
class NetworkConfig:
    """How large the networks are."""

    channels: tuple[int, ...] = (64, 128, 192)
    """Of the U-Net's levels. All but the first, which is the finest, look at themselves and at the text."""
    text_width: int = 128
    """Numbers of a token's features."""
    text_layers: int = 2
    """Of the text encoder. It is not trained: it only has to tell a few sentences apart."""
    seed: int = 0
    """Of the weights at the start."""


@dataclass
class SmallEditor:
    """A pipeline's parts."""

    unet: Any
    vae: Any
    text_encoder: Any
    tokenizer: Any
    scheduler: Any
    config: NetworkConfig = field(default_factory=NetworkConfig)

    @torch.no_grad()
    def text_features(self, texts: list[str]) -> Float[Tensor, "texts tokens width"]:
        """What the U-Net sees of sentences."""
        tokens = self.tokenizer(
            texts,
            padding="max_length",
            max_length=self.tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        )
        return self.text_encoder(tokens.input_ids)[0]


def small_editor(config: NetworkConfig, weights: Path) -> SmallEditor:
    """The untrained editor, over TAESD's latents.

    Args:
        weights: folder of `taesd_encoder.safetensors` and `taesd_decoder.safetensors`.
    """
    library = diffusers_library()
    import transformers

    torch.manual_seed(config.seed)
    tokenizer = make_tokenizer(transformers)
    inner = len(config.channels) - 1
    unet = library.UNet2DConditionModel(
        sample_size=32,
        in_channels=2 * LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        block_out_channels=config.channels,
        down_block_types=("DownBlock2D", *["CrossAttnDownBlock2D"] * inner),
        up_block_types=(*["CrossAttnUpBlock2D"] * inner, "UpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=config.text_width,
        attention_head_dim=4,
        norm_num_groups=16,
    )
    text = transformers.CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=config.text_width,
        intermediate_size=2 * config.text_width,
        num_attention_heads=4,
        num_hidden_layers=config.text_layers,
        max_position_embeddings=tokenizer.model_max_length,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        initializer_factor=TEXT_SPREAD,
    )
    # Velocities keep few steps honest, and the last timestep must be the noisiest (Lin et al. 2024, arXiv 2305.08891).
    scheduler = library.DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        rescale_betas_zero_snr=True,
    )
    encoder = transformers.CLIPTextModel(text).eval()
    return SmallEditor(unet, tiny_autoencoder(library, weights), encoder, tokenizer, scheduler, config)


def tiny_autoencoder(library: Any, weights: Path) -> Any:
    """TAESD (github.com/madebyollin/taesd) in diffusers' `AutoencoderTiny`.

    Raises:
        UserError: the weights are not there.
    """
    vae = library.AutoencoderTiny()
    # Of TAESD's decoder the first layer clamps; diffusers does that outside of the numbered layers.
    for part, before in (("encoder", 0), ("decoder", 1)):
        path = weights / f"taesd_{part}.safetensors"
        if not path.is_file():
            raise UserError(f"{path} is missing: give a folder with TAESD's two files by --weights.")
        named = {}
        for name, values in load_file(path).items():
            layer, _, rest = name.partition(".")
            named[f"layers.{int(layer) - before}.{rest}"] = values
        getattr(vae, part).load_state_dict(named)
    return vae.eval()


def write_pipeline(editor: SmallEditor, folder: Path) -> None:
    """Write the folder that `--pipeline.editor.instruct-pix2pix.model` takes."""
    pipeline = diffusers_library().StableDiffusionInstructPix2PixPipeline(
        vae=editor.vae,
        text_encoder=editor.text_encoder,
        tokenizer=editor.tokenizer,
        unet=editor.unet,
        scheduler=editor.scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with whole_folder(folder) as partial:
        pipeline.save_pretrained(partial)
