"""Which frames to edit when, and how strongly: what a schedule is, and iterative dataset update."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor


@dataclass(frozen=True)
class DueEdits:
    """What to edit before the next training step; mostly nothing."""

    frames: tuple[int, ...] = ()
    noise_level: float = 1.0
    """How far the edits may move from the render, in [0, 1]."""
    steps_by_level: bool = False
    """Whether a weaker edit is made in fewer steps."""
    number: int = 0
    """Tells this order from all others of the phase; the same in a run that goes on."""
    is_round: bool = False
    """Whether it is one of a few orders of many frames: a run may be stopped amid it, and go on with what is left."""


class EditSchedule(Protocol):
    """Decides, before every training step of one prompt's phase, what to edit."""

    train_on_unedited: bool
    """Whether frames that have not been edited yet are trained on as they were filmed."""

    @property
    def is_round_next(self) -> bool:
        """Whether the next call may ask for many frames at once: a good moment to save what has been trained."""
        ...

    def due(self) -> DueEdits:
        """What to edit now. Called once before every training step: the schedule counts its own calls."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next calls depend on."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on exactly where the saved schedule stood."""
        ...


@dataclass
class IterativeDatasetUpdateConfig:
    """Iterative dataset update (Instruct-NeRF2NeRF, Haque et al. 2023, arXiv 2303.12789), with its numbers, and what
    can be varied of it."""

    steps_between_edits: int = 10
    """Training steps from one edit to the next."""
    frames_per_edit: int = 1
    """Frames edited at a time."""
    min_noise_level: float = 0.02
    """Least noise given to the editor, as a fraction of the diffusion process."""
    max_noise_level: float = 0.98
    """Most noise given to the editor, at the start of the phase."""
    last_max_noise_level: float | None = None
    """Most noise at the end of the phase, reached linearly; none keeps `max_noise_level`, as Instruct-NeRF2NeRF does.
    Falling noise first makes the edit, then only polishes what the avatar already agrees on."""
    frames_first: int | None = None
    """Frames edited from pure noise before the phase's first training step; none means all, 0 is Instruct-NeRF2NeRF."""
    new_order: bool = True
    """Shuffle frames anew for every round; Instruct-NeRF2NeRF goes through its first order again and again."""
    train_on_unedited: bool = False
    """Train on frames that have not been edited yet, too, as Instruct-NeRF2NeRF does: they hold the avatar near the
    original."""


INSTRUCT_NERF2NERF = IterativeDatasetUpdateConfig(frames_first=0, new_order=False, train_on_unedited=True)
"""Instruct-NeRF2NeRF as it is defined: one frame every 10 steps, in one random order that repeats, at noise levels from
[0.02, 0.98] all through, while all frames are trained on. With its 20 sampling steps under 3 conditions an edit is 60
network evaluations; its 15,000 training steps are 1,500 edits, and 90,000 evaluations."""


class IterativeDatasetUpdate:
    """Edit a few frames every few steps, each at a random noise level.

    Frames come in a shuffled order, and no frame comes again before all have come.
    """

    def __init__(
        self,
        config: IterativeDatasetUpdateConfig,
        frame_count: int,
        total_steps: int,
        generator: torch.Generator,
        edited: Collection[int] = (),
        keyframes: Sequence[int] = (),
    ) -> None:
        """Start a phase.

        Args:
            frame_count: frames are numbered from 0 to here.
            total_steps: training steps in the phase, for annealing.
            generator: the only source of randomness; saved and restored with the schedule.
            edited: frames that an earlier, interrupted run has edited already: the first pass leaves them as they are.
            keyframes: frames that come first in the first round.
        """
        self.config = config
        self.total_steps = total_steps
        self.generator = generator
        self.train_on_unedited = config.train_on_unedited
        self._edited = frozenset(edited)
        self._calls = 0
        self._position = 0
        shuffled = self._shuffled(frame_count)
        self._order = [*keyframes, *(frame for frame in shuffled if frame not in set(keyframes))]

    def due(self) -> DueEdits:
        """What to edit before the next training step."""
        call, config = self._calls, self.config
        self._calls += 1
        first = len(self._order) if config.frames_first is None else config.frames_first
        if call == 0 and first > 0:
            return DueEdits(tuple(frame for frame in self._take(first) if frame not in self._edited), 1.0, number=call)
        if call % config.steps_between_edits:
            return DueEdits()
        highest = self.highest_noise_level(call)
        share = float(torch.rand((), generator=self.generator))
        noise_level = config.min_noise_level + share * (highest - config.min_noise_level)
        return DueEdits(self._take(config.frames_per_edit), noise_level, number=call)

    @property
    def is_round_next(self) -> bool:
        """Whether the frames that come first are due."""
        return self._calls == 0 and self.config.frames_first != 0

    def highest_noise_level(self, step: int) -> float:
        """The upper end of the noise levels drawn at a step of the phase."""
        last = self.config.last_max_noise_level
        if last is None:
            return self.config.max_noise_level
        progress = min(step / max(self.total_steps - 1, 1), 1.0)
        return self.config.max_noise_level + progress * (last - self.config.max_noise_level)

    def state_dict(self) -> dict[str, Any]:
        """Calls so far, the round's order and the place in it, and the generator's state."""
        return {
            "calls": self._calls,
            "position": self._position,
            "order": list(self._order),
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on exactly where the saved schedule stood."""
        self._calls, self._position = state["calls"], state["position"]
        self._order = list(state["order"])
        generator_state: Tensor = state["generator"]
        self.generator.set_state(generator_state.cpu())

    def _take(self, count: int) -> tuple[int, ...]:
        """The next frames of the round; fewer at its end, so that no frame comes twice at once."""
        if self._position == len(self._order):
            self._position = 0
            if self.config.new_order:
                self._order = self._shuffled(len(self._order))
        frames = self._order[self._position : self._position + count]
        self._position += len(frames)
        return tuple(frames)

    def _shuffled(self, count: int) -> list[int]:
        return torch.randperm(count, generator=self.generator).tolist()
