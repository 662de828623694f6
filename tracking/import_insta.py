"""INSTA's data sets (Zielonka et al., CVPR 2023), which metrical-tracker's results become.

    ROOT/
        transforms.json (or transforms_train.json, _val, _test)   fl_x, fl_y, cx, cy, w, h in pixels
            frames[]: file_path, transform_matrix, exp_path, mesh_path, ...
        images/00000.png    RGB, or RGBA with the matte
        matted/00000.png    RGBA, in some copies; else masks/, mask/ or fg_masks/ in grey
        flame/exp/, meshes/, depth/, seg_mask/, canonical.obj

`transform_matrix` takes OpenCV camera space to FLAME's head space, in which the head stands still and only its face
moves: `scripts/transforms.py` writes the inverse of OpenCV's extrinsics, and `insta/provider.py` uses it as it is. The
expressions are FLAME's and are not read; `import_clip` fits ARKit's.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float32

from tracking.cameras import opencv_to_opengl
from tracking.foreign_clip import (
    ForeignClip,
    ForeignPoses,
    alpha_of,
    find_picture,
    in_order,
    matrices,
    number_of,
    one_camera,
    read_description,
    read_matte,
    read_picture,
    read_rgb,
)

MATTE_FOLDERS = {"matted": alpha_of, "masks": read_matte, "mask": read_matte, "fg_masks": read_matte}


def read_insta(root: Path) -> ForeignClip:
    """A data set of INSTA's.

    Raises:
        UserError: something of it is missing or unsound.
    """
    description, frames = read_description(root)
    numbers = [number_of(frame["file_path"]) for frame in frames]
    order = in_order(numbers)
    paths = [find_picture(root, frames[position]["file_path"]) for position in order]
    cameras = matrices([frames[position] for position in order], root / "transforms.json")
    height, width = read_picture(paths[0]).shape[:2]

    def matte(position: int) -> Float32[np.ndarray, "height width"] | None:
        path = paths[position]
        for folder, read in MATTE_FOLDERS.items():
            for candidate in (root / folder).glob(f"{path.stem}.*"):
                return read(candidate)
        return alpha_of(path)

    return ForeignClip(
        root,
        np.array(numbers, dtype=np.int64)[order],
        lambda position: read_rgb(paths[position]),
        matte,
        one_camera([pinhole(description, width, height)], (width, height), root / "transforms.json"),
        ForeignPoses.from_cameras(opencv_to_opengl(cameras)),
    )


def pinhole(description: dict, width: int, height: int) -> tuple[float, float, float, float]:
    """Focal lengths and principal point in pixels, from instant-ngp's keys.

    The focal length may be given as an angle of view; the principal point may be missing, and is then in the middle.
    """
    focal = [description.get("fl_x"), description.get("fl_y")]
    for axis, (size, key) in enumerate(((width, "camera_angle_x"), (height, "camera_angle_y"))):
        if focal[axis] is None and description.get(key) is not None:
            focal[axis] = size / (2 * np.tan(description[key] / 2))
    focal_x, focal_y = (float(np.nan if value is None else value) for value in focal)
    focal_x, focal_y = (focal_x if focal_x == focal_x else focal_y), (focal_y if focal_y == focal_y else focal_x)
    return focal_x, focal_y, float(description.get("cx", width / 2)), float(description.get("cy", height / 2))
