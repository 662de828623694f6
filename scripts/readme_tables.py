"""Write README's tables of results from the measurements' JSON files, between their markers.

    python scripts/readme_tables.py            # rewrite the tables
    python scripts/readme_tables.py --check    # fail if one differs from its JSON

A table stands between `<!-- table NAME -->` and `<!-- end of table -->`, each on a line of its own; NAME is one of
`TABLES`. All else in README is left as it is.
"""

import json
import math
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from tracking.errors import UserError, one_sentence_for_user_errors

REPOSITORY = Path(__file__).resolve().parent.parent
MARKED = re.compile(r"(<!-- table ([\w-]+) -->\n)(.*?)(<!-- end of table -->)", re.DOTALL)
METHOD_WORDS = {"per_frame": "frame by frame", "static_nerf": "static NeRF", "ours": "ours"}


@dataclass
class Arguments:
    """Write README's tables of results."""

    readme: Path = REPOSITORY / "README.md"
    """The file with the markers."""
    measurements: Path = REPOSITORY / "scripts" / "measurements"
    """The folder of the JSON files."""
    check: bool = False
    """Only see whether the tables are what they should be."""


def edit_suite(found: dict[str, Any]) -> str:
    """What `benchmark_edit.py` measured: a row for every clip and prompt, a number for every method."""
    results = found["results"]
    methods = [method for method in METHOD_WORDS if any(one["method"] == method for one in results)]
    alone = {one["clip"]: one for one in results if one["method"] == "avatar_alone"}
    words = " / ".join(METHOD_WORDS[method] for method in methods)
    lines = [
        f"| clip: prompt | flicker over the film's: {words} | colour difference from the target | "
        f"landmark distance: unedited avatar / {words} |",
        "|---|---|---|---|",
    ]
    for clip, prompt in dict.fromkeys((one["clip"], one["prompt"]) for one in results if one["prompt"]):
        by_method = {one["method"]: one for one in results if (one["clip"], one["prompt"]) == (clip, prompt)}
        chosen = [by_method.get(method) for method in methods]
        landmarks = [alone.get(clip), *chosen]
        cells = [
            joined(chosen, "flow_warp_ratio", 1),
            joined(chosen, "target_color_difference", 1),
            joined(landmarks, "landmark_distance", 3),
        ]
        lines.append(f"| {clip}: {prompt} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def joined(results: list[dict[str, Any] | None], name: str, digits: int) -> str:
    """One measure of several videos; a dash where it was not measured."""
    values = [None if one is None else one["measures"].get(name) for one in results]
    return " / ".join(
        "\N{EN DASH}" if value is None or not math.isfinite(value) else f"{value:.{digits}f}" for value in values
    )


TABLES: dict[str, tuple[str, Callable[[dict[str, Any]], str]]] = {"edit-suite": ("edit_suite.json", edit_suite)}
"""The measurements that each table is made from, and how."""


def rewritten(text: str, measurements: Path) -> str:
    """The text with all marked tables as they should be.

    Raises:
        UserError: a marker names no table, or its measurements are not there.
    """

    def table(match: re.Match[str]) -> str:
        name = match[2]
        if name not in TABLES:
            raise UserError(f"There is no table {name}: the markers may name {', '.join(TABLES)}.")
        file, make = TABLES[name]
        path = measurements / file
        if not path.is_file():
            raise UserError(f"{path} is missing: measure first, or take the marker of table {name} out.")
        return match[1] + make(json.loads(path.read_text(encoding="utf-8"))) + match[4]

    return MARKED.sub(table, text)


def main(arguments: Arguments) -> None:
    """Rewrite, or check."""
    text = arguments.readme.read_text(encoding="utf-8")
    new = rewritten(text, arguments.measurements)
    if arguments.check and new != text:
        raise UserError(f"{arguments.readme.name} differs from its measurements: run scripts/readme_tables.py.")
    if not arguments.check:
        arguments.readme.write_text(new, encoding="utf-8")
    sys.stdout.write(f"{len(MARKED.findall(text))} tables are as measured.\n")


if __name__ == "__main__":
    with one_sentence_for_user_errors():
        main(tyro.cli(Arguments, description=__doc__))
