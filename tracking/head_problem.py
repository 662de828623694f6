"""What the head fit minimises: how far a posed, expressive head is from its landmarks, with derivatives.

The residuals of a frame are the distances, in centimetres at the face, between detected and projected points, and, with
little weight, between the detector's relative depth and the model's. Every function works on many frames at once.

A frame's pose is six numbers: a rotation vector that turns the head in camera axes, the direction to the head as
(x/z, y/z), and the logarithm of its distance. Direction and size are what a picture shows; distance is known far less
well, and is kept apart.
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
    """z is only known up to an offset for each frame. Where the confidence is 0 any finite number will do."""
    pixels_per_centimeter: Float[np.ndarray, "frames"]
    """Size of the face in each frame, which makes residuals comparable."""
    confidence: Float[np.ndarray, "frames vertices"]
    """Trust in each point as seen in the image, on top of the weight that it has in every frame."""
    depth_confidence: Float[np.ndarray, "frames"]
    """Trust in the points' depths: 0 where the detector gives none."""
    scores: Float[np.ndarray, "frames expressions"] | None = None
    """Expressions as the detector judges them, in [0, 1]; NaN where it does not."""

    def __getitem__(self, frames: slice | np.ndarray) -> "Observations":
        return Observations(
            self.points[frames],
            self.pixels_per_centimeter[frames],
            self.confidence[frames],
            self.depth_confidence[frames],
            None if self.scores is None else self.scores[frames],
        )


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

    def where(self, choose: Bool[np.ndarray, "frames"], other: "HeadStates") -> "HeadStates":
        """These states in the chosen frames, the others elsewhere."""
        return HeadStates(
            np.where(choose[:, None, None], self.rotation, other.rotation),
            np.where(choose[:, None], self.translation, other.translation),
            np.where(choose[:, None], self.expression, other.expression),
        )

    def at_distance(self, ratio: float) -> "HeadStates":
        """Heads put where a focal length longer by this ratio shows them equally large."""
        return replace(self, translation=self.translation * np.array([1, 1, ratio], np.float32))

    def moved(self, step: Float[np.ndarray, "frames unknowns"]) -> "HeadStates":
        """The states after a step in the six numbers of the pose and in the expressions, which stay in [0, 1]."""
        x, y, z = self.translation.T
        farther = np.exp(np.clip(step[:, 5], -0.5, 0.5))
        direction = np.stack([x / z + step[:, 3], y / z + step[:, 4], np.ones_like(z)], 1)
        return HeadStates(
            (rotation_from_vector(step[:, :3]) @ self.rotation).astype(np.float32),
            (direction * (z * farther)[:, None]).astype(np.float32),
            np.clip(self.expression + step[:, POSE_SIZE:], 0, 1).astype(np.float32),
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
    """Centimetres."""
    expression_sparsity: Float[np.ndarray, "expressions"]
    expression_ridge: float
    score_weight: float
    identity_ridge: float


def cost(
    problem: HeadProblem, observations: Observations, neutral: Float[np.ndarray, "vertices 3"], states: HeadStates
) -> Float[np.ndarray, "frames"]:
    """Half the robust sum of squared residuals in square centimetres, plus the expressions' prior."""
    posed = _posed(problem.model, neutral, states)
    image, depth, _ = _residuals(problem, observations, posed, states.translation)
    squared = (image**2).sum(-1)
    robust = observations.confidence * squared / (1 + squared / problem.outlier_distance**2)
    data = robust + observations.depth_confidence[:, None] * (problem.depth_weight * depth) ** 2
    expression, pull, target, ridge = states.expression, *_expression_prior(problem, observations)
    prior = (pull * expression + ridge / 2 * (expression - target) ** 2).sum(1)
    return (data * problem.point_weights).sum(1) / 2 + prior


def image_residuals(
    problem: HeadProblem, observations: Observations, neutral: Float[np.ndarray, "vertices 3"], states: HeadStates
) -> Float[np.ndarray, "frames vertices 2"]:
    """Projected minus detected points, in centimetres at the face."""
    return _residuals(problem, observations, _posed(problem.model, neutral, states), states.translation)[0]


def shape_basis(model: HeadModel, with_identity: bool) -> Float[np.ndarray, "vertices 3 coefficients"]:
    """Displacements of each vertex: of the expressions and, if asked for, of the identity modes after them."""
    fields = [model.expression_deltas, model.identity_basis] if with_identity else [model.expression_deltas]
    return np.ascontiguousarray(np.concatenate(fields).transpose(1, 2, 0))


def normal_equations(
    problem: HeadProblem,
    observations: Observations,
    neutral: Float[np.ndarray, "vertices 3"],
    states: HeadStates,
    basis: Float[np.ndarray, "vertices 3 coefficients"],
    with_focal_length: bool = False,
) -> tuple[Float[np.ndarray, "frames unknowns unknowns"], Float[np.ndarray, "frames unknowns"]]:
    """Gauss-Newton's matrix and the gradient of the data terms.

    The unknowns are the six of the pose, the coefficients of the basis and, if asked for, the focal length's logarithm.

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
    magnification = problem.focal_length / (distance * observations.pixels_per_centimeter[:, None])
    slope[..., 0, 0] = slope[..., 1, 1] = magnification
    in_camera = posed[..., :2] + states.translation[:, None, :2]
    slope[..., 2] = slope[..., 0, :1] * in_camera / distance[..., None]
    slope *= confidence[..., None, None]
    columns = POSE_SIZE + basis.shape[-1]
    rows = (3 if problem.depth_weight else 2) * vertices
    jacobian = np.zeros((frames, rows, columns + with_focal_length), np.float32)
    in_image = jacobian[:, : 2 * vertices].reshape(frames, vertices, 2, -1)
    in_image[..., :3] = np.cross(posed[:, :, None], slope)
    x, y, z = (coordinate[:, None, None] for coordinate in states.translation.T)
    in_image[..., 3] = slope[..., 0] * z
    in_image[..., 4] = slope[..., 1] * z
    in_image[..., 5] = slope[..., 0] * x + slope[..., 1] * y + slope[..., 2] * z
    np.matmul(slope @ states.rotation[:, None], basis, out=in_image[..., POSE_SIZE:columns])
    if with_focal_length:
        in_image[..., columns] = in_camera * (magnification * confidence)[..., None]
    residual = (image * confidence[..., None]).reshape(frames, -1)
    if problem.depth_weight:
        # Depth is compared about its weighted mean over the face, so that it says nothing about the head's place.
        fixed = problem.depth_weight * np.sqrt(observations.depth_confidence[:, None] * problem.point_weights)
        normalized = problem.point_weights / problem.point_weights.sum()
        in_depth = jacobian[:, 2 * vertices :]
        centered = posed - np.einsum("v,fvi->fi", normalized, posed)[:, None]
        in_depth[..., 0], in_depth[..., 1] = centered[..., 1] * fixed, -centered[..., 0] * fixed
        relative = basis - np.tensordot(normalized, basis, 1)
        turned = states.rotation[:, 2] @ relative.swapaxes(0, 1).reshape(3, -1)
        in_depth[..., POSE_SIZE:columns] = turned.reshape(frames, vertices, -1) * fixed[..., None]
        residual = np.concatenate([residual, depth * fixed], 1)
    gradient = np.matmul(residual[:, None], jacobian)[:, 0]
    # One by one, because numpy then calls BLAS's symmetric product, at half the work.
    return np.stack([np.dot(rows.T, rows) for rows in jacobian]), gradient


def add_expression_prior(
    problem: HeadProblem, observations: Observations, states: HeadStates, hessian: np.ndarray, gradient: np.ndarray
) -> None:
    """Add, in place, what is believed of the expressions without looking at landmarks."""
    expressions = np.arange(POSE_SIZE, POSE_SIZE + states.expression.shape[1])
    pull, target, ridge = _expression_prior(problem, observations)
    hessian[:, expressions, expressions] += ridge
    gradient[:, expressions] += pull + ridge * (states.expression - target)


def _expression_prior(
    problem: HeadProblem, observations: Observations
) -> tuple[
    Float[np.ndarray, "#frames expressions"],
    Float[np.ndarray, "#frames expressions"],
    Float[np.ndarray, "#frames expressions"],
]:
    """A constant pull to zero (the L1 norm of what is not negative), and the target and strength of a ridge.

    Where the detector scores an expression, that score is the target and nothing pulls to zero.
    """
    pull = problem.expression_sparsity[None]
    if observations.scores is None:
        return pull, np.zeros_like(pull), np.full_like(pull, problem.expression_ridge)
    scored = np.isfinite(observations.scores)
    return (
        np.where(scored, 0, pull),
        np.where(scored, observations.scores, 0),
        np.where(scored, problem.score_weight, problem.expression_ridge).astype(np.float32),
    )


def held_at_bounds(
    states: HeadStates, gradient: Float[np.ndarray, "frames unknowns"]
) -> Bool[np.ndarray, "frames unknowns"]:
    """Which unknowns stand at a bound that the cost pushes them against (Bertsekas 1982)."""
    held = np.zeros(gradient.shape, bool)
    expression, slope = states.expression, gradient[:, POSE_SIZE:]
    held[:, POSE_SIZE:] = ((expression <= 0) & (slope > 0)) | ((expression >= 1) & (slope < 0))
    return held


def _posed(
    model: HeadModel, neutral: Float[np.ndarray, "vertices 3"], states: HeadStates
) -> Float[np.ndarray, "frames vertices 3"]:
    """The face turned as in the image but not yet moved, in centimetres."""
    moves = states.expression @ model.expression_deltas.reshape(len(model.expression_names), -1)
    return (neutral + moves.reshape(len(moves), -1, 3)) @ states.rotation.swapaxes(1, 2)


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
