"""Poses and expressions of consecutive frames, solved for together so that they are smooth without lag.

    sum_t cost_t(state_t) + sum_t sum_i w_i c_i^2 / 2 log(1 + (bend_ti / c_i)^2)

A bend is the second difference of one unknown. Bends below the scale c, such as the detector's noise makes, cost their
square; larger ones, a nod or a blink, cost ever less (Cauchy's kernel), so their peaks stay. Each Gauss-Newton step
solves one banded system over all frames, exactly: information travels both ways in time, and nothing lags. Smoothing
what is unsure through what it depends on, rather than the finished curves, also tells a turn of the head from a shift.

Long sequences are solved in windows that overlap; of each, the frames near its ends are only context.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.linalg import solveh_banded

from tracking.cameras import vector_from_rotation
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


@dataclass(frozen=True)
class Smoothness:
    """How smooth each unknown is expected to be: the pose's six, then the expressions."""

    weights: Float[np.ndarray, "unknowns"]
    """Cost of a squared small bend: w."""
    scales: Float[np.ndarray, "unknowns"]
    """Bends larger than this are motion: c. Radians, tangents and logarithms for the pose; see `HeadStates.moved`."""


def solve_sequence(
    problem: HeadProblem,
    observations: Observations,
    identity: Float[np.ndarray, "modes"],
    states: HeadStates,
    frames: Int[np.ndarray, "frames"],
    smoothness: Smoothness,
    iterations: int,
    window: int = 256,
    context: int = 32,
    progress: Callable[[int], None] | None = None,
    fixed_pose: bool = False,
) -> HeadStates:
    """Poses and expressions of frames in order, given camera and identity; the expressions alone if the pose is fixed.

    Args:
        frames: the frames' numbers in the video, increasing; no smoothness is asked for across gaps.
        window: frames solved together, besides context; sets the memory used.
        context: frames on either side of a window, solved with it and then thrown away.
        progress: told the number of frames done.
    """
    done, count = [], len(frames)
    for first in range(0, count, window):
        last = min(first + window, count)
        if count - last < context:
            last = count
        seen = slice(max(0, first - context), min(count, last + context))
        part = _solve_window(
            problem, observations[seen], identity, states[seen], frames[seen], smoothness, iterations, fixed_pose
        )
        done.append(part[first - seen.start : last - seen.start])
        if progress is not None:
            progress(last)
        if last == count:
            break
    return HeadStates.concatenate(done)


def _solve_window(
    problem: HeadProblem,
    observations: Observations,
    identity: np.ndarray,
    states: HeadStates,
    frames: np.ndarray,
    smoothness: Smoothness,
    iterations: int,
    fixed_pose: bool,
) -> HeadStates:
    neutral = problem.model.neutral(identity)
    basis = shape_basis(problem.model, with_identity=False)
    consecutive = (np.diff(frames)[1:] == 1) & (np.diff(frames)[:-1] == 1)

    def total(candidate: HeadStates) -> float:
        data = cost(problem, observations, neutral, candidate).sum()
        bends = _bends(candidate)[consecutive]
        return float(data + _cauchy(bends, smoothness).sum())

    best, damping = total(states), 1e-3
    for _ in range(iterations):
        hessian, gradient = normal_equations(problem, observations, neutral, states, basis)
        add_expression_prior(problem, observations, states, hessian, gradient)
        bends = _bends(states)
        stiffness = smoothness.weights / (1 + (bends / smoothness.scales) ** 2) * consecutive[:, None]
        gradient = gradient.astype(np.float64) + _spread(stiffness * bends)
        held = held_at_bounds(states, gradient)
        held[:, :POSE_SIZE] |= fixed_pose
        step = _banded_step(hessian, gradient, stiffness, held, damping)
        candidate = states.moved(step)
        value = total(candidate)
        if value <= best:
            gain = best - value
            states, best, damping = candidate, value, max(damping / 5, 1e-6)
            if gain < 1e-5 * best:
                break
        else:
            damping *= 10
    return states


def _bends(states: HeadStates) -> Float[np.ndarray, "bends unknowns"]:
    """Second differences of all unknowns about every frame but the first and the last."""
    if len(states.translation) < 3:
        return np.zeros((0, POSE_SIZE + states.expression.shape[1]))
    rotation = states.rotation.astype(np.float64)
    turns = vector_from_rotation(rotation[1:] @ rotation[:-1].swapaxes(1, 2))
    x, y, z = states.translation.T.astype(np.float64)
    others = np.concatenate([np.stack([x / z, y / z, np.log(-z)], 1), states.expression], 1)
    return np.concatenate([np.diff(turns, axis=0), np.diff(others, n=2, axis=0)], 1)


def _cauchy(bends: np.ndarray, smoothness: Smoothness) -> np.ndarray:
    squared = smoothness.scales**2
    return smoothness.weights * squared / 2 * np.log1p(bends**2 / squared)


def _spread(force: Float[np.ndarray, "bends unknowns"]) -> Float[np.ndarray, "frames unknowns"]:
    """The transpose of taking second differences."""
    spread = np.zeros((len(force) + 2, force.shape[1]))
    spread[:-2] += force
    spread[1:-1] -= 2 * force
    spread[2:] += force
    return spread


def _banded_step(
    hessian: Float[np.ndarray, "frames unknowns unknowns"],
    gradient: Float[np.ndarray, "frames unknowns"],
    stiffness: Float[np.ndarray, "bends unknowns"],
    held: Bool[np.ndarray, "frames unknowns"],
    damping: float,
) -> Float[np.ndarray, "frames unknowns"]:
    """Solve (H + D' S D) step = -gradient, D being second differences in time, for what is not held.

    Turns between neighbouring frames are small, so a bend of the rotations is taken to change by the second difference
    of their perturbations.
    """
    frames, unknowns = gradient.shape
    bands = np.zeros((2 * unknowns + 1, frames * unknowns))
    for offset in range(unknowns):
        rows = np.arange(unknowns - offset)
        bands[offset].reshape(frames, unknowns)[:, : unknowns - offset] = hessian[:, rows + offset, rows]
    diagonal = bands[0].reshape(frames, unknowns)
    diagonal *= 1 + damping
    diagonal += 1e-6
    diagonal[:-2] += stiffness
    diagonal[1:-1] += 4 * stiffness
    diagonal[2:] += stiffness
    next_frame = bands[unknowns].reshape(frames, unknowns)
    next_frame[:-2] -= 2 * stiffness
    next_frame[1:-1] -= 2 * stiffness
    bands[2 * unknowns].reshape(frames, unknowns)[:-2] += stiffness
    free = ~held.reshape(-1)
    for offset in range(1, len(bands)):
        if offset < unknowns or offset % unknowns == 0:
            bands[offset, : len(free) - offset] *= free[: len(free) - offset] & free[offset:]
    bands[0, ~free] = 1.0
    right = np.where(held, 0, -gradient).reshape(-1)
    return solveh_banded(bands, right, lower=True, overwrite_ab=True, overwrite_b=True).reshape(frames, unknowns)
