"""What ties the frames of a batch together: attention processors that stand in for the networks' own while sampling."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import torch

from stage1_edit.editor import EditRequest, Image, behind
from stage1_edit.frame_geometry import FrameGeometry
from stage1_edit.prompts import EditPrompt

ConsistencyName: TypeAlias = Literal["none", "cross-frame", "tokenflow"]

AttentionProcessor: TypeAlias = Callable[..., torch.Tensor]
"""Called by diffusers with the attention layer, its input and, in cross-attention, the text."""


@dataclass(frozen=True)
class BatchLayout:
    """How a network's batch is made up: guidance branches one after another, each with all frames, anchors first."""

    frames: int
    anchors: int
    """The first so many of the frames are those that the others follow."""
    branches: int
    size: tuple[int, int]
    """Height and width of the latents."""
    numbers: Sequence[int | None]
    """The frames' places in time, as far as they are known."""
    geometry: Sequence[FrameGeometry | None]
    """Where each frame shows the tracked surface, as far as it is known."""

    def grid(self, tokens: int) -> tuple[int, int]:
        """Height and width of the layer that has so many tokens: each level of a U-Net halves both, rounding up."""
        rows, columns = self.size
        while rows * columns > tokens:
            rows, columns = -(-rows // 2), -(-columns // 2)
        assert rows * columns == tokens, "the layer's tokens are no picture of the batch's"
        return rows, columns


class Consistency(Protocol):
    """A way to make frames agree."""

    def applied(self, networks: Sequence[Any], layout: BatchLayout) -> AbstractContextManager[None]:
        """While this lasts, the networks (a U-Net, and ControlNets beside it) tie the frames together."""
        ...


@runtime_checkable
class FollowsAnchors(Protocol):
    """An editor whose later edits follow some of its earlier ones."""

    def forget(self, requests: Sequence[EditRequest]) -> None:
        """Follow these frames' edits no more: they were rejected."""
        ...

    def followed(self, prompt: EditPrompt) -> "Sequence[Anchor]":
        """What the next edits by a prompt will follow."""
        ...

    def follow(self, anchors: "Sequence[Anchor]") -> None:
        """Follow what an earlier, interrupted run followed."""
        ...


def follower_in(editor: object) -> FollowsAnchors | None:
    """Whoever follows anchors, behind any that wrap it; none if none does."""
    return behind(editor, FollowsAnchors)


def forget_anchors(editor: object, requests: Sequence[EditRequest]) -> None:
    """Tell whoever follows anchors behind an editor that edits were rejected."""
    follower = follower_in(editor)
    if follower is not None:
        follower.forget(requests)


class IndependentFrames:
    """Every frame by itself: no processor is touched."""

    def applied(self, networks: Sequence[Any], layout: BatchLayout) -> AbstractContextManager[None]:
        """Nothing changes."""
        return nullcontext()


@contextmanager
def self_attention(networks: Sequence[Any], processor: AttentionProcessor) -> Iterator[None]:
    """Put a processor into every self-attention layer, and the networks' own back afterwards, come what may."""
    own = [(network, dict(network.attn_processors)) for network in networks]
    try:
        for network, processors in own:
            # diffusers calls a block's first attention, from the picture to itself, attn1.
            network.set_attn_processor(
                {name: processor if name.endswith("attn1.processor") else kept for name, kept in processors.items()}
            )
        yield
    finally:
        for network, processors in own:
            network.set_attn_processor(dict(processors))


@dataclass(frozen=True)
class Anchor:
    """An edited frame that later edits follow."""

    request: EditRequest
    """What was asked; its render is the latest edit."""
    generator_state: torch.Tensor
    """From which it is sampled again."""


class Anchors:
    """The first frames that a prompt was followed on, to be sampled along whenever it is followed again.

    Instruct 4D-to-4D (Mou et al. 2024, arXiv 2406.09402) makes its batches aware of an anchor frame in this way.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._known: dict[tuple[object, ...], list[Anchor]] = {}

    def beside(self, requests: Sequence[EditRequest]) -> tuple[list[EditRequest], list[torch.Generator]]:
        """The anchors to sample together with these frames, at the same noise level and with their own first noise."""
        known = self._known.get(_key(requests), [])[: self.count]
        generators = []
        for anchor in known:
            generator = torch.Generator(anchor.request.generator.device)
            generator.set_state(anchor.generator_state)
            generators.append(generator)
        asked = {"noise_level": requests[0].noise_level, "fidelity": requests[0].fidelity}
        return [replace(anchor.request, **asked) for anchor in known], generators

    def keep(
        self, requests: Sequence[EditRequest], generator_states: Sequence[torch.Tensor], edits: Sequence[Image]
    ) -> None:
        """Take up anchors until there are enough; later edits of theirs start from the present one. Frames beyond that
        stay on the list until the next batch, for some may be rejected.

        Args:
            requests: the batch with the known anchors first.
            generator_states: of all the batch before anything was drawn.
            edits: of all the batch.
        """
        if self.count:
            self._known[_key(requests)] = [
                Anchor(replace(request, render=edit), state)
                for request, state, edit in zip(requests, generator_states, edits, strict=True)
            ]

    def of_prompt(self, prompt: EditPrompt) -> list[Anchor]:
        """Those that the next edits by a prompt follow, of whichever size."""
        return [one for known in self._known.values() for one in known[: self.count] if one.request.prompt == prompt]

    def take_up(self, anchors: Sequence[Anchor]) -> None:
        """Go on with what `of_prompt` told."""
        groups: dict[tuple[object, ...], list[Anchor]] = {}
        for anchor in anchors:
            groups.setdefault(_key([anchor.request]), []).append(anchor)
        self._known.update(groups)

    def forget(self, requests: Sequence[EditRequest]) -> None:
        """Let nothing follow these frames' edits any more; those that come next take their places."""
        rejected = {(request.prompt, request.frame) for request in requests if request.frame is not None}
        for key, known in self._known.items():
            self._known[key] = [
                anchor for anchor in known if (anchor.request.prompt, anchor.request.frame) not in rejected
            ]


def _key(requests: Sequence[EditRequest]) -> tuple[object, ...]:
    return requests[0].prompt, requests[0].original.shape
