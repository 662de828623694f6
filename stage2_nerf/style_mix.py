"""What a person types to choose looks: one prompt, a blend, one after another in time, or one for each region.

    bronze                            the prompt whose number, text or telling part this is
    0.7*bronze + 0.3*original         a blend; what is not said belongs to nobody, so the weights are made to sum to 1
    0=original 2.5=bronze 6=3         a timeline: from each time in seconds on, cross-faded
    hair=2,clothes=bronze             a look for each region, over the original

A mix is the weight of each prompt; what the weights leave of 1 goes to the original.
"""

import bisect
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nerfstudio.utils.rich_utils import CONSOLE

from stage1_edit.edited_frames import folder_name
from stage1_edit.prompts import EditPrompt
from tracking.console import say
from tracking.errors import UserError
from tracking.regions import REGIONS

ORIGINAL_NAMES = ("0", "original", "unedited")
"""What the avatar's own look is called."""

StyleWeights = Mapping[EditPrompt, float]
"""How much of each prompt is shown, in [0, 1], summing to at most 1; the rest is the original."""


def find_prompt(asked: str, prompts: Sequence[EditPrompt]) -> EditPrompt | None:
    """The prompt that is meant by its number, its text, or words that only it contains; none is the original.

    Raises:
        UserError: there is no such prompt, or more than one; the message lists those that there are.
    """
    asked = " ".join(asked.split())
    if asked.lower() in ORIGINAL_NAMES:
        return None
    for number, prompt in enumerate(prompts, start=1):
        if asked in (str(number), str(prompt), prompt.text):
            return prompt
    pattern = re.compile(rf"\b{re.escape(asked.lower())}\b")
    containing = [
        prompt for prompt in prompts if asked and not asked.isdecimal() and pattern.search(str(prompt).lower())
    ]
    if len(containing) == 1:
        return containing[0]
    trouble = (
        f"'{asked}' fits {len(containing)} prompts of this run" if containing else f"This run has no prompt '{asked}'"
    )
    raise UserError(f"{trouble}; it has {list_prompts(prompts)}.")


def list_prompts(prompts: Sequence[EditPrompt]) -> str:
    """All looks of a run by number, for messages."""
    return "; ".join(["0: the unedited avatar", *(f"{number}: {prompt}" for number, prompt in enumerate(prompts, 1))])


def parse_blend(typed: str, prompts: Sequence[EditPrompt]) -> tuple[StyleWeights, float]:
    """Read a blend such as `0.7*bronze + 0.3*original`.

    Returns:
        The weights, made to sum to 1 together with the original's, and what they summed to as typed.

    Raises:
        UserError: a weight is no positive number, or a prompt does not exist.
    """
    weights: dict[EditPrompt | None, float] = {}
    for term in typed.split("+"):
        weight, star, name = term.partition("*")
        if not star:
            weight, name = "1", term
        try:
            number = float(weight)
        except ValueError:
            number = -1.0
        if not 0 <= number < float("inf"):
            raise UserError(
                f"'{weight.strip()}' in the blend '{typed}' is no weight: write such as '0.7*bronze + 0.3*original'."
            )
        prompt = find_prompt(name, prompts)
        weights[prompt] = weights.get(prompt, 0.0) + number
    total = sum(weights.values())
    if total == 0:
        raise UserError(f"All weights of the blend '{typed}' are 0: give at least one look a weight.")
    return {prompt: weight / total for prompt, weight in weights.items() if prompt is not None and weight > 0}, total


def read_blend(typed: str, prompts: Sequence[EditPrompt]) -> StyleWeights:
    """Read a blend as `parse_blend` does, and say what is shown instead of weights that do not sum to 1.

    Raises:
        UserError: as `parse_blend`.
    """
    weights, total = parse_blend(typed, prompts)
    if abs(total - 1) > 1e-6:
        say(CONSOLE, f"The weights of '{typed.strip()}' sum to {total:g}: shown is {described(weights)}.")
    return weights


def described(weights: StyleWeights) -> str:
    """A mix in words."""
    if not weights:
        return "unedited"
    rest = 1 - sum(weights.values())
    if len(weights) == 1 and rest < 1e-6:
        return str(next(iter(weights)))
    terms = [f"{weight:.2g}*{prompt}" for prompt, weight in weights.items()]
    return " + ".join([*terms, *([f"{rest:.2g}*original"] if rest > 1e-6 else [])])


def cross_fade(before: StyleWeights, after: StyleWeights, fraction: float) -> StyleWeights:
    """The mix that is this far from one to the other, in [0, 1]."""
    if fraction <= 0 or fraction >= 1:
        return before if fraction <= 0 else after
    mixed = {prompt: weight * (1 - fraction) for prompt, weight in before.items()}
    for prompt, weight in after.items():
        mixed[prompt] = mixed.get(prompt, 0.0) + weight * fraction
    return mixed


@dataclass(frozen=True)
class Timeline:
    """Mixes one after another."""

    starts: tuple[float, ...]
    """Seconds at which each takes over, increasing; the first counts from the beginning."""
    mixes: tuple[StyleWeights, ...]
    fade: float
    """Seconds that a cross-fade takes, half before and half after the time at which the next mix takes over."""

    def at(self, seconds: float) -> StyleWeights:
        """The mix at a time.

        Where two fades would overlap, each is cut short halfway to the other, so a weight never jumps.
        """
        last = max(bisect.bisect_right(self.starts, seconds) - 1, 0)
        for index in (last, last + 1):
            if not 0 < index < len(self.starts):
                continue
            reach = min(self._room(index) / 2, self.fade / 2)
            offset = seconds - self.starts[index]
            if abs(offset) < reach:
                return cross_fade(self.mixes[index - 1], self.mixes[index], (offset / reach + 1) / 2)
        return self.mixes[last]

    def _room(self, index: int) -> float:
        """Seconds from a change to the nearest other."""
        others = [abs(self.starts[index] - start) for other, start in enumerate(self.starts) if other not in (0, index)]
        return min(others, default=float("inf"))


def parse_timeline(typed: Sequence[str], fade: float, prompts: Sequence[EditPrompt]) -> Timeline:
    """Read entries such as `2.5=bronze`, each a time in seconds and a blend from then on.

    Before the first entry's time the original is shown.

    Raises:
        UserError: an entry cannot be read, or two have the same time.
    """
    entries: dict[float, StyleWeights] = {}
    for entry in typed:
        moment, equals, blend = entry.partition("=")
        try:
            seconds = float(moment)
        except ValueError:
            seconds = -1.0
        if not equals or not 0 <= seconds < float("inf"):
            raise UserError(
                f"'{entry}' is no entry of a timeline: write such as '2.5=bronze', with the time in seconds."
            )
        if seconds in entries:
            raise UserError(f"The timeline has two entries at {seconds:g} s: give each its own time.")
        entries[seconds] = read_blend(blend, prompts)
    entries.setdefault(0.0, {})
    if fade < 0:
        raise UserError(f"--fade {fade:g} is negative: give the seconds that a cross-fade takes.")
    starts = tuple(sorted(entries))
    return Timeline(starts, tuple(entries[start] for start in starts), fade)


def parse_region_mix(typed: str, prompts: Sequence[EditPrompt]) -> dict[str, StyleWeights]:
    """Read looks by region, such as `hair=2,clothes=0.5*bronze + 0.5*original`.

    Raises:
        UserError: there is no such region or prompt, or a region is named twice.
    """
    looks: dict[str, StyleWeights] = {}
    for entry in typed.split(","):
        region, equals, blend = entry.partition("=")
        region = region.strip().lower()
        if not equals or region not in REGIONS:
            raise UserError(
                f"'{entry.strip()}' names no region: write such as 'hair=2,clothes=1', with regions out of "
                f"{', '.join(REGIONS)}."
            )
        if region in looks:
            raise UserError(f"The region {region} is given two looks in '{typed}': give it one.")
        looks[region] = read_blend(blend, prompts)
    return looks


def named(mix: StyleWeights) -> dict[str, float]:
    """A mix by the styles' names in the model."""
    return {style_name(prompt): weight for prompt, weight in mix.items()}


def style_name(prompt: EditPrompt) -> str:
    """A prompt's key in the model and in checkpoints."""
    return folder_name(prompt, "")
