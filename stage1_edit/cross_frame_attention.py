"""Cross-frame attention: every frame looks at the anchors' features, and so takes over their appearance.

Text2Video-Zero (Khachatryan et al. 2023, arXiv 2303.13439, section 3.3) lets every frame attend to the first one only;
Instruct 4D-to-4D (Mou et al. 2024, arXiv 2406.09402) to an anchor frame. A frame's own features are kept beside the
anchors' here unless told otherwise, since lips and eyes are the frame's own.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from stage1_edit.consistency import BatchLayout, self_attention


@dataclass(frozen=True)
class CrossFrameAttention:
    """Frames of a batch attend to the anchors (a `Consistency`)."""

    keep_own: bool = True
    """Whether a frame also attends to itself."""

    def applied(self, networks: Sequence[Any], layout: BatchLayout) -> AbstractContextManager[None]:
        """Put the processor into every self-attention layer."""
        return self_attention(networks, CrossFrameProcessor(layout, self.keep_own))


@dataclass(frozen=True)
class CrossFrameProcessor:
    """Self-attention whose keys and values are the anchors' and, if asked for, the frame's own."""

    layout: BatchLayout
    keep_own: bool

    def __call__(
        self,
        attn: Any,
        hidden_states: Float[Tensor, "batch tokens channels"],
        encoder_hidden_states: None = None,
        attention_mask: None = None,
        temb: None = None,
    ) -> Float[Tensor, "batch tokens channels"]:
        """Attend; see diffusers' `AttnProcessor2_0` for the arguments."""
        frames = self.layout.frames
        split = hidden_states.unflatten(0, (-1, frames))
        sources = [anchor[:, None].expand_as(split) for anchor in split[:, : self.layout.anchors].unbind(1)]
        if self.keep_own or not sources:
            # An anchor's own features are among the anchors' already, and would count twice.
            own = split.clone()
            sources.append(own)
        context = torch.cat(sources, dim=2).flatten(0, 1)
        mask = None
        if self.keep_own and self.layout.anchors:
            mask = self._own_once(len(hidden_states), hidden_states.shape[1], hidden_states.device)
        return attend(attn, hidden_states, context, mask)

    def _own_once(self, batch: int, tokens: int, device: torch.device) -> Tensor:
        """What each frame may look at: all anchors, and itself unless it is one of them."""
        allowed = torch.ones(self.layout.frames, self.layout.anchors + 1, dtype=torch.bool, device=device)
        allowed[: self.layout.anchors, -1] = False
        spread = allowed.repeat(batch // self.layout.frames, 1).repeat_interleave(tokens, dim=1)
        return spread[:, None, None]


def attend(
    attn: Any,
    hidden_states: Float[Tensor, "batch tokens channels"],
    context: Float[Tensor, "batch context channels"],
    mask: Tensor | None = None,
) -> Float[Tensor, "batch tokens channels"]:
    """What one of diffusers' attention layers does between blocks: queries from one, keys and values from the other.

    Args:
        attn: diffusers' `Attention` of a transformer block, where normalisation and residual are outside of it.
        mask: where true, a query may look; broadcastable to batch, heads, tokens, context.
    """
    query, key, value = (
        projected.unflatten(-1, (attn.heads, -1)).transpose(1, 2)
        for projected in (attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context))
    )
    attended = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    projected = attn.to_out[0](attended.transpose(1, 2).flatten(2).to(hidden_states.dtype))
    return attn.to_out[1](projected)
