"""TokenFlow (Geyer et al. 2023, arXiv 2307.10373): features of a few keyframes flow into all the others.

In every self-attention layer the keyframes attend to each other jointly (its extended attention, section 4.1), and a
frame between takes, token by token, what its two nearest keyframes got at the corresponding places, mixed by its
distance to them in time (section 4.2, equation 4). TokenFlow finds the places by the nearest neighbours of features.
Here they come from the tracked surface where it is seen, which is exact and free, and from the features elsewhere. The
keyframes are the batch's anchors; TokenFlow draws new ones at every step.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from stage1_edit.consistency import BatchLayout, self_attention
from stage1_edit.correspondences import Correspondences, SurfaceCorrespondences
from stage1_edit.cross_frame_attention import attend

Tokens = Float[Tensor, "branches tokens channels"]


@dataclass(frozen=True)
class TokenFlow:
    """Frames of a batch take the anchors' features (a `Consistency`)."""

    correspondences: Correspondences | None = None
    """Where frames correspond; by default the tracked surface says."""

    def applied(self, networks: Sequence[Any], layout: BatchLayout) -> AbstractContextManager[None]:
        """Put the processor into every self-attention layer."""
        places = self.correspondences or SurfaceCorrespondences(layout.geometry)
        return self_attention(networks, TokenFlowProcessor(layout, places))


class TokenFlowProcessor:
    """Joint self-attention of the keyframes, and their answers spread over the other frames."""

    def __init__(self, layout: BatchLayout, correspondences: Correspondences) -> None:
        self.layout = layout
        self.correspondences = correspondences
        # A layer is asked at every step, and its places are the same each time.
        self._places = lru_cache(maxsize=None)(self._find_places)

    def __call__(
        self,
        attn: Any,
        hidden_states: Float[Tensor, "batch tokens channels"],
        encoder_hidden_states: None = None,
        attention_mask: None = None,
        temb: None = None,
    ) -> Float[Tensor, "batch tokens channels"]:
        """Attend; see diffusers' `AttnProcessor2_0` for the arguments."""
        frames, keys = self.layout.frames, max(1, self.layout.anchors)
        split = hidden_states.unflatten(0, (-1, frames))
        keyframes = split[:, :keys]
        joint = keyframes.flatten(1, 2)[:, None].expand(-1, keys, -1, -1)
        answers = attend(attn, keyframes.flatten(0, 1), joint.flatten(0, 1)).unflatten(0, (-1, keys))
        spread = [self._flow(split, answers, frame) for frame in range(keys, frames)]
        return torch.cat([answers, *(tokens[:, None] for tokens in spread)], dim=1).flatten(0, 1)

    def _flow(
        self,
        features: Float[Tensor, "branches frames tokens channels"],
        answers: Float[Tensor, "branches keyframes tokens channels"],
        frame: int,
    ) -> Tokens:
        """What a frame takes from its keyframes: the sum over them of weight times answer at the place."""
        total = torch.zeros_like(answers[:, 0])
        for keyframe, weight in nearest_keyframes(self.layout.numbers, answers.shape[1], frame):
            matched = answers[:, keyframe].gather(
                1, most_similar(features[:, frame], features[:, keyframe])[None, :, None].expand_as(answers[:, 0])
            )
            grid = self.layout.grid(features.shape[2])
            places, seen = self._places(frame, keyframe, grid, str(answers.device))
            exact = sample_tokens(answers[:, keyframe], grid, places)
            total = total + weight * torch.where(seen.flatten()[None, :, None], exact, matched)
        return total

    def _find_places(
        self, frame: int, keyframe: int, grid: tuple[int, int], device: str
    ) -> tuple[Float[Tensor, "rows columns 2"], Bool[Tensor, "rows columns"]]:
        places, seen = self.correspondences.places(frame, keyframe, grid)
        return places.to(device), seen.to(device)


def nearest_keyframes(numbers: Sequence[int | None], keyframes: int, frame: int) -> list[tuple[int, float]]:
    """The keyframes that a frame follows, with their weights: the nearest before and after it in time.

    A frame outside of the keyframes' span, or of unknown time, follows the nearest, or the first, alone.
    """
    number = numbers[frame]
    times = [(numbers[keyframe], keyframe) for keyframe in range(keyframes)]
    known = [(time, keyframe) for time, keyframe in times if time is not None]
    if number is None or not known:
        return [(0, 1.0)]
    before = max((entry for entry in known if entry[0] <= number), default=None)
    after = min((entry for entry in known if entry[0] >= number), default=None)
    if before is None or after is None or before[0] == after[0]:
        chosen = before or after
        assert chosen is not None
        return [(chosen[1], 1.0)]
    share = (number - before[0]) / (after[0] - before[0])
    return [(before[1], 1 - share), (after[1], share)]


def most_similar(
    features: Float[Tensor, "branches tokens channels"], keyframe: Float[Tensor, "branches tokens channels"]
) -> Tensor:
    """For each of a frame's tokens the keyframe's nearest by cosine, the same for all guidance branches."""
    # Branches differ in text, not in content: together they tell places apart better than each of them.
    ours, theirs = (F.normalize(tokens.float(), dim=-1) for tokens in (features, keyframe))
    return torch.einsum("bic,bjc->ij", ours, theirs).argmax(dim=1)


def sample_tokens(tokens: Tokens, grid: tuple[int, int], places: Float[Tensor, "rows columns 2"]) -> Tokens:
    """Tokens as a picture, read between its cells.

    Args:
        places: x and y in [0, 1] from the picture's left and upper edge, where each cell of the result is read.
    """
    # In 32 bits: bf16 tells places apart by a sixteenth of a cell of 64, and every layer would blur by that.
    picture = tokens.transpose(1, 2).unflatten(2, grid).float()
    where = (places * 2 - 1).to(picture).expand(len(picture), -1, -1, -1)
    read = F.grid_sample(picture, where, mode="bilinear", padding_mode="border", align_corners=False)
    return read.flatten(2).transpose(1, 2).to(tokens.dtype)
