"""`--fast` and `--quality`: how much time a run takes, for people who would rather not choose numbers.

What is written down here is the whole difference. Both work on the machine's size (`stage2_nerf.sizes`), leave alone
what is stated, and keep the shape of every parameter: a fast run can be gone on from (`--load-dir`) with `--quality`.
"""

from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Literal

from nerfstudio.utils.rich_utils import CONSOLE

from tracking.console import say
from tracking.errors import UserError
from tracking.photometric import PhotometricConfig
from tracking.track_config import TrackConfig

Effort = Literal["usual", "fast", "quality"]


@dataclass(frozen=True)
class EffortSettings:
    """What an effort changes."""

    factors: dict[str, float] = field(default_factory=dict)
    """By what numbers of the pipeline's settings are multiplied."""
    tracking: TrackConfig = field(default_factory=TrackConfig)
    """How a video is tracked that has not been yet."""


EFFORTS: dict[Effort, EffortSettings] = {
    "usual": EffortSettings(),
    # Four tenths of the steps is where an avatar's curve has done most of its rising (README, reconstruction).
    "fast": EffortSettings({"reconstruction_steps": 0.4, "style_training.steps": 0.4}, TrackConfig(size=256)),
    "quality": EffortSettings(
        {"reconstruction_steps": 3.0, "style_training.steps": 2.0},
        TrackConfig(photometric=PhotometricConfig(enabled=True)),
    ),
}


def chosen_effort(fast: int, quality: int) -> Effort:
    """What `--fast` and `--quality`, each given so many times, ask for.

    Raises:
        UserError: both are given.
    """
    if fast and quality:
        raise UserError("--fast and --quality ask for opposite things: give one of them.")
    return "fast" if fast else "quality" if quality else "usual"


def unstated(config: Any, effort: Effort) -> list[str]:
    """Those settings that the effort would change and that are still as they come.

    Args:
        config: the trainer's configuration, before the machine's size is applied to it.
    """
    as_it_comes = type(config.pipeline)()
    names = EFFORTS[effort].factors
    return [name for name in names if attrgetter(name)(config.pipeline) == attrgetter(name)(as_it_comes)]


def apply_effort(config: Any, effort: Effort, names: list[str]) -> None:
    """Change the settings of these names, and say to what.

    Args:
        config: the trainer's configuration, of the machine's size.
    """
    for name in names:
        *parents, last = name.split(".")
        holder = attrgetter(".".join(parents))(config.pipeline) if parents else config.pipeline
        setattr(holder, last, round(EFFORTS[effort].factors[name] * getattr(holder, last)))
    if effort != "usual":
        pipeline = config.pipeline
        say(
            CONSOLE,
            f"--{effort}: {pipeline.reconstruction_steps} steps of reconstruction, {pipeline.style_training.steps} of "
            "each style.",
        )
