"""Fit the head model to a clip's landmarks: camera, the person's shape, and every frame's pose and expression.

1. Every frame is aligned by a similarity, from the landmarks' three coordinates.
2. On keyframes, identity, poses and expressions are solved for jointly at several focal lengths. One is chosen.
3. Every frame is solved for by itself, given camera and identity.
4. Poses are smoothed, the expressions solved for again under them, and smoothed in turn.

A face looks nearly the same through any lens: only its own relief, a tenth of its distance, tells lenses apart, and
that relief is the least certain part of the head model. The focal length therefore leans on a prior of portrait
lenses, and distance is known only as well as the focal length is.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Bool, Float

from tracking.cameras import (
    mean_rotation,
    rigid,
    rigid_inverse,
    rotation_from_vector,
    similarity_transform,
    vector_from_rotation,
)
from tracking.clip import Intrinsics
from tracking.errors import UserError
from tracking.head_model import HeadModel
from tracking.head_solver import HeadProblem, HeadStates, Observations, image_residuals, solve_frames, solve_jointly
from tracking.landmark_trust import INDEPENDENT_PATCHES, OUTER_EYE_CORNERS, iris_confidence, point_weights
from tracking.smoothing import denoise, noise_deviation
from tracking.torso_motion import TorsoConfig, torso_poses


@dataclass
class FitConfig:
    """How the head model is fitted to landmarks."""

    focal_length: float | None = None
    """Focal length in multiples of the image's longer side, if known; estimated otherwise."""
    focal_candidates: tuple[float, ...] = (0.95, 1.3, 1.75, 2.4, 3.4)
    """Focal lengths that are tried, in multiples of the longer side."""
    focal_prior: float = 1.7
    """The likeliest focal length in multiples of the longer side."""
    focal_prior_spread: float = 0.35
    """Standard deviation of the logarithm of the focal length."""
    focal_evidence: float = 8.0
    """Number of independent measurements that the clip's landmarks count for against the prior: far fewer than there
    are, because the model's errors are the same in every frame."""
    focal_keyframes: int = 24
    """Frames on which focal lengths are tried."""
    identity_keyframes: int = 64
    """Frames on which the person's shape is settled."""
    joint_iterations: int = 6
    frame_iterations: int = 8
    """Levenberg-Marquardt steps."""
    expression_iterations: int = 3
    """Steps for the expressions once poses are smooth."""
    frames_per_chunk: int = 64
    """Frames solved at a time; sets the memory used."""
    depth_weight: float = 0.05
    """Trust in MediaPipe's relative depth, against 1 for what the image shows. Little: in turned and tilted faces it
    contradicts the image, and the expressions would make up the difference."""
    outlier_distance: float = 0.8
    """Centimetres from which a landmark's error counts less and less."""
    expression_sparsity: float = 0.2
    """Cost, in square centimetres, of an expression fully on: the resting face belongs to the identity."""
    rare_expression_factor: float = 1.3
    """How much dearer the expressions are that people hardly made in the clips behind the head model."""
    expression_ridge: float = 0.05
    identity_ridge: float = 0.03
    """Cost in square centimetres of squared coefficients."""
    smoothing: float = 2.0
    """Strength of temporal smoothing relative to the measured noise; 0 for none."""
    gross_error: float = 0.08
    """Median reprojection error, as a fraction of the distance between the eyes, from which a frame counts as lost."""
    torso: TorsoConfig = field(default_factory=TorsoConfig)


@dataclass(frozen=True)
class HeadFit:
    """What was fitted; frames that did not track hold NaN."""

    intrinsics: Intrinsics
    camera_to_head: Float[np.ndarray, "frames 4 4"]
    camera_to_torso: Float[np.ndarray, "frames 4 4"]
    expression: Float[np.ndarray, "frames expressions"]
    identity: Float[np.ndarray, "modes"]
    reprojection_error: Float[np.ndarray, "frames"]
    """Median over the points, in pixels."""
    expression_names: tuple[str, ...]
    tracked: Bool[np.ndarray, "frames"]


def fit_head(
    landmarks: Float[np.ndarray, "frames 478 3"],
    tracked: Bool[np.ndarray, "frames"],
    width: int,
    height: int,
    frame_rate: float,
    config: FitConfig,
    progress: Callable[[int, int], None] | None = None,
    center: tuple[float, float] | None = None,
) -> HeadFit:
    """Fit camera, identity, poses and expressions to a clip's landmarks.

    Args:
        landmarks: MediaPipe's points in pixels of the clip's images, z its relative depth in the same unit (less is
            nearer). What untracked frames hold is ignored.
        tracked: the frames to use.
        width: of the clip's images, in pixels.
        height: of the clip's images, in pixels.
        frame_rate: frames per second.
        config: how to fit.
        progress: told the number of frames done and of all frames to do.
        center: principal point in pixels of the clip's images, where they are a crop off the centre of the video.

    Raises:
        UserError: too few frames are tracked.
    """
    tracked = tracked & np.isfinite(landmarks).all((1, 2))
    frames = np.flatnonzero(tracked)
    if len(frames) < 5:
        raise UserError(
            f"Only {len(frames)} frames show a face that could be followed: give a longer or clearer video."
        )
    model = HeadModel.load()
    center = center or (width / 2, height / 2)
    points = (landmarks[frames] - np.array([*center, 0.0])) * np.array([1.0, -1.0, -1.0])
    weights = point_weights(len(model.mean))
    scale, rotation, shift = similarity_transform(model.mean, points, weights)
    observations = Observations(points.astype(np.float32), scale.astype(np.float32), iris_confidence(points))
    problem = HeadProblem(
        model,
        np.nan,
        weights,
        config.depth_weight,
        config.outlier_distance,
        config.expression_sparsity * np.where(model.measured, 1, config.rare_expression_factor).astype(np.float32),
        config.expression_ridge,
        config.identity_ridge,
    )
    start = HeadStates(
        rotation.astype(np.float32),
        np.concatenate([shift[:, :2] / scale[:, None], -1 / scale[:, None]], 1).astype(np.float32),
        np.zeros((len(frames), len(model.expression_names)), np.float32),
    )
    sound = np.flatnonzero(_is_face_like(model, points, scale, rotation, shift))
    problem, identity = _choose_focal_length(problem, observations[sound], start[sound], max(width, height), config)
    states = _at_focal_length(start, problem.focal_length)
    keyframes = sound[_spread(len(sound), config.identity_keyframes)]
    _, identity, _ = solve_jointly(
        problem, observations[keyframes], identity, states[keyframes], 2 * config.joint_iterations
    )
    states = _solve_all(problem, observations, identity, states, config, progress)
    states = _smooth(problem, observations, identity, states, frames, len(landmarks), config)

    intrinsics = Intrinsics(float(problem.focal_length), float(center[0]), float(center[1]), width, height)
    error = _reprojection_error(problem, observations, identity, states)
    eye_distance = np.linalg.norm(points[:, OUTER_EYE_CORNERS[0]] - points[:, OUTER_EYE_CORNERS[1]], axis=1)
    good = error < config.gross_error * eye_distance
    head_to_camera = rigid(_orthonormal(states.rotation), states.translation.astype(np.float64))
    camera_to_torso = torso_poses(head_to_camera, frames, len(landmarks), frame_rate, config.torso)
    still_tracked = np.zeros(len(landmarks), bool)
    still_tracked[frames[good]] = True

    def spread(values: np.ndarray) -> np.ndarray:
        filled = np.full((len(landmarks), *values.shape[1:]), np.nan)
        filled[frames[good]] = values[good]
        return filled

    return HeadFit(
        intrinsics,
        spread(rigid_inverse(head_to_camera)),
        spread(camera_to_torso),
        spread(states.expression),
        identity.astype(np.float64),
        spread(error),
        model.expression_names,
        still_tracked,
    )


def _is_face_like(
    model: HeadModel, points: np.ndarray, scale: np.ndarray, rotation: np.ndarray, shift: np.ndarray
) -> Bool[np.ndarray, "frames"]:
    """Whether a frame is no farther from the mean face than three times what is usual in the clip."""
    distance = np.empty(len(points))
    for frame, landmarks in enumerate(points):
        aligned = scale[frame] * model.mean @ rotation[frame].T + shift[frame]
        distance[frame] = np.median(np.linalg.norm(aligned - landmarks, axis=1)) / scale[frame]
    return distance <= 3 * np.median(distance)


def _at_focal_length(states: HeadStates, ratio: float) -> HeadStates:
    """Put heads where a focal length longer by this ratio shows them equally large."""
    return replace(states, translation=states.translation * np.array([1, 1, ratio], np.float32))


def _spread(frames: int, count: int) -> np.ndarray:
    return np.unique(np.linspace(0, frames - 1, min(count, frames)).round().astype(int))


def _choose_focal_length(
    problem: HeadProblem, observations: Observations, start: HeadStates, longer_side: int, config: FitConfig
) -> tuple[HeadProblem, Float[np.ndarray, "modes"]]:
    """The focal length of least cost among the candidates, refined by a parabola in its logarithm, and an identity.

    Cost: N/2 log(C) + (log f - log f0)^2 / (2 s^2), C the mean cost of a frame: the negative log likelihood of N
    measurements of unknown variance, and a log-normal prior.
    """
    keyframes = _spread(len(start.translation), config.focal_keyframes)
    seen = observations[keyframes]
    known = config.focal_length
    candidates = np.log(np.array(config.focal_candidates if known is None else (known,)))
    likeliest = int(np.abs(candidates - np.log(config.focal_prior)).argmin())

    def at(candidate: int) -> HeadProblem:
        return replace(problem, focal_length=float(np.exp(candidates[candidate]) * longer_side))

    # The expressions first under a face near the mean, lest the identity makes theirs its own.
    middle = at(likeliest)
    identity = np.zeros(len(problem.model.identity_basis), np.float32)
    states = _at_focal_length(start[keyframes], middle.focal_length)
    cautious = replace(middle, identity_ridge=30 * middle.identity_ridge)
    states, identity, _ = solve_jointly(cautious, seen, identity, states, config.joint_iterations)
    solutions = {likeliest: solve_jointly(middle, seen, identity, states, 2 * config.joint_iterations)}
    # Outward from the likeliest, each from its neighbour's solution, so that all stay in one valley of the cost.
    outward = [
        *((i, i - 1) for i in range(likeliest + 1, len(candidates))),
        *((i, i + 1) for i in range(likeliest)[::-1]),
    ]
    for candidate, neighbor in outward:
        states, identity, _ = solutions[neighbor]
        states = _at_focal_length(states, at(candidate).focal_length / at(neighbor).focal_length)
        solutions[candidate] = solve_jointly(at(candidate), seen, identity, states, config.joint_iterations)
    values = np.array([solutions[candidate][2] for candidate in range(len(candidates))])
    prior = (candidates - np.log(config.focal_prior)) ** 2 / (2 * config.focal_prior_spread**2)
    costs = config.focal_evidence / 2 * np.log(values) + prior
    best = int(np.argmin(costs))
    chosen = candidates[best]
    if 0 < best < len(candidates) - 1:
        around = slice(best - 1, best + 2)
        a, b, _ = np.polyfit(candidates[around] - chosen, costs[around], 2)
        chosen = chosen - b / (2 * a)
    return replace(problem, focal_length=float(np.exp(chosen) * longer_side)), solutions[best][1]


def _solve_all(
    problem: HeadProblem,
    observations: Observations,
    identity: np.ndarray,
    states: HeadStates,
    config: FitConfig,
    progress: Callable[[int, int], None] | None,
) -> HeadStates:
    parts, total = [], len(states.translation)
    for chunk in _chunks(total, config.frames_per_chunk):
        parts.append(solve_frames(problem, observations[chunk], identity, states[chunk], config.frame_iterations))
        if progress is not None:
            progress(chunk.stop, total)
    return HeadStates.concatenate(parts)


def _smooth(
    problem: HeadProblem,
    observations: Observations,
    identity: np.ndarray,
    states: HeadStates,
    frames: np.ndarray,
    length: int,
    config: FitConfig,
) -> HeadStates:
    """Smooth the poses, fit the expressions to them, smooth the expressions."""
    if config.smoothing == 0:
        return states
    tracked = np.zeros(length, bool)
    tracked[frames] = True

    def smoothed(values: np.ndarray, most_noise: np.ndarray) -> np.ndarray:
        series = np.full((length, values.shape[1]), np.nan)
        series[frames] = values
        return denoise(series, tracked, config.smoothing, most_noise)[frames].astype(np.float32)

    noise = _landmark_noise(problem, observations, identity, states)
    middle = mean_rotation(states.rotation.astype(np.float64))
    turned = vector_from_rotation(states.rotation @ middle.T)
    # Distance is by far the noisiest; what is seen is the direction to the head and its size.
    direction = states.translation[:, :2] / states.translation[:, 2:]
    log_distance = np.log(-states.translation[:, 2:])
    face = noise / np.sqrt(INDEPENDENT_PATCHES)
    pose_noise = np.array([face / 3] * 3 + [face / np.exp(np.median(log_distance))] * 2 + [face / 2])
    pose = smoothed(np.concatenate([turned, direction, log_distance], 1), pose_noise)
    distance = -np.exp(pose[:, 5:])
    states = HeadStates(
        (rotation_from_vector(pose[:, :3].astype(np.float64)) @ middle).astype(np.float32),
        np.concatenate([pose[:, 3:5] * distance, distance], 1),
        states.expression,
    )
    states = HeadStates.concatenate(
        [
            solve_frames(problem, observations[chunk], identity, states[chunk], config.expression_iterations, True)
            for chunk in _chunks(len(frames), config.frames_per_chunk)
        ]
    )
    reach = np.linalg.norm(problem.model.expression_deltas, axis=-1).max(1)
    expression_noise = noise / np.maximum(reach, 0.1)
    return replace(states, expression=np.clip(smoothed(states.expression, expression_noise), 0, 1))


def _landmark_noise(
    problem: HeadProblem, observations: Observations, identity: np.ndarray, states: HeadStates
) -> float:
    """Standard deviation in centimetres of how far a landmark jumps from frame to frame while the fit does not."""
    neutral = problem.model.neutral(identity)
    residuals = []
    for chunk in _chunks(len(states.translation), 256):
        residuals.append(image_residuals(problem, observations[chunk], neutral, states[chunk]))
    return float(np.median(noise_deviation(np.concatenate(residuals))))


def _reprojection_error(
    problem: HeadProblem, observations: Observations, identity: np.ndarray, states: HeadStates
) -> Float[np.ndarray, "frames"]:
    """Median distance over the points between what was detected and what the fit shows, in pixels."""
    neutral = problem.model.neutral(identity)
    errors = []
    for chunk in _chunks(len(states.translation), 256):
        residual = image_residuals(problem, observations[chunk], neutral, states[chunk])
        errors.append(np.median(np.linalg.norm(residual, axis=-1), axis=1))
    return np.concatenate(errors) * observations.pixels_per_centimeter


def _chunks(frames: int, size: int) -> list[slice]:
    return [slice(first, min(first + size, frames)) for first in range(0, frames, size)]


def _orthonormal(rotation: np.ndarray) -> Float[np.ndarray, "frames 3 3"]:
    """The nearest rotations in double precision."""
    left, _, right = np.linalg.svd(rotation.astype(np.float64))
    return left @ right
