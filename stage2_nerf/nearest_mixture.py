"""Codes drawn to those that a clip has shown: an avatar knows nothing of others, and turns into specks and blotches.

What a code c is drawn to is a mixture m = sum_i w_i s_i of the clip's own codes s_i, w_i >= 0, sum_i w_i = 1, near to
it and made of codes near it: the one of least

    |c - m|^2 + locality sum_i w_i |c - s_i|^2

as Yu, Zhang and Gong's local coordinate coding has it (NIPS 2009). So a code that the clip has shown stays what it is,
and one between some that it has shown stays between them. A mean of the nearest codes would not do: a blink, which a
clip shows in few frames, was drawn half way back to open eyes. The mixture is a continuous function of the code.
"""

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import nnls
from torch import Tensor

LOCALITY = 0.05
"""Cost of the mixed codes' squared distances, over that of the mixture's."""
DRAWN = 0.8
"""How far of the way to the mixture a code is drawn. What is left leads a little beyond what was shown."""
ROOM_BEYOND = 0.15
"""How far beyond the clip's codes a code may lie at most, as a share of their range."""
STIFFNESS = 100.0
"""Weight of the condition that a mixture's weights add up to one, and of what makes a sum linear (`mixture`)."""


def drawn_to(codes: Float[Tensor, "moments code"], seen: Float[Tensor, "frames code"]) -> Float[Tensor, "moments code"]:
    """Codes drawn to those that were seen: each bounded, and moved most of the way to the nearest mixture of them."""
    low, high = seen.amin(dim=0), seen.amax(dim=0)
    room = ROOM_BEYOND * (high - low)
    codes = codes.clamp(low - room, high + room)
    return torch.lerp(codes, nearest_mixture(codes, seen), DRAWN)


def nearest_mixture(
    codes: Float[Tensor, "moments code"], seen: Float[Tensor, "frames code"]
) -> Float[Tensor, "moments code"]:
    """For each code the mixture of seen ones near it that is nearest to it."""
    table, wanted = (values.detach().cpu().numpy().astype(np.float64) for values in (seen, codes))
    table /= (scale := max(float(table.std(axis=0).max()), 1e-6))
    mixtures = [mixture(row, table) for row in wanted / scale]
    return torch.from_numpy(np.array(mixtures) * scale).to(codes)


def mixture(
    code: Float[np.ndarray, "code"], seen: Float[np.ndarray, "frames code"], locality: float = LOCALITY
) -> Float[np.ndarray, "code"]:
    """The mixture of seen codes near a code that is nearest to it; with no locality the nearest point of their hull.

    By non-negative least squares. What is linear in the weights, l = locality sum_i w_i |c - s_i|^2, is written as the
    square (l / 2k + k)^2 = k^2 + l + (l / 2k)^2, whose last part vanishes as k grows.
    """
    distance = ((seen - code) ** 2).sum(axis=1)
    rows = [seen.T, (locality / (2 * STIFFNESS) * distance)[None], np.full((1, len(seen)), STIFFNESS)]
    weights, _ = nnls(np.concatenate(rows), np.concatenate([code, [-STIFFNESS, STIFFNESS]]))
    return weights @ seen / max(weights.sum(), 1e-9)
