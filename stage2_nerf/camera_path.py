"""nerfstudio's camera paths, as its viewer writes them, for the camera of a rendered video.

A path is a list of cameras in the avatar's scene; its file says how many of them a second shows, and may say which
moment of the clip each looks at (`render_time`, 0 at the clip's first frame and 1 at its last). As with `ns-render
camera-path` the times count if all cameras have one. If none has, keyframes' times are spread over the path; without
those the path is spread over the clip, which plays as it was filmed. What the path is seen through is the film's own
lens, drawn out or in to the path's field of view. The viewer writes one of 75 degrees unless another is chosen in its
render tab, however wide it shows the scene itself; that one is nobody's choice, and the film's stays. So the camera of
"Look from the film's camera" gives the filmed view.
"""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from nerfstudio.cameras.camera_paths import get_path_from_json
from nerfstudio.cameras.cameras import Cameras, CameraType
from scipy.spatial.transform import Rotation, Slerp
from torch import Tensor

from tracking.errors import UserError
from tracking.video import VideoFrame

FRAMES_KEPT = 16
"""Decoded frames that are kept for a path that goes back in time, which no decoder does."""
UNCHOSEN_DEGREES = 75.0
"""The field of view that nerfstudio's render tab begins with."""
LEAST_ASIDE = 0.1
"""Degrees around the head that are taken for none."""
SAME_TIME = 1e-4
"""Times of the clip, of which the whole is 1, that differ by less are one moment."""


@dataclass(frozen=True)
class PathView:
    """One camera of a path."""

    camera_to_head: Float[np.ndarray, "3 4"]
    """In scene units, OpenGL."""
    focal_length: float | None
    """In heights of the clip's images; none for the film's own."""
    time: float | None
    """The moment of the clip that it shows, in [0, 1]; none for that of the frame at hand."""


@dataclass(frozen=True)
class CameraPath:
    """A camera's way."""

    camera_to_head: Float[np.ndarray, "cameras 4 4"]
    focal_lengths: Float[np.ndarray, "cameras"] | None
    """In heights of the picture; none if nobody chose them, and the film's are meant."""
    times: Float[np.ndarray, "cameras"] | None
    """Which moment of the clip each camera shows, in [0, 1]; none if the path does not say."""
    frame_rate: Fraction | None
    """Cameras to a second, if the path says so."""

    @property
    def is_still(self) -> bool:
        """Whether all cameras look at one moment."""
        return self.times is not None and bool(np.ptp(self.times) < SAME_TIME)

    def view(self, index: int) -> PathView:
        """One of its cameras."""
        time = None if self.times is None else float(self.times[index])
        focal_length = None if self.focal_lengths is None else float(self.focal_lengths[index])
        return PathView(self.camera_to_head[index, :3], focal_length, time)

    def at(self, fraction: float) -> PathView:
        """The camera that is so far along the way, in [0, 1]; it shows the frame at hand."""
        place = float(np.clip(fraction, 0, 1)) * (len(self.camera_to_head) - 1)
        before = min(int(place), max(len(self.camera_to_head) - 2, 0))
        if len(self.camera_to_head) == 1:
            return replace(self.view(0), time=None)
        part = place - before
        pair = self.camera_to_head[before : before + 2]
        turn = Slerp([0, 1], Rotation.from_matrix(pair[:, :3, :3]))(part).as_matrix()
        indices = np.arange(len(self.camera_to_head))
        way = (1 - part) * pair[0, :3, 3] + part * pair[1, :3, 3]
        focal_length = None if self.focal_lengths is None else float(np.interp(place, indices, self.focal_lengths))
        return PathView(np.concatenate([turn, way[:, None]], axis=1), focal_length, None)


def read_camera_path(path: Path) -> CameraPath:
    """Read what nerfstudio's viewer wrote ("Generate command" on its render tab).

    Raises:
        UserError: the file is missing, no camera path, empty, or not of perspective cameras.
    """
    how = "move the camera in the viewer's render tab, and take the file that its button Generate Command writes"
    if not path.is_file():
        raise UserError(f"{path} does not exist: {how}.")
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
        if not described["camera_path"]:
            raise UserError(f"{path} holds no cameras: add two keyframes or more in the viewer's render tab.")
        cameras = get_path_from_json(described)
        matrices = np.stack([np.asarray(camera["camera_to_world"], float) for camera in described["camera_path"]])
        frame_rate = Fraction(described["fps"]).limit_denominator(1001) if described.get("fps") else None
        height = float(described["render_height"])
        times = path_times(described)
    except UserError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no camera path of nerfstudio's viewer: {how}.") from error
    if int(cameras.camera_type.reshape(-1)[0]) != CameraType.PERSPECTIVE.value:
        raise UserError(f"{path} is of {described['camera_type']} cameras: choose Perspective in the render tab.")
    focal_lengths = cameras.fy.reshape(-1).double().numpy() / height
    camera_to_head = matrices.reshape(-1, 4, 4)
    values = [camera_to_head, focal_lengths, *([] if times is None else [times])]
    if not all(np.isfinite(value).all() for value in values) or (focal_lengths <= 0).any():
        raise UserError(f"{path} is damaged: a camera's place, field of view or time is not a number.")
    return CameraPath(camera_to_head, None if is_lens_unchosen(described) else focal_lengths, times, frame_rate)


def is_lens_unchosen(described: dict[str, Any]) -> bool:
    """Whether a path's field of view is the viewer's own throughout."""
    views = [described.get("default_fov"), *(camera["fov"] for camera in described["camera_path"])]
    return all(view == UNCHOSEN_DEGREES for view in views)


def path_times(described: dict[str, Any]) -> Float[np.ndarray, "cameras"] | None:
    """The times that all cameras say, or else all keyframes, in [0, 1]; none if there are none."""
    count = len(described["camera_path"])
    for places in (described["camera_path"], described.get("keyframes") or ()):
        stated = [place.get("render_time") for place in places]
        if stated and None not in stated:
            spread = np.interp(np.linspace(0, 1, count), np.linspace(0, 1, len(stated)), np.asarray(stated, float))
            return np.clip(spread, 0, 1)
    return None


def seen_along(camera: Cameras, view: PathView) -> Cameras:
    """The clip's camera where the path's is, with the path's field of view and moment.

    Args:
        camera: one of the clip's cameras, at the moment of the frame at hand.
    """
    focal_length = camera.fy
    if view.focal_length is not None:
        focal_length = torch.full_like(camera.fy, view.focal_length * float(camera.height.reshape(-1)[0]))
    times = camera.times if view.time is None or camera.times is None else torch.full_like(camera.times, view.time)
    return Cameras(
        camera_to_worlds=torch.from_numpy(view.camera_to_head).to(camera.camera_to_worlds)[None],
        fx=focal_length,
        fy=focal_length.clone(),
        cx=camera.cx,
        cy=camera.cy,
        width=camera.width,
        height=camera.height,
        camera_type=camera.camera_type,
        times=times,
    )


def degrees_aside(camera: Cameras, view: PathView, middle: Float[Tensor, "3"]) -> float:
    """How far a path's camera has gone around the head from the film's camera; none for less than a tenth of a degree.

    Args:
        middle: of the head, in scene units.
    """
    ways = [
        position - middle.double().cpu()
        for position in (camera.camera_to_worlds[0, :, 3].double().cpu(), torch.from_numpy(view.camera_to_head[:, 3]))
    ]
    cosine = float(torch.nn.functional.cosine_similarity(*ways, dim=0))
    degrees = math.degrees(math.acos(min(max(cosine, -1.0), 1.0)))
    return degrees if degrees >= LEAST_ASIDE else 0.0


def frames_in_order(frames: Iterable[VideoFrame], wanted: Sequence[int]) -> Iterator[VideoFrame]:
    """Frames by number, in any order, out of a video that can only be read from its beginning, again and again.

    Args:
        wanted: their numbers. Of one past the end there is the last frame instead.
    """
    kept: dict[int, VideoFrame] = {}
    coming, last = iter(frames), -1
    for number in wanted:
        if number not in kept and number <= last:
            coming, last = iter(frames), -1
            kept.clear()
        while number not in kept and (frame := next(coming, None)) is not None:
            kept[frame.index] = frame
            last = frame.index
            if len(kept) > FRAMES_KEPT:
                kept.pop(min(kept))
        yield kept.get(number) or kept[max(kept)]
