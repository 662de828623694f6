"""A rendered head as a tracked clip, and the same head from the side: the truth that an orbit can be compared with.

ICT-FaceKit's head, whose ears and back are geometry, is filmed from before while it turns by at most 12 degrees, and
tracked like any video, only that the lens is stated and that the mattes are true. From the side it is rendered
without background, noise or blur. The camera is turned about its own upward axis, as `--orbit` does, through the
point of the true head that the avatar is orbited about: how the tracked head space lies in the head does not matter
then, only where the face is.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import av
import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8
from synthetic_rendering import SUPERSAMPLING, Camera, Lighting, render
from synthetic_sequences import FRAME_RATE, PEOPLE, SEQUENCES, BenchmarkData
from synthetic_skin import paint
from tracking_truth import Correspondence, find_correspondence

from tracking.cameras import rigid_inverse, rotation_from_vector
from tracking.clip import Intrinsics, TrackedClip, write_png
from tracking.head_model import HeadModel
from tracking.rasterize import rasterize, scale_intrinsics
from tracking.track import track_video
from tracking.track_config import TrackConfig

RENDERED = "expressions_175"
SIZE = 256
"""Of the tracked clip's images, their longer side in pixels."""


@dataclass(frozen=True)
class SideView:
    """What a view from the side really shows."""

    foreground: Float32[np.ndarray, "height width 3"]
    """Premultiplied colour."""
    opacity: Float32[np.ndarray, "height width"]


class OrbitTruth:
    """One of the tracking benchmark's sequences, as a tracked clip and from any side."""

    def __init__(self, data: BenchmarkData, name: str = RENDERED) -> None:
        self.data = data
        self.sequence = next(one for one in SEQUENCES if one.name == name)
        self.truth = data.truth(self.sequence)
        self.neutral = data.neutral(self.sequence)
        self.same_points: Correspondence = find_correspondence(data.heads)
        self.painting = paint(data.heads, PEOPLE[self.sequence.person])

    def clip(self) -> TrackedClip:
        """The tracked clip, made once and kept."""
        folder = self.data.cache / f"orbit_{self.sequence.name}"
        if not (folder / "transforms.json").is_file():
            video = folder.with_suffix(".mkv")
            write_lossless(video, self.data.frames(self.sequence))
            config = TrackConfig(size=SIZE, crop="full", workers=1)
            config.fit.camera.focal_length = self.sequence.focal_length
            self.write_mattes(track_video(video, folder, config))
        return TrackedClip.load(folder)

    def seen(self, clip: TrackedClip, frame: int, pivot: Float[np.ndarray, "3"], yaw: float) -> SideView:
        """A frame's head with the camera swung around it.

        Args:
            pivot: in the clip's head space, in centimetres.
            yaw: degrees, as for `stage2_nerf.orbit.orbit`.
        """
        vertices = self.vertices(frame)
        center = self.true_point(clip, frame, pivot, vertices)
        # The camera goes to its right: before it everything else goes the other way round, the lamp too.
        turn = rotation_from_vector(np.radians([0.0, -yaw, 0.0])).astype(np.float32)
        turned = (vertices - center) @ turn.T + center
        lamp = turn @ np.array(self.sequence.light, np.float32)
        lighting = Lighting((float(lamp[0]), float(lamp[1]), float(lamp[2])), self.sequence.lamp, self.sequence.ambient)
        intrinsics = self.intrinsics(clip)
        pictures = []
        for level in (0, 255):
            behind = np.full((intrinsics.height, intrinsics.width, 3), level, np.uint8)
            picture = render(
                self.data.heads,
                self.painting,
                PEOPLE[self.sequence.person],
                turned.astype(np.float32),
                lighting,
                Camera(intrinsics, noise=0.0, blur=0.0),
                behind,
                np.random.default_rng(0),
            )
            pictures.append(picture.astype(np.float32) / 255)
        opacity = 1 - (pictures[1] - pictures[0]).mean(-1)
        return SideView(pictures[0], opacity.clip(0, 1))

    def vertices(self, frame: int) -> Float32[np.ndarray, "vertices 3"]:
        """The head before the camera that films it."""
        expression = {name: float(values[frame]) for name, values in self.truth.expression.items()}
        vertices = self.data.heads.vertices(self.neutral, expression)
        return (vertices @ self.truth.rotation[frame].T + self.truth.translation[frame]).astype(np.float32)

    def intrinsics(self, clip: TrackedClip) -> Intrinsics:
        """The true camera, at the size of the clip's images."""
        true = self.data.intrinsics(self.sequence)
        scaled = scale_intrinsics(true, clip.intrinsics.width / true.width)
        return replace(scaled, width=clip.intrinsics.width, height=clip.intrinsics.height)

    def write_mattes(self, clip: TrackedClip) -> None:
        """Put the true opacities in the place of the tracked ones."""
        large = scale_intrinsics(self.intrinsics(clip), SUPERSAMPLING)
        size = clip.intrinsics.width, clip.intrinsics.height
        for frame in clip.frames:
            covered = rasterize(self.vertices(int(frame)), self.data.heads.triangles, large).covered
            opacity = cv2.resize(covered.astype(np.float32), size, interpolation=cv2.INTER_AREA)
            write_png(clip.matte_path(int(frame)), (opacity * 255).round().astype(np.uint8))

    def true_point(
        self,
        clip: TrackedClip,
        frame: int,
        point: Float[np.ndarray, "3"],
        vertices: Float[np.ndarray, "vertices 3"],
    ) -> Float[np.ndarray, "3"]:
        """Where a point of the tracked head is in the true one, before the camera: as far from the middle of the face.

        Tracking sees a head of another size at another distance, and so in the same picture.
        """
        face = HeadModel.load().neutral(clip.track.identity)[: len(self.same_points.corners)]
        head_to_camera = rigid_inverse(clip.track.camera_to_head[frame])
        middle, posed = (at @ head_to_camera[:3, :3].T + head_to_camera[:3, 3] for at in (face.mean(0), point))
        true_middle = self.same_points.on(vertices).mean(0)
        return (true_middle + (posed - middle) * true_middle[2] / middle[2]).astype(np.float32)


def write_lossless(path: Path, frames: UInt8[np.ndarray, "frames height width 3"]) -> None:
    """A video that holds frames as they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=round(FRAME_RATE))
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "bgr0"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode())
