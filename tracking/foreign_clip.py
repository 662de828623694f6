"""A clip that another program tracked, before its poses are taken into our head space.

Readers of single formats (`import_insta`, ...) make a `ForeignClip`; `pose_alignment` and `import_clip` know no format.
Facts about the formats are from the programs' published code; each reader names its own.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, Float32, Int64, UInt8

from tracking.cameras import rigid, rigid_inverse
from tracking.clip import Intrinsics
from tracking.errors import UserError

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
SQUARE_PIXELS = 0.005
"""Greatest difference of the two focal lengths, as a share, that counts as none."""


@dataclass(frozen=True)
class ForeignPoses:
    """Where the head is in camera space (OpenGL's axes), in the other program's head space and unit of length.

    A point x of the head is at R x + t + sum_k P_k j_k. The j_k are joints about which the program turns the head and
    which its files do not tell; formats without such have none.
    """

    rotation: Float[np.ndarray, "frames 3 3"]
    translation: Float[np.ndarray, "frames 3"]
    joint_factors: Float[np.ndarray, "joints frames 3 3"]
    """P_k."""
    joints_in_head: Float[np.ndarray, "joints 3"]
    """Where about these joints are in our head space, in centimetres."""

    @classmethod
    def from_cameras(cls, camera_to_head: Float[np.ndarray, "frames 4 4"]) -> "ForeignPoses":
        """The poses of cameras (OpenGL's axes) around a head that stands still."""
        head_to_camera = rigid_inverse(nearest_rigid(camera_to_head))
        return cls(head_to_camera[:, :3, :3], head_to_camera[:, :3, 3], *no_joints(len(camera_to_head)))


def no_joints(frames: int) -> tuple[np.ndarray, np.ndarray]:
    """`joint_factors` and `joints_in_head` of a format whose poses are complete."""
    return np.zeros((0, frames, 3, 3)), np.zeros((0, 3))


@dataclass(frozen=True)
class ForeignClip:
    """What a reader found, frame by frame in order of time."""

    source: Path
    numbers: Int64[np.ndarray, "frames"]
    """The frames' numbers in the other program's video, increasing; some may be missing."""
    image: Callable[[int], UInt8[np.ndarray, "height width 3"]]
    """The RGB picture of the frame at a position in `numbers`."""
    matte: Callable[[int], Float32[np.ndarray, "height width"] | None]
    """How much of each pixel is the person, in [0, 1]; none where the data set does not say."""
    intrinsics: Intrinsics
    poses: ForeignPoses


def read_description(root: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A `transforms.json`, or the union of `transforms_train.json`, `_val` and `_test`; and its frames, each once.

    Raises:
        UserError: there is none, it is damaged, or it lists no frames.
    """
    whole = root / "transforms.json"
    parts = [whole] if whole.is_file() else [root / f"transforms_{split}.json" for split in ("train", "val", "test")]
    parts = [part for part in parts if part.is_file()]
    if not parts:
        raise UserError(f"{root} holds no transforms.json: give the folder of a tracked data set.")
    description: dict[str, Any] = {}
    frames: list[dict[str, Any]] = []
    seen: set[str] = set()
    for part in parts:
        try:
            content = json.loads(part.read_text())
            listed = content["frames"]
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{part} is damaged or lists no frames ({error}): export the data set again.") from error
        description = {**content, **description}
        for frame in listed:
            identity = json.dumps([frame.get(key) for key in ("file_path", "img_id", "camera_index")])
            if identity not in seen:
                frames.append(frame)
                seen.add(identity)
    if not frames:
        raise UserError(f"{parts[0]} lists no frames: export the data set again.")
    return description, frames


def matrices(frames: Sequence[dict[str, Any]], source: Path) -> Float[np.ndarray, "frames 4 4"]:
    """The frames' `transform_matrix`.

    Raises:
        UserError: one is missing, of another shape, or not finite.
    """
    found = []
    for frame in frames:
        matrix = np.array(frame.get("transform_matrix"), dtype=object)
        if matrix.shape == (3, 4):
            matrix = np.concatenate([matrix, [[0, 0, 0, 1]]])
        if matrix.shape != (4, 4) or not np.isfinite(matrix.astype(np.float64)).all():
            raise UserError(f"{source} has a frame without a sound transform_matrix: export the data set again.")
        found.append(matrix.astype(np.float64))
    return np.stack(found)


def nearest_rigid(transforms: Float[np.ndarray, "frames 4 4"]) -> Float[np.ndarray, "frames 4 4"]:
    """Rotations freed of rounding; a mirrored world mirrored back.

    Raises:
        UserError: the matrices are not rotations and translations.
    """
    rotation = transforms[:, :3, :3]
    handedness = np.linalg.det(rotation)
    mirror = np.diag([-1.0, 1.0, 1.0]) if (handedness < 0).all() else np.eye(3)
    rotation = mirror @ rotation
    left, stretch, right = np.linalg.svd(rotation)
    if np.abs(stretch - 1).max() > 0.01 or (np.linalg.det(rotation) < 0).any():
        raise UserError("The data set's transform matrices are not rotations: export it without scaling its cameras.")
    return rigid(left @ right, transforms[:, :3, 3] @ mirror)


def one_camera(values: Sequence[tuple[float, float, float, float]], size: tuple[int, int], source: Path) -> Intrinsics:
    """The intrinsics that all frames share.

    Args:
        values: of every frame, focal lengths along x and y and the principal point, in pixels.
        size: width and height in pixels.

    Raises:
        UserError: the camera zooms, or its pixels are not square.
    """
    table = np.array(values, dtype=np.float64)
    focal_x, focal_y, center_x, center_y = np.median(table, axis=0)
    if not np.isfinite(table).all() or focal_x <= 0 or focal_y <= 0:
        raise UserError(f"{source} gives no focal length in pixels: export the data set with its intrinsics.")
    if np.abs(table - np.median(table, axis=0)).max() > SQUARE_PIXELS * focal_x:
        raise UserError(
            f"{source} changes its focal length from frame to frame: only a camera that does not zoom is read."
        )
    if abs(focal_x / focal_y - 1) > SQUARE_PIXELS:
        raise UserError(
            f"{source} has focal lengths of {focal_x:.1f} and {focal_y:.1f} pixels: scale its images so that pixels "
            "are square."
        )
    return Intrinsics((focal_x + focal_y) / 2, center_x, center_y, *size)


def find_picture(root: Path, name: str) -> Path:
    """A data set's file; the suffix may be missing from its name.

    Raises:
        UserError: there is no such file.
    """
    path = root / name
    for candidate in (path, *(path.with_name(path.name + suffix) for suffix in PICTURE_SUFFIXES)):
        if candidate.is_file():
            return candidate
    raise UserError(f"{path} is missing: copy the whole data set, its pictures too.")


def read_picture(path: Path) -> UInt8[np.ndarray, "height width channels"]:
    """A picture as RGB, RGBA or one channel of grey, 8 bit.

    Raises:
        UserError: it is no picture.
    """
    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if picture is None:
        raise UserError(f"{path} is no picture that can be read: copy the data set again.")
    if picture.dtype == np.uint16:
        picture = (picture // 256).astype(np.uint8)
    if picture.ndim == 2:
        return picture[..., None]
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB if picture.shape[2] == 3 else cv2.COLOR_BGRA2RGBA)


def read_rgb(path: Path) -> UInt8[np.ndarray, "height width 3"]:
    """A picture's colours."""
    picture = read_picture(path)
    return np.ascontiguousarray(np.repeat(picture, 3, axis=2) if picture.shape[2] == 1 else picture[..., :3])


def read_matte(path: Path) -> Float32[np.ndarray, "height width"] | None:
    """A picture's transparency; a grey or coloured picture's brightness."""
    picture = read_picture(path)
    channel = picture[..., 3] if picture.shape[2] == 4 else picture[..., :3].max(axis=2)
    return channel.astype(np.float32) / 255


def alpha_of(path: Path) -> Float32[np.ndarray, "height width"] | None:
    """A picture's transparency, if it has any."""
    picture = read_picture(path)
    return picture[..., 3].astype(np.float32) / 255 if picture.shape[2] == 4 else None


def number_of(name: str) -> int:
    """The last number in a file's name."""
    digits = re.findall(r"\d+", Path(name).stem)
    if not digits:
        raise UserError(f"The picture {name} has no number in its name: number the frames in order of time.")
    return int(digits[-1])


def in_order(numbers: Sequence[int]) -> list[int]:
    """Positions that sort frames by number; of frames with one number only the first."""
    first: dict[int, int] = {}
    for position, number in enumerate(numbers):
        first.setdefault(int(number), position)
    return [first[number] for number in sorted(first)]
