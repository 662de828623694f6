"""Frames solved for together: the step is exact, windows do not show, and gaps are not bridged."""

from dataclasses import replace

import numpy as np
import pytest

from tracking.cameras import rotation_from_vector
from tracking.fit_stages import spanning_frames
from tracking.head_model import HeadModel
from tracking.head_problem import (
    POSE_SIZE,
    HeadProblem,
    HeadStates,
    Observations,
    cost,
    normal_equations,
    shape_basis,
)
from tracking.head_solver import solve_frames
from tracking.landmark_trust import point_weights
from tracking.sequence_solver import Smoothness, _banded_step, solve_sequence

FRAMES = 90
FOCAL_LENGTH = 900.0


@pytest.fixture(scope="module")
def model() -> HeadModel:
    return HeadModel.load()


@pytest.fixture(scope="module")
def problem(model) -> HeadProblem:
    sparsity = np.full(len(model.expression_names), 0.2, np.float32)
    weights = point_weights(len(model.mean))
    return HeadProblem(model, FOCAL_LENGTH, weights, 0.05, 0.8, sparsity, 0.05, 1.0, 0.03)


def heads(model: HeadModel, frames: int = FRAMES) -> HeadStates:
    """A head that turns slowly and opens its mouth."""
    time = np.arange(frames) / 25
    turn = np.stack([0.1 * np.sin(2 * time), 0.3 * np.sin(time), 0 * time], 1)
    translation = np.stack([np.sin(time), 0.5 * np.cos(time), -70 + 3 * np.sin(0.5 * time)], 1)
    expression = np.zeros((frames, len(model.expression_names)))
    expression[:, model.expression_index("jawOpen")] = 0.3 + 0.3 * np.sin(6 * time)
    return HeadStates(
        rotation_from_vector(turn).astype(np.float32), translation.astype(np.float32), expression.astype(np.float32)
    )


def observe(model: HeadModel, states: HeadStates, noise: float) -> Observations:
    """The points that the camera sees, with noise in pixels that is the same in every run."""
    vertices = model.vertices(np.zeros(len(model.identity_basis)), states.expression)
    points = vertices @ states.rotation.swapaxes(1, 2) + states.translation[:, None]
    image = points[..., :2] * (FOCAL_LENGTH / -points[..., 2:])
    size = FOCAL_LENGTH / -states.translation[:, 2]
    seen = np.concatenate([image, (points[..., 2:] - states.translation[:, None, 2:]) * size[:, None, None]], -1)
    seen += np.random.default_rng(1).normal(size=seen.shape) * noise
    ones = np.ones(seen.shape[:2], np.float32)
    return Observations(seen.astype(np.float32), size.astype(np.float32), ones, np.ones(len(seen), np.float32))


@pytest.fixture(scope="module")
def identity(model) -> np.ndarray:
    return np.zeros(len(model.identity_basis), np.float32)


@pytest.fixture(scope="module")
def smoothness(model) -> Smoothness:
    unknowns = POSE_SIZE + len(model.expression_names)
    weights = np.full(unknowns, 300.0)
    weights[:POSE_SIZE] = 1e5
    return Smoothness(weights, np.full(unknowns, 0.05))


def rotation_noise(states: HeadStates, truth: HeadStates) -> float:
    """Root mean square angle between found and true rotations, in degrees."""
    cosine = (np.einsum("fij,fij->f", states.rotation.astype(float), truth.rotation.astype(float)) - 1) / 2
    return float(np.degrees(np.sqrt(np.mean(np.arccos(np.clip(cosine, -1, 1)) ** 2))))


def test_the_banded_step_solves_the_dense_system():
    random = np.random.default_rng(0)
    frames, unknowns = 7, 5
    roots = random.normal(size=(frames, unknowns, unknowns))
    hessian = roots @ roots.swapaxes(1, 2)
    gradient = random.normal(size=(frames, unknowns))
    stiffness = random.uniform(1, 5, (frames - 2, unknowns))
    stiffness[2] = 0
    held = random.uniform(size=gradient.shape) < 0.2
    step = _banded_step(hessian, gradient, stiffness, held, damping=0.1)

    dense = np.zeros((frames, unknowns, frames, unknowns))
    for frame in range(frames):
        dense[frame, :, frame] = hessian[frame] * (1 + 0.1 * np.eye(unknowns)) + 1e-6 * np.eye(unknowns)
    differences = np.diff(np.eye(frames), n=2, axis=0)
    for unknown in range(unknowns):
        dense[:, unknown, :, unknown] += differences.T @ np.diag(stiffness[:, unknown]) @ differences
    free = ~held.reshape(-1)
    system = dense.reshape(frames * unknowns, -1)[np.ix_(free, free)]
    expected = np.zeros(frames * unknowns)
    expected[free] = np.linalg.solve(system, -gradient.reshape(-1)[free])
    np.testing.assert_allclose(step.reshape(-1), expected, rtol=1e-9, atol=1e-12)


def test_gradient_is_the_slope_of_the_cost(model, problem, identity):
    """Half a robust sum of squares has, without outliers, the Gauss-Newton gradient exactly."""
    plain = replace(
        problem,
        outlier_distance=1e4,
        expression_sparsity=0 * problem.expression_sparsity,
        expression_ridge=0.0,
        depth_weight=0.0,
    )
    truth = heads(model, 2)
    observed = observe(model, truth, noise=4.0)
    states = replace(truth, expression=np.full_like(truth.expression, 0.3))
    neutral = model.neutral(identity)
    _, gradient = normal_equations(plain, observed, neutral, states, shape_basis(model, with_identity=False))
    jaw = POSE_SIZE + model.expression_index("jawOpen")
    for unknown, size in ((0, 2e-3), (1, 2e-3), (2, 2e-3), (3, 1e-3), (4, 1e-3), (5, 2e-3), (jaw, 2e-2)):
        step = np.zeros_like(gradient)
        step[:, unknown] = size
        ahead, behind = (cost(plain, observed, neutral, states.moved(sign * step)) for sign in (1, -1))
        np.testing.assert_allclose((ahead - behind) / (2 * size), gradient[:, unknown], rtol=2e-2)


def test_frames_help_each_other(model, problem, identity, smoothness):
    truth = heads(model)
    observed = observe(model, truth, noise=3.0)
    alone = solve_frames(problem, observed, identity, truth, 4)
    together = solve_sequence(problem, observed, identity, alone, np.arange(FRAMES), smoothness, 5)
    assert rotation_noise(together, truth) < 0.6 * rotation_noise(alone, truth)
    jaw = model.expression_index("jawOpen")
    assert np.corrcoef(together.expression[:, jaw], truth.expression[:, jaw])[0, 1] > 0.995


def test_windows_do_not_show(model, problem, identity, smoothness):
    observed = observe(model, heads(model), noise=3.0)
    start, frames = heads(model), np.arange(FRAMES)
    whole = solve_sequence(problem, observed, identity, start, frames, smoothness, 8)
    windows = solve_sequence(problem, observed, identity, start, frames, smoothness, 8, window=30, context=25)
    assert rotation_noise(windows, whole) < 0.02
    np.testing.assert_allclose(windows.expression, whole.expression, atol=5e-3)


def test_a_gap_is_not_bridged(model, problem, identity, smoothness):
    """After a gap the head may be anywhere: frames before and after it are as if the other side did not exist."""
    elsewhere = rotation_from_vector(np.array([[0.0, 0.05, 0.0]]))[0].astype(np.float32)
    truth = heads(model)
    truth = replace(truth, rotation=np.concatenate([truth.rotation[:45], elsewhere @ truth.rotation[45:]]))
    observed = observe(model, truth, noise=3.0)
    with_gap = np.concatenate([np.arange(45), np.arange(45) + 100])
    first = solve_sequence(problem, observed[:45], identity, truth[:45], with_gap[:45], smoothness, 8)
    apart = solve_sequence(problem, observed, identity, truth, with_gap, smoothness, 8)
    bridged = solve_sequence(problem, observed, identity, truth, np.arange(90), smoothness, 8)
    near = slice(41, 45)
    assert rotation_noise(apart[near], first[near]) < 0.03
    assert rotation_noise(bridged[near], first[near]) > 0.06


def test_keyframes_hold_the_ends_and_the_extremes(model):
    states = heads(model, 200)
    turn = rotation_from_vector(np.array([[0.0, 1.0, 0.0]]))[0].astype(np.float32)
    rotation = states.rotation.copy()
    rotation[77] = turn
    chosen = spanning_frames(replace(states, rotation=rotation), 20)
    assert len(chosen) == 20
    assert {0, 77, 199} <= set(chosen.tolist())
    assert spanning_frames(states[:9], 20).tolist() == list(range(9))
