"""What is shown behind the person: the filmed scene, the clean plate, a colour, a picture, or nothing at all."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import ImageColor

from tracking.errors import UserError


@dataclass(frozen=True)
class Backdrop:
    """What is shown behind the person."""

    kind: Literal["original", "plate", "picture", "alpha"] = "original"
    """As filmed, the clip's clean plate, a picture of one's own, or opacity for another program to fill."""
    picture: UInt8[np.ndarray, "height width 3"] | None = None
    """The picture, the size of the source."""


ORIGINAL = Backdrop()


def parse_backdrop(typed: str, width: int, height: int) -> Backdrop:
    """Read `original`, `plate`, `alpha`, a colour (a name or #rrggbb), or the path of a picture.

    A picture is enlarged or shrunk to cover the source's whole picture, and cut evenly where it stands over.

    Args:
        width, height: of the source, in pixels.

    Raises:
        UserError: it is none of these, or the picture cannot be read.
    """
    if typed in ("original", "plate", "alpha"):
        return Backdrop(typed)
    path = Path(typed)
    if path.is_file():
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if picture is None:
            raise UserError(f"{path} is no picture that can be read: give a PNG or JPEG file.")
        return Backdrop("picture", _covering(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), width, height))
    try:
        colour = ImageColor.getrgb(typed)[:3]
    except ValueError:
        raise UserError(
            f"'{typed}' is no background: give original, plate, alpha, a colour such as white or #20a040, or a "
            "picture's path."
        ) from None
    return Backdrop("picture", np.broadcast_to(np.array(colour, np.uint8), (height, width, 3)))


def _covering(picture: UInt8[np.ndarray, "rows columns 3"], width: int, height: int) -> UInt8[np.ndarray, "h w 3"]:
    rows, columns = picture.shape[:2]
    scale = max(width / columns, height / rows)
    size = max(width, round(columns * scale)), max(height, round(rows * scale))
    enlarged = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    return np.ascontiguousarray(enlarged[top : top + height, left : left + width])
