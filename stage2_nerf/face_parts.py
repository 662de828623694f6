"""Which expressions belong to which part of a face: what one part does says nothing of the others.

A clip of seconds does not tell so. Whoever raises the brows with every open mouth has codes that mix the two, and an
avatar that takes its codes as a whole opens the mouth no further than somebody else's brows let it, and shuts its eyes
only with the mouths that it had in a blink.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool
from torch import Tensor

LIDS = ("eyeBlink", "eyeSquint", "eyeWide")
"""How ARKit's names of the lids' expressions begin."""

UPPER_PARTS = ((*LIDS, "eyeLook"), ("brow",))
"""The same of the eyes' and the brows'. All others are the mouth's, with jaw, cheeks and nose."""


def face_parts(names: Sequence[str]) -> Bool[Tensor, "parts expressions"]:
    """Which expressions are the eyes', which the brows' and which the mouth's: every one belongs to one part.

    Args:
        names: ARKit's names of the expressions.
    """
    upper = torch.tensor([[name.startswith(part) for name in names] for part in UPPER_PARTS])
    return torch.cat([upper, ~upper.any(dim=0, keepdim=True)])
