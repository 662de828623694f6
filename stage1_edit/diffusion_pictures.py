"""Pictures in the size, layout and range of a diffusion model, and back."""

from collections.abc import Sequence
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from stage1_edit.editor import Image

Latents: TypeAlias = Float[Tensor, "batch channels latent_height latent_width"]
Pixels: TypeAlias = Float[Tensor, "batch 3 height width"]
"""The autoencoder's kind of picture: RGB in [-1, 1]."""

_SIZE_MULTIPLE = 8


def diffusion_size(height: int, width: int, longer_side: int, multiple: int = _SIZE_MULTIPLE) -> tuple[int, int]:
    """Height and width for the diffusion model: the picture's shape, in multiples of what one latent covers."""
    scale = longer_side / max(height, width)
    rows, columns = (max(1, round(side * scale / multiple)) for side in (height, width))
    return rows * multiple, columns * multiple


def to_diffusion_range(images: Sequence[Image], size: tuple[int, int]) -> Pixels:
    """Pictures in the autoencoder's size, layout and range."""
    return _resize(torch.stack([image.float() for image in images]).movedim(-1, 1), size).clamp(0, 1) * 2 - 1


def from_diffusion_range(pixels: Pixels, size: tuple[int, int]) -> Float[Tensor, "batch height width 3"]:
    """Pictures in [0, 1] of their own size again."""
    return _resize((pixels.float() + 1) / 2, size).clamp(0, 1).movedim(1, -1)


def _resize(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    if tuple(pixels.shape[2:]) == size:
        return pixels
    return F.interpolate(pixels, size, mode="bicubic", antialias=True)
