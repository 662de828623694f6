"""What evaluations found: in memory, and as the file `metrics.json`."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from evaluation.measurement import Measure
from tracking.errors import UserError, writing_failed

FILE_NAME = "metrics.json"
FORMAT = "portrait-edit evaluation"
FORMAT_VERSION = 1
DIGITS = 6
"""Significant digits of a written number."""


@dataclass(frozen=True)
class Evaluation:
    """What was measured of one edited video."""

    name: str
    """What the video is: a prompt, or a file's name."""
    is_edit: bool
    """Whether it is meant to differ from the source, unlike an unedited reconstruction."""
    video: str
    """The file that was measured."""
    frames: Int[np.ndarray, "pairs"]
    """Numbers of the source's frames that were measured, increasing: what every measure's curve goes over."""
    seconds: Float[np.ndarray, "pairs"]
    """When the source shows them, from its first frame."""
    measures: list[Measure]
    remarks: list[str]
    """What has to be known of the measurement: a sentence each."""

    def measure(self, name: str) -> Measure | None:
        """The measure of that name, if there is one."""
        return next((measure for measure in self.measures if measure.name == name), None)

    def value(self, name: str) -> float:
        """The number of a measure; NaN where it has none."""
        measure = self.measure(name)
        return math.nan if measure is None or measure.value is None else measure.value


@dataclass(frozen=True)
class EvaluationSet:
    """The evaluations of one source's edits."""

    source: str
    """The source video."""
    frames_per_second: float
    size: tuple[int, int]
    """Width and height at which was measured, in pixels."""
    evaluations: list[Evaluation]
    remarks: list[str]
    """What has to be known of all of them."""

    @property
    def measure_names(self) -> list[str]:
        """The names of all measures, in the order in which they first appear."""
        return list(dict.fromkeys(measure.name for entry in self.evaluations for measure in entry.measures))

    def save(self, folder: Path) -> Path:
        """Write `metrics.json`, whole or not at all.

        Raises:
            UserError: the folder cannot be written to.
        """
        path = folder / FILE_NAME
        description = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "source": self.source,
            "frames_per_second": self.frames_per_second,
            "size": list(self.size),
            "remarks": self.remarks,
            "evaluations": [_entry_to_json(entry) for entry in self.evaluations],
        }
        partial = path.with_suffix(".partial.json")
        try:
            partial.write_text(json.dumps(description, indent=1, allow_nan=False) + "\n", encoding="utf-8")
            partial.replace(path)
        except OSError as error:
            raise writing_failed(path, error) from error
        return path

    @classmethod
    def load(cls, folder: Path) -> "EvaluationSet":
        """Read `metrics.json`.

        Raises:
            UserError: there is none, or it is of another kind or version.
        """
        path = folder / FILE_NAME
        if not path.is_file():
            raise UserError(f"{path} does not exist: make it with portrait-eval.")
        try:
            description = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UserError(f"{path} is damaged ({error}): evaluate again with --overwrite.") from error
        if not isinstance(description, dict) or description.get("format") != FORMAT:
            raise UserError(f"{path} was not written by portrait-eval: give the folder of an evaluation.")
        if description.get("format_version") != FORMAT_VERSION:
            raise UserError(f"{path} is of another version's format: evaluate again with --overwrite.")
        return cls(
            description["source"],
            description["frames_per_second"],
            tuple(description["size"]),
            [_entry_from_json(entry) for entry in description["evaluations"]],
            description["remarks"],
        )


def _entry_to_json(entry: Evaluation) -> dict[str, Any]:
    return {
        "name": entry.name,
        "is_edit": entry.is_edit,
        "video": entry.video,
        "remarks": entry.remarks,
        "measures": {
            measure.name: {
                "value": _number(measure.value),
                "unit": measure.unit,
                "better": measure.better,
                "meaning": measure.meaning,
                **({"missing": measure.missing} if measure.missing else {}),
                **({} if measure.curve is None else {"curve": [_number(value) for value in measure.curve.tolist()]}),
            }
            for measure in entry.measures
        },
        "frames": entry.frames.tolist(),
        "seconds": [_number(second) for second in entry.seconds.tolist()],
    }


def _entry_from_json(entry: dict[str, Any]) -> Evaluation:
    measures = [
        Measure(
            name,
            measure["value"],
            measure["meaning"],
            measure["unit"],
            measure["better"],
            measure.get("missing", ""),
            np.array(measure["curve"], dtype=np.float64) if "curve" in measure else None,
        )
        for name, measure in entry["measures"].items()
    ]
    return Evaluation(
        entry["name"],
        entry["is_edit"],
        entry["video"],
        np.array(entry["frames"], dtype=np.int64),
        np.array(entry["seconds"], dtype=np.float64),
        measures,
        entry["remarks"],
    )


def _number(value: float | None) -> float | None:
    """JSON knows neither NaN nor infinity: both are written as none."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.{DIGITS}g}")
