"""The command `portrait-export`: a tracked clip's motion for other programs."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console

from tracking.arkit_csv import write_arkit_csv
from tracking.clip import TrackedClip
from tracking.console import say
from tracking.errors import UserError, one_sentence_for_user_errors
from tracking.gltf_export import write_gltf
from tracking.termination import ended_in_order

WRITERS: dict[str, Callable[[TrackedClip, Path], None]] = {".csv": write_arkit_csv, ".glb": write_gltf}


@dataclass
class ExportConfig:
    """Write a tracked clip's motion as a Live Link Face CSV (.csv) or as an animated head (.glb)."""

    clip: tyro.conf.Positional[Path]
    """The tracked clip."""
    output: tyro.conf.Positional[Path]
    """The file to write: .csv for expressions, head rotation and gaze; .glb for the animated head, for Blender and
    others."""
    overwrite: bool = False
    """Replace the file if it exists."""


def export_clip(config: ExportConfig) -> None:
    """Write the file that the output's suffix asks for.

    Raises:
        UserError: the clip is none, the suffix is unknown, or the file exists or cannot be written.
    """
    writer = WRITERS.get(config.output.suffix.lower())
    if writer is None:
        raise UserError(f"{config.output} ends in neither .csv nor .glb: name the file by what it is to be.")
    if config.output.exists() and not config.overwrite:
        raise UserError(f"{config.output} exists: add --overwrite to replace it, or give another name.")
    writer(TrackedClip.load(config.clip), config.output)


def main() -> None:
    """Run `portrait-export`."""
    config = tyro.cli(ExportConfig, prog="portrait-export", description=ExportConfig.__doc__)
    with one_sentence_for_user_errors(), ended_in_order():
        export_clip(config)
    say(Console(), f"Wrote {config.output}.")


if __name__ == "__main__":
    main()
