"""Put frames of videos side by side in one picture: a row for each video, a column for each of six moments.

    python scripts/contact_sheet.py OUT.png VIDEO...

The picture is a PNG of at most one megabyte: cells shrink until it is.
"""

import sys
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import tyro
from jaxtyping import UInt8

from tracking.errors import UserError, one_sentence_for_user_errors
from tracking.video import VideoReader

COLUMNS = 6
MOST_BYTES = 1_000_000
WIDEST_CELL, NARROWEST_CELL = 320, 64
"""In pixels."""
LABEL_HEIGHT = 22
GAP = 4

Picture = UInt8[np.ndarray, "height width 3"]


def contact_sheet(videos: list[Path], cell_width: int) -> Picture:
    """The frames of all videos, each row under the video's name and each frame with its time.

    Raises:
        UserError: a video cannot be read.
    """
    rows = [labelled_row(video, cell_width) for video in videos]
    return np.concatenate(rows, axis=0)


def labelled_row(video: Path, cell_width: int) -> Picture:
    """Frames spread over a video from its first to its last, under its name."""
    reader = VideoReader(video)
    count = sum(1 for _ in reader)
    wanted = np.linspace(0, count - 1, COLUMNS).round().astype(int).tolist()
    found = {frame.index: frame for frame in reader if frame.index in wanted}
    seconds = float(reader.properties.time_base)
    first = found[0].timestamp
    cells = []
    for index in wanted:
        frame = found[index]
        height = round(cell_width * frame.image.shape[0] / frame.image.shape[1])
        interpolation = cv2.INTER_AREA if cell_width < frame.image.shape[1] else cv2.INTER_CUBIC
        picture = cv2.resize(frame.image, (cell_width, height), interpolation=interpolation)
        write_text(picture, f"{(frame.timestamp - first) * seconds:.1f} s", height - 6)
        cells.append(np.pad(picture, ((0, GAP), (0, GAP), (0, 0)), constant_values=255))
    row = np.concatenate(cells, axis=1)
    label = np.full((LABEL_HEIGHT, row.shape[1], 3), 255, dtype=np.uint8)
    write_text(label, video.stem, LABEL_HEIGHT - 7)
    return np.concatenate([label, row], axis=0)


def write_text(picture: Picture, text: str, baseline: int) -> None:
    """Write onto a picture, black on a white edge, so that it can be read on anything."""
    for color, thickness in ((255, 3), (0, 1)):
        cv2.putText(picture, text, (4, baseline), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (color,) * 3, thickness, cv2.LINE_AA)


def encode_small(videos: list[Path]) -> bytes:
    """The sheet as a PNG, with cells as large as the size of the file allows."""
    cell_width = WIDEST_CELL
    while True:
        _, png = cv2.imencode(".png", cv2.cvtColor(contact_sheet(videos, cell_width), cv2.COLOR_RGB2BGR))
        if len(png) <= MOST_BYTES or cell_width <= NARROWEST_CELL:
            return png.tobytes()
        cell_width = max(NARROWEST_CELL, int(cell_width * 0.85))


def write_contact_sheet(
    output: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT.png")],
    videos: Annotated[list[Path], tyro.conf.Positional, tyro.conf.arg(metavar="VIDEO...")],
) -> None:
    """Put frames of videos side by side in one picture.

    Args:
        output: The PNG to write, of at most one megabyte.
        videos: The videos, from top to bottom.
    """
    if not videos:
        raise UserError("Name the videos to show after the picture to write.")
    png = encode_small(videos)
    try:
        output.write_bytes(png)
    except OSError as error:
        raise UserError(f"Cannot write {output} ({error.strerror}): choose another place.") from error
    sys.stdout.write(f"Wrote {output}\n")


if __name__ == "__main__":
    with one_sentence_for_user_errors():
        tyro.cli(write_contact_sheet)
