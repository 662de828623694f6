"""`portrait-eval --compare`: several evaluations in one table, on the console, as a page and as JSON."""

import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from evaluation.bootstrap import CONFIDENCE
from evaluation.compare_page import comparison_page
from evaluation.comparison import Comparison, Difference, compare
from evaluation.results import DIGITS, FILE_NAME, EvaluationSet
from evaluation.wording import ABSENT, ARROWS, number, spoken, with_unit
from tracking.console import say
from tracking.errors import UserError, writing_failed

RUN_SUBFOLDER = "evaluation"
PAGE_NAME, JSON_NAME = "comparison.html", "comparison.json"


def compare_folders(folders: Sequence[Path], output: Path | None, overwrite: bool) -> list[Comparison]:
    """Compare evaluations, print the tables, and write them as a page and as JSON into a folder.

    Args:
        folders: of evaluations, or of runs that were evaluated.
        output: where to write; the folder of the first evaluation if none is given.

    Raises:
        UserError: there are fewer than two, one was not evaluated, or they share no edit.
    """
    if len(folders) < 2:
        raise UserError("--compare needs two folders or more: name the evaluations, or the runs, after it.")
    places = [_evaluation_folder(folder) for folder in folders]
    output = output or places[0]
    existing = next(folder for folder in (output, *output.absolute().parents) if folder.exists())
    if not (existing.is_dir() and os.access(existing, os.W_OK)):
        raise UserError(f"{existing} is no folder that can be written to: choose another --output.")
    if (output / JSON_NAME).exists() and not overwrite:
        raise UserError(f"{output} holds a comparison already: add --overwrite, or give another --output.")
    comparisons = compare([EvaluationSet.load(place) for place in places], short_names(folders))
    console = Console()
    for comparison in comparisons:
        console.print(as_table(comparison))
    try:
        output.mkdir(parents=True, exist_ok=True)
        (output / PAGE_NAME).write_text(comparison_page(comparisons), encoding="utf-8")
        (output / JSON_NAME).write_text(json.dumps(as_json(comparisons), indent=1, allow_nan=False) + "\n")
    except OSError as error:
        raise writing_failed(output, error) from error
    say(console, f"Wrote {output / PAGE_NAME} and {output / JSON_NAME}.")
    return comparisons


def short_names(folders: Sequence[Path]) -> list[str]:
    """What tells folders apart: their own names, with as many of their parents' as that takes."""
    parts = [[part for part in folder.resolve().parts if part != RUN_SUBFOLDER] for folder in folders]
    for depth in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-depth:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{'/'.join(part[-1:])} ({number})" for number, part in enumerate(parts, start=1)]


def as_table(comparison: Comparison) -> Table:
    """The table for the console; what no video has a number for is left out."""
    table = Table(
        title=escape(comparison.subject), caption=f"over {comparison.frames} frames; [] is {CONFIDENCE:.0%} confident"
    )
    table.add_column("")
    for position, name in enumerate(comparison.names):
        table.add_column(escape(name), justify="right")
        if position:
            table.add_column("difference", justify="right")
    for row in comparison.measures:
        if not np.isfinite(row.values).any():
            continue
        cells = [with_unit(row.values[0], row.measure.unit)]
        for value, difference in zip(row.values[1:], row.differences, strict=True):
            cells += [with_unit(value, row.measure.unit), told_difference(difference)]
        table.add_row(f"{spoken(row.measure.name)} {ARROWS[row.measure.better]}", *cells)
    return table


def told_difference(difference: Difference) -> str:
    """A change and its interval, in one line."""
    if difference.interval is None:
        return number(difference.change) if math.isfinite(difference.change) else ABSENT
    interval = difference.interval
    return rf"{number(interval.mean)} \[{number(interval.low)}, {number(interval.high)}]"


def as_json(comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """The tables, as they are written."""

    def written(value: float) -> float | None:
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None

    return {
        "confidence": CONFIDENCE,
        "comparisons": [
            {
                "subject": comparison.subject,
                "names": comparison.names,
                "frames": comparison.frames,
                "measures": {
                    row.measure.name: {
                        "unit": row.measure.unit,
                        "better": row.measure.better,
                        "meaning": row.measure.meaning,
                        "values": [written(value) for value in row.values],
                        "differences": [
                            {
                                "change": written(difference.change),
                                "mean_over_frames": None
                                if difference.interval is None
                                else {
                                    key: written(value) if isinstance(value, float) else value
                                    for key, value in asdict(difference.interval).items()
                                },
                            }
                            for difference in row.differences
                        ],
                    }
                    for row in comparison.measures
                },
            }
            for comparison in comparisons
        ],
    }


def _evaluation_folder(folder: Path) -> Path:
    """The evaluation that a folder is, or that the run in it has."""
    place = folder.parent if folder.name in (FILE_NAME, "config.yml") else folder
    if (place / FILE_NAME).is_file():
        return place
    if (place / RUN_SUBFOLDER / FILE_NAME).is_file():
        return place / RUN_SUBFOLDER
    if (place / "config.yml").is_file():
        raise UserError(f"The run {place} has not been evaluated: `portrait-eval --load-config {place}` does that.")
    raise UserError(f"{folder} holds no evaluation: give a folder that portrait-eval wrote, or an evaluated run.")
