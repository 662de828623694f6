"""Nonlinear least squares for the head: poses and expressions of many frames at once, and the identity they share.

The residuals of a frame are the distances, in centimetres at the face, between detected and projected points, and, with
little weight, between MediaPipe's relative depth and the model's. A frame has 6 + E unknowns, so its normal equations
are small; they are built and solved for a whole chunk of frames in a few array operations (Levenberg-Marquardt). The
identity is eliminated from the joint problem by the Schur complement, as in bundle adjustment (Triggs et al. 2000,
section 6.1). Expression coefficients stay in [0, 1] by a projected active set (Bertsekas 1982).
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from tracking.cameras import rotation_from_vector
from tracking.head_model import HeadModel

POSE_SIZE = 6


@dataclass(frozen=True)
class Observations:
    """What was detected, in pixels from the principal point; x to the right, y up, z toward the camera."""

    points: Float[np.ndarray, "frames vertices 3"]
    """z is only known up to an offset for each frame."""
    pixels_per_centimeter: Float[np.ndarray, "frames"]
    """Size of the face in each frame, which makes residuals comparable."""
    confidence: Float[np.ndarray, "frames vertices"]
    """Trust in each point as seen in the image, on top of the weight that it has in every frame."""

    def __getitem__(self, frames: slice | np.ndarray) -> "Observations":
        return Observations(self.points[frames], self.pixels_per_centimeter[frames], self.confidence[frames])


@dataclass(frozen=True)
class HeadStates:
    """The unknowns of every frame."""

    rotation: Float[np.ndarray, "frames 3 3"]
    """Head to camera."""
    translation: Float[np.ndarray, "frames 3"]
    """Of the head's origin, in camera space, in centimetres."""
    expression: Float[np.ndarray, "frames expressions"]

    def __getitem__(self, frames: slice | np.ndarray) -> "HeadStates":
        return HeadStates(self.rotation[frames], self.translation[frames], self.expression[frames])

    @classmethod
    def concatenate(cls, parts: "list[HeadStates]") -> "HeadStates":
        return cls(
            np.concatenate([part.rotation for part in parts]),
            np.concatenate([part.translation for part in parts]),
            np.concatenate([part.expression for part in parts]),
        )


@dataclass(frozen=True)
class HeadProblem:
    """What is held fixed while the head is solved for, and how the terms are weighed."""

    model: HeadModel
    focal_length: float
    """Pixels."""
    point_weights: Float[np.ndarray, "vertices"]
    depth_weight: float
    outlier_distance: float
    expression_sparsity: Float[np.ndarray, "expressions"]
    expression_ridge: float
    identity_ridge: float


def solve_frames(
    problem: HeadProblem,
    observations: Observations,
    identity: Float[np.ndarray, "modes"],
    states: HeadStates,
    iterations: int,
    fixed_pose: bool = False,
) -> HeadStates:
    """Poses and expressions of frames that do not depend on each other, given the identity."""
    neutral = problem.model.neutral(identity)
    basis = _per_vertex(problem.model.expression_deltas)
    damping = np.full(len(states.translation), 1e-3, np.float32)
    best = cost(problem, observations, neutral, states)
    for _ in range(iterations):
        hessian, gradient = _normal_equations(problem, observations, neutral, states, basis)
        _add_expression_prior(problem, states, hessian, gradient)
        held = _held_at_bounds(states, gradient)
        if fixed_pose:
            held[:, :POSE_SIZE] = True
        step = _damped_solve(hessian, gradient, damping, held)
        candidate = _moved(states, step)
        value = cost(problem, observations, neutral, candidate)
        better = value <= best
        states = HeadStates(
            np.where(better[:, None, None], candidate.rotation, states.rotation),
            np.where(better[:, None], candidate.translation, states.translation),
            np.where(better[:, None], candidate.expression, states.expression),
        )
        best = np.where(better, value, best)
        damping = np.clip(np.where(better, damping / 5, damping * 10), 1e-6, 1e3).astype(np.float32)
    return states


def solve_jointly(
    problem: HeadProblem,
    observations: Observations,
    identity: Float[np.ndarray, "modes"],
    states: HeadStates,
    iterations: int,
) -> tuple[HeadStates, Float[np.ndarray, "modes"], float]:
    """Poses, expressions and the one identity of all frames given, and the mean cost of a frame."""
    model = problem.model
    damping = 1e-3
    best = _joint_cost(problem, observations, identity, states)
    basis = _per_vertex(np.concatenate([model.expression_deltas, model.identity_basis]))
    for _ in range(iterations):
        neutral = model.neutral(identity)
        hessian, gradient = _normal_equations(problem, observations, neutral, states, basis)
        own = POSE_SIZE + states.expression.shape[1]
        frame_hessian, frame_gradient = hessian[:, :own, :own], gradient[:, :own]
        _add_expression_prior(problem, states, frame_hessian, frame_gradient)
        held = _held_at_bounds(states, frame_gradient)
        coupling = np.where(held[..., None], 0, hessian[:, :own, own:])
        # For every frame: what its own unknowns would do by themselves, and in answer to each identity mode.
        answers = _damped_solve(frame_hessian, np.dstack([frame_gradient, coupling]), damping, held)
        count = len(hessian)
        shared_hessian = hessian[:, own:, own:].sum(0) + count * problem.identity_ridge * np.eye(len(identity))
        shared_gradient = gradient[:, own:].sum(0) + count * problem.identity_ridge * identity
        shared_hessian += np.einsum("fpi,fpj->ij", coupling, answers[..., 1:])
        shared_gradient += np.einsum("fpi,fp->i", coupling, answers[..., 0])
        shared_hessian[np.diag_indices(len(identity))] *= 1 + damping
        shared_step = -np.linalg.solve(shared_hessian, shared_gradient).astype(np.float32)
        step = answers[..., 0] + np.einsum("fpi,i->fp", answers[..., 1:], shared_step)
        candidate, candidate_identity = _moved(states, step), identity + shared_step
        value = _joint_cost(problem, observations, candidate_identity, candidate)
        if value <= best:
            states, identity, best, damping = candidate, candidate_identity, value, max(damping / 5, 1e-6)
        else:
            damping *= 10
    return states, identity, best


def cost(
    problem: HeadProblem, observations: Observations, neutral: Float[np.ndarray, "vertices 3"], states: HeadStates
) -> Float[np.ndarray, "frames"]:
    """Half the robust sum of squared residuals in square centimetres, plus the expressions' prior."""
    posed = _posed(problem.model, neutral, states)
    image, depth, _ = _residuals(problem, observations, posed, states.translation)
    squared = (image**2).sum(-1)
    robust = observations.confidence * squared / (1 + squared / problem.outlier_distance**2)
    data = robust + (problem.depth_weight * depth) ** 2
    expression = states.expression
    prior = expression @ problem.expression_sparsity + problem.expression_ridge / 2 * (expression**2).sum(1)
    return (data * problem.point_weights).sum(1) / 2 + prior


def image_residuals(
    problem: HeadProblem, observations: Observations, neutral: Float[np.ndarray, "vertices 3"], states: HeadStates
) -> Float[np.ndarray, "frames vertices 2"]:
    """Projected minus detected points, in centimetres at the face."""
    return _residuals(problem, observations, _posed(problem.model, neutral, states), states.translation)[0]


def _joint_cost(problem: HeadProblem, observations: Observations, identity: np.ndarray, states: HeadStates) -> float:
    frames = cost(problem, observations, problem.model.neutral(identity), states).mean()
    return float(frames + problem.identity_ridge / 2 * (identity**2).sum())


def _posed(model: HeadModel, neutral: np.ndarray, states: HeadStates) -> Float[np.ndarray, "frames vertices 3"]:
    """The face turned as in the image but not yet moved, in centimetres."""
    deformed = neutral + (states.expression @ model.expression_deltas.reshape(len(model.expression_names), -1)).reshape(
        len(states.expression), -1, 3
    )
    return deformed @ states.rotation.swapaxes(1, 2)


def _per_vertex(fields: Float[np.ndarray, "coefficients vertices 3"]) -> Float[np.ndarray, "vertices 3 coefficients"]:
    return np.ascontiguousarray(fields.transpose(1, 2, 0))


def _residuals(
    problem: HeadProblem, observations: Observations, posed: np.ndarray, translation: np.ndarray
) -> tuple[
    Float[np.ndarray, "frames vertices 2"], Float[np.ndarray, "frames vertices"], Float[np.ndarray, "frames vertices"]
]:
    """Projected minus detected in the image and in depth, in centimetres, and the distances from the camera's plane."""
    distance = np.negative(posed[..., 2] + translation[:, None, 2])
    size = observations.pixels_per_centimeter[:, None]
    magnification = (problem.focal_length / (distance * size))[..., None]
    detected = observations.points / size[..., None]
    image = (posed[..., :2] + translation[:, None, :2]) * magnification - detected[..., :2]
    depth = posed[..., 2] - detected[..., 2]
    offset = depth @ (problem.point_weights / problem.point_weights.sum())
    return image, depth - offset[:, None], distance


def _normal_equations(
    problem: HeadProblem,
    observations: Observations,
    neutral: np.ndarray,
    states: HeadStates,
    basis: Float[np.ndarray, "vertices 3 coefficients"],
) -> tuple[Float[np.ndarray, "frames unknowns unknowns"], Float[np.ndarray, "frames unknowns"]]:
    """Gauss-Newton's matrix and the gradient by rotation, translation and the coefficients of the basis.

    Rotations are perturbed on the left, R <- exp(w) R, so that d(Rx)/dw = -[Rx]_x. The weight of a point is that of the
    Geman-McClure kernel r^2 / (1 + r^2/c^2), namely (1 + r^2/c^2)^-2 (Barron, CVPR 2019, table 1).
    """
    posed = _posed(problem.model, neutral, states)
    image, depth, distance = _residuals(problem, observations, posed, states.translation)
    frames, vertices = distance.shape
    robust = 1 / (1 + (image**2).sum(-1) / problem.outlier_distance**2)
    confidence = robust * np.sqrt(problem.point_weights * observations.confidence)
    # Rows of d(image)/d(point in camera), times the root of the weight: f/d (1, 0, x/d) and f/d (0, 1, y/d).
    slope = np.zeros((frames, vertices, 2, 3), np.float32)
    slope[..., 0, 0] = slope[..., 1, 1] = problem.focal_length / (
        distance * observations.pixels_per_centimeter[:, None]
    )
    tangent = (posed[..., :2] + states.translation[:, None, :2]) / distance[..., None]
    slope[..., 2] = slope[..., 0, :1] * tangent
    slope *= confidence[..., None, None]
    jacobian = np.empty((frames, 3 * vertices, POSE_SIZE + basis.shape[-1]), np.float32)
    in_image = jacobian[:, : 2 * vertices].reshape(frames, vertices, 2, -1)
    in_image[..., :3] = np.cross(posed[:, :, None], slope)
    in_image[..., 3:POSE_SIZE] = slope
    np.matmul(slope @ states.rotation[:, None], basis, out=in_image[..., POSE_SIZE:])
    # Depth is compared about its weighted mean over the face, so that it says nothing about the head's place.
    fixed = problem.depth_weight * np.sqrt(problem.point_weights)
    normalized = problem.point_weights / problem.point_weights.sum()
    in_depth = jacobian[:, 2 * vertices :]
    centered = posed - np.einsum("v,fvi->fi", normalized, posed)[:, None]
    in_depth[..., :3] = np.stack([centered[..., 1], -centered[..., 0], 0 * centered[..., 0]], -1) * fixed[:, None]
    in_depth[..., 3:POSE_SIZE] = 0
    relative = (basis - np.tensordot(normalized, basis, 1)) * fixed[:, None, None]
    shape = (frames, vertices, basis.shape[-1])
    in_depth[..., POSE_SIZE:] = (states.rotation[:, 2] @ relative.swapaxes(0, 1).reshape(3, -1)).reshape(shape)
    residual = np.concatenate([(image * confidence[..., None]).reshape(frames, -1), depth * fixed], 1)
    gradient = np.matmul(residual[:, None], jacobian)[:, 0]
    # One by one, because numpy then calls BLAS's symmetric product, at half the work.
    return np.stack([np.dot(rows.T, rows) for rows in jacobian]), gradient


def _add_expression_prior(problem: HeadProblem, states: HeadStates, hessian: np.ndarray, gradient: np.ndarray) -> None:
    """Add, in place, a ridge and a constant pull to zero: the L1 norm of what cannot be negative."""
    expressions = np.arange(POSE_SIZE, POSE_SIZE + states.expression.shape[1])
    hessian[:, expressions, expressions] += problem.expression_ridge
    gradient[:, expressions] += problem.expression_sparsity + problem.expression_ridge * states.expression


def _held_at_bounds(states: HeadStates, gradient: np.ndarray) -> Bool[np.ndarray, "frames unknowns"]:
    """Which unknowns stand at a bound that the cost pushes them against."""
    held = np.zeros(gradient.shape, bool)
    expression, slope = states.expression, gradient[:, POSE_SIZE:]
    held[:, POSE_SIZE:] = ((expression <= 0) & (slope > 0)) | ((expression >= 1) & (slope < 0))
    return held


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


def _moved(states: HeadStates, step: np.ndarray) -> HeadStates:
    return replace(
        states,
        rotation=(rotation_from_vector(step[:, :3]) @ states.rotation).astype(np.float32),
        translation=(states.translation + step[:, 3:POSE_SIZE]).astype(np.float32),
        expression=np.clip(states.expression + step[:, POSE_SIZE:], 0, 1).astype(np.float32),
    )
