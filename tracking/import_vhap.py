"""VHAP's exports (Qian 2024; also GaussianAvatars' data sets), and files of FLAME parameters beside a video's frames.

    ROOT/
        transforms.json (or transforms_train.json, _val, _test)
            frames[]: timestep_index, camera_index, file_path, fg_mask_path, flame_param_path, transform_matrix,
                      fl_x, fl_y, cx, cy, w, h in pixels
        images/00000_00.png    fg_masks/00000_00.png    flame_param/00000.npz

`transform_matrix` takes OpenGL camera space to a world in which FLAME's head moves. A file of parameters holds
`translation` [1, 3], `rotation`, `neck_pose`, `jaw_pose` [1, 3] as axis times angle, `eyes_pose` [1, 6], `expr`, and
`shape`. FLAME turns the head about its root joint j0 by `rotation`, and above the neck joint j1 by `neck_pose`:

    world = R_g (R_n (x - j1) + j1 - j0) + j0 + t

The joints depend on FLAME's model file, which cannot be shipped; `pose_alignment` finds them from the images.

VHAP's own `tracked_flame_params_*.npz` has the same arrays for all frames, and `focal_length` in multiples of the
longer side of the images; its camera stands at (0, 0, 1), and the images are in `images/` beside it.
"""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float32

from tracking.cameras import rigid_inverse, rotation_from_vector
from tracking.errors import UserError
from tracking.foreign_clip import (
    PICTURE_SUFFIXES,
    ForeignClip,
    ForeignPoses,
    alpha_of,
    find_picture,
    in_order,
    matrices,
    nearest_rigid,
    number_of,
    one_camera,
    read_description,
    read_matte,
    read_rgb,
)

POSE_ARRAYS = ("rotation", "translation", "neck_pose")
ROOT_JOINT, NECK_JOINT = (0.0, -15.0, -6.0), (0.0, -9.0, -5.0)
"""Where about FLAME's first two joints are in our head space, in centimetres: base and top of the neck."""
CAMERA_DISTANCE = 1.0
"""Where VHAP puts the camera of a single video, on the z axis."""


def read_vhap(root: Path, camera: int | None = None) -> ForeignClip:
    """A data set exported by VHAP with its FLAME parameters.

    Args:
        camera: the `camera_index` to read; may be left out if there is one.

    Raises:
        UserError: something of it is missing or unsound, or the camera must be chosen.
    """
    source = root / "transforms.json"
    _, frames = read_description(root)
    cameras = sorted({int(frame.get("camera_index", 0)) for frame in frames})
    if camera is None and len(cameras) > 1:
        raise UserError(f"{root} has the cameras {', '.join(map(str, cameras))}: choose one with --camera.")
    camera = cameras[0] if camera is None else camera
    frames = [frame for frame in frames if int(frame.get("camera_index", 0)) == camera]
    if not frames:
        raise UserError(f"{root} has no camera {camera}, but {', '.join(map(str, cameras))}.")
    if any("flame_param_path" not in frame for frame in frames):
        raise UserError(f"{source} names no flame_param_path: export with FLAME parameters, not with meshes.")
    order = in_order([int(frame["timestep_index"]) for frame in frames])
    frames = [frames[position] for position in order]
    paths = [find_picture(root, frame["file_path"]) for frame in frames]
    parameters = [_load(root / frame["flame_param_path"]) for frame in frames]
    height, width = read_rgb(paths[0]).shape[:2]
    pinholes = [tuple(float(frame.get(key, np.nan)) for key in ("fl_x", "fl_y", "cx", "cy")) for frame in frames]

    def matte(position: int) -> Float32[np.ndarray, "height width"] | None:
        named = frames[position].get("fg_mask_path")
        return read_matte(find_picture(root, named)) if named else alpha_of(paths[position])

    return ForeignClip(
        root,
        np.array([int(frame["timestep_index"]) for frame in frames], dtype=np.int64),
        lambda position: read_rgb(paths[position]),
        matte,
        one_camera(pinholes, (width, height), source),  # pyright: ignore[reportArgumentType]
        flame_poses(
            {name: np.concatenate([np.reshape(each[name], (1, 3)) for each in parameters]) for name in POSE_ARRAYS},
            nearest_rigid(matrices(frames, source)),
        ),
    )


def read_flame_parameters(path: Path, focal_length: float | None = None) -> ForeignClip:
    """A file of FLAME parameters for all frames, beside `images/`.

    Args:
        path: the file, or a folder with exactly one.
        focal_length: in multiples of the images' longer side, where the file does not say.

    Raises:
        UserError: something is missing or unsound.
    """
    if path.is_dir():
        files = sorted(path.glob("*.npz"))
        if len(files) != 1:
            raise UserError(f"{path} holds {len(files)} .npz files: give the path of the one with FLAME parameters.")
        path = files[0]
    parameters = _load(path)
    folder = path.parent / "images"
    paths = sorted(p for p in folder.glob("*") if p.suffix.lower() in PICTURE_SUFFIXES) if folder.is_dir() else []
    paths = sorted(paths, key=lambda picture: number_of(picture.name))
    count = len(parameters["rotation"])
    if len(paths) != count:
        raise UserError(f"{path} has the poses of {count} frames and {folder} {len(paths)} pictures: give all frames.")
    focal = parameters.get("focal_length")
    share = float(np.ravel(focal)[0]) if focal is not None else focal_length
    if share is None:
        raise UserError(f"{path} does not say the focal length: give it with --focal-length, in image widths.")
    height, width = read_rgb(paths[0]).shape[:2]
    pixels = share * max(width, height)
    camera_to_world = np.eye(4)
    camera_to_world[2, 3] = CAMERA_DISTANCE
    masks = path.parent / "fg_masks"

    def matte(position: int) -> Float32[np.ndarray, "height width"] | None:
        for candidate in masks.glob(f"{paths[position].stem}.*"):
            return read_matte(candidate)
        return alpha_of(paths[position])

    return ForeignClip(
        path,
        np.array([number_of(picture.name) for picture in paths], dtype=np.int64),
        lambda position: read_rgb(paths[position]),
        matte,
        one_camera([(pixels, pixels, width / 2, height / 2)], (width, height), path),
        flame_poses(
            {name: np.reshape(parameters[name], (count, 3)) for name in POSE_ARRAYS},
            np.repeat(camera_to_world[None], count, axis=0),
        ),
    )


def flame_poses(
    parameters: dict[str, Float[np.ndarray, "frames 3"]], camera_to_world: Float[np.ndarray, "frames 4 4"]
) -> ForeignPoses:
    """FLAME's head in camera space: R = A R_g R_n, t = A t + b, and the factors of the two joints.

    A and b take the world to the camera.
    """
    world_to_camera = rigid_inverse(camera_to_world)
    turn, shift = world_to_camera[:, :3, :3], world_to_camera[:, :3, 3]
    whole = rotation_from_vector(parameters["rotation"].astype(np.float64))
    neck = rotation_from_vector(parameters["neck_pose"].astype(np.float64))
    return ForeignPoses(
        turn @ whole @ neck,
        np.einsum("fij,fj->fi", turn, parameters["translation"].astype(np.float64)) + shift,
        np.stack([turn @ (np.eye(3) - whole), turn @ whole @ (np.eye(3) - neck)]),
        np.array([ROOT_JOINT, NECK_JOINT]),
    )


def _load(path: Path) -> dict[str, Any]:
    """The arrays of a file of FLAME parameters; nothing in it is executed."""
    try:
        with np.load(path, allow_pickle=False) as file:
            parameters = {name: file[name] for name in (*POSE_ARRAYS, "focal_length") if name in file.files}
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: copy the whole data set.") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is no file of FLAME parameters ({error}): export it again.") from error
    missing = [name for name in POSE_ARRAYS if name not in parameters]
    if missing:
        raise UserError(f"{path} lacks {', '.join(missing)}: export FLAME's parameters again.")
    return parameters
