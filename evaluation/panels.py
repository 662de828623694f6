"""One video that shows several side by side, as two: the source's panel and the edit's."""

from contextlib import ExitStack
from pathlib import Path

from rich.progress import track

from tracking.errors import UserError
from tracking.video import VideoReader
from tracking.video_writer import VideoWriter

LEAST_SIDE = 64
"""Narrower panels show no face that can be found."""


def panel_bounds(width: int, panels: int, panel: int) -> tuple[int, int]:
    """Where a panel begins and ends across a picture; all are equally wide, and a remainder is left out.

    Args:
        panel: its number, from 1 at the left.

    Raises:
        UserError: there is no such panel.
    """
    if panels < 2:
        raise UserError(f"--panels {panels} is too few: one is the source and one the edit.")
    if not 1 <= panel <= panels:
        raise UserError(f"There is no panel {panel} among {panels}: they are counted from 1 at the left.")
    panel_width = width // panels
    if panel_width < LEAST_SIDE:
        raise UserError(f"{panels} panels in {width} pixels are too narrow to show a face: check --panels.")
    return (panel - 1) * panel_width, panel * panel_width


def split_panels(video: Path, panels: int, chosen: dict[int, Path]) -> None:
    """Write panels of a video as videos of their own, without loss; those that are there already are kept.

    Args:
        panels: how many are side by side.
        chosen: where to write which panel, counted from 1.

    Raises:
        UserError: the video cannot be read, has no such panels, or there is no room.
    """
    reader = VideoReader(video)
    bounds = {panel: panel_bounds(reader.properties.width, panels, panel) for panel in chosen}
    newest = video.stat().st_mtime
    todo = {panel: path for panel, path in chosen.items() if not (path.is_file() and path.stat().st_mtime >= newest)}
    if not todo:
        return
    for path in todo.values():
        path.parent.mkdir(parents=True, exist_ok=True)
    height = reader.properties.height
    with ExitStack() as opened:
        writers = {
            panel: opened.enter_context(
                VideoWriter(
                    path, reader.properties, "lossless", (bounds[panel][1] - bounds[panel][0], height), with_sound=False
                )
            )
            for panel, path in todo.items()
        }
        for frame in track(reader, "Splitting panels", total=reader.properties.frame_count):
            for panel, writer in writers.items():
                left, right = bounds[panel]
                writer.write(frame.image[:, left:right], frame.timestamp)
