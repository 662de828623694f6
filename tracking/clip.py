"""A tracked clip: what tracking writes and everything downstream reads.

On disk (`nerfstudio-data` reads the same folder as a static scene):

    clip/
        transforms.json   camera, the source video and the crop inside it; per tracked frame its files, pose and time
        images/00000.png  the crop, 8-bit RGB               | one file per tracked frame, named by the frame's
        masks/00000.png   soft matte of the person, 8-bit   | number in the source video
        labels/00000.png  `tracking.regions.Label` ids      |
        background.png    the plate: the scene without the person, as far as it was ever seen; of use where
                          transforms.json says that the background is a "plate", and not "per-frame"
        tracking.npz      the per-frame arrays of `HeadTrack`, for every frame of the source

Spaces: lengths are centimetres; cameras look along -z with y up (OpenGL). Head space is the head model's own: x to the
person's left, y up, z out of the face. Torso space is fixed to the shoulders.
"""

import json
from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, Int64, UInt8, UInt16

from tracking.background import BackgroundKind
from tracking.errors import UserError, writing_failed

FORMAT_NAME = "portrait-edit clip"
FORMAT_VERSION = 3


@dataclass(frozen=True)
class SourceVideo:
    """The video that a clip was tracked from, as displayed (after its rotation flag)."""

    path: str
    """The file, absolute."""
    width: int
    """Displayed width in pixels."""
    height: int
    """Displayed height in pixels."""
    frame_rate: str
    """Average frames per second, as a fraction such as 30000/1001."""
    time_base: str
    """Seconds per unit of `HeadTrack.presentation_timestamps`, as a fraction."""
    crop: tuple[int, int, int, int]
    """Left, top, width and height of what the images show, in source pixels."""

    @property
    def frames_per_second(self) -> float:
        return float(Fraction(self.frame_rate))


@dataclass(frozen=True)
class Intrinsics:
    """A pinhole camera without distortion, in pixels of the clip's images."""

    focal_length: float
    center_x: float
    center_y: float
    width: int
    height: int


@dataclass(frozen=True)
class HeadTrack:
    """What was measured in every frame of the source. Frames that failed to track hold NaN, never a made-up number."""

    tracked: Bool[np.ndarray, "frames"]
    """Whether the frame is to be trusted."""
    presentation_timestamps: Int64[np.ndarray, "frames"]
    """When the frame is shown, in units of the source's time base, increasing."""
    camera_to_head: Float[np.ndarray, "frames 4 4"]
    """Rigid; takes a point seen by the camera to head space."""
    camera_to_torso: Float[np.ndarray, "frames 4 4"]
    """Rigid; takes a point seen by the camera to torso space."""
    expression: Float[np.ndarray, "frames expressions"]
    """How far each named expression is on, in [0, 1]."""
    identity: Float[np.ndarray, "modes"]
    """The person's shape, as coefficients of the head model's identity basis."""
    landmarks: Float[np.ndarray, "frames points 2"]
    """Detected landmarks, in pixels of the clip's images, in MediaPipe's order; those that the detector lacks are
    laid where the others put a face's."""
    reprojection_error: Float[np.ndarray, "frames"]
    """Median distance between detected and fitted landmarks, in pixels of the clip's images."""
    expression_names: tuple[str, ...]
    """ARKit's names, in the order of `expression`."""
    flags: UInt16[np.ndarray, "frames"]
    """Bits of `tracking.frame_flags.FrameFlag`: why a frame was left out, or is less sure than others."""


@dataclass(frozen=True)
class ClipFolder:
    """Where a clip's pictures are."""

    root: Path

    def image_path(self, frame: int) -> Path:
        return self.root / "images" / f"{frame:05d}.png"

    def matte_path(self, frame: int) -> Path:
        return self.root / "masks" / f"{frame:05d}.png"

    def label_path(self, frame: int) -> Path:
        return self.root / "labels" / f"{frame:05d}.png"

    def picture_paths(self, frame: int) -> tuple[Path, Path, Path]:
        """Where a frame's image, matte and labels are."""
        return self.image_path(frame), self.matte_path(frame), self.label_path(frame)

    @property
    def background_path(self) -> Path:
        return self.root / "background.png"


@dataclass(frozen=True)
class TrackedClip(ClipFolder):
    """A talking portrait whose every frame's pose, expression, matte and labels are known."""

    source: SourceVideo
    intrinsics: Intrinsics
    track: HeadTrack
    background_kind: BackgroundKind
    """Whether the plate shows what is behind the person in every frame, or each frame only shows its own."""

    @cached_property
    def frames(self) -> Int64[np.ndarray, "tracked"]:
        """The source frame numbers that tracked and therefore have files."""
        return np.flatnonzero(self.track.tracked)

    @cached_property
    def times(self) -> Float[np.ndarray, "frames"]:
        """When each source frame is shown, from 0 at the first to 1 at the last."""
        stamps = self.track.presentation_timestamps.astype(np.float64)
        return (stamps - stamps[0]) / max(stamps[-1] - stamps[0], 1.0)

    @cached_property
    def seconds(self) -> Float[np.ndarray, "frames"]:
        """When each source frame is shown, in seconds from the first."""
        stamps = self.track.presentation_timestamps
        return (stamps - stamps[0]) * float(Fraction(self.source.time_base))

    def image(self, frame: int) -> UInt8[np.ndarray, "height width 3"]:
        """The RGB crop of a tracked frame."""
        return read_png(self.image_path(frame), cv2.IMREAD_COLOR)

    def matte(self, frame: int) -> Float32[np.ndarray, "height width"]:
        """How much of each pixel is the person, in [0, 1]."""
        return read_png(self.matte_path(frame), cv2.IMREAD_GRAYSCALE).astype(np.float32) / 255

    def labels(self, frame: int) -> UInt8[np.ndarray, "height width"]:
        """The region that each pixel of a tracked frame shows."""
        return read_png(self.label_path(frame), cv2.IMREAD_GRAYSCALE)

    def background(self) -> UInt8[np.ndarray, "height width 3"]:
        """The RGB plate, the size of the images."""
        return read_png(self.background_path, cv2.IMREAD_COLOR)

    def plate(self) -> Float32[np.ndarray, "height width 3"] | None:
        """The plate in [0, 1], or none where it is of no use: the background is each frame's own."""
        return self.background().astype(np.float32) / 255 if self.background_kind == "plate" else None

    def save_description(self) -> None:
        """Write `tracking.npz`, then `transforms.json`; the folder is a tracked clip only once the latter is there."""
        self.root.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Any] = {field.name: getattr(self.track, field.name) for field in fields(HeadTrack)}
        partial = self.root / "tracking.partial.npz"
        np.savez_compressed(partial, **arrays)
        partial.replace(self.root / "tracking.npz")
        camera = self.intrinsics
        description = {
            "format": FORMAT_NAME,
            "format_version": FORMAT_VERSION,
            "background_kind": self.background_kind,
            "source": asdict(self.source),
            "camera_model": "OPENCV",
            "fl_x": camera.focal_length,
            "fl_y": camera.focal_length,
            "cx": camera.center_x,
            "cy": camera.center_y,
            "w": camera.width,
            "h": camera.height,
            "frames": [
                {
                    "file_path": str(self.image_path(frame).relative_to(self.root)),
                    "mask_path": str(self.matte_path(frame).relative_to(self.root)),
                    "label_path": str(self.label_path(frame).relative_to(self.root)),
                    "transform_matrix": self.track.camera_to_head[frame].tolist(),
                    "time": float(self.times[frame]),
                    "timestep_index": int(frame),
                }
                for frame in self.frames
            ],
        }
        partial = self.root / "transforms.partial.json"
        partial.write_text(json.dumps(description, indent=1))
        partial.replace(self.root / "transforms.json")

    @classmethod
    def load(cls, root: Path) -> "TrackedClip":
        """Read a tracked clip and check that it is whole.

        Raises:
            UserError: the folder is no tracked clip, is of another format version, or lacks a file.
        """
        if not (root / "transforms.json").is_file():
            raise UserError(f"{root} is not a tracked clip: make one with `portrait-track VIDEO {root}`.")
        try:
            description = json.loads((root / "transforms.json").read_text())
        except json.JSONDecodeError as error:
            raise UserError(f"{root}/transforms.json is damaged ({error}): track the video again.") from error
        if description.get("format") != FORMAT_NAME:
            raise UserError(
                f"{root}/transforms.json was not written by portrait-track: track the video with "
                "`portrait-track VIDEO CLIP`."
            )
        if description["format_version"] != FORMAT_VERSION:
            raise UserError(
                f"{root} has clip format {description['format_version']}, and this version reads format "
                f"{FORMAT_VERSION}: track the video again with `portrait-track`."
            )
        if not (root / "tracking.npz").is_file():
            raise UserError(f"{root}/tracking.npz is missing: track the video again with `portrait-track`.")
        with np.load(root / "tracking.npz") as arrays:
            values = {name: arrays[name] for name in arrays.files}
        values["expression_names"] = tuple(str(name) for name in values["expression_names"])
        clip = cls(
            root=root,
            source=SourceVideo(**{**description["source"], "crop": tuple(description["source"]["crop"])}),
            intrinsics=Intrinsics(
                description["fl_x"], description["cx"], description["cy"], description["w"], description["h"]
            ),
            track=HeadTrack(**values),
            background_kind=_background_kind(description, root),
        )
        clip._require_files()
        return clip

    def _require_files(self) -> None:
        paths = [self.background_path]
        for frame in self.frames:
            paths += self.picture_paths(frame)
        missing = [path for path in paths if not path.is_file()]
        if missing:
            raise UserError(
                f"{missing[0]} is missing ({len(missing)} of {len(paths)} files are): track the video again with "
                "`portrait-track`."
            )


def _background_kind(description: dict[str, Any], root: Path) -> BackgroundKind:
    kind: Any = description.get("background_kind")
    if kind not in get_args(BackgroundKind):
        raise UserError(
            f"{root}/transforms.json does not say which background the clip has: track the video again with "
            "`portrait-track`."
        )
    return kind


def read_png(path: Path, mode: int) -> UInt8[np.ndarray, "height width *channels"]:
    """Read an 8-bit picture as RGB or grey.

    Raises:
        UserError: the file is missing or damaged.
    """
    picture = cv2.imread(str(path), mode)
    if picture is None:
        raise UserError(f"{path} is missing or is no picture: track the video again with `portrait-track`.")
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB) if picture.ndim == 3 else picture


def write_png(path: Path, picture: UInt8[np.ndarray, "height width *channels"]) -> None:
    """Write an 8-bit RGB, RGBA or grey picture, whole or not at all.

    Raises:
        UserError: there is no room, or the folder may not be written to.
    """
    swap = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}
    encoded = cv2.cvtColor(picture, swap[picture.shape[2]]) if picture.ndim == 3 else picture
    # OpenCV's own settings (run lengths only) are its fastest; to name a compression level is to give them up.
    _, data = cv2.imencode(".png", encoded)
    partial = path.with_suffix(".partial.png")
    try:
        partial.write_bytes(data.tobytes())
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise writing_failed(path, error) from error
    partial.replace(path)
