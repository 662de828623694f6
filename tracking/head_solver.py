"""Nonlinear least squares for single frames, and for the camera and the person that many frames share.

A frame has 6 + E unknowns, so its normal equations are small; they are built and solved for a whole chunk of frames in
a few array operations (Levenberg-Marquardt). What the frames share is eliminated from the joint problem by the Schur
complement, as in bundle adjustment (Triggs et al. 2000, section 6.1). Expression coefficients stay in [0, 1] by a
projected active set (Bertsekas 1982).
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from tracking.head_problem import (
    POSE_SIZE,
    HeadProblem,
    HeadStates,
    Observations,
    add_expression_prior,
    cost,
    held_at_bounds,
    normal_equations,
    shape_basis,
)


def solve_frames(
    problem: HeadProblem,
    observations: Observations,
    identity: Float[np.ndarray, "modes"],
    states: HeadStates,
    iterations: int,
    fixed_pose: bool = False,
) -> HeadStates:
    """Poses and expressions of frames that do not depend on each other, given camera and identity."""
    neutral = problem.model.neutral(identity)
    basis = shape_basis(problem.model, with_identity=False)
    damping = np.full(len(states.translation), 1e-3, np.float32)
    best = cost(problem, observations, neutral, states)
    for _ in range(iterations):
        hessian, gradient = normal_equations(problem, observations, neutral, states, basis)
        add_expression_prior(problem, observations, states, hessian, gradient)
        held = held_at_bounds(states, gradient)
        if fixed_pose:
            held[:, :POSE_SIZE] = True
        candidate = states.moved(_damped_solve(hessian, gradient, damping, held))
        value = cost(problem, observations, neutral, candidate)
        better = value <= best
        states = candidate.where(better, states)
        best = np.where(better, value, best)
        damping = np.clip(np.where(better, damping / 5, damping * 10), 1e-6, 1e3).astype(np.float32)
    return states


@dataclass(frozen=True)
class FocalPrior:
    """What is believed of the focal length before looking: a normal distribution of its logarithm."""

    logarithm: float
    """Mean of the logarithm of the focal length in pixels."""
    spread: float
    """Standard deviation of the logarithm."""
    evidence: float
    """Number of independent measurements that the landmarks count for against the prior."""

    def cost(self, focal_length: float, data_cost: float) -> float:
        """In units of a frame's cost: with N measurements of unknown variance, N/2 log(C) is their neg. log likelihood.

        Its slope by C is N / 2C, so one unit of negative log likelihood is worth 2C / N.
        """
        return data_cost * 2 / self.evidence * (np.log(focal_length) - self.logarithm) ** 2 / (2 * self.spread**2)


@dataclass(frozen=True)
class JointSolution:
    """What many frames agree upon."""

    problem: HeadProblem
    """With the focal length found."""
    identity: Float[np.ndarray, "modes"]
    states: HeadStates
    cost: float
    """Mean over the frames."""


def solve_jointly(
    problem: HeadProblem,
    observations: Observations,
    identity: Float[np.ndarray, "modes"],
    states: HeadStates,
    iterations: int,
    focal_prior: FocalPrior | None = None,
) -> JointSolution:
    """Poses and expressions of all frames given, their one identity and, with a prior, their one focal length."""
    damping, count = 1e-3, len(states.translation)
    basis = shape_basis(problem.model, with_identity=True)
    own = POSE_SIZE + states.expression.shape[1]
    free_focal = focal_prior is not None
    best = _joint_cost(problem, observations, identity, states)
    for _ in range(iterations):
        # The prior's weight, held during the step; in it the data's cost is measured without the prior.
        weight = 2 * best / (focal_prior.evidence * focal_prior.spread**2) if focal_prior else 0.0

        def penalty(focal_length: float, weight: float = weight) -> float:
            return weight / 2 * (np.log(focal_length) - focal_prior.logarithm) ** 2 if focal_prior else 0.0

        neutral = problem.model.neutral(identity)
        hessian, gradient = normal_equations(problem, observations, neutral, states, basis, free_focal)
        frame_hessian, frame_gradient = hessian[:, :own, :own], gradient[:, :own]
        add_expression_prior(problem, observations, states, frame_hessian, frame_gradient)
        held = held_at_bounds(states, frame_gradient)
        coupling = np.where(held[..., None], 0, hessian[:, :own, own:])
        # For every frame: what its own unknowns would do by themselves, and in answer to each shared unknown.
        answers = _damped_solve(frame_hessian, np.dstack([frame_gradient, coupling]), damping, held)
        shared_hessian = hessian[:, own:, own:].sum(0).astype(np.float64)
        shared_gradient = gradient[:, own:].sum(0).astype(np.float64)
        modes = np.arange(len(identity))
        shared_hessian[modes, modes] += count * problem.identity_ridge
        shared_gradient[modes] += count * problem.identity_ridge * identity
        if focal_prior:
            shared_hessian[-1, -1] += count * weight
            shared_gradient[-1] += count * weight * (np.log(problem.focal_length) - focal_prior.logarithm)
        shared_hessian += np.einsum("fpi,fpj->ij", coupling, answers[..., 1:])
        shared_gradient += np.einsum("fpi,fp->i", coupling, answers[..., 0])
        shared_hessian[np.diag_indices(len(shared_hessian))] *= 1 + damping
        shared_step = -np.linalg.solve(shared_hessian, shared_gradient)
        candidate = states.moved(answers[..., 0] + np.einsum("fpi,i->fp", answers[..., 1:], shared_step))
        candidate_identity = identity + shared_step[: len(identity)].astype(np.float32)
        candidate_problem = problem
        if free_focal:
            factor = float(np.exp(np.clip(shared_step[-1], -0.3, 0.3)))
            candidate_problem = replace(problem, focal_length=problem.focal_length * factor)
        value = _joint_cost(candidate_problem, observations, candidate_identity, candidate)
        if value + penalty(candidate_problem.focal_length) <= best + penalty(problem.focal_length):
            problem, identity, states, best = candidate_problem, candidate_identity, candidate, value
            damping = max(damping / 5, 1e-6)
        else:
            damping *= 10
    return JointSolution(problem, identity, states, best)


def _joint_cost(problem: HeadProblem, observations: Observations, identity: np.ndarray, states: HeadStates) -> float:
    frames = cost(problem, observations, problem.model.neutral(identity), states).mean()
    return float(frames + problem.identity_ridge / 2 * (identity**2).sum())


def _damped_solve(
    hessian: np.ndarray, right: np.ndarray, damping: np.ndarray | float, held: Bool[np.ndarray, "frames unknowns"]
) -> np.ndarray:
    """Minus the damped inverse Hessian times one or several right sides; zero for what is held."""
    unknowns = hessian.shape[-1]
    free = ~held
    system = hessian * (free[:, :, None] & free[:, None, :])
    diagonal = np.arange(unknowns)
    scaled = system[:, diagonal, diagonal] * (1 + np.reshape(damping, (-1, 1))) + 1e-6
    system[:, diagonal, diagonal] = np.where(held, 1.0, scaled)
    single = right.ndim == 2
    sides = right[..., None] if single else right
    solved = -np.linalg.solve(system, np.where(held[..., None], 0, sides))
    return solved[..., 0] if single else solved
