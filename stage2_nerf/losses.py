"""Training losses, as pure functions of what was rendered and what was filmed."""

from collections.abc import Sequence

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


def style_loss(predicted: Float[Tensor, "rays 3"], target: Float[Tensor, "rays 3"]) -> Float[Tensor, ""]:
    """Mean squared error, whose best answer is the mean.

    Edits of one look differ from frame to frame, and what they have in common is wanted. Huber's loss draws towards
    their median, and holds a large change back: all of it is beyond the threshold at first.
    """
    return F.mse_loss(predicted, target)


def matte_loss(alpha: Float[Tensor, "rays 1"], matte: Float[Tensor, "rays 1"]) -> Float[Tensor, ""]:
    """Mean squared difference between the rendered opacity and the tracked matte."""
    return F.mse_loss(alpha, matte)


def undecided_loss(alpha: Float[Tensor, "rays 1"]) -> Float[Tensor, ""]:
    """Mean of a (1 - a): 0 where rays pass through or are stopped, 1/4 where half of the light comes through.

    Neural Volumes (Lombardi et al. 2019, arXiv 1906.07751, section 5) believes of its opacities that they are near 0 or
    1, by the density of a beta distribution.
    """
    return (alpha * (1 - alpha)).mean()


def smoothness_loss(cells: Float[Tensor, "*shape"], axes: Sequence[int] = (-1, -2, -3)) -> Float[Tensor, ""]:
    """Mean squared difference of neighbouring cells, added up over the axes along which they are neighbours."""
    return torch.stack([(torch.diff(cells, dim=axis) ** 2).mean() for axis in axes]).sum()
