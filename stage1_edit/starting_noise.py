"""The noise that sampling begins with: each frame's own, or one for all."""

from collections.abc import Sequence
from typing import Literal, Protocol, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from stage1_edit.frame_geometry import FrameGeometry

Noise: TypeAlias = Float[Tensor, "frames channels height width"]
NoiseName: TypeAlias = Literal["auto", "per-frame", "shared", "warped"]


class StartingNoise(Protocol):
    """Draws Gaussian noise of unit variance for some frames."""

    def draw(
        self,
        shape: tuple[int, int, int],
        generators: Sequence[torch.Generator],
        geometry: Sequence[FrameGeometry | None],
    ) -> Noise:
        """Noise for each frame.

        Args:
            shape: channels, height and width of a frame's latents.
            generators: one for each frame.
            geometry: where each frame shows the tracked surface, as far as it is known.
        """
        ...


class IndependentNoise:
    """Every frame's own."""

    def draw(
        self,
        shape: tuple[int, int, int],
        generators: Sequence[torch.Generator],
        geometry: Sequence[FrameGeometry | None],
    ) -> Noise:
        """One draw from each generator."""
        return torch.stack([gaussian(shape, generator) for generator in generators])


class SharedNoise:
    """The same for every frame of the clip, whenever it is edited."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def draw(
        self,
        shape: tuple[int, int, int],
        generators: Sequence[torch.Generator],
        geometry: Sequence[FrameGeometry | None],
    ) -> Noise:
        """One draw from the seed; the generators' later noise is made alike too."""
        for generator in generators:
            generator.manual_seed(self.seed)
        return torch.stack([gaussian(shape, generator) for generator in generators])


def gaussian(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Standard normal numbers, drawn on the generator's own device."""
    return torch.randn(shape, generator=generator, device=generator.device)


def own_generators(generators: Sequence[torch.Generator]) -> list[torch.Generator]:
    """One generator for each frame: where several frames were given the same, it seeds one for each of them."""
    own = []
    for generator in generators:
        if sum(other is generator for other in generators) == 1:
            own.append(generator)
            continue
        seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
        own.append(torch.Generator(generator.device).manual_seed(seed))
    return own
