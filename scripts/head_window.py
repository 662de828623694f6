"""A square around a clip's head, in which pictures are edited larger than the frame shows them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from stage1_edit.editor import EditRequest, FrameEditor, Image
from stage1_edit.frame_geometry import FrameGeometry
from stage1_edit.head_crops import Box, cropped_geometry
from stage1_edit.prompts import EditPrompt
from tracking.clip import Intrinsics, TrackedClip

FACES = 2.1
"""The square's side in face heights, where the frame has room."""
SOFT_EDGE = 0.04
"""Share of the square's side over which the edit fades into the frame."""


@dataclass(frozen=True)
class HeadWindow:
    """The same square in every frame, so that nothing moves by where it is."""

    left: int
    top: int
    side: int
    """In pixels of the frame."""
    size: int
    """Pixels along a side of what is edited."""

    @classmethod
    def of_clip(cls, clip: TrackedClip, frames: Sequence[int], size: int) -> "HeadWindow":
        """The square around the head in these frames."""
        landmarks = clip.track.landmarks[list(frames)]
        low, high = landmarks.min((0, 1)), landmarks.max((0, 1))
        face_height = float(np.median(np.ptp(landmarks[..., 1], axis=1)))
        width, height = clip.intrinsics.width, clip.intrinsics.height
        side = min(round(max(FACES * face_height, *(high - low))), width, height)
        # A head is more hair than chin.
        center = (low + high) / 2 - [0, 0.1 * face_height]
        left, top = (
            int(np.clip(round(at - side / 2), 0, most - side))
            for at, most in zip(center.tolist(), (width, height), strict=True)
        )
        return cls(left, top, side, size)

    def request(self, request: EditRequest) -> EditRequest:
        """The same request about what the square shows, at its size."""
        geometry = request.geometry
        return replace(
            request,
            original=self._resized(request.original, "bicubic"),
            render=self._resized(request.render, "bicubic"),
            matte=self._resized(request.matte, "bilinear"),
            labels=self._resized(request.labels[..., None].float(), "nearest")[..., 0].to(request.labels),
            geometry=None if geometry is None else self._geometry(geometry),
        )

    def pasted(self, frame: Image, edited: Image) -> Image:
        """The frame with an edited square in it."""
        smaller = F.interpolate(edited.movedim(-1, 0)[None], (self.side, self.side), mode="area")[0].movedim(0, -1)
        result = frame.clone()
        inside = self._box.cut(result)
        inside.copy_(torch.lerp(inside, smaller.to(frame), self._opacity.to(frame)))
        return result

    @property
    def _box(self) -> Box:
        return Box(self.left, self.top, self.side, self.side)

    @cached_property
    def _opacity(self) -> Float[Tensor, "side side 1"]:
        inside = np.zeros((self.side, self.side), np.float32)
        edge = max(1, round(SOFT_EDGE * self.side))
        inside[edge:-edge, edge:-edge] = 1
        return torch.from_numpy(cv2.blur(inside, (2 * edge - 1, 2 * edge - 1)))[..., None]

    def _resized(
        self, picture: Float[Tensor, "height width channels"], mode: str
    ) -> Float[Tensor, "size size channels"]:
        options = {} if mode == "nearest" else {"antialias": True}
        cut = self._box.cut(picture).movedim(-1, 0)[None]
        return F.interpolate(cut, (self.size, self.size), mode=mode, **options)[0].movedim(0, -1).clamp(min=0)

    def _geometry(self, geometry: FrameGeometry) -> FrameGeometry:
        cut, scale = cropped_geometry(geometry, self._box), self.size / self.side
        camera = cut.intrinsics
        enlarged = Intrinsics(
            camera.focal_length * scale, camera.center_x * scale, camera.center_y * scale, self.size, self.size
        )
        return replace(cut, intrinsics=enlarged, landmarks=(cut.landmarks * scale).astype(np.float32), _seen={})


@dataclass(frozen=True)
class HeadWindowEditor:
    """Another editor, that sees and edits the square alone (a `FrameEditor`)."""

    editor: FrameEditor
    window: HeadWindow

    def edit(self, requests: Sequence[EditRequest]) -> list[Image | None]:
        """Edit what the square shows; around it the render stays."""
        edits = self.editor.edit([self.window.request(request) for request in requests])
        return [
            None if edited is None else self.window.pasted(request.render, edited.clamp(0, 1))
            for request, edited in zip(requests, edits, strict=True)
        ]

    def check(self, prompt: EditPrompt) -> None:
        """As the editor itself."""
        self.editor.check(prompt)
