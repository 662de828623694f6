"""Edits gathered on the tracked surface: what many frames' edits agree on, shown to every frame as its edit's start.

Edits of single frames disagree in tint and texture. On the surface of the tracked person they can be compared: the
same point of the mesh is known in every frame. So the edited frames' *change*, edited less filmed, is gathered there by
a robust mean, rendered into a frame, and added to the frame as filmed; the next, weaker denoising starts from that. The
frame keeps its own detail, light and expression, and takes the change that all agree on. This is AvatarMakeup's
coherent duplication (Zhong et al. 2025, arXiv 2507.02419) and MeDM's pixel repository (Chu et al. 2024, arXiv
2308.10079), on the proxy mesh; both gather colours, which would smear what the coarse mesh misplaces, as hair.

Where no frame saw the surface, and inside of mouth and eyes, whose content changes, the start is the avatar's render.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from stage1_edit.editor import Image
from stage1_edit.frame_geometry import FrameGeometry
from stage1_edit.mesh_colors import MeshTexels, fitting_resolution
from stage1_edit.robust_mean import robust_mean
from tracking.cameras import project
from tracking.face_regions import INNER_LIPS, LEFT_EYE, RIGHT_EYE

LEAST_FACING = 0.15
"""Cosine between normal and line of sight below which a place is not gathered."""
HIDDEN = 1.0
"""Centimetres behind what a frame shows, from which on a texel counts as hidden: lattices run beneath their neighbours
where the mesh is bent."""
ENOUGH = 0.3
"""Weight of all views together, from which on a place is known: one that was seen at 57 degrees will do."""
ROW = 256
SOFTNESS = 0.01
"""Reach of the known places' soft border, in the picture's longer sides."""


@dataclass(frozen=True)
class View:
    """An edited frame on the surface."""

    change: Float[np.ndarray, "texels 3"]
    weight: Float[np.ndarray, "texels"]
    """Cosine between normal and line of sight, times the share of the person; 0 where the frame does not show it."""


@dataclass(frozen=True)
class SurfaceChange:
    """What edited frames agree on."""

    texels: MeshTexels
    change: Float[np.ndarray, "texels 3"]
    weight: Float[np.ndarray, "texels"]
    """How well each place was seen, by all views together; above 1 nothing is gained."""

    def start(
        self, original: Image, render: Image, matte: Float[torch.Tensor, "height width 1"], geometry: FrameGeometry
    ) -> Image:
        """Where a frame's edit is to start: the original with the change where that is known, elsewhere the render."""
        changed, known = self.shown(original, matte, geometry)
        return torch.lerp(render.to(original), changed, known)

    def shown(
        self, original: Image, matte: Float[torch.Tensor, "height width 1"], geometry: FrameGeometry
    ) -> tuple[Image, Float[torch.Tensor, "height width 1"]]:
        """The original with the change, and where that is known, in [0, 1], with a soft border."""
        height, width = original.shape[:2]
        visibility = geometry.seen((height, width))
        both = np.concatenate([self.change, self.weight[:, None]], axis=1).astype(np.float32)
        seen = self.texels.look_up(both, visibility)
        known = (seen[..., 3] / ENOUGH).clip(0, 1) * ~is_opening(geometry.triangles)[visibility.triangle]
        known = known * matte[..., 0].float().cpu().numpy()
        size = 2 * round(SOFTNESS * max(height, width)) + 1
        # Eroded, then blurred: nothing shows beyond the border, and there is no edge that an editor could take up.
        known = cv2.blur(cv2.erode(known.astype(np.float32), np.ones((size, size), np.uint8)), (size, size))
        changed = (original + torch.from_numpy(seen[..., :3]).to(original)).clamp(0, 1)
        return changed, torch.from_numpy(known)[..., None].to(original)

    def save(self, path: Path, number: int) -> None:
        """Write it, whole or not at all, with the number of the order that it was gathered for."""
        partial = path.with_suffix(".partial.npz")
        np.savez_compressed(
            partial,
            number=number,
            resolution=self.texels.resolution,
            change=self.change,
            weight=self.weight,
        )
        partial.replace(path)

    @classmethod
    def load(cls, path: Path, number: int) -> "SurfaceChange | None":
        """What was gathered for an order of that number, if it was."""
        if not path.is_file():
            return None
        with np.load(path) as kept:
            if int(kept["number"]) != number:
                return None
            texels = MeshTexels.of_resolution(kept["resolution"])
            return cls(texels, kept["change"], kept["weight"])


def view_of(
    texels: MeshTexels,
    change: Float[np.ndarray, "height width 3"],
    share: Float[np.ndarray, "height width"],
    geometry: FrameGeometry,
) -> View:
    """Look at a frame's change from the texels.

    Args:
        change: edited less filmed.
        share: how much of each pixel the change speaks of: the person, or a region.
    """
    height, width = share.shape
    points = texels.on(geometry.vertices.astype(np.float32), geometry.triangles)
    corners = geometry.vertices[geometry.triangles]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = (normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)).astype(np.float32)
    away = np.linalg.norm(points, axis=1)
    facing = -np.einsum("tc,tc->t", normals[texels.triangle], points) / np.maximum(away, 1e-6)
    # What reaches behind the camera cannot be projected, and is not seen.
    before = points[:, 2] < -1e-3
    points = np.where(before[:, None], points, [[0, 0, -1]]).astype(np.float32)
    camera = geometry.intrinsics
    pixels = project(points, camera) * [width / camera.width, height / camera.height]
    columns, rows = (pixels - 0.5).astype(np.float32).T
    inside = (columns > -0.5) & (rows > -0.5) & (columns < width - 0.5) & (rows < height - 0.5)
    depth = geometry.seen((height, width)).depth
    nearest = depth[np.rint(rows).clip(0, height - 1).astype(int), np.rint(columns).clip(0, width - 1).astype(int)]
    shown = before & inside & (facing > LEAST_FACING) & (-points[:, 2] < nearest + HIDDEN) & np.isfinite(nearest)
    picture = np.dstack([change, share]).astype(np.float32)
    # OpenCV's maps are pictures of less than 2^15 pixels a side: the texels go into rows.
    padding = -len(columns) % ROW
    across, down = (np.pad(axis, (0, padding)).reshape(-1, ROW) for axis in (columns, rows))
    sampled = cv2.remap(picture, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    sampled = sampled.reshape(-1, 4)[: len(columns)]
    return View(sampled[:, :3], np.where(shown, facing * sampled[:, 3], 0).astype(np.float32))


def gathered(texels: MeshTexels, views: Sequence[View]) -> SurfaceChange:
    """What the views agree on."""
    weights = np.stack([view.weight for view in views])
    total = weights.sum(axis=0)
    known = np.flatnonzero(total > 0)
    change = np.zeros((len(texels), 3), np.float32)
    values = np.stack([view.change[known] for view in views])
    change[known] = robust_mean(values, weights[:, known])
    return SurfaceChange(texels, change, np.minimum(total, 1.0))


def is_opening(triangles: Int[np.ndarray, "triangles 3"]) -> Bool[np.ndarray, "triangles"]:
    """Which triangles close the mouth and the eyes."""
    inside = [np.isin(triangles, part).all(1) for part in (INNER_LIPS, RIGHT_EYE, LEFT_EYE)]
    return np.any(inside, axis=0)


@dataclass
class SurfaceStarts:
    """Gives every frame's edit its start, from the frames edited so far (`StartingPictures`)."""

    views: Sequence[int]
    """Frames to gather from, the most telling first, once they are edited."""
    original: Callable[[int], Image]
    edited: Callable[[int], Image]
    """The picture that an edited frame has now."""
    share: Callable[[int], Float[torch.Tensor, "height width 1"]]
    """How much of each pixel a frame's edit speaks of."""
    geometry: Callable[[int], FrameGeometry]
    file: Path | None = None
    """Where what was gathered for a round is kept while the round lasts."""
    most_views: int = 60
    """Frames gathered from at most."""
    _texels: MeshTexels | None = field(default=None, init=False)
    _looked_at: dict[int, View] = field(default_factory=dict, init=False)
    _change: SurfaceChange | None = field(default=None, init=False)

    def begin(self, number: int, done: set[int], is_round: bool) -> None:
        """Gather, before some frames are edited, from those that have been."""
        file = self.file if is_round else None
        kept = None if file is None else SurfaceChange.load(file, number)
        if kept is not None:
            self._texels = kept.texels
        if kept is None:
            kept = self.agreed(done)
            if file is not None and kept is not None:
                # A run that goes on amid the round must not gather what the round itself has edited.
                kept.save(file, number)
        self._change = kept

    def agreed(self, done: set[int]) -> SurfaceChange | None:
        """What the edits of these frames agree on, gathered from the most telling of them; nothing of none."""
        chosen = [frame for frame in self.views if frame in done][: self.most_views]
        return self._gather(chosen) if chosen else None

    def replaced(self, frame: int) -> None:
        """A frame has been edited again."""
        self._looked_at.pop(frame, None)

    def start(
        self,
        original: Image,
        render: Image,
        matte: Float[torch.Tensor, "height width 1"],
        geometry: FrameGeometry | None,
    ) -> Image:
        """Where a frame's edit is to start; the render, if nothing is known."""
        if self._change is None or geometry is None:
            return render
        return self._change.start(original, render, matte, geometry)

    def _gather(self, frames: Sequence[int]) -> SurfaceChange:
        shapes: dict[int, FrameGeometry] = {}
        if self._texels is None:
            shapes = {frame: self.geometry(frame) for frame in frames}
            self._texels = texels_for(list(shapes.values()))
        for frame in frames:
            if frame not in self._looked_at:
                change = (self.edited(frame) - self.original(frame)).float().cpu().numpy()
                share = self.share(frame)[..., 0].float().cpu().numpy()
                geometry = shapes.get(frame) or self.geometry(frame)
                self._looked_at[frame] = view_of(self._texels, change, share, geometry)
        return gathered(self._texels, [self._looked_at[frame] for frame in frames])


def texels_for(shapes: Sequence[FrameGeometry]) -> MeshTexels:
    """Texels as fine as some frames see the mesh."""
    triangles, camera = shapes[0].triangles, shapes[0].intrinsics
    seen = np.zeros(len(triangles) + 1, bool)
    for shape in shapes:
        seen[np.unique(shape.seen((camera.height, camera.width)).triangle)] = True
    pixels = np.stack([project(shape.vertices, shape.intrinsics) for shape in shapes])
    return MeshTexels.of_resolution(fitting_resolution(pixels, triangles, seen[:-1]))
