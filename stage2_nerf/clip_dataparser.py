"""A tracked clip as nerfstudio's cameras, and what the model needs to know about the person in it.

Cameras are camera-to-head transforms: the head stands still and the camera moves around it. Lengths are scene units of
ten centimetres. The whole clip's motion table goes to the model whatever the split, so that it can look any time up.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float, Float32, Int64, UInt8
from nerfstudio.cameras.cameras import Cameras, CameraType
from nerfstudio.data.dataparsers.base_dataparser import DataParser, DataParserConfig, DataparserOutputs
from nerfstudio.data.scene_box import SceneBox
from scipy.spatial import KDTree

from stage2_nerf.clip_checks import require_sound
from stage2_nerf.deformation import spread_displacements
from stage2_nerf.near_side import MIDDLE
from stage2_nerf.proxy_gaps import PartHull, close_gaps
from stage2_nerf.proxy_grid import ProxyGrid, build_proxy, voxel_centres
from stage2_nerf.proxy_shell import (
    OUTLINE_MARGIN,
    inside_shell,
    keep_near_shell,
    round_behind_outline,
    silhouettes,
    where_shown,
)
from tracking.clip import Intrinsics, TrackedClip
from tracking.errors import UserError
from tracking.head_model import HeadModel
from tracking.proxy_mesh import FACE_POINTS, head_shell, torso_shell
from tracking.regions import TORSO_LABELS, Label
from tracking.track import find_or_track

SCENE_UNITS_PER_CENTIMETRE = 0.1
SHELL_MARGIN = 1.0
"""How far, in centimetres, head and torso may reach out of their shells."""
FACE_MARGIN = 1.5
"""How far from the tracked face, in centimetres, the head may be whatever else is said of its depth."""
LEAST_TORSO = 10.0
"""Height of a torso that the pictures hardly show, in centimetres."""


@dataclass
class PortraitClipDataParserConfig(DataParserConfig):
    """A tracked clip; or a video, which is tracked first."""

    _target: type = field(default_factory=lambda: PortraitClipDataParser)
    data: Path = Path()
    """The tracked clip's folder; or a video, or a folder that holds one: it is tracked first, once."""
    held_out_interval: int = 0
    """Keep every so many-th frame out of training and evaluate on those; 0 trains on all frames (an edited video shows
    them all) and evaluates on every eighth of them."""
    proxy_resolution: int = 64
    """Cells along a side of the grids that guide sampling."""
    displacement_resolution: int = 24
    """Voxels along a side of the head model's displacement grid."""


@dataclass
class PortraitClipDataParser(DataParser):
    """Reads a tracked clip."""

    config: PortraitClipDataParserConfig
    includes_time: bool = True
    downscale_factor: int = 1

    def _generate_dataparser_outputs(self, split: str = "train", **kwargs: Any) -> DataparserOutputs:
        clip = self.clip
        frames = clip.frames
        chosen = self.split_frames(frames, split)
        scale = SCENE_UNITS_PER_CENTIMETRE
        head_to_torso = clip.track.camera_to_torso[frames] @ np.linalg.inv(clip.track.camera_to_head[frames])
        metadata: dict[str, Any] = {
            "clip": clip,
            "frames": chosen,
            "frame_times": torch.from_numpy(clip.times[frames].astype(np.float32)),
            "expression_codes": torch.from_numpy(clip.track.expression[frames].astype(np.float32)),
            "head_to_torso": scaled_transforms(head_to_torso, scale),
            **self.person,
        }
        box = metadata["head_proxy"].box
        return DataparserOutputs(
            image_filenames=[clip.image_path(int(frame)) for frame in chosen],
            cameras=clip_cameras(clip, chosen),
            scene_box=SceneBox(aabb=box),
            metadata=metadata,
            dataparser_scale=scale,
        )

    @cached_property
    def clip(self) -> TrackedClip:
        """The tracked clip, read once for all splits."""
        clip = find_or_track(self.config.data)
        require_sound(clip)
        return clip

    @cached_property
    def person(self) -> dict[str, Any]:
        """What the model needs to know about the person, the same for all splits."""
        return person(self.clip, self.config, SCENE_UNITS_PER_CENTIMETRE)

    def split_frames(self, frames: Int64[np.ndarray, "tracked"], split: str) -> Int64[np.ndarray, "chosen"]:
        """The frames of a split. The evaluation frames are every eighth, or those held out of training."""
        held_out = np.arange(len(frames)) % (self.config.held_out_interval or 8) == 4
        if split != "train":
            return frames[held_out]
        return frames[~held_out] if self.config.held_out_interval else frames


def clip_cameras(clip: TrackedClip, frames: Int64[np.ndarray, "chosen"]) -> Cameras:
    """The cameras that filmed some tracked frames, in the head's scene."""
    camera = clip.intrinsics
    return Cameras(
        camera_to_worlds=scaled_transforms(clip.track.camera_to_head[frames], SCENE_UNITS_PER_CENTIMETRE)[:, :3],
        fx=camera.focal_length,
        fy=camera.focal_length,
        cx=camera.center_x,
        cy=camera.center_y,
        width=camera.width,
        height=camera.height,
        camera_type=CameraType.PERSPECTIVE,
        times=torch.from_numpy(clip.times[frames].astype(np.float32))[:, None],
    )


def scaled_transforms(transforms: Float[np.ndarray, "frames 4 4"], scale: float) -> Float32[torch.Tensor, "frames 4 4"]:
    """Rigid transforms between spaces in centimetres, as the same between spaces in scene units."""
    scaled = transforms.copy()
    scaled[:, :3, 3] *= scale
    return torch.from_numpy(scaled.astype(np.float32))


def person(clip: TrackedClip, config: PortraitClipDataParserConfig, scale: float) -> dict[str, Any]:
    """The proxies of head and torso and the displacement of each expression, in scene units.

    Raises:
        UserError: the clip was fitted with another head model.
    """
    model = HeadModel.load()
    fitted = len(clip.track.identity), clip.track.expression_names
    if fitted != (len(model.identity_basis), model.expression_names):
        raise UserError(
            f"{clip.root} was fitted with another head model than this version's: track the video again with "
            f"`portrait-track {clip.source.path} {clip.root} --overwrite`."
        )
    neutral = model.neutral(clip.track.identity)
    seen = clip.frames[np.linspace(0, len(clip.frames) - 1, min(32, len(clip.frames))).round().astype(int)]
    shrink = min(1.0, 160 / max(clip.intrinsics.width, clip.intrinsics.height))
    size = round(clip.intrinsics.width * shrink), round(clip.intrinsics.height * shrink)
    mattes = np.stack([cv2.resize(clip.matte(int(frame)), size, interpolation=cv2.INTER_AREA) for frame in seen])
    proxies: dict[str, ProxyGrid] = {}
    parts = (
        ("head", clip.track.camera_to_head[seen], head_shell(clip.track.identity), 1.0),
        ("torso", clip.track.camera_to_torso[seen], torso_shell(), 3.0),
    )
    covered = np.logical_or(
        *(silhouettes(*shell, np.linalg.inv(to_space), clip.intrinsics, size) for _, to_space, shell, _ in parts)
    )
    labels = [clip.labels(int(frame)) for frame in seen]
    hulls: list[PartHull] = []
    for part, camera_to_space, shell, thickness in parts:
        box = bounding_box(clip, seen, camera_to_space, shell[0], part)
        to_camera = np.linalg.inv(camera_to_space)
        points = voxel_centres(box, config.proxy_resolution)
        inside = inside_shell(points, *shell, SHELL_MARGIN)
        own = mattes * np.stack([cv2.resize(shows(part, one), size, interpolation=cv2.INTER_AREA) for one in labels])
        shown = where_shown(points, own, to_camera, clip.intrinsics)
        near = keep_near_shell(points, inside, shown, own, covered, to_camera, clip.intrinsics)
        middle, margin = np.array(MIDDLE[part]) / scale, OUTLINE_MARGIN[part]
        rounded = round_behind_outline(points, mattes, to_camera, clip.intrinsics, middle, margin)
        if part == "head":
            rounded |= KDTree(neutral[:FACE_POINTS]).query(points)[0] < FACE_MARGIN
        to_scene = to_camera.copy()
        to_scene[:, :3, 3] *= scale
        resolution, surface = config.proxy_resolution, shell[0] * scale
        proxy = build_proxy(box * scale, resolution, surface, mattes, to_scene, clip.intrinsics, thickness * scale)
        proxies[part] = proxy
        allowed = proxy.hull.numpy().ravel()
        spacing = float((box[1] - box[0]).max()) / (resolution - 1)
        kept = allowed & near & rounded
        hulls.append(PartHull(points, spacing, to_camera, kept, allowed & shown, allowed))
    for part, hull in zip(list(proxies), close_gaps(hulls, mattes, clip.intrinsics), strict=True):
        whole = proxies[part].hull
        proxies[part] = replace(proxies[part], hull=torch.from_numpy(hull).view(whole.shape))
    displacement = spread_displacements(
        neutral * scale,
        model.expression_deltas * scale,
        proxies["head"].box.numpy(),
        config.displacement_resolution,
        reach=1.5 * scale,
    )
    return {
        "head_proxy": proxies["head"],
        "torso_proxy": proxies["torso"],
        "expression_displacement": torch.from_numpy(displacement),
    }


def shows(part: str, labels: UInt8[np.ndarray, "height width"]) -> Float32[np.ndarray, "height width"]:
    """1 where head or torso is seen, else 0. What has no label of its own, such as a hat or a hand, may be either's."""
    of_torso = np.isin(labels, [int(label) for label in TORSO_LABELS])
    of_part = of_torso if part == "torso" else ~of_torso & (labels != Label.BACKGROUND)
    return (of_part | (labels == Label.OTHER)).astype(np.float32)


def bounding_box(
    clip: TrackedClip,
    frames: Int64[np.ndarray, "seen"],
    camera_to_space: Float[np.ndarray, "seen 4 4"],
    shell: Float[np.ndarray, "vertices 3"],
    part: str,
) -> Float[np.ndarray, "2 3"]:
    """Lowest and highest corner, in centimetres, of what head or torso fills.

    Depth is the shell's. Width and height also hold the pixels labelled as the part, placed at the depth of the
    space's origin, so that wide shoulders and long hair fit. The torso ends where no picture shows more of it.
    """
    camera = clip.intrinsics
    low, high = [shell.min(0)], [shell.max(0)]
    for frame, to_space in zip(frames, camera_to_space, strict=True):
        labels = clip.labels(int(frame))
        is_torso = np.isin(labels, [int(label) for label in TORSO_LABELS])
        row, column = np.nonzero(is_torso if part == "torso" else (labels != Label.BACKGROUND) & ~is_torso)
        if len(row) < 50:
            continue
        depth = -np.linalg.inv(to_space)[2, 3]
        points = np.stack([column + 0.5 - camera.center_x, camera.center_y - row - 0.5], axis=1) * (
            depth / camera.focal_length
        )
        points = np.concatenate([points, np.full((len(points), 1), -depth)], axis=1)
        points = points @ to_space[:3, :3].T + to_space[:3, 3]
        low.append(np.append(np.percentile(points[:, :2], 0.5, axis=0) - 1.5, np.inf))
        high.append(np.append(np.percentile(points[:, :2], 99.5, axis=0) + 1.5, -np.inf))
    box = np.stack([np.min(low, axis=0), np.max(high, axis=0)])
    if part == "torso":
        lowest = min(lowest_shown(camera, to_space, box[0, 2]) for to_space in camera_to_space)
        box[0, 1] = np.clip(lowest - 1.5, box[0, 1], box[1, 1] - LEAST_TORSO)
    return box


def lowest_shown(camera: Intrinsics, camera_to_space: Float[np.ndarray, "4 4"], back: float) -> float:
    """Height at which the picture's lower edge is, as far from the camera as `back` is behind the space's origin."""
    depth = -np.linalg.inv(camera_to_space)[2, 3] - back
    edge = np.array([0.0, (camera.center_y - camera.height) / camera.focal_length, -1.0])
    return float((camera_to_space[:3, :3] @ (depth * edge) + camera_to_space[:3, 3])[1])
