"""Edit then fit: few frames are edited, from noise, and the avatar is fitted to them.

Iterative dataset update asks for an edit of every frame again and again, each in all sampling steps. Published systems
that are faster edit few frames well instead and let the fitted scene carry them to the others (Instruct 4D-to-4D, Mou
et al. 2024, arXiv 2406.09402; DGE, Chen et al., ECCV 2024). Here:

1. Those frames that span the clip's poses and expressions best are edited from pure noise, as many as a budget of
   network evaluations pays for.
2. They are given the tone that they have in common (`common_tone.py`): with other noise one comes out bright, the next
   dark.
3. The avatar is fitted to them alone.
4. If more rounds are asked for, each edits frames from the avatar's own renders, noised to the round's level, and the
   last round takes those first that were never edited. Renders of one avatar agree, so edits that start from them agree
   more than any from noise; and from a level of 0.5 only half of the sampling steps are left to take.

With InstructPix2Pix in 20 steps under 3 conditions an edit from noise is 60 evaluations, and the budget of 4,500 pays
for 75 frames: a twentieth of Instruct-NeRF2NeRF's 90,000. A distilled model that needs 4 edits every frame of 250.

Why one round: a diffusion model keeps the broad colours of what it starts from even from much noise, and a render is
not where the edit should be, but half learned and the mean of unlike edits. With the small InstructPix2Pix of
`scripts/train_small_editor.py` rounds at 1.0, 0.75 and 0.45 went 0.07 of the way to the target, one round 0.32, and
Instruct-NeRF2NeRF's schedule away from it, to -0.06 (`scripts/benchmark_schedules.py`; demo clip, one prompt). Of an
editor whose weaker edits are weaker in proportion, rounds with `start surface` make steadier edits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from stage1_edit.schedule import DueEdits
from tracking.errors import UserError


@dataclass
class EditThenFitConfig:
    """Rounds of edits from falling noise levels, each followed by fitting."""

    budget: int = 4500
    """Most network evaluations of a prompt's edits."""
    noise_levels: tuple[float, ...] = (1.0,)
    """Of the rounds, from 1, pure noise, down; the number of levels is the number of rounds."""
    shares: tuple[float, ...] = (1.0,)
    """Of the budget, for each round."""
    begins: tuple[float, ...] = (0.0,)
    """When each round begins, as a share of the phase's training steps; the first at 0."""
    common_tone: bool = True
    """Give edits the smooth part of what they agree on, before they are trained on. Without it an avatar of edits that
    came out bright and dark by chance flickers."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Runs of earlier versions gave no tone."""
        self.__dict__.update({"common_tone": False, **state})

    def check(self) -> None:
        """See whether the rounds make sense.

        Raises:
            UserError: they do not; the message says which setting to change.
        """
        rounds = len(self.noise_levels)
        if not rounds or len(self.shares) != rounds or len(self.begins) != rounds:
            raise UserError(
                f"Edit-then-fit has {rounds} noise levels, {len(self.shares)} shares of the budget and "
                f"{len(self.begins)} beginnings: give one of each for every round."
            )
        if not all(0 < level <= 1 for level in self.noise_levels) or list(self.noise_levels) != sorted(
            self.noise_levels, reverse=True
        ):
            raise UserError("Edit-then-fit's noise levels must lie in (0, 1] and fall from round to round.")
        if self.begins[0] != 0 or list(self.begins) != sorted(set(self.begins)) or self.begins[-1] >= 1:
            raise UserError("Edit-then-fit's rounds must begin one after another: the first at 0, the last before 1.")
        if min(self.shares) <= 0 or sum(self.shares) > 1 + 1e-6:
            raise UserError("Edit-then-fit's shares of the budget must be above 0, and 1 at most together.")


class EditPrice(Protocol):
    """Knows what edits cost."""

    def evaluations_for(self, frames: int, noise_level: float, steps_by_level: bool) -> int:
        """Network evaluations of so many frames' edits."""
        ...


@dataclass(frozen=True)
class EditRound:
    """One round's edits."""

    frames: tuple[int, ...]
    noise_level: float
    first_step: int
    """The training step of the phase that they come before."""
    evaluations: int
    """Network evaluations that they are expected to take."""


def plan_rounds(
    config: EditThenFitConfig, order: Sequence[int], total_steps: int, price: EditPrice
) -> tuple[EditRound, ...]:
    """Which frames each round edits, as many as its share of the budget pays for, one at least.

    Args:
        order: all frames, the most telling first; every round's frames are the beginning of it, but the last round's
            those that no earlier one edits, and then its beginning.
        total_steps: training steps of the phase.
        price: what the editor asks for.

    Raises:
        UserError: the rounds make no sense.
    """
    config.check()
    rounds: list[EditRound] = []
    for level, share, begin in zip(config.noise_levels, config.shares, config.begins, strict=True):
        count = affordable(len(order), level, share * config.budget, price)
        first_step = round(begin * total_steps)
        if rounds:
            first_step = max(first_step, rounds[-1].first_step + 1)
        cost = price.evaluations_for(count, level, True)
        is_last = len(rounds) == len(config.noise_levels) - 1
        edited = max((len(one.frames) for one in rounds), default=0) if is_last else 0
        frames = [*order[edited:], *order[:edited]][:count]
        rounds.append(EditRound(tuple(frames), level, first_step, cost))
    return tuple(rounds)


def affordable(frames: int, noise_level: float, evaluations: float, price: EditPrice) -> int:
    """The most frames, of so many, whose edits cost no more; one at least."""
    fewest, most = 1, max(frames, 1)
    while fewest < most:
        middle = (fewest + most + 1) // 2
        if price.evaluations_for(middle, noise_level, True) <= evaluations:
            fewest = middle
        else:
            most = middle - 1
    return fewest


class EditThenFit:
    """Runs the rounds (an `EditSchedule`). Nothing in it is random."""

    train_on_unedited = False

    def __init__(self, rounds: Sequence[EditRound], edited_in: Mapping[int, int] | None = None) -> None:
        """Start a phase.

        Args:
            edited_in: the last round in which an earlier, interrupted run edited each frame: no frame is edited twice
                in a round.
        """
        self.rounds = tuple(rounds)
        self._edited_in = dict(edited_in or {})
        self._calls = 0
        self._rounds_begun = 0

    def due(self) -> DueEdits:
        """The next round's frames, if it is time for it."""
        if not self.is_round_next:
            self._calls += 1
            return DueEdits()
        self._calls += 1
        number = self._rounds_begun
        self._rounds_begun += 1
        due = self.rounds[number]
        left = tuple(frame for frame in due.frames if self._edited_in.get(frame, -1) < number)
        return DueEdits(left, due.noise_level, steps_by_level=True, number=number, is_round=True)

    @property
    def is_round_next(self) -> bool:
        """Whether the next call begins a round."""
        return self._rounds_begun < len(self.rounds) and self._calls >= self.rounds[self._rounds_begun].first_step

    def state_dict(self) -> dict[str, Any]:
        """Calls and rounds so far."""
        return {"calls": self._calls, "rounds_begun": self._rounds_begun}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on exactly where the saved schedule stood."""
        self._calls, self._rounds_begun = state["calls"], state["rounds_begun"]


@dataclass
class EditOnceConfig:
    """A single round of edits from pure noise, before the phase's first step."""

    frames: int = 120
    """Most frames that are edited: those that span the clip's poses and expressions. Pictures that were edited
    elsewhere are all taken. A style learns no less from 120 frames than from all of a longer clip."""

    def check(self) -> None:
        """See whether anything is edited.

        Raises:
            UserError: nothing is.
        """
        if self.frames < 1:
            raise UserError(f"{self.frames} frames are to be edited once: give 1 or more.")


class EditOnce(EditThenFit):
    """A single round, from pure noise, before the phase's first step."""

    def __init__(self, frames: Sequence[int], price: EditPrice, edited_in: Mapping[int, int] | None = None) -> None:
        """Start a phase; the frames are edited in the given order."""
        evaluations = price.evaluations_for(len(frames), 1.0, True)
        super().__init__([EditRound(tuple(frames), 1.0, 0, evaluations)], edited_in)
