"""NeRFBlendShape's data sets (Gao et al., SIGGRAPH Asia 2022).

    ROOT/
        transforms.json     fx, fy, cx, cy, w, h in pixels
            frames[]: img_id, transform_matrix, exp_ori (46 coefficients of its own face model)
        ori_imgs/ID.jpg     the frames; missing from the published sets, which hold a video ID1.mp4 instead
        parsing/ID.png      colours of AD-NeRF's face parsing: white is background
        max_46.txt, min_46.txt, bc.jpg

`transform_matrix` takes OpenGL camera space to a head space: `nerf/provider.py` turns its second and third axis over to
cast OpenCV's rays. Pixels are counted at their centres, so that its principal point is half a pixel less than ours. The
coefficients belong to a model that is not public and are not read; `import_clip` fits ARKit's.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8

from tracking.errors import UserError
from tracking.foreign_clip import (
    PICTURE_SUFFIXES,
    ForeignClip,
    ForeignPoses,
    in_order,
    matrices,
    one_camera,
    read_description,
    read_picture,
    read_rgb,
)
from tracking.video import VIDEO_SUFFIXES, VideoFrame, VideoReader

PICTURE_FOLDERS = ("ori_imgs", "head_imgs", "images")
HALF_PIXEL = 0.5
WHITE = 250
"""All three colours from which a parsed pixel counts as background; JPEG blurs them."""


def read_nerfblendshape(root: Path) -> ForeignClip:
    """A data set of NeRFBlendShape's.

    Raises:
        UserError: something of it is missing or unsound.
    """
    description, frames = read_description(root)
    numbers = [int(frame["img_id"]) for frame in frames]
    order = in_order(numbers)
    ordered = np.array(numbers, dtype=np.int64)[order]
    cameras = matrices([frames[position] for position in order], root / "transforms.json")
    image = _pictures(root, ordered)
    height, width = image(0).shape[:2]
    keys = ("fx", "fy", "cx", "cy")
    missing = [key for key in keys if key not in description]
    if missing:
        raise UserError(f"{root / 'transforms.json'} lacks {', '.join(missing)}: export the data set again.")
    focal_x, focal_y, center_x, center_y = (float(description[key]) for key in keys)
    # The images may have been scaled since.
    scale_x, scale_y = width / float(description.get("w", width)), height / float(description.get("h", height))

    def matte(position: int) -> Float32[np.ndarray, "height width"] | None:
        path = root / "parsing" / f"{ordered[position]}.png"
        if not path.is_file():
            return None
        return (read_picture(path)[..., :3].min(axis=2) < WHITE).astype(np.float32)

    return ForeignClip(
        root,
        ordered,
        image,
        matte,
        one_camera(
            [
                (
                    focal_x * scale_x,
                    focal_y * scale_y,
                    (center_x + HALF_PIXEL) * scale_x,
                    (center_y + HALF_PIXEL) * scale_y,
                )
            ],
            (width, height),
            root / "transforms.json",
        ),
        ForeignPoses.from_cameras(cameras),
    )


def _pictures(root: Path, numbers: np.ndarray) -> Callable[[int], UInt8[np.ndarray, "height width 3"]]:
    """The frames, from a folder of pictures or from the one video that lies there."""
    for folder in PICTURE_FOLDERS:
        paths = [next(iter(_named(root / folder, int(number))), None) for number in numbers]
        found = [path for path in paths if path is not None]
        if found and len(found) < len(paths):
            raise UserError(f"{root / folder} holds {len(found)} of {len(paths)} frames: copy the data set again.")
        if found:
            return lambda position: read_rgb(found[position])
    videos = [path for path in sorted(root.iterdir()) if path.suffix.lower() in VIDEO_SUFFIXES]
    if len(videos) != 1:
        raise UserError(
            f"{root} holds neither ori_imgs/ nor exactly one video: copy the data set's frames or its video."
        )
    return _VideoPictures(videos[0], numbers)


def _named(folder: Path, number: int) -> list[Path]:
    return [path for suffix in PICTURE_SUFFIXES if (path := folder / f"{number}{suffix}").is_file()]


class _VideoPictures:
    """Frames of a video, read in order and again from the start where somebody goes back."""

    def __init__(self, path: Path, numbers: np.ndarray) -> None:
        self._reader, self._numbers = VideoReader(path), numbers
        self._frames = iter(self._reader)
        self._last: VideoFrame | None = None

    def __call__(self, position: int) -> UInt8[np.ndarray, "height width 3"]:
        wanted = int(self._numbers[position])
        if self._last is not None and self._last.index == wanted:
            return self._last.image
        if self._last is not None and self._last.index > wanted:
            self._frames = iter(self._reader)
        for frame in self._frames:
            self._last = frame
            if frame.index == wanted:
                return frame.image
        raise UserError(f"{self._reader.path} ends before frame {wanted}: it is not the data set's video.")
