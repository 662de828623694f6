"""NeRFace's data sets (Gafni et al., "Dynamic Neural Radiance Fields for Monocular 4D Facial Avatars", CVPR 2021).

    ROOT/
        transforms_train.json, transforms_val.json, transforms_test.json
            intrinsics: fx, fy in pixels, cx, cy as shares of the image; or camera_angle_x
            frames[]: file_path without suffix, transform_matrix, expression (76 coefficients), bbox
        train/f_0000.png ...    bg/00050.png    the background

`transform_matrix` takes OpenGL camera space to head space (`nerf_helpers.py`, `get_ray_bundle`: rays along x / fx,
-y / fy, -1, pixels counted from 0 at their centres). A negative focal length means a mirrored axis. There are no
mattes.
"""

from pathlib import Path

import numpy as np

from tracking.foreign_clip import (
    ForeignClip,
    ForeignPoses,
    find_picture,
    in_order,
    matrices,
    number_of,
    one_camera,
    read_description,
    read_rgb,
)
from tracking.import_insta import pinhole

HALF_PIXEL = 0.5


def read_nerface(root: Path) -> ForeignClip:
    """A data set of NeRFace's.

    Raises:
        UserError: something of it is missing or unsound.
    """
    description, frames = read_description(root)
    numbers = _continued([frame["file_path"] for frame in frames])
    order = in_order(numbers)
    paths = [find_picture(root, frames[position]["file_path"]) for position in order]
    height, width = read_rgb(paths[0]).shape[:2]
    given = description.get("intrinsics")
    if given:
        focal_x, focal_y, share_x, share_y = (float(value) for value in given)
    else:
        focal_x, focal_y, *_ = pinhole(description, width, height)
        share_x = share_y = 0.5
    # An axis along which the focal length is negative runs the other way.
    cameras = matrices([frames[position] for position in order], root / "transforms_train.json")
    cameras = cameras @ np.diag([np.sign(focal_x), np.sign(focal_y), 1.0, 1.0])
    center = width * share_x + HALF_PIXEL, height * share_y + HALF_PIXEL
    return ForeignClip(
        root,
        np.array(numbers, dtype=np.int64)[order],
        lambda position: read_rgb(paths[position]),
        lambda position: None,
        one_camera([(abs(focal_x), abs(focal_y), *center)], (width, height), root / "transforms_train.json"),
        ForeignPoses.from_cameras(cameras),
    )


def _continued(names: list[str]) -> list[int]:
    """The frames' numbers; those of a folder that counts from the start again go on after the folder before."""
    numbers: list[int] = []
    offset, folder = 0, None
    for name in names:
        number = number_of(name)
        if folder is not None and Path(name).parent != folder and number + offset <= max(numbers):
            offset = max(numbers) + 1 - number
        folder = Path(name).parent
        numbers.append(number + offset)
    return numbers
