"""Comparing a fitted head with the true one: the two models' frames made one, and the errors that remain.

Our head space and ICT-FaceKit's differ by convention, and where a person's face lies in them depends on the person's
shape. So both neutral faces of a person, the fitted and the true one, are aligned once per sequence by a similarity
over corresponding points; neither poses nor frames enter. What then differs between fitted and true poses is error.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.interpolate import RBFInterpolator
from synthetic_heads import LANDMARKS_68, SyntheticHeads
from trimesh import Trimesh
from trimesh.triangles import points_to_barycentric

from tracking.cameras import rigid_inverse, similarity_transform, vector_from_rotation
from tracking.face_regions import FACE_OVAL
from tracking.head_model import HeadModel
from tracking.over_frames import over_frames

MESH_POINTS = 468
"""Points of our model on the face; those after them are the irises'."""
STILL_REACH = 0.3
"""Centimetres that an expression may move a point for it to count half in where the skull is."""

SAME_POINTS = {
    **dict(zip(range(36, 48), (33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380), strict=True)),
    **{27: 168, 30: 4, 31: 98, 33: 2, 35: 327, 8: 152},
    **dict(zip(range(48, 60), (61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91), strict=True)),
    **{62: 13, 66: 14},
    **dict(zip((17, 19, 21, 22, 24, 26), (70, 105, 107, 336, 334, 300), strict=True)),
    **{0: 127, 16: 356},
}
"""Points of iBUG's annotation, counted from 0, and the points of MediaPipe's mesh that mean the same place."""


@dataclass(frozen=True)
class Correspondence:
    """Where on ICT-FaceKit's skin the points of our mesh are."""

    corners: Int[np.ndarray, "points 3"]
    barycentric: Float[np.ndarray, "points 3"]

    def on(self, vertices: Float[np.ndarray, "vertices 3"]) -> Float[np.ndarray, "points 3"]:
        """The points on some head of ICT-FaceKit's."""
        return np.einsum("pc,pci->pi", self.barycentric, vertices[self.corners].astype(np.float64))


def find_correspondence(heads: SyntheticHeads) -> Correspondence:
    """Carry our mean face over to ICT-FaceKit's by a thin plate spline through common landmarks; take nearest points.

    The spline is Bookstein's (TPAMI 1989), in three dimensions, and smooths a little, since the two annotations do not
    agree to the millimetre.
    """
    ours = HeadModel.load().mean[:MESH_POINTS].astype(np.float64)
    theirs = heads.mean[list(LANDMARKS_68)].astype(np.float64)
    source, target = ours[list(SAME_POINTS.values())], theirs[list(SAME_POINTS)]
    warped = RBFInterpolator(source, target, smoothing=0.05, kernel="thin_plate_spline")(ours)
    skin = heads.triangles[heads.part == 0]
    mesh = Trimesh(heads.mean, skin, process=False)
    nearest, _, triangle = mesh.nearest.on_surface(warped)
    barycentric = points_to_barycentric(mesh.triangles[triangle], nearest)
    return Correspondence(skin[triangle], barycentric)


@dataclass(frozen=True)
class FrameErrors:
    """How far fitted poses are from the true ones; NaN where a frame did not track."""

    rotation: Float[np.ndarray, "frames"]
    """Degrees between the head's fitted and true orientation."""
    rotation_about_mean: Float[np.ndarray, "frames"]
    """The same once the sequence's mean difference is taken out: what the alignment of the frames cannot explain."""
    direction: Float[np.ndarray, "frames"]
    """Degrees between the fitted and true directions from the camera to the head's origin."""
    offset: Float[np.ndarray, "3"]
    """The mean difference, as a rotation vector in degrees in the true head's axes: pitch, yaw, roll."""


def compare_poses(
    camera_to_head: Float[np.ndarray, "frames 4 4"],
    fitted_neutral: Float[np.ndarray, "points 3"],
    rotation: Float[np.ndarray, "frames 3 3"],
    translation: Float[np.ndarray, "frames 3"],
    true_neutral: Float[np.ndarray, "points 3"],
) -> FrameErrors:
    """Errors of fitted poses.

    Args:
        camera_to_head: fitted; NaN where a frame did not track.
        fitted_neutral: the person's face at rest as fitted, in our head space.
        rotation, translation: true, from ICT-FaceKit's head space to the camera.
        true_neutral: corresponding points of the true face at rest.
    """
    scale, turn, shift = align(fitted_neutral, true_neutral)
    good = np.isfinite(camera_to_head[:, 0, 0])
    head_to_camera = rigid_inverse(camera_to_head[good])
    # A true point x is at turn.T (x - shift) / scale of our head space.
    fitted_rotation = head_to_camera[:, :3, :3] @ turn.T
    fitted_origin = head_to_camera[:, :3, 3] - fitted_rotation @ shift / scale
    difference = rotation[good].swapaxes(1, 2) @ fitted_rotation
    vectors = np.degrees(vector_from_rotation(difference))
    offset = vectors.mean(0)
    cosine = (unit(fitted_origin) * unit(translation[good])).sum(1).clip(-1, 1)
    about_mean = np.linalg.norm(vectors - offset, axis=1)
    return FrameErrors(
        over_frames(np.linalg.norm(vectors, axis=1), good, len(good)),
        over_frames(about_mean, good, len(good)),
        over_frames(np.degrees(np.arccos(cosine)), good, len(good)),
        offset,
    )


def align(
    fitted: Float[np.ndarray, "points 3"], true: Float[np.ndarray, "points 3"]
) -> tuple[float, Float[np.ndarray, "3 3"], Float[np.ndarray, "3"]]:
    """Scale, rotation and shift that take the fitted neutral face to the true one.

    The skull decides: a point that expressions move far counts little, for where it is at rest is a trait that no
    picture tells from an expression that never ends. The silhouette's points, which slide along the face, do not count.
    """
    reach = np.linalg.norm(HeadModel.load().expression_deltas[:, :MESH_POINTS], axis=-1).max(0)
    weights = 1 / (1 + (reach / STILL_REACH) ** 2)
    weights[list(FACE_OVAL)] = 0
    scale, rotation, shift = similarity_transform(fitted[:MESH_POINTS].astype(np.float64), true[None], weights)
    return float(scale[0]), rotation[0], shift[0]


def unit(vectors: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 3"]:
    """The same directions at length 1."""
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def rotation_vectors_about_mean(camera_to_head: Float[np.ndarray, "frames 4 4"]) -> Float[np.ndarray, "frames 3"]:
    """Head rotations relative to their mean, as rotation vectors in degrees about the head's axes: pitch, yaw, roll.

    Frames that did not track stay NaN.
    """
    good = np.isfinite(camera_to_head[:, 0, 0])
    rotation = camera_to_head[good, :3, :3].swapaxes(1, 2)
    left, _, right = np.linalg.svd(rotation.mean(0))
    mean = left @ np.diag([1.0, 1.0, np.linalg.det(left @ right)]) @ right
    vectors = np.full((len(good), 3), np.nan)
    vectors[good] = np.degrees(vector_from_rotation(mean.T @ rotation))
    return vectors - np.nanmean(vectors, axis=0)


def correlation(fitted: Float[np.ndarray, "frames"], true: Float[np.ndarray, "frames"]) -> float:
    """Pearson's; 0 for a fitted coefficient that never moves."""
    good = np.isfinite(fitted)
    fitted, true = fitted[good] - fitted[good].mean(), true[good] - true[good].mean()
    size = np.sqrt((fitted**2).sum() * (true**2).sum())
    return float((fitted * true).sum() / size) if size > 1e-9 else 0.0


def amplitude_at(values: Float[np.ndarray, "frames"], frequency: float, frame_rate: float) -> float:
    """Amplitude of the sinusoid of that frequency (hertz) that best explains a series, beside a straight line."""
    seconds = np.arange(len(values)) / frame_rate
    wave = 2 * np.pi * frequency * seconds
    columns = np.stack([np.sin(wave), np.cos(wave), np.ones_like(wave), seconds], 1)
    good = np.isfinite(values)
    solution = np.linalg.lstsq(columns[good], values[good], rcond=None)[0]
    return float(np.hypot(solution[0], solution[1]))


def lag_in_frames(fitted: Float[np.ndarray, "frames"], true: Float[np.ndarray, "frames"], most: int = 2) -> float:
    """By how many frames the fitted series comes late: the cross-correlation's peak, between frames by a parabola."""
    filled = np.interp(np.arange(len(fitted)), np.flatnonzero(np.isfinite(fitted)), fitted[np.isfinite(fitted)])
    inner = slice(most, len(true) - most)
    shifts = np.arange(-most, most + 1)
    scores = np.array([correlation(np.roll(filled, -shift)[inner], true[inner]) for shift in shifts])
    peak = int(np.clip(scores.argmax(), 1, len(scores) - 2))
    before, at, after = scores[peak - 1 : peak + 2]
    return float(shifts[peak] + (before - after) / (2 * (before - 2 * at + after)))
