"""What the parts of a face have to do with each other: nothing, as far as the avatar knows.

A clip of seconds hardly tells that brows do not open mouths: whoever raises them with every open mouth teaches a code
of the whole face that they do, and another person's brows then open the mouth, or hold it shut. So the code is made of
groups: some numbers of lids, gaze and brows, which change nothing below the nose, and some of the mouth's expressions,
which change nothing above the eyes. It also makes what was seen go further: a blink is known with every mouth and every
gaze once it was seen with one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

HEIGHTS = 65
"""Heights at which it is noted how far each number of a code acts; between them it is interpolated."""

LIDS = ("eyeBlink", "eyeSquint", "eyeWide")
"""How the names of the lids' expressions begin."""

UPPER = {LIDS: 0.2, ("eyeLook",): 0.2, ("brow",): 0.1}
"""The same of lids, gaze and brows, and the share of each in a code's numbers. The rest is the mouth's."""


@dataclass(frozen=True)
class CodeGroup:
    """Some numbers of a code: what they are made of, and where they act."""

    size: int
    """How many numbers."""
    conditions: Bool[Tensor, "conditions"]
    """Which of the field's conditions they are made of."""
    acts: Float[Tensor, "heights"]
    """How far they act, in [0, 1], at heights from the lowest to the highest of the field's box."""


def one_group(size: int, conditions: int) -> tuple[CodeGroup, ...]:
    """A code whose numbers are made of everything and act everywhere."""
    return (CodeGroup(size, torch.ones(conditions, dtype=torch.bool), torch.ones(HEIGHTS)),)


def face_groups(
    size: int, names: Sequence[str], nose: float, eyes: float, low: float, high: float
) -> tuple[CodeGroup, ...]:
    """Groups of lids, gaze, brows and mouth. A code of too few numbers for them is one group.

    Args:
        size: the code's numbers, all together.
        names: ARKit's names of the conditions.
        nose: height of the nose's tip. Up to here the mouth acts fully, and the others not at all.
        eyes: height of the eyes' centres. From here on it is the other way round.
        low: the lowest height of the field's box.
        high: its highest.
    """
    if size <= len(UPPER):
        return one_group(size, len(names))
    above = ((torch.linspace(low, high, HEIGHTS) - nose) / (eyes - nose)).clamp(0, 1)
    groups, rest, left = [], torch.ones(len(names), dtype=torch.bool), size
    for beginnings, share in UPPER.items():
        belongs = torch.tensor([name.startswith(beginnings) for name in names])
        groups.append(CodeGroup(max(1, round(share * size)), belongs, above))
        rest, left = rest & ~belongs, left - groups[-1].size
    return (*groups, CodeGroup(left, rest, 1 - above))


def acting_at(acts: Float[Tensor, "codes heights"], resolution: int) -> Float[Tensor, "codes resolution"]:
    """How far each number of a code acts at so many heights, from the lowest to the highest."""
    return F.interpolate(acts[None], size=resolution, mode="linear", align_corners=True)[0]
