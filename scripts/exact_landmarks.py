"""Landmarks of synthetic heads as a perfect detector would see them: what then remains is the fit's own error."""

import numpy as np
from jaxtyping import Float
from synthetic_heads import EYEBALLS, SyntheticHeads, gaze
from synthetic_motion import HeadMotion
from synthetic_rendering import IRIS_ANGLE
from tracking_truth import Correspondence

from tracking.cameras import project, rotation_from_vector
from tracking.clip import Intrinsics
from tracking.face_linking import FaceTrack
from tracking.head_model import HeadModel

IRISES = {"Left": range(473, 478), "Right": range(468, 473)}
"""The iris's centre, then four points of its rim."""


def exact_face(
    heads: SyntheticHeads,
    same_points: Correspondence,
    neutral: Float[np.ndarray, "vertices 3"],
    motion: HeadMotion,
    intrinsics: Intrinsics,
) -> FaceTrack:
    """Where the points of our mesh really are in the picture, hidden or not, and their depth about the head's own."""
    landmarks = np.empty((len(motion.rotation), len(HeadModel.load().mean), 3))
    for frame, (rotation, translation) in enumerate(zip(motion.rotation, motion.translation, strict=True)):
        expression = {name: float(values[frame]) for name, values in motion.expression.items()}
        face = same_points.on(heads.vertices(neutral, expression))
        points = np.concatenate([face, *(_iris(heads, neutral, expression, side) for side in ("Right", "Left"))])
        in_camera = points @ rotation.T + translation
        pixels_per_centimeter = intrinsics.focal_length / -translation[2]
        landmarks[frame, :, :2] = project(in_camera, intrinsics)
        landmarks[frame, :, 2] = (translation[2] - in_camera[:, 2]) * pixels_per_centimeter
    return FaceTrack(landmarks, np.ones(len(landmarks), bool))


def _iris(
    heads: SyntheticHeads, neutral: Float[np.ndarray, "vertices 3"], expression: dict[str, float], side: str
) -> Float[np.ndarray, "5 3"]:
    """Centre and rim, in the order of our model, on the eyeball turned by the gaze."""
    eyeball = EYEBALLS[("Left", "Right").index(side)]
    center = heads.eye_center(neutral, eyeball)
    radius = np.linalg.norm(neutral[heads.part_vertices(eyeball)] - center, axis=1).max()
    ours = HeadModel.load().mean[list(IRISES[side])].astype(np.float64)
    around = ours[1:, :2] - ours[0, :2]
    around /= np.linalg.norm(around, axis=1, keepdims=True)
    rim = np.column_stack([np.sin(IRIS_ANGLE) * around, np.full(4, np.cos(IRIS_ANGLE))])
    ahead = np.concatenate([[[0.0, 0.0, 1.0]], rim])
    return center + radius * ahead @ rotation_from_vector(gaze(expression, side)).T
