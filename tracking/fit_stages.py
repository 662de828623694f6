"""The stages of the head fit: each names what it settles, and what it takes for granted from the stage before."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from tracking.cameras import mean_rotation, vector_from_rotation
from tracking.head_problem import (
    POSE_SIZE,
    HeadProblem,
    HeadStates,
    Observations,
    add_expression_prior,
    image_residuals,
    normal_equations,
    shape_basis,
)
from tracking.head_solver import FocalPrior, solve_frames, solve_jointly
from tracking.landmark_trust import INDEPENDENT_PATCHES
from tracking.sequence_solver import Smoothness, solve_sequence
from tracking.smoothing import noise_deviation
from tracking.spread_evenly import spread_evenly

FRAMES_PER_CHUNK = 64
"""Frames whose equations are set up at a time; bounds the memory used."""
NOISE_SAMPLES = 32
"""Frames on which it is seen how well the landmarks determine each unknown."""
CAUTION = 30.0
"""How much more strongly the identity is held to the mean at first, lest it makes the expressions its own."""

Progress = Callable[[int], None]


@dataclass
class CameraStage:
    """Settles the focal length and the identity, together with the poses and expressions of keyframes.

    Half of the keyframes are spread evenly in time, half are those most unlike each other in pose: turned heads tell
    the depth of a face, and heads at several distances the lens.
    """

    focal_length: float | None = None
    """Focal length in multiples of the image's longer side, if known; estimated otherwise."""
    focal_prior: float = 1.7
    """The likeliest focal length in multiples of the longer side."""
    focal_prior_spread: float = 0.35
    """Standard deviation of the logarithm of the focal length."""
    focal_evidence: float = 8.0
    """Number of independent measurements that the clip's landmarks count for against the prior: far fewer than there
    are, because the model's errors are the same in every frame."""
    keyframes: int = 48
    cautious_iterations: int = 6
    """Steps with an identity held near the mean."""
    iterations: int = 10
    """Steps with all unknowns free."""

    def settle(
        self, problem: HeadProblem, observations: Observations, start: HeadStates, longer_side: int
    ) -> tuple[HeadProblem, Float[np.ndarray, "modes"]]:
        """The problem with its focal length, and the identity.

        Args:
            start: the frames that look like a face, at the distances that a focal length of 1 would give.
            longer_side: of the image, in pixels.
        """
        chosen = spanning_frames(start, self.keyframes)
        seen = observations[chosen]
        problem = replace(problem, focal_length=longer_side * (self.focal_length or self.focal_prior))
        states = start[chosen].at_distance(problem.focal_length)
        identity = np.zeros(len(problem.model.identity_basis), np.float32)
        cautious = replace(problem, identity_ridge=CAUTION * problem.identity_ridge)
        states = solve_jointly(cautious, seen, identity, states, self.cautious_iterations).states
        prior = None
        if self.focal_length is None:
            prior = FocalPrior(np.log(self.focal_prior * longer_side), self.focal_prior_spread, self.focal_evidence)
        solution = solve_jointly(problem, seen, identity, states, self.iterations, prior)
        return solution.problem, solution.identity


@dataclass
class FrameStage:
    """Settles every frame's pose and expression by itself: the start of the sequence stage."""

    iterations: int = 3

    def settle(
        self,
        problem: HeadProblem,
        observations: Observations,
        identity: Float[np.ndarray, "modes"],
        start: HeadStates,
        progress: Progress,
    ) -> HeadStates:
        """Poses and expressions, given camera and identity."""
        parts = []
        for chunk in _chunks(len(start.translation)):
            parts.append(solve_frames(problem, observations[chunk], identity, start[chunk], self.iterations))
            progress(chunk.stop)
        return HeadStates.concatenate(parts)


@dataclass
class SequenceStage:
    """Settles the poses and expressions of all frames together, in overlapping windows: smooth in time, without lag."""

    iterations: int = 6
    """Most steps; 0 leaves every frame by itself."""
    pose_stiffness: float = 20.0
    """How much more a bend of the pose costs than an equal departure from one frame's landmarks, as long as it is no
    larger than noise."""
    expression_stiffness: float = 3.0
    """The same for expressions, which are quicker."""
    motion_threshold: float = 2.0
    """Bends larger than so many standard deviations of the noise are motion and cost ever less."""
    window: int = 256
    """Frames solved together; sets the memory used."""

    def settle(
        self,
        problem: HeadProblem,
        observations: Observations,
        identity: Float[np.ndarray, "modes"],
        start: HeadStates,
        frames: Int[np.ndarray, "frames"],
        progress: Progress,
    ) -> HeadStates:
        """Poses and expressions, given camera and identity.

        Args:
            frames: the frames' numbers in the video, increasing.
        """
        if self.iterations == 0:
            progress(len(frames))
            return start
        smoothness = self.smoothness(problem, observations, identity, start)
        return solve_sequence(
            problem, observations, identity, start, frames, smoothness, self.iterations, self.window, progress=progress
        )

    def smoothness(
        self,
        problem: HeadProblem,
        observations: Observations,
        identity: Float[np.ndarray, "modes"],
        states: HeadStates,
    ) -> Smoothness:
        """How stiff each unknown is: in proportion to how well one frame's landmarks determine it.

        The variance of an unknown is the diagonal of the inverse of the data's Hessian, times the variance of a
        landmark, times how many landmarks go wrong together.
        """
        chosen = np.array(spread_evenly(len(states.translation), NOISE_SAMPLES))
        seen, sample = observations[chosen], states[chosen]
        neutral = problem.model.neutral(identity)
        hessian, gradient = normal_equations(
            problem, seen, neutral, sample, shape_basis(problem.model, with_identity=False)
        )
        add_expression_prior(problem, seen, sample, hessian, gradient)
        variances = np.median(np.linalg.inv(hessian).diagonal(axis1=1, axis2=2), axis=0)
        together = problem.point_weights.sum() / INDEPENDENT_PATCHES
        noise = landmark_noise(problem, observations, identity, states)
        stiffness = np.full(len(variances), self.expression_stiffness)
        stiffness[:POSE_SIZE] = self.pose_stiffness
        scales = self.motion_threshold * noise * np.sqrt(together * variances)
        return Smoothness(stiffness / variances, np.maximum(scales, 1e-9))


def spanning_frames(states: HeadStates, count: int) -> Int[np.ndarray, "chosen"]:
    """Frames that span a clip: half evenly in time, then always the one whose pose is least like those chosen before.

    Poses are compared by rotation in radians and by the logarithm of the distance.
    """
    frames = len(states.translation)
    if frames <= count:
        return np.arange(frames)
    chosen = spread_evenly(frames, count // 2)
    rotation = states.rotation.astype(np.float64)
    turned = vector_from_rotation(rotation @ mean_rotation(rotation).T)
    features = np.concatenate([turned, np.log(-states.translation[:, 2:])], axis=1)
    nearest = np.full(frames, np.inf)
    for frame in chosen:
        nearest = np.minimum(nearest, np.linalg.norm(features - features[frame], axis=1))
    while len(chosen) < count:
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, np.linalg.norm(features - features[chosen[-1]], axis=1))
    return np.unique(chosen)


def landmark_noise(
    problem: HeadProblem, observations: Observations, identity: Float[np.ndarray, "modes"], states: HeadStates
) -> float:
    """Standard deviation in centimetres of how far a landmark jumps from frame to frame while the fit does not."""
    residuals = chunked_residuals(problem, observations, identity, states)
    seen = observations.confidence.min(0) > 0
    return float(np.median(noise_deviation(residuals[:, seen]))) if len(residuals) > 3 else 0.0


def chunked_residuals(
    problem: HeadProblem, observations: Observations, identity: Float[np.ndarray, "modes"], states: HeadStates
) -> Float[np.ndarray, "frames vertices 2"]:
    """Projected minus detected points, in centimetres at the face."""
    neutral = problem.model.neutral(identity)
    return np.concatenate(
        [
            image_residuals(problem, observations[chunk], neutral, states[chunk])
            for chunk in _chunks(len(states.translation))
        ]
    )


def _chunks(frames: int) -> list[slice]:
    return [slice(first, min(first + FRAMES_PER_CHUNK, frames)) for first in range(0, frames, FRAMES_PER_CHUNK)]
