"""One picture of many: rows of edits under the frames that they were made from."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import UInt8

Picture = UInt8[np.ndarray, "height width 3"]

CELL = 256
"""Pixels along the longer side of each picture."""
GAP = 6
LABEL_WIDTH = 190
LINE = 18
"""Pixels from one line of text to the next."""
FONT, FONT_SIZE = cv2.FONT_HERSHEY_SIMPLEX, 0.42
CHARACTERS = 24
"""That fit into a row's label."""


@dataclass(frozen=True)
class SheetRow:
    """Pictures of the same frames."""

    label: str
    """What is the same in all of them."""
    pictures: Sequence[Picture]
    captions: Sequence[str]
    """One under each picture; empty where there is nothing to say."""


def draw_sheet(title: str, rows: Sequence[SheetRow]) -> Picture:
    """The sheet, black on white."""
    drawn = [_row(row) for row in rows]
    width = max(row.shape[1] for row in drawn)
    head = np.full((LINE * (len(wrapped(title, width // 8)) + 1), width, 3), 255, np.uint8)
    for number, line in enumerate(wrapped(title, width // 8)):
        write(head, line, GAP, LINE * (number + 1))
    return np.concatenate([head, *drawn])


def _row(row: SheetRow) -> Picture:
    label = None
    cells = []
    for picture, caption in zip(row.pictures, row.captions, strict=True):
        scale = CELL / max(picture.shape[:2])
        size = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
        shown = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
        cell = np.full((shown.shape[0] + LINE + GAP, shown.shape[1] + GAP, 3), 255, np.uint8)
        cell[: shown.shape[0], : shown.shape[1]] = shown
        write(cell, caption, 2, shown.shape[0] + LINE - 5)
        cells.append(cell)
        label = label if label is not None else np.full((cell.shape[0], LABEL_WIDTH, 3), 255, np.uint8)
    assert label is not None, "a row shows something"
    for number, line in enumerate(wrapped(row.label, CHARACTERS)):
        write(label, line, GAP, LINE * (number + 1))
    return np.concatenate([label, *cells], axis=1)


def wrapped(text: str, characters: int) -> list[str]:
    """The text in lines of at most so many characters, parted between words."""
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > characters:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def write(picture: Picture, text: str, left: int, baseline: int) -> None:
    """Write black text onto a picture. OpenCV's font has no letters but ASCII's: others become question marks."""
    plain = text.encode("ascii", "replace").decode()
    cv2.putText(picture, plain, (left, baseline), FONT, FONT_SIZE, (0, 0, 0), 1, cv2.LINE_AA)
