"""Training losses, as pure functions of what was rendered and what was filmed."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def over(
    foreground: Float[Tensor, "*batch 3"], alpha: Float[Tensor, "*batch 1"], background: Float[Tensor, "*batch 3"]
) -> Float[Tensor, "*batch 3"]:
    """Premultiplied foreground over a background (Porter and Duff 1984)."""
    return foreground + (1 - alpha) * background


def colour_loss(
    predicted: Float[Tensor, "rays 3"], target: Float[Tensor, "rays 3"], threshold: float = 0.1
) -> Float[Tensor, ""]:
    """Huber's loss, scaled to the squared error near zero: errors beyond the threshold pull no harder than it."""
    return 2 * F.huber_loss(predicted, target, delta=threshold)


def matte_loss(alpha: Float[Tensor, "rays 1"], matte: Float[Tensor, "rays 1"]) -> Float[Tensor, ""]:
    """Mean squared difference between the rendered opacity and the tracked matte."""
    return F.mse_loss(alpha, matte)


def smoothness_loss(volumes: Float[Tensor, "*batch depth height width"]) -> Float[Tensor, ""]:
    """Mean squared difference of neighbouring cells."""
    return sum((torch.diff(volumes, dim=axis) ** 2).mean() for axis in (-1, -2, -3))  # pyright: ignore[reportReturnType]


def structural_loss(
    predicted: Float[Tensor, "patches 3 side side"], target: Float[Tensor, "patches 3 side side"], window: int = 5
) -> Float[Tensor, ""]:
    """Structural dissimilarity, (1 - SSIM) / 2, of small patches: 0 for equal ones, at most 1.

    SSIM is Wang et al.'s (2004, eq. 13) with its constants for values in [0, 1], over uniform square windows that lie
    whole within their patch.
    """

    def mean(values: Float[Tensor, "patches 3 side side"]) -> Float[Tensor, "patches 3 inner inner"]:
        return F.avg_pool2d(values, window, stride=1)

    mean_predicted, mean_target = mean(predicted), mean(target)
    variance_predicted = mean(predicted**2) - mean_predicted**2
    variance_target = mean(target**2) - mean_target**2
    covariance = mean(predicted * target) - mean_predicted * mean_target
    luminance = (2 * mean_predicted * mean_target + 0.01**2) / (mean_predicted**2 + mean_target**2 + 0.01**2)
    structure = (2 * covariance + 0.03**2) / (variance_predicted + variance_target + 0.03**2)
    return (1 - (luminance * structure).mean()) / 2


def distortion_loss(
    weights: Float[Tensor, "rays samples"],
    middles: Float[Tensor, "rays samples"],
    lengths: Float[Tensor, "rays samples"],
) -> Float[Tensor, ""]:
    """How far a ray's weight is spread along it (Mip-NeRF 360, Barron et al. 2022, eq. 15), mean over rays.

    The double sum over pairs of samples is one pass over running sums, since the samples are in order of distance.

    Args:
        weights: each sample's share of what the ray shows.
        middles: its distance along the ray, not decreasing, in scene units.
        lengths: of the stretch that it stands for, in scene units.
    """
    before = torch.cumsum(weights, dim=-1) - weights
    moment_before = torch.cumsum(weights * middles, dim=-1) - weights * middles
    between = 2 * (weights * (middles * before - moment_before)).sum(-1)
    within = (weights**2 * lengths).sum(-1) / 3
    return (between + within).mean()
