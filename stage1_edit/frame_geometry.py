"""What tracking knows of a frame's shape: the proxy mesh before the camera, and the landmarks."""

from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float, Int

from tracking.cameras import rigid_inverse, transform
from tracking.clip import Intrinsics, TrackedClip
from tracking.proxy_mesh import head_shell, torso_shell
from tracking.rasterize import NOTHING, Visibility, rasterize

NEAREST = 1.0
"""Centimetres before the camera; what reaches nearer is left out."""


@dataclass(frozen=True)
class FrameGeometry:
    """The head with its hair, the neck and the shoulders, as the frame's camera sees them."""

    vertices: Float[np.ndarray, "vertices 3"]
    """In an OpenGL camera's axes, in centimetres. The same vertex is the same point of the person in all frames."""
    triangles: Int[np.ndarray, "triangles 3"]
    """Counterclockwise from outside."""
    intrinsics: Intrinsics
    """The camera, in pixels of the frame."""
    landmarks: Float[np.ndarray, "points 2"]
    """MediaPipe's, in pixels of the frame."""
    head_triangles: int
    """The first so many triangles are the head's. It hides the rest, whatever the depths: the hull of neck and
    shoulders is wider than they are, and would stand before a lowered chin."""
    _seen: dict[tuple[int, int], Visibility] = field(default_factory=dict, repr=False, compare=False)

    def seen(self, size: tuple[int, int]) -> Visibility:
        """What each pixel sees of the mesh when the frame is scaled to a height and width; the scales may differ."""
        if size not in self._seen:
            self._seen[size] = self._look(size)
        return self._seen[size]

    def _look(self, size: tuple[int, int]) -> Visibility:
        camera, (height, width) = self.intrinsics, size
        down, across = height / camera.height, width / camera.width
        scaled = Intrinsics(camera.focal_length * down, camera.center_x * across, camera.center_y * down, width, height)
        # One focal length serves both axes if the mesh is stretched by what they differ in.
        stretched = self.vertices * [across / down, 1.0, 1.0]
        before = (self.vertices[self.triangles][..., 2] < -NEAREST).all(1)
        is_head = np.arange(len(self.triangles)) < self.head_triangles
        layers = []
        for chosen in (np.flatnonzero(before & is_head), np.flatnonzero(before & ~is_head)):
            layer = rasterize(stretched, self.triangles[chosen], scaled)
            layers.append(replace(layer, triangle=np.append(chosen, NOTHING)[layer.triangle]))
        head, torso = layers
        covered = head.covered
        return Visibility(
            np.where(covered, head.triangle, torso.triangle),
            np.where(covered[..., None], head.barycentric, torso.barycentric),
            np.where(covered, head.depth, torso.depth),
        )


def frame_geometry(clip: TrackedClip, frame: int) -> FrameGeometry:
    """The tracked shape of a frame.

    Args:
        frame: its number in the source video; it must be tracked.
    """
    track = clip.track
    head, head_triangles = head_shell(track.identity, track.expression[frame].astype(np.float64))
    torso, torso_triangles = torso_shell()
    vertices = [
        transform(rigid_inverse(camera_to_space[frame].astype(np.float64)), points)
        for camera_to_space, points in ((track.camera_to_head, head), (track.camera_to_torso, torso))
    ]
    return FrameGeometry(
        np.concatenate(vertices),
        np.concatenate([head_triangles, torso_triangles + len(head)]),
        clip.intrinsics,
        track.landmarks[frame],
        len(head_triangles),
    )
