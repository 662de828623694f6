"""Which schedule edits a clip: it follows from what an edit costs, unless one is named."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeAlias

import torch
import tyro

from stage1_edit.edit_then_fit import EditOnce, EditOnceConfig, EditThenFit, EditThenFitConfig, plan_rounds
from stage1_edit.editing_cost import AsInstructPix2Pix, ReadyEdits, network_behind
from stage1_edit.editor import FrameEditor, behind
from stage1_edit.schedule import (
    INSTRUCT_NERF2NERF,
    EditSchedule,
    IterativeDatasetUpdate,
    IterativeDatasetUpdateConfig,
)

ScheduleName: TypeAlias = Literal["auto", "once", "iterative", "edit-then-fit", "instruct-nerf2nerf"]


@dataclass
class ScheduleConfig:
    """Which frames are edited when, and how strongly."""

    # The flag is that of the whole: --pipeline.style-training.schedule NAME.
    name: Annotated[ScheduleName, tyro.conf.arg(name="")] = "auto"
    """auto edits frames once, before the first step, where no network is asked (once), and as many as a budget pays for
    where each asks one many times (edit-then-fit). iterative goes on editing frames from the avatar's renders;
    instruct-nerf2nerf is that exactly as published."""
    once: EditOnceConfig = field(default_factory=EditOnceConfig)
    """Frames that span the clip, from noise, before the first step."""
    iterative: IterativeDatasetUpdateConfig = field(
        default_factory=lambda: IterativeDatasetUpdateConfig(last_max_noise_level=0.3)
    )
    """A few frames every few steps, after all frames were edited once."""
    edit_then_fit: EditThenFitConfig = field(default_factory=EditThenFitConfig)
    """Keyframes from noise, in one tone, within a budget; if asked for, then rounds from the avatar's renders."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Runs of earlier versions recorded no number of frames to edit once."""
        self.__dict__.update({"once": EditOnceConfig(), **state})

    def check(self) -> None:
        """See whether the settings make sense.

        Raises:
            UserError: they do not; the message says which to change.
        """
        self.once.check()
        self.edit_then_fit.check()

    @property
    def train_on_unedited(self) -> bool:
        """Whether frames are trained on before they are edited."""
        if self.name == "instruct-nerf2nerf":
            return True
        return self.name == "iterative" and self.iterative.train_on_unedited


def resolve_schedule_name(config: ScheduleConfig, editor: FrameEditor) -> ScheduleName:
    """What `auto` means with this editor."""
    if config.name != "auto":
        return config.name
    # Without a network an edit is what the editor means from the start. Made anew from a render that is still learning,
    # it would be drawn back towards the original.
    return "once" if network_behind(editor) is None else "edit-then-fit"


def make_schedule(
    config: ScheduleConfig,
    editor: FrameEditor,
    order: Sequence[int],
    keyframes: int,
    total_steps: int,
    generator: torch.Generator,
    edited_in: Mapping[int, int],
) -> EditSchedule:
    """The schedule of that name, at the beginning of a phase.

    Args:
        order: all training frames, the most telling first.
        keyframes: how many of them iterative dataset update edits before all others.
        total_steps: training steps of the phase.
        generator: the schedule's randomness.
        edited_in: for each frame that an earlier run edited, the number of the last order that did.

    Raises:
        UserError: its settings make no sense.
    """
    name = resolve_schedule_name(config, editor)
    price = network_behind(editor) or AsInstructPix2Pix()
    if name == "once":
        every = behind(editor, ReadyEdits) is not None
        return EditOnce(order if every else order[: config.once.frames], price, edited_in)
    if name == "edit-then-fit":
        return EditThenFit(plan_rounds(config.edit_then_fit, order, total_steps, price), edited_in)
    if name == "instruct-nerf2nerf":
        return IterativeDatasetUpdate(INSTRUCT_NERF2NERF, len(order), total_steps, generator)
    return IterativeDatasetUpdate(
        config.iterative, len(order), total_steps, generator, edited_in, list(order[:keyframes])
    )


def in_words(schedule: EditSchedule, editor: FrameEditor) -> str:
    """What a schedule is going to do, and why, in one line."""
    network = network_behind(editor)
    if isinstance(schedule, EditOnce):
        cost = "no network" if network is None else f"{schedule.rounds[0].evaluations:,} network evaluations"
        return f"Schedule: {len(schedule.rounds[0].frames)} frames once, before the first step; {cost}."
    if isinstance(schedule, EditThenFit):
        rounds = ", then ".join(f"{len(one.frames)} at noise level {one.noise_level:g}" for one in schedule.rounds)
        total = sum(one.evaluations for one in schedule.rounds)
        counted = "as InstructPix2Pix would count them" if network is None else "within the budget"
        return f"Schedule: edit-then-fit, frames: {rounds}; {total:,} network evaluations {counted}."
    assert isinstance(schedule, IterativeDatasetUpdate)
    config = schedule.config
    first = "every frame" if config.frames_first is None else f"{config.frames_first} frames"
    before = f"{first} first, then " if config.frames_first != 0 else ""
    every = f"{config.frames_per_edit} every {config.steps_between_edits} steps"
    return f"Schedule: iterative dataset update, {before}{every}."
