"""How a run's training went, kept in its folder: one line of JSON every few steps, `training.jsonl`.

A run that goes on elsewhere takes the lines of the run before along, so that the record is the avatar's whole history.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

RECORD_NAME = "training.jsonl"


@dataclass(frozen=True)
class TrainingMoment:
    """Where training stood."""

    phase: str
    """What was trained: empty for the reconstruction, else the prompt."""
    step: int
    """Steps made in this phase."""
    seconds: float
    """Spent training, over all phases and runs so far; edits are included."""
    psnr_in_matte: float
    """Of the rays since the moment before, in decibels: against filmed frames, or against edited ones."""
    edited_frames: int = 0
    """Edits made in this phase so far."""
    network_evaluations: int = 0
    """How often the editor asked a network for one picture in this phase so far."""
    retried_edits: int = 0
    """Edits of this phase so far that moved the face and were made again."""
    dropped_edits: int = 0
    """Edits of this phase so far that were left out, because they moved the face whenever they were made."""


class TrainingRecord:
    """Writes moments down as they come; each line is whole, or not there."""

    def __init__(self, run_folder: Path, earlier: Path | None = None) -> None:
        """Go on with what the folder, or the run that is continued, already holds.

        Args:
            run_folder: the run's own.
            earlier: the folder of the run that this one goes on from.
        """
        self.path = run_folder / RECORD_NAME
        moments = read_record(run_folder)
        if not moments and earlier is not None:
            moments = read_record(earlier)
            if moments:
                self.path.write_text("".join(f"{_line(moment)}\n" for moment in moments), encoding="utf-8")
        self.seconds_before = moments[-1].seconds if moments else 0.0
        """Spent before this run, to be added to its own."""

    def add(self, moment: TrainingMoment) -> None:
        """Write a moment down."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"{_line(moment)}\n")


def read_record(run_folder: Path) -> list[TrainingMoment]:
    """All moments of a run, in order; none where nothing was recorded. A line that was cut off is passed over."""
    path = run_folder / RECORD_NAME
    if not path.is_file():
        return []
    moments = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            moments.append(TrainingMoment(**json.loads(line)))
        except (ValueError, TypeError):
            continue
    return moments


def phases(moments: Sequence[TrainingMoment]) -> dict[str, list[TrainingMoment]]:
    """The moments of each phase, the phases in the order in which they began."""
    grouped: dict[str, list[TrainingMoment]] = {}
    for moment in moments:
        grouped.setdefault(moment.phase, []).append(moment)
    return grouped


def _line(moment: TrainingMoment) -> str:
    return json.dumps(asdict(moment))
