"""Fit the head model to a clip's landmarks: camera, the person's shape, and every frame's pose and expression.

1. Alignment: every frame by a similarity, from the landmarks' three coordinates.
2. `CameraStage`: focal length and identity, with the poses and expressions of keyframes that span the clip.
3. `FrameStage`: every frame's pose and expression by itself, given camera and identity.
4. `SequenceStage`: the poses and expressions of all frames together, smooth in time without lag.

A face looks nearly the same through any lens: only its own relief, a tenth of its distance, tells lenses apart, and
that relief is the least certain part of the head model. The focal length therefore leans on a prior of portrait
lenses, and distance is known only as well as the focal length is.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from tracking.cameras import rigid, rigid_inverse, similarity_transform
from tracking.clip import Intrinsics
from tracking.errors import UserError
from tracking.fit_stages import CameraStage, FrameStage, SequenceStage, chunked_residuals
from tracking.flame_model import FlameConfig, chosen_head_model, default_identity
from tracking.head_model import HeadModel
from tracking.head_problem import HeadProblem, HeadStates, Observations
from tracking.landmark_trust import OUTER_EYE_CORNERS, iris_confidence, point_weights
from tracking.over_frames import over_frames

LEAST_FRAMES = 5
"""Fewer say nothing of a person's shape."""
LEAST_POINTS = 20
"""Fewer landmarks in a frame say too little of its pose."""


@dataclass
class FitConfig:
    """How the head model is fitted to landmarks. Costs are in square centimetres at the face."""

    camera: CameraStage = field(default_factory=CameraStage)
    frames: FrameStage = field(default_factory=FrameStage)
    sequence: SequenceStage = field(default_factory=SequenceStage)
    flame: FlameConfig = field(default_factory=FlameConfig)
    depth_weight: float = 0.05
    """Trust in the detector's relative depth, against 1 for what the image shows. Little: in turned and tilted faces it
    contradicts the image, and the expressions would make up the difference."""
    outlier_distance: float = 0.8
    """Centimetres from which a landmark's error counts less and less."""
    expression_sparsity: float = 0.05
    """Cost of an expression fully on: the resting face belongs to the identity."""
    rare_expression_factor: float = 1.3
    """How much dearer the expressions are that people hardly made in the clips behind the head model."""
    expression_ridge: float = 1.0
    """Cost of a squared expression coefficient, times two."""
    score_weight: float = 2.0
    """The same for its squared distance from the detector's own score, where the detector gives scores."""
    identity_ridge: float = 0.03
    """The same for a squared identity coefficient, in every frame."""
    gross_error: float = 0.08
    """Median reprojection error, as a fraction of the distance between the eyes, from which a frame counts as lost."""

    def problem(self, model: HeadModel, focal_length: float = float("nan")) -> HeadProblem:
        """What is minimised, at a focal length in pixels."""
        dearer = np.where(model.measured, 1, self.rare_expression_factor).astype(np.float32)
        return HeadProblem(
            model,
            focal_length,
            point_weights(len(model.mean)),
            self.depth_weight,
            self.outlier_distance,
            self.expression_sparsity * dearer,
            self.expression_ridge,
            self.score_weight,
            self.identity_ridge,
        )


@dataclass(frozen=True)
class KnownHead:
    """A lens and a person that another clip has settled."""

    focal_length: float
    """In pixels of the images that are fitted now."""
    identity: Float[np.ndarray, "modes"]
    """Of the head model that is fitted."""


@dataclass(frozen=True)
class HeadFit:
    """What was fitted; frames that did not track hold NaN."""

    intrinsics: Intrinsics
    camera_to_head: Float[np.ndarray, "frames 4 4"]
    expression: Float[np.ndarray, "frames expressions"]
    identity: Float[np.ndarray, "modes"]
    reprojection_error: Float[np.ndarray, "frames"]
    """Median over the points, in pixels."""
    expression_names: tuple[str, ...]
    tracked: Bool[np.ndarray, "frames"]
    flame_identity: Float[np.ndarray, "modes"] | None = None
    """The same person in the user's FLAME model, if that was fitted: `identity` is the default head model's."""

    @property
    def known_head(self) -> KnownHead:
        """What further fits of this clip, of the same model, may take for settled."""
        identity = self.identity if self.flame_identity is None else self.flame_identity
        return KnownHead(self.intrinsics.focal_length, identity)


def fit_head(
    landmarks: Float[np.ndarray, "frames 478 3"],
    tracked: Bool[np.ndarray, "frames"],
    width: int,
    height: int,
    config: FitConfig,
    progress: Callable[[int, int], None] | None = None,
    center: tuple[float, float] | None = None,
    expression_scores: Float[np.ndarray, "frames expressions"] | None = None,
    known: KnownHead | None = None,
    detected: Float[np.ndarray, "frames 478 3"] | None = None,
    confidence: Float[np.ndarray, "frames 478"] | None = None,
) -> HeadFit:
    """Fit camera, identity, poses and expressions to a clip's landmarks.

    Args:
        landmarks: points in MediaPipe's order, in pixels of the clip's images, z the detector's relative depth in the
            same unit (less is nearer). Points that the detector does not have are NaN in all three coordinates, depths
            that it does not have in z. What untracked frames hold is ignored.
        tracked: the frames to use.
        width: of the clip's images, in pixels.
        height: of the clip's images, in pixels.
        config: how to fit.
        progress: told the number of frames done and of all frames to do.
        center: principal point in pixels of the clip's images, where they are a crop off the centre of the video.
        expression_scores: each expression as the detector judges it, in [0, 1], NaN where it does not.
        known: camera and identity, where they are not to be fitted.
        detected: what reprojection errors are distances from, where the landmarks are not just as a detector gave them.
        confidence: how much each point counts, in [0, 1]; all count fully if nothing is said.

    Raises:
        UserError: too few frames are tracked.
    """
    tracked = tracked & (np.isfinite(landmarks[..., 0]).sum(1) >= LEAST_POINTS)
    frames = np.flatnonzero(tracked)
    if len(frames) < LEAST_FRAMES:
        raise UserError(
            f"Only {len(frames)} frames show a face that could be followed: give a longer or clearer video."
        )
    model = chosen_head_model(config.flame)
    center = center or (width / 2, height / 2)

    def from_center(pixels: Float[np.ndarray, "frames 478 3"]) -> Float[np.ndarray, "chosen 478 3"]:
        return (pixels[frames] - np.array([*center, 0.0])) * np.array([1.0, -1.0, -1.0])

    observations, start, sound = _align(model, from_center(landmarks))
    if confidence is not None:
        weighed = observations.confidence * confidence[frames]
        observations = replace(observations, confidence=weighed.astype(np.float32))
    if expression_scores is not None:
        observations = replace(observations, scores=_above_rest(expression_scores[frames]))
    if known is None:
        problem = config.problem(model)
        problem, identity = config.camera.settle(problem, observations[sound], start[sound], max(width, height))
    else:
        problem, identity = config.problem(model, known.focal_length), known.identity.astype(np.float32)
    count = len(frames)

    def told(done: int) -> None:
        if progress is not None:
            progress(done, 2 * count)

    states = start.at_distance(problem.focal_length)
    states = config.frames.settle(problem, observations, identity, states, told)
    states = config.sequence.settle(
        problem, observations, identity, states, frames, progress=lambda done: told(count + done)
    )

    detected = landmarks if detected is None else detected
    seen = replace(observations, points=np.nan_to_num(from_center(detected)).astype(np.float32))
    found = np.isfinite(detected[frames, :, 0])
    error = _reprojection_error(problem, seen, found, identity, states)
    right_corner, left_corner = model.neutral(identity)[list(OUTER_EYE_CORNERS)]
    eye_distance = observations.pixels_per_centimeter * np.linalg.norm(left_corner - right_corner)
    good = error < config.gross_error * eye_distance
    head_to_camera = rigid(_orthonormal(states.rotation), states.translation.astype(np.float64))

    def spread(values: np.ndarray) -> np.ndarray:
        return over_frames(values[good].astype(np.float64), frames[good], len(landmarks))

    is_default = model is HeadModel.load()
    return HeadFit(
        Intrinsics(float(problem.focal_length), float(center[0]), float(center[1]), width, height),
        spread(rigid_inverse(head_to_camera)),
        spread(states.expression),
        # A clip is read without the user's FLAME file: it keeps the default model's nearest face.
        (identity if is_default else default_identity(model, identity)).astype(np.float64),
        spread(error),
        model.expression_names,
        over_frames(good, frames, len(landmarks), missing=False),
        None if is_default else identity.astype(np.float64),
    )


def observed(
    points: Float[np.ndarray, "frames vertices 3"], pixels_per_centimeter: Float[np.ndarray, "frames"]
) -> Observations:
    """Landmarks as the solver takes them.

    Args:
        points: pixels from the principal point, x to the right, y up, z toward the camera; NaN where there are none.
            Depths are believed only where all points have one.
    """
    return Observations(
        np.nan_to_num(points).astype(np.float32),
        pixels_per_centimeter.astype(np.float32),
        np.where(np.isfinite(points[..., 0]), np.nan_to_num(iris_confidence(points)), 0).astype(np.float32),
        np.full(len(points), float(np.isfinite(points).all()), np.float32),
    )


def _align(
    model: HeadModel, points: Float[np.ndarray, "frames vertices 3"]
) -> tuple[Observations, HeadStates, Int[np.ndarray, "sound"]]:
    """What was seen, the mean face laid upon it, and the frames in which that looks like a face.

    The heads are at the distances that a focal length of one pixel would give.
    """
    found = np.isfinite(points[..., 0])
    has_depth = np.isfinite(points[..., 2][found]).all()
    everywhere = found.all(0)
    if everywhere.sum() < LEAST_POINTS:
        raise UserError("Too few landmarks are seen in all frames: track with another landmark detector.")
    mean, weights = model.mean[everywhere], point_weights(len(model.mean))[everywhere]
    targets = points[:, everywhere].copy()
    if not has_depth:
        # Flat landmarks are laid upon a face that looks straight ahead; the fit turns it.
        size = np.linalg.norm(targets[..., :2].std(1), axis=1) / np.linalg.norm(mean[:, :2].std(0))
        targets[..., 2] = size[:, None] * mean[:, 2]
    scale, rotation, shift = similarity_transform(mean, targets, weights)
    observations = observed(points, scale)
    start = HeadStates(
        rotation.astype(np.float32),
        np.concatenate([shift[:, :2] / scale[:, None], -1 / scale[:, None]], 1).astype(np.float32),
        np.zeros((len(points), len(model.expression_names)), np.float32),
    )
    aligned = scale[:, None, None] * mean @ rotation.swapaxes(1, 2) + shift[:, None]
    distance = np.median(np.linalg.norm(aligned - targets, axis=-1), axis=1) / scale
    return observations, start, np.flatnonzero(distance <= 3 * np.median(distance))


def _above_rest(scores: Float[np.ndarray, "frames expressions"]) -> Float[np.ndarray, "frames expressions"]:
    """Scores above what the detector says of the person's resting face: their lowest tenth in the clip."""
    rest = np.zeros(scores.shape[1])
    scored = np.isfinite(scores).any(0)
    rest[scored] = np.nanpercentile(scores[:, scored], 10, axis=0)
    return np.clip(scores - rest, 0, 1).astype(np.float32)


def _reprojection_error(
    problem: HeadProblem,
    observations: Observations,
    found: Bool[np.ndarray, "frames points"],
    identity: np.ndarray,
    states: HeadStates,
) -> Float[np.ndarray, "frames"]:
    """Median distance over the points seen between what was detected and what the fit shows, in pixels."""
    distance = np.linalg.norm(chunked_residuals(problem, observations, identity, states), axis=-1)
    distance[~found] = np.nan
    return np.nanmedian(distance, axis=1) * observations.pixels_per_centimeter


def _orthonormal(rotation: np.ndarray) -> Float[np.ndarray, "frames 3 3"]:
    """The nearest rotations in double precision."""
    left, _, right = np.linalg.svd(rotation.astype(np.float64))
    return left @ right
