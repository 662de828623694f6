"""How near a rendered frame is to the filmed one, as training and nerfstudio's evaluation tell it."""

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure


def psnr(
    predicted: Float[Tensor, "*batch 3"], target: Float[Tensor, "*batch 3"], weight: Float[Tensor, "*batch 1"]
) -> Float[Tensor, ""]:
    """Peak signal-to-noise ratio in decibels of values in [0, 1], weighted by pixel."""
    squared = ((predicted - target) ** 2 * weight).sum() / (3 * weight.sum()).clamp(min=1e-9)
    return -10 * torch.log10(squared.clamp(min=1e-12))


def frame_quality(
    predicted: Float[Tensor, "height width 3"],
    target: Float[Tensor, "height width 3"],
    matte: Float[Tensor, "height width 1"],
) -> dict[str, float]:
    """PSNR inside the matte and of the whole frame, and SSIM (Wang et al. 2004)."""
    ssim = structural_similarity_index_measure(
        predicted.permute(2, 0, 1)[None], target.permute(2, 0, 1)[None], data_range=1.0
    )
    return {
        "psnr_in_matte": float(psnr(predicted, target, matte)),
        "psnr": float(psnr(predicted, target, torch.ones_like(matte))),
        "ssim": float(ssim),  # pyright: ignore[reportArgumentType]
    }
