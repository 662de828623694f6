"""What was edited when, how strongly, from which random numbers and at what cost: one line of JSON for every batch.

The lines lie beside the edited frames, `edits.jsonl`, and are written after them: a frame whose line is missing counts
as edited in the first round, and is edited again in later ones.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from stage1_edit.expression_guard import GuardCounts

JOURNAL_NAME = "edits.jsonl"


@dataclass(frozen=True)
class EditRecord:
    """Frames that were given to the editor together, and edited."""

    frames: tuple[int, ...]
    noise_level: float
    number: int
    """Of the schedule's order that they were edited on."""
    seeds: tuple[int, ...]
    """One for each frame."""
    network_evaluations: int = 0
    """Of all of them together."""
    retried: int = 0
    """How many edits the expression guard had made again."""
    dropped: int = 0
    """How many it left out."""

    def renumbered(self, number_of: Callable[[int], int]) -> "EditRecord":
        """The same with other numbers for the frames."""
        return replace(self, frames=tuple(number_of(frame) for frame in self.frames))


class EditJournal:
    """The records of one prompt's edits, those of earlier runs that it goes on from among them."""

    def __init__(self, folder: Path) -> None:
        """Go on with what the folder holds. A line that was cut off is passed over."""
        self.path = folder / JOURNAL_NAME
        self.records: list[EditRecord] = []
        if self.path.is_file():
            for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    found = json.loads(line)
                    found.update(frames=tuple(found["frames"]), seeds=tuple(found["seeds"]))
                    self.records.append(EditRecord(**found))
                except (ValueError, TypeError, KeyError):
                    continue

    def add(self, record: EditRecord) -> None:
        """Write a record down."""
        self.records.append(record)
        with self.path.open("a", encoding="utf-8") as file:
            # The line begins anew even where the one before was cut off.
            file.write(f"\n{json.dumps(asdict(record))}\n")

    @property
    def edits(self) -> int:
        """How many frames were edited, the same frame again counted again."""
        return sum(len(record.frames) + record.dropped for record in self.records)

    @property
    def guarded(self) -> GuardCounts:
        """What the expression guard has done to them."""
        retried = sum(record.retried for record in self.records)
        return GuardCounts(self.edits, retried, sum(record.dropped for record in self.records))

    @property
    def network_evaluations(self) -> int:
        """What all edits cost together."""
        return sum(record.network_evaluations for record in self.records)

    def last_numbers(self) -> dict[int, int]:
        """For each frame the greatest number of an order that it was edited on."""
        last: dict[int, int] = {}
        for record in self.records:
            for frame in record.frames:
                last[frame] = max(record.number, last.get(frame, record.number))
        return last


def edit_seed(seed: int, number: int, frame: int) -> int:
    """The seed of one frame's edit: of the phase's seed, the order's number and the frame, and of nothing else.

    So a run that goes on amid an order edits what is left of it as if it had never stopped.
    """
    (bits,) = np.random.SeedSequence([seed, number, frame]).generate_state(1, np.uint64)
    # torch takes 63 bits.
    return int(bits) >> 1
