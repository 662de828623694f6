"""Several evaluations side by side: what differs, and how sure that is."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evaluation.bootstrap import Interval, paired_interval
from evaluation.measurement import Measure
from evaluation.results import Evaluation, EvaluationSet
from tracking.errors import UserError


@dataclass(frozen=True)
class Difference:
    """How a measure of one video differs from that of the first."""

    change: float
    """This video's number minus the first one's; NaN where either has none."""
    interval: Interval | None
    """Of the mean over frames of the same difference; none for what has no number of its own in every frame."""


@dataclass(frozen=True)
class ComparedMeasure:
    """A row of the table."""

    measure: Measure
    """Name, unit and meaning."""
    values: list[float]
    """One for each video; NaN where it has none."""
    differences: list[Difference]
    """One for each video but the first."""


@dataclass(frozen=True)
class Comparison:
    """The table."""

    names: list[str]
    """What the videos are called: the first one is what the others are compared with."""
    subject: str
    """Which edit is compared."""
    measures: list[ComparedMeasure]
    frames: int
    """How many frames all have in common."""


def compare(sets: Sequence[EvaluationSet], names: Sequence[str]) -> list[Comparison]:
    """One table for every video that all sets have under the same name; or, if none, for the only edit of each.

    Raises:
        UserError: the sets share nothing, are of different sources, or their frames do not meet.
    """
    if len({Path(one.source).name for one in sets}) > 1:
        raise UserError("The evaluations are of different source videos: compare edits of the same one.")
    shared = [entry.name for entry in sets[0].evaluations if all(_find(other, entry.name) for other in sets[1:])]
    groups = {name: [entry for one in sets if (entry := _find(one, name))] for name in shared}
    if not any(entry.is_edit for entries in groups.values() for entry in entries):
        edits = [[entry for entry in one.evaluations if entry.is_edit] for one in sets]
        if all(len(entries) == 1 for entries in edits):
            only = [entries[0] for entries in edits]
            groups[" / ".join(dict.fromkeys(entry.name for entry in only))] = only
    if not groups:
        raise UserError("The evaluations share no edit of the same prompt: compare runs of the same prompts.")
    return [compare_entries(subject, entries, names) for subject, entries in groups.items()]


def compare_entries(subject: str, entries: Sequence[Evaluation], names: Sequence[str]) -> Comparison:
    """The table of several evaluations of the same source.

    Raises:
        UserError: they have no frame in common.
    """
    common = entries[0].frames
    for entry in entries[1:]:
        common = np.intersect1d(common, entry.frames)
    if len(common) == 0:
        raise UserError(f"The evaluations of {subject} have no frame in common: they are of different sources.")
    rows = []
    for measure_name in dict.fromkeys(measure.name for entry in entries for measure in entry.measures):
        found = [entry.measure(measure_name) for entry in entries]
        values = [entry.value(measure_name) for entry in entries]
        curves = [_curve_over(entry, measure, common) for entry, measure in zip(entries, found, strict=True)]
        differences = [
            Difference(
                value - values[0],
                None if curves[0] is None or curve is None else paired_interval(curves[0], curve),
            )
            for value, curve in zip(values[1:], curves[1:], strict=True)
        ]
        rows.append(ComparedMeasure(next(measure for measure in found if measure), values, differences))
    return Comparison(list(names), subject, rows, len(common))


def _find(one: EvaluationSet, name: str) -> Evaluation | None:
    return next((entry for entry in one.evaluations if entry.name == name), None)


def _curve_over(entry: Evaluation, measure: Measure | None, frames: np.ndarray) -> np.ndarray | None:
    """A measure's curve at some of the frames."""
    if measure is None or measure.curve is None:
        return None
    rows = np.searchsorted(entry.frames, frames)
    return measure.curve[rows]
