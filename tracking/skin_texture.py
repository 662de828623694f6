"""The skin of a face laid out flat, as it would be seen straight from the front, frame after frame alike.

Every texel is a fixed blend of three points of the head model's mesh, so a posed head says where each texel is in a
picture, and how squarely it faces the camera. What is compared is brightness less its local mean, over its local
deviation (`normalize_locally`), which knows little of light.
"""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, Int, UInt8
from scipy.sparse import csr_matrix

from tracking.cameras import project
from tracking.clip import Intrinsics
from tracking.head_model import HeadModel
from tracking.rasterize import rasterize, vertex_normals
from tracking.skin_pictures import SKIN_PIXELS, SkinPicture
from tracking.surface_samples import MESH_POINTS, normalize_locally

SIZE = 128
"""Texels along a side."""
SPAN = 18.0
"""Centimetres along a side."""
FAR = 2000.0
"""Centimetres from which the mean face is seen for the layout: as good as without perspective."""
BLUR, NEIGHBORHOOD = 0.8, 0.06 * SIZE
"""Texels, standard deviations: of what is smoothed away, and of the neighbourhood that brightness is normalised in."""
MIDDLE, LEVELS = 128, 50
"""Normalised brightness is kept in bytes: 0 is the middle, and 1 so many levels more."""
LEAST_FACING = 0.35
"""Least cosine between normal and line of sight at which a frame adds to the texture."""


@dataclass(frozen=True)
class SkinLayout:
    """Where the mesh's points are among the texels."""

    places: Float32[np.ndarray, "468 2"]
    """Texels, counted from the edge."""
    covered: Bool[np.ndarray, "128 128"]
    """Texels on the face, less a rim of one."""
    triangles: Int[np.ndarray, "triangles 3"]
    """Of the mesh, without the irises."""
    blend: csr_matrix
    """Takes values of the mesh's points to texels, row after row; 0 off the face."""

    @classmethod
    @cache
    def load(cls) -> "SkinLayout":
        """The layout of the default head model's mean face."""
        model = HeadModel.load()
        triangles = model.triangles[(model.triangles < MESH_POINTS).all(1)]
        camera = Intrinsics(FAR * SIZE / SPAN, SIZE / 2, SIZE / 2, SIZE, SIZE)
        face = model.mean[:MESH_POINTS].astype(np.float64) - [0, 0, FAR]
        visible = rasterize(face, triangles, camera)
        rows = np.flatnonzero(visible.covered)
        corners = triangles[visible.triangle[visible.covered]]
        weights = visible.barycentric[visible.covered].astype(np.float32)
        blend = csr_matrix(
            (weights.ravel(), (np.repeat(rows, 3), corners.ravel())), shape=(SIZE * SIZE, MESH_POINTS), dtype=np.float32
        )
        inner = cv2.erode(visible.covered.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        return cls(project(face, camera).astype(np.float32), inner, triangles, blend)

    def spread(self, values: Float[np.ndarray, "468 channels"]) -> Float32[np.ndarray, "128 128 channels"]:
        """What the mesh's points bear, laid out."""
        return (self.blend @ values.astype(np.float32)).reshape(SIZE, SIZE, -1)


@dataclass(frozen=True)
class SkinView:
    """One frame's skin, laid out."""

    shown: UInt8[np.ndarray, "128 128"]
    """Normalised brightness; see `LEVELS`."""
    pixels: Float32[np.ndarray, "128 128 2"]
    """Where each texel is in the frame, in pixels of the image."""
    facing: Float32[np.ndarray, "128 128"]
    """Cosine between normal and line of sight; 0 or less where the frame does not show the texel."""


def lay_out(
    picture: SkinPicture,
    to_picture: Float[np.ndarray, "2 3"],
    face_in_camera: Float[np.ndarray, "468 3"],
    intrinsics: Intrinsics,
) -> SkinView:
    """The skin that a frame shows of a posed face.

    Args:
        picture: of the face.
        to_picture: from pixels of the image to the picture's, both counted from the edges.
        face_in_camera: the mesh as the head fit poses it.
        intrinsics: of the image.
    """
    layout = SkinLayout.load()
    normals = vertex_normals(face_in_camera, layout.triangles)
    facing = -(normals * face_in_camera).sum(1) / np.linalg.norm(face_in_camera, axis=1)
    values = layout.spread(np.column_stack([project(face_in_camera, intrinsics), facing]))
    pixels, turned = values[..., :2], values[..., 2]
    inside = pixels @ to_picture[:, :2].T.astype(np.float32) + to_picture[:, 2].astype(np.float32)
    brightness = cv2.remap(
        picture.astype(np.float32), inside[..., 0] - 0.5, inside[..., 1] - 0.5, cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    normalised = normalize_locally(brightness, BLUR, NEIGHBORHOOD)
    seen = ((inside > 0) & (inside < SKIN_PIXELS)).all(-1)
    shown = np.clip(MIDDLE + LEVELS * normalised, 0, 255).astype(np.uint8)
    return SkinView(shown, pixels, np.where(seen, turned, 0).astype(np.float32))


@dataclass(frozen=True)
class SkinTexture:
    """What a person's skin looks like in all frames."""

    shown: UInt8[np.ndarray, "128 128"]
    """Normalised brightness, the median over frames; see `LEVELS`."""
    known: Bool[np.ndarray, "128 128"]
    """Seen in some frame."""

    @classmethod
    def of(cls, views: list[SkinView]) -> "SkinTexture":
        """From frames spread over the clip."""
        values = np.stack([np.where(view.facing > LEAST_FACING, view.shown, np.nan) for view in views])
        known = np.isfinite(values).any(0) & SkinLayout.load().covered
        shown = np.full(known.shape, MIDDLE, np.uint8)
        shown[known] = np.rint(np.nanmedian(values[:, known], axis=0))
        return cls(shown, known)
