"""Which looks a rendered video shows at every moment, and how its panels lie in the picture."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from stage1_edit.prompts import EditPrompt
from stage2_nerf.frame_renderer import Look, look_of
from stage2_nerf.style_mix import described, find_prompt, parse_region_mix, parse_timeline, read_blend
from tracking.errors import UserError

Picture = UInt8[np.ndarray, "height width channels"]


@dataclass(frozen=True)
class ChosenLooks:
    """The panels of a video, apart from the source's."""

    at: Callable[[float], list[Look]]
    """The look of every panel, so many seconds after the start."""
    names: tuple[str, ...]
    """What each panel shows, for people."""


def choose_looks(
    prompt: str | None,
    blend: str | None,
    timeline: Sequence[str],
    fade: float,
    mix: str | None,
    prompts: Sequence[EditPrompt],
) -> ChosenLooks:
    """What `--prompt`, `--blend`, `--timeline` and `--mix` mean; the run's first prompt if nothing is asked for.

    Raises:
        UserError: more than one of them is given, or it cannot be read; the message lists the run's prompts.
    """
    given = [
        name
        for name, value in (("--prompt", prompt), ("--blend", blend), ("--timeline", timeline), ("--mix", mix))
        if value
    ]
    if len(given) > 1:
        raise UserError(f"{' and '.join(given)} each say what to show: give one of them.")
    if blend:
        weights = read_blend(blend, prompts)
        return _still([Look(weights)], [described(weights)])
    if timeline:
        line = parse_timeline(timeline, fade, prompts)
        return ChosenLooks(lambda seconds: [Look(line.at(seconds))], (" then ".join(map(described, line.mixes)),))
    if mix:
        regions = parse_region_mix(mix, prompts)
        name = ", ".join(f"{region}: {described(weights)}" for region, weights in regions.items())
        return _still([Look(regions=regions)], [name])
    chosen = choose_prompts(prompt or "1", prompts)
    return _still(
        [look_of(one) for one in chosen],
        ["unedited" if one is None else str(one) for one in chosen],
    )


def choose_prompts(asked: str, prompts: Sequence[EditPrompt]) -> list[EditPrompt | None]:
    """The prompts that `--prompt` means: one, or all; none stands for the unedited avatar.

    Raises:
        UserError: the run has no such prompt; the message lists those that it has.
    """
    if asked == "all" and prompts:
        return list(prompts)
    if not prompts and asked in ("1", "all"):
        return [None]
    return [find_prompt(asked, prompts)]


def arrange(pictures: Sequence[Picture], columns: int) -> Picture:
    """Pictures of one size in rows of so many, the last row filled up with black."""
    rows = -(-len(pictures) // columns)
    filled = [*pictures, *[np.zeros_like(pictures[0])] * (rows * columns - len(pictures))]
    return np.concatenate([np.concatenate(filled[row * columns : (row + 1) * columns], axis=1) for row in range(rows)])


def grid_columns(panels: int) -> int:
    """Columns of a grid that is about as wide as it is high."""
    return math.ceil(math.sqrt(panels))


def _still(looks: list[Look], names: Sequence[str]) -> ChosenLooks:
    return ChosenLooks(lambda seconds: looks, tuple(names))
