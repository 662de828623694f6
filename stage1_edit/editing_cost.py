"""What edits cost: evaluations of a network, one for each picture that it is asked for, one for each guidance branch.

An edit by InstructPix2Pix in 20 steps under three conditions is 60 of them. What consistency strategies sample along is
counted too. Editors without a network cost milliseconds, and nothing by this measure.
"""

from collections.abc import Sized
from typing import Protocol, runtime_checkable

from stage1_edit.denoising import steps_at
from stage1_edit.editor import FrameEditor, behind
from stage1_edit.prompts import EditPrompt


@runtime_checkable
class NetworkEditor(Protocol):
    """An editor that asks a network."""

    network_evaluations: int
    """So far."""

    def evaluations_for(self, frames: int, noise_level: float, steps_by_level: bool) -> int:
        """How many so many frames will take, edited one batch after another at a noise level."""
        ...


@runtime_checkable
class ReadyEdits(Protocol):
    """An editor whose edits were made elsewhere, and are only taken."""

    def pictures(self, prompt: EditPrompt) -> Sized:
        """The edits of a prompt."""
        ...


def network_behind(editor: FrameEditor) -> NetworkEditor | None:
    """The editor that asks a network, behind any that wrap it; none if none does."""
    return behind(editor, NetworkEditor)


def evaluations_so_far(editor: FrameEditor) -> int:
    """How many evaluations an editor has made; 0 of one without a network."""
    network = network_behind(editor)
    return 0 if network is None else network.network_evaluations


class AsInstructPix2Pix:
    """What InstructPix2Pix would need at its defaults: plans are made by this where an editor has no network."""

    steps = 20
    branches = 3

    def evaluations_for(self, frames: int, noise_level: float, steps_by_level: bool) -> int:
        """Steps times guidance branches times frames."""
        if noise_level <= 0:
            return 0
        return frames * self.branches * (steps_at(self.steps, noise_level) if steps_by_level else self.steps)
