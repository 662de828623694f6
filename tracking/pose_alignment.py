"""Another program's head poses taken into our head space, and our named expressions fitted under them.

Its head space differs from ours by one similarity for the whole clip: a point y of our head, in centimetres, is
s Q y + d in its own. With its pose R x + t + sum_k P_k j_k and lengths divided by s, the point is in camera space at

    R Q y + R e + k t + sum_k P_k (Q y_k + e)        with e = d / s, k = 1 / s, and joints j_k = s Q y_k + d

which looks the same in the image. So our pose of a frame is R Q and what follows it: the other program's motion
unchanged, but for joints that its files do not tell. Q, e, k and the y_k are found from the landmarks: first from poses
of our own with the same camera, then by least squares on reprojection in keyframes, in turn with the expressions.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import least_squares

from tracking.cameras import mean_rotation, project, rigid, rigid_inverse, rotation_from_vector, transform
from tracking.clip import Intrinsics
from tracking.errors import UserError
from tracking.fitting import FitConfig, fit_head, observed
from tracking.foreign_clip import ForeignPoses
from tracking.head_model import HeadModel
from tracking.head_problem import HeadStates
from tracking.landmark_trust import OUTER_EYE_CORNERS, point_weights
from tracking.over_frames import over_frames
from tracking.sequence_solver import solve_sequence
from tracking.spread_evenly import spread_evenly


@dataclass
class AlignmentConfig:
    """How another program's poses are brought into our head space."""

    keyframes: int = 32
    """Frames that the similarity is found from, evenly spread."""
    rounds: int = 4
    """How often similarity and expressions are found in turn."""
    outlier_distance: float = 0.3
    """Centimetres from which a landmark's error counts less."""
    origin_spread: float = 6.0
    """Centimetres by which the two origins of head space usually differ."""
    joint_spread: float = 3.0
    """Centimetres by which a joint may lie elsewhere than in most people."""
    most_error: float = 0.08
    """Median reprojection error, as a fraction of the distance between the eyes, from which the poses cannot belong to
    the pictures."""


@dataclass(frozen=True)
class Alignment:
    """The similarity between two head spaces, and the joints, as in the formula above."""

    rotation: Float[np.ndarray, "3 3"]
    """Q."""
    offset: Float[np.ndarray, "3"]
    """e, in centimetres."""
    scale: float
    """k: our centimetres in the other program's unit."""
    joints: Float[np.ndarray, "joints 3"]
    """y_k, in centimetres of our head space."""

    def head_to_camera(self, poses: ForeignPoses) -> Float[np.ndarray, "frames 4 4"]:
        """Our poses of all frames."""
        joints = self.joints @ self.rotation.T + self.offset
        translation = poses.rotation @ self.offset + self.scale * poses.translation
        translation = translation + np.einsum("kfij,kj->fi", poses.joint_factors, joints)
        return rigid(poses.rotation @ self.rotation, translation)


@dataclass(frozen=True)
class AlignedHead:
    """The poses in our head space, and what was fitted under them. Frames without a face hold NaN."""

    alignment: Alignment
    camera_to_head: Float[np.ndarray, "frames 4 4"]
    expression: Float[np.ndarray, "frames expressions"]
    identity: Float[np.ndarray, "modes"]
    reprojection_error: Float[np.ndarray, "frames"]
    """Median over the points, in pixels."""


def align_poses(
    poses: ForeignPoses,
    landmarks: Float[np.ndarray, "frames 478 3"],
    tracked: Bool[np.ndarray, "frames"],
    intrinsics: Intrinsics,
    config: AlignmentConfig | None = None,
    fit_config: FitConfig | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> AlignedHead:
    """Take a clip's poses into our head space.

    Args:
        landmarks: MediaPipe's points in pixels of the images, z its relative depth.
        tracked: the frames in which they were found.
        progress: told the number of frames done and of all frames to do.

    Raises:
        UserError: too few frames show a face, or the poses do not belong to the pictures.
    """
    config = config or AlignmentConfig()
    longer = max(intrinsics.width, intrinsics.height)
    own_config = fit_config or FitConfig()
    own_config = replace(own_config, camera=replace(own_config.camera, focal_length=intrinsics.focal_length / longer))
    center = (intrinsics.center_x, intrinsics.center_y)
    own = fit_head(
        landmarks,
        tracked,
        intrinsics.width,
        intrinsics.height,
        own_config,
        progress=progress,
        center=center,
    )
    frames = np.flatnonzero(own.tracked)
    model = HeadModel.load()
    alignment = _first_alignment(_chosen(poses, frames), rigid_inverse(own.camera_to_head[frames]), config)
    keyframes = frames[spread_evenly(len(frames), config.keyframes)]
    seen = _chosen(poses, keyframes)
    expression = own.expression.copy()
    for _ in range(config.rounds):
        head_to_camera = alignment.head_to_camera(seen)
        expression[keyframes] = fit_expressions_to_poses(
            *(head_to_camera, landmarks[keyframes], keyframes, intrinsics),
            *(own.identity, expression[keyframes], own_config),
        )
        vertices = model.vertices(own.identity, expression[keyframes]).astype(np.float64)
        alignment = _refined(alignment, seen, vertices, landmarks[keyframes, :, :2], intrinsics, config)
    head_to_camera = alignment.head_to_camera(_chosen(poses, frames))
    fitted = fit_expressions_to_poses(
        *(head_to_camera, landmarks[frames], frames, intrinsics),
        *(own.identity, expression[frames], own_config),
    )
    vertices = model.vertices(own.identity, fitted).astype(np.float64)
    error = np.nanmedian(
        np.linalg.norm(_seen(head_to_camera, vertices, intrinsics) - landmarks[frames, :, :2], axis=-1), 1
    )
    eyes = landmarks[frames][:, OUTER_EYE_CORNERS, :2]
    if np.nanmedian(error / np.linalg.norm(eyes[:, 0] - eyes[:, 1], axis=1)) > config.most_error:
        raise UserError(
            f"The poses do not fit the pictures (the face is {np.nanmedian(error):.1f} pixels off): name the format "
            "with --kind, and check that pictures and poses are of one clip."
        )
    camera_to_head, expressions, errors = (
        over_frames(values.astype(np.float64), frames, len(landmarks))
        for values in (rigid_inverse(head_to_camera), fitted, error)
    )
    return AlignedHead(alignment, camera_to_head, expressions, own.identity, errors)


def fit_expressions_to_poses(
    head_to_camera: Float[np.ndarray, "frames 4 4"],
    landmarks: Float[np.ndarray, "frames 478 3"],
    frames: Int[np.ndarray, "frames"],
    intrinsics: Intrinsics,
    identity: Float[np.ndarray, "modes"],
    start: Float[np.ndarray, "frames expressions"],
    config: FitConfig,
) -> Float[np.ndarray, "frames expressions"]:
    """The expressions, in [0, 1], that best explain landmarks under poses that stay as they are.

    Args:
        frames: the frames' numbers, increasing; expressions are smooth in time where they are consecutive.
        start: of the search.
    """
    model = HeadModel.load()
    points = (landmarks - np.array([intrinsics.center_x, intrinsics.center_y, 0.0])) * np.array([1.0, -1.0, -1.0])
    observations = observed(points, intrinsics.focal_length / -head_to_camera[:, 2, 3])
    problem = config.problem(model, intrinsics.focal_length)
    states = HeadStates(
        head_to_camera[:, :3, :3].astype(np.float32),
        head_to_camera[:, :3, 3].astype(np.float32),
        start.astype(np.float32),
    )
    identity = identity.astype(np.float32)
    smoothness = config.sequence.smoothness(problem, observations, identity, states)
    solved = solve_sequence(
        *(problem, observations, identity, states, frames, smoothness, config.sequence.iterations),
        window=config.sequence.window,
        fixed_pose=True,
    )
    return solved.expression.astype(np.float64)


def _chosen(poses: ForeignPoses, frames: np.ndarray) -> ForeignPoses:
    return replace(
        poses,
        rotation=poses.rotation[frames],
        translation=poses.translation[frames],
        joint_factors=poses.joint_factors[:, frames],
    )


def _first_alignment(poses: ForeignPoses, own: Float[np.ndarray, "frames 4 4"], config: AlignmentConfig) -> Alignment:
    """From our own poses: the mean of the rotations' differences, then linear least squares.

    Across the line of sight our own poses are exact, along it they are not: there they count a tenth.
    """
    rotation = mean_rotation(poses.rotation.swapaxes(1, 2) @ own[:, :3, :3])
    depth = np.array([1.0, 1.0, 0.1])[:, None]
    joints = poses.joints_in_head @ rotation.T
    # Unknown are e and k; the joints are taken to be where they are in most people.
    carried = np.einsum("kfij,kj->fi", poses.joint_factors, joints)
    columns = np.concatenate([poses.rotation + poses.joint_factors.sum(0), poses.translation[..., None]], 2) * depth
    known = (own[:, :3, 3] - carried)[..., None] * depth
    prior = np.diag([1 / config.origin_spread] * 3 + [0.0])
    system = np.concatenate([columns.reshape(-1, 4), prior])
    solved = np.linalg.lstsq(system, np.concatenate([known.ravel(), np.zeros(4)]), rcond=None)[0]
    if solved[3] <= 0:
        raise UserError("The poses put the head behind the camera: name the format with --kind.")
    return Alignment(rotation, solved[:3], float(solved[3]), poses.joints_in_head)


def _refined(
    start: Alignment,
    poses: ForeignPoses,
    vertices: Float[np.ndarray, "frames 478 3"],
    detected: Float[np.ndarray, "frames 478 2"],
    intrinsics: Intrinsics,
    config: AlignmentConfig,
) -> Alignment:
    """The alignment that shows the given faces where they were detected."""
    usable = np.isfinite(detected).all(-1)
    weights = np.sqrt(point_weights(vertices.shape[1]))[None] * usable
    size = intrinsics.focal_length / np.median(-start.head_to_camera(poses)[:, 2, 3])
    target = np.where(usable[..., None], detected, 0.0)

    def alignment(unknowns: np.ndarray) -> Alignment:
        return Alignment(
            rotation_from_vector(unknowns[:3]) @ start.rotation,
            unknowns[3:6],
            float(start.scale * np.exp(unknowns[6])),
            unknowns[7:].reshape(-1, 3),
        )

    def residuals(unknowns: np.ndarray) -> np.ndarray:
        trial = alignment(unknowns)
        error = (_seen(trial.head_to_camera(poses), vertices, intrinsics) - target) / size
        length = np.linalg.norm(error, axis=-1) / config.outlier_distance
        # The square of this is the pseudo-Huber cost of the distance.
        robust = config.outlier_distance * np.sqrt(2 * (np.sqrt(1 + length**2) - 1)) / np.maximum(length, 1e-9)
        error = error * (robust / config.outlier_distance * weights)[..., None]
        moved = (trial.joints - poses.joints_in_head) / config.joint_spread
        return np.concatenate([error.ravel(), trial.offset / config.origin_spread, moved.ravel()])

    unknowns = np.concatenate([np.zeros(3), start.offset, [0.0], start.joints.ravel()])
    return alignment(least_squares(residuals, unknowns, method="trf", x_scale="jac", max_nfev=15).x)


def _seen(
    head_to_camera: Float[np.ndarray, "frames 4 4"], vertices: np.ndarray, intrinsics: Intrinsics
) -> Float[np.ndarray, "frames 478 2"]:
    """Where points of the head are seen, in pixels."""
    return project(transform(head_to_camera, vertices), intrinsics)
