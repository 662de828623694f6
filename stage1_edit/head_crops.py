"""Face-aware editing: the head is cut out, edited at the model's full resolution, and pasted back.

A diffusion model sees 512 pixels along a side, of which a head that fills a third of the frame gets 170: too few for
eyes and teeth. PortraitGen (Gao et al. 2024, arXiv 2409.13591) therefore edits the head's crop enlarged and pastes it
back by the head's mask. Here the crop follows the tracked head and is equally large in all frames, so that nothing
breathes; and where more than the head is to be edited the crop's edit starts from the whole frame's, partly noised, so
that both agree.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
import torch
import tyro
from jaxtyping import Float
from torch import Tensor

from stage1_edit.compositing import region_mask
from stage1_edit.editing_cost import evaluations_so_far, network_behind
from stage1_edit.editor import EditRequest, FrameEditor, Image
from stage1_edit.frame_geometry import FrameGeometry, frame_geometry
from stage1_edit.prompts import EditPrompt
from tracking.cameras import project
from tracking.clip import TrackedClip
from tracking.spread_evenly import spread_evenly

MOST_LOOKED_AT = 64
"""Frames of a clip in which the head is measured."""
WORTH_IT = 0.85
"""A crop is not worth its edit if it is longer than this share of the frame's shorter side."""
HEAD_FEATHER = 0.03
"""Reach of the pasted head's soft border, as a share of the frame's shorter side."""
RIM = 0.08
"""Width of the soft rim of the crop, as a share of its side."""
SHOWS = 0.5
"""From so much of the person on a pixel counts, where it is seen whether a region lies in the crop."""


@dataclass
class HeadCropConfig:
    """Whether and how the head is edited by itself."""

    # The flag is that of the whole: --pipeline.editor.head-crop on.
    mode: Annotated[Literal["on", "off"], tyro.conf.arg(name="")] = "off"
    """on edits the head a second time, cut out and enlarged, and takes up to twice as long; of use where the head is
    small in the frame."""
    margin: float = 0.12
    """Room around the head and its hair, on every side, as a share of their longer side."""
    noise_level: float = 0.6
    """How far the head's edit may move from the whole frame's, where that is edited too."""


@dataclass(frozen=True)
class Box:
    """A part of a picture, in whole pixels."""

    left: int
    top: int
    width: int
    height: int

    def cut(self, picture: Tensor) -> Tensor:
        """The part of a picture whose first two axes are height and width."""
        return picture[self.top : self.top + self.height, self.left : self.left + self.width]


class HeadCropEditor:
    """Another editor, that sees the head by itself as well (a `FrameEditor`)."""

    def __init__(self, config: HeadCropConfig, editor: FrameEditor, side: int | None = None) -> None:
        """
        Args:
            editor: makes the edits, at a size of its own.
            side: of the crop in pixels of the frames, the same in all; `crop_side` of the first frames if not given.
        """
        self.config = config
        self.editor = editor
        self.side = side

    def check(self, prompt: EditPrompt) -> None:
        """As the editor itself."""
        self.editor.check(prompt)

    def edit(self, requests: Sequence[EditRequest]) -> list[Image | None]:
        """Edit frames: whole, where the region demands it, and then their heads."""
        boxes = [self.box(request) for request in requests]
        edits: list[Image | None] = [request.original for request in requests]
        whole = [row for row, box in enumerate(boxes) if box is None or not region_lies_in(requests[row], box)]
        for row, edit in zip(whole, self._ask([requests[row] for row in whole]), strict=True):
            edits[row] = edit
        cropped: list[tuple[int, Box, EditRequest]] = []
        for row, (request, box) in enumerate(zip(requests, boxes, strict=True)):
            edit = edits[row]
            if box is not None and edit is not None:
                start = edit if row in whole else None
                cropped.append((row, box, self.crop(request, box, start)))
        heads = self._ask([crop for _, _, crop in cropped])
        for (row, box, _), head in zip(cropped, heads, strict=True):
            edit = edits[row]
            if head is None or edit is None:
                edits[row] = None
            else:
                edits[row] = pasted(edit, head, box, paste_mask(requests[row], box))
        return edits

    @property
    def network_evaluations(self) -> int:
        """Of whole frames and heads together."""
        return evaluations_so_far(self.editor)

    def evaluations_for(self, frames: int, noise_level: float, steps_by_level: bool) -> int:
        """At most, for prompts that change more than the head: so many whole frames, and as many heads."""
        network = network_behind(self.editor)
        if network is None:
            return 0
        again = min(noise_level, self.config.noise_level)
        return sum(network.evaluations_for(frames, level, steps_by_level) for level in (noise_level, again))

    def box(self, request: EditRequest) -> Box | None:
        """Where the head is cut out; none where it is not known, or fills the frame anyway."""
        if request.geometry is None:
            return None
        height, width, _ = request.original.shape
        if self.side is None:
            self.side = crop_side([request.geometry], self.config.margin)
        if self.side > WORTH_IT * min(height, width):
            return None
        lowest, highest = head_outline(request.geometry)
        left, top = np.rint((lowest + highest - self.side) / 2).astype(int)
        limits = width - self.side, height - self.side
        return Box(int(np.clip(left, 0, limits[0])), int(np.clip(top, 0, limits[1])), self.side, self.side)

    def crop(self, request: EditRequest, box: Box, whole: Image | None) -> EditRequest:
        """What the editor is asked about a head.

        Args:
            whole: the whole frame's edit, that the head's is to agree with, if there is one.
        """
        noise_level = request.noise_level if whole is None else min(request.noise_level, self.config.noise_level)
        return replace(
            request,
            original=box.cut(request.original),
            render=box.cut(request.render if whole is None else whole),
            matte=box.cut(request.matte),
            labels=box.cut(request.labels),
            noise_level=noise_level,
            geometry=None if request.geometry is None else cropped_geometry(request.geometry, box),
        )

    def _ask(self, requests: Sequence[EditRequest]) -> Sequence[Image | None]:
        return self.editor.edit(requests) if requests else []


def clip_crop_side(clip: TrackedClip, margin: float) -> int:
    """The side of a crop that holds the head in nearly all frames of a clip."""
    rows = spread_evenly(len(clip.frames), min(MOST_LOOKED_AT, len(clip.frames)))
    return crop_side((frame_geometry(clip, int(clip.frames[row])) for row in rows), margin)


def crop_side(geometries: Iterable[FrameGeometry], margin: float) -> int:
    """The side of a crop that holds the head with its margin in 19 of 20 frames, in pixels."""
    sides = [float(np.ptp(head_outline(geometry), axis=0).max()) for geometry in geometries]
    return int(np.ceil(np.percentile(sides, 95) * (1 + 2 * margin)))


def head_outline(geometry: FrameGeometry) -> Float[np.ndarray, "2 2"]:
    """The least and the greatest x and y of the head with its hair, in pixels; it may reach out of the frame."""
    head = geometry.vertices[np.unique(geometry.triangles[: geometry.head_triangles])]
    points = project(head, geometry.intrinsics)
    return np.stack([points.min(axis=0), points.max(axis=0)])


def cropped_geometry(geometry: FrameGeometry, box: Box) -> FrameGeometry:
    """The same shape as a camera sees it that shows only the crop."""
    camera = geometry.intrinsics
    moved = replace(
        camera,
        center_x=camera.center_x - box.left,
        center_y=camera.center_y - box.top,
        width=box.width,
        height=box.height,
    )
    return replace(geometry, intrinsics=moved, landmarks=geometry.landmarks - [box.left, box.top], _seen={})


def region_lies_in(request: EditRequest, box: Box) -> bool:
    """Whether all that the prompt may change will be pasted: it belongs to the head, and lies well within the crop."""
    allowed = region_mask(request.labels, request.matte, request.prompt.region)
    outside = allowed * (1 - paste_mask(request, box).to(allowed))
    # Soft borders reach a little beyond; what matters is what is seen to be left unedited.
    return bool((outside > SHOWS).sum() <= 0.01 * (allowed > SHOWS).sum())


def paste_mask(request: EditRequest, box: Box) -> Float[Tensor, "height width 1"]:
    """How much of each pixel of the frame the head's edit gives: the head, softly, and nothing at the crop's rim."""
    mask = torch.zeros_like(request.matte)
    inside = box.cut(region_mask(request.labels, request.matte, "head", HEAD_FEATHER))
    mask[box.top : box.top + box.height, box.left : box.left + box.width] = inside * rim_window(request, box).to(inside)
    return mask


def rim_window(request: EditRequest, box: Box) -> Float[Tensor, "crop_height crop_width 1"]:
    """1 inside the crop, falling to 0 at those of its sides that are not the frame's own."""
    height, width, _ = request.original.shape
    falls = []
    for start, length, limit in ((box.top, box.height, height), (box.left, box.width, width)):
        place = (torch.arange(length, dtype=torch.float32) + 0.5) / (RIM * length)
        before = place if start > 0 else torch.ones(length)
        after = place.flip(0) if start + length < limit else torch.ones(length)
        fall = torch.minimum(before, after).clamp(0, 1)
        falls.append(fall * fall * (3 - 2 * fall))
    return (falls[0][:, None] * falls[1][None])[..., None]


def pasted(whole: Image, head: Image, box: Box, mask: Float[Tensor, "height width 1"]) -> Image:
    """The whole frame's edit with the head's laid over it; where the mask is 0 it stays exactly as it is."""
    result = whole.clone()
    under, share = box.cut(whole), box.cut(mask).to(whole)
    blended = torch.where(share > 0, torch.lerp(under, head.to(whole), share), under)
    result[box.top : box.top + box.height, box.left : box.left + box.width] = blended
    return result
