"""A user's FLAME model as a `HeadModel`: FLAME's shapes, at MediaPipe's points, moved by ARKit's named expressions.

FLAME's mean face, shape components and expression components are read off at the places of MediaPipe's 478 landmarks.
Some 105 of these places are known exactly, from the embedding file that is distributed with FLAME; the others are found
by bending our mean face onto FLAME's through the known ones (thin-plate spline) and taking the nearest surface point.

An expression of FLAME's has no name. `jawOpen`, `eyeBlinkLeft` and the rest become what FLAME can do that comes nearest
to our own displacement of that name: the ridge regression of it on FLAME's expression components and on small turns of
jaw and eyes. So everything that goes by ARKit's names works as it does with the default model.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from tracking.cameras import rotation_from_vector, similarity_transform
from tracking.errors import UserError
from tracking.flame_file import JOINTS, FlameArrays, read_flame_file
from tracking.head_model import HeadModel

CENTIMETERS = 100.0
"""In a metre."""
IRISES = slice(468, 478)
IRIS_WEIGHT = 10.0
"""Weight of an iris's point against a point of the skin when expressions are named: there are few of them."""
RIDGE = 0.02
"""Cost in square centimetres of one standard deviation of a FLAME expression component."""
SMALL_TURN = np.radians(15)
"""Turn of jaw and eyes whose displacements expressions are made of."""
JAW, LEFT_EYE, RIGHT_EYE = 2, 3, 4
OPEN_MOUTH, JAW_OPENING = 0.5, np.radians(17)
"""How far `jawOpen` is on when MediaPipe's points are looked for, and the turn of the jaw that 1 means."""


@dataclass
class FlameConfig:
    """A user's FLAME model in place of the default head model, if both files are given."""

    model: Path | None = None
    """FLAME's model file: the pickle as downloaded (FLAME 2019, 2020 or 2023), or an .npz with the same arrays."""
    landmarks: Path | None = None
    """FLAME's embedding of MediaPipe's landmarks, mediapipe_landmark_embedding.npz."""
    shapes: int = 80
    """How many shape components are used, of 300."""


@dataclass(frozen=True)
class SurfacePoints:
    """Places on a mesh."""

    corners: Int[np.ndarray, "points 3"]
    """The vertices of each place's triangle."""
    shares: Float[np.ndarray, "points 3"]
    """Barycentric coordinates."""

    def of(self, values: Float[np.ndarray, "vertices *channels"]) -> Float[np.ndarray, "points *channels"]:
        """What the vertices' values are at these places."""
        shares = self.shares.reshape(*self.shares.shape, *(1,) * (values.ndim - 1))
        return (values[self.corners] * shares).sum(1)


def chosen_head_model(config: FlameConfig) -> HeadModel:
    """The user's FLAME model if there is one, else the model that comes with the package.

    Raises:
        UserError: only one of FLAME's two files is given, is missing or is not what it should be.
    """
    if config.model is None and config.landmarks is None:
        return HeadModel.load()
    if config.model is None or config.landmarks is None:
        raise UserError("FLAME needs two files: give its model and its mediapipe_landmark_embedding.npz.")
    return load_flame(config.model, config.landmarks, config.shapes)


def load_flame(model: Path, landmarks: Path, shapes: int = 80) -> HeadModel:
    """Read a FLAME model as a head model in our head space, in centimetres.

    Args:
        model, landmarks, shapes: as in `FlameConfig`.

    Raises:
        UserError: a file is missing or is not what it should be.
    """
    flame = read_flame_file(model)
    if not 1 <= shapes <= flame.shape_directions.shape[-1]:
        raise UserError(f"FLAME has {flame.shape_directions.shape[-1]} shape components, not {shapes}.")
    indices, known = read_landmark_embedding(landmarks, flame)
    default = HeadModel.load()
    mean = default.mean.astype(np.float64)
    scale, rotation, _ = similarity_transform(known.of(flame.template), mean[None, indices], np.ones(len(indices)))
    # FLAME is in metres; only a file in another unit is measured by our own face.
    size = CENTIMETERS if 0.7 < scale[0] / CENTIMETERS < 1.4 else float(scale[0])
    centered = (mean[indices] - size * known.of(flame.template) @ rotation[0].T).mean(0)

    def to_head(displacement: np.ndarray) -> np.ndarray:
        return size * np.einsum("ij,pj...->pi...", rotation[0], displacement)

    template = to_head(flame.template) + centered
    # Where closed lips touch, upper and lower are only told apart with the mouth open.
    opened = mean + OPEN_MOUTH * default.expression_deltas[default.expression_index("jawOpen")]
    turned = to_head(posed(flame, joint_turn(JAW, 0, OPEN_MOUTH * JAW_OPENING))) + centered
    places = _find_places(opened, turned, flame.triangles, indices, known)
    fields = [to_head(field) for field in movements(flame)]
    identity = to_head(places.of(flame.shape_directions[..., :shapes]))
    return replace(
        default,
        mean=places.of(template).astype(np.float32),
        identity_basis=np.moveaxis(identity, -1, 0).astype(np.float32),
        expression_deltas=name_expressions(
            np.stack([places.of(field) for field in fields]), default.expression_deltas.astype(np.float64)
        ).astype(np.float32),
    )


def default_identity(
    model: HeadModel, identity: Float[np.ndarray, "modes"], ridge: float = 0.01
) -> Float[np.ndarray, "default_modes"]:
    """The default model's coefficients that come nearest to a face of another model, in the same head space.

    A clip keeps these, so that whoever reads it needs no FLAME file.

    Args:
        ridge: cost in square centimetres of a squared coefficient, against the mean over the points.
    """
    default = HeadModel.load()
    wanted = (model.neutral(identity) - default.mean).astype(np.float64).ravel()
    basis = default.identity_basis.reshape(len(default.identity_basis), -1).astype(np.float64)
    points = len(default.mean)
    system = basis @ basis.T / points + ridge * np.eye(len(basis))
    return np.linalg.solve(system, basis @ wanted / points)


def read_landmark_embedding(path: Path, flame: FlameArrays) -> tuple[Int[np.ndarray, "known"], SurfacePoints]:
    """MediaPipe's numbers of the landmarks that FLAME's embedding file knows, and where they are.

    Raises:
        UserError: the file is missing, or belongs to no such mesh.
    """
    names = ("landmark_indices", "lmk_face_idx", "lmk_b_coords")
    try:
        with np.load(path, allow_pickle=False) as file:
            indices, faces, shares = (file[name] for name in names)
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist: give FLAME's mediapipe_landmark_embedding.npz.") from error
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path} lacks {', '.join(names)}: give FLAME's mediapipe_landmark_embedding.npz.") from error
    indices, faces = indices.astype(np.int64).ravel(), faces.astype(np.int64).ravel()
    count = len(indices)
    sound = count >= 12 and faces.shape == (count,) and shares.shape == (count, 3)
    if not sound or faces.max() >= len(flame.triangles) or faces.min() < 0 or indices.max() >= 478 or indices.min() < 0:
        raise UserError(f"{path} does not belong to the mesh of the FLAME model: give both from one download.")
    return indices, SurfacePoints(flame.triangles[faces], shares.astype(np.float64))


def posed(flame: FlameArrays, rotations: Float[np.ndarray, "joints 3 3"]) -> Float[np.ndarray, "vertices 3"]:
    """FLAME's mean face with turned joints: pose correctives, then linear blend skinning.

    Loper et al., "SMPL", SIGGRAPH Asia 2015, equations 2 to 9; FLAME has other joints.
    """
    features = (rotations[1:] - np.eye(3)).ravel()
    vertices = flame.template + flame.pose_directions @ features
    joints = flame.joint_regressor @ flame.template
    turns, places = [rotations[0]], [joints[0]]
    for joint, parent in list(enumerate(flame.parents))[1:]:
        turns.append(turns[parent] @ rotations[joint])
        places.append(places[parent] + turns[parent] @ (joints[joint] - joints[parent]))
    moved = [(vertices - joint) @ turn.T + place for joint, turn, place in zip(joints, turns, places, strict=True)]
    return np.einsum("jvi,vj->vi", np.stack(moved), flame.weights)


def movements(flame: FlameArrays) -> list[Float[np.ndarray, "vertices 3"]]:
    """The displacements that FLAME can make: its expression components, the jaw down, left and right, each eye."""
    fields = list(np.moveaxis(flame.expression_directions, -1, 0))
    for joint, axes in ((JAW, (0, 1)), (LEFT_EYE, (0, 1)), (RIGHT_EYE, (0, 1))):
        for axis in axes:
            fields.append(posed(flame, joint_turn(joint, axis, SMALL_TURN)) - flame.template)
    return fields


def joint_turn(joint: int, axis: int, angle: float) -> Float[np.ndarray, "joints 3 3"]:
    """All of FLAME's joints at rest but one, which turns about x, y or z (0, 1, 2) by an angle in radians."""
    rotations = np.repeat(np.eye(3)[None], len(JOINTS), axis=0)
    rotations[joint] = rotation_from_vector(angle * np.eye(3)[axis])
    return rotations


def name_expressions(
    fields: Float[np.ndarray, "fields points 3"], wanted: Float[np.ndarray, "expressions points 3"]
) -> Float[np.ndarray, "expressions points 3"]:
    """What a model can do that comes nearest to each wanted displacement."""
    weights = np.ones(fields.shape[1])
    weights[IRISES] = IRIS_WEIGHT
    basis = (fields * np.sqrt(weights)[:, None]).reshape(len(fields), -1)
    goal = (wanted * np.sqrt(weights)[:, None]).reshape(len(wanted), -1)
    coefficients = np.linalg.solve(basis @ basis.T + RIDGE * np.eye(len(basis)), basis @ goal.T)
    return np.tensordot(coefficients.T, fields, 1)


def _find_places(
    mean: Float[np.ndarray, "points 3"],
    template: Float[np.ndarray, "vertices 3"],
    triangles: Int[np.ndarray, "triangles 3"],
    indices: Int[np.ndarray, "known"],
    known: SurfacePoints,
) -> SurfacePoints:
    """Where MediaPipe's points are on FLAME's mesh: given, or nearest to our mean face bent onto it."""
    targets = known.of(template)
    # It takes half a second to import, which whoever has no FLAME file need not wait for.
    from scipy.interpolate import RBFInterpolator

    bend = RBFInterpolator(mean[indices], targets - mean[indices], kernel="thin_plate_spline", smoothing=1e-3)
    bent = mean + bend(mean)
    skin, eyes = _skin_and_eyes(triangles, len(template))
    corners, shares = np.empty((len(mean), 3), np.int64), np.empty((len(mean), 3))
    for points, surface in ((np.arange(IRISES.start), skin), (np.arange(IRISES.start, IRISES.stop), eyes)):
        found = nearest_places(bent[points], template, surface)
        corners[points], shares[points] = found.corners, found.shares
    corners[indices], shares[indices] = known.corners, known.shares
    return SurfacePoints(corners, shares)


def _skin_and_eyes(triangles: np.ndarray, vertices: int) -> tuple[np.ndarray, np.ndarray]:
    """The triangles of the mesh's largest connected part, and the others: FLAME's eyeballs are parts of their own."""
    ends = triangles[:, [0, 1, 1, 2]].reshape(-1, 2)
    graph = coo_matrix((np.ones(len(ends)), ends.T), shape=(vertices, vertices))
    _, part = connected_components(graph, directed=False)
    largest = np.bincount(part[triangles[:, 0]]).argmax()
    is_skin = part[triangles[:, 0]] == largest
    return triangles[is_skin], triangles if is_skin.all() else triangles[~is_skin]


def nearest_places(
    points: Float[np.ndarray, "points 3"],
    vertices: Float[np.ndarray, "vertices 3"],
    triangles: Int[np.ndarray, "triangles 3"],
    neighbors: int = 8,
) -> SurfacePoints:
    """The mesh's places nearest to points, among the triangles at each point's nearest vertices.

    A foot of the perpendicular outside of its triangle is brought to the triangle by leaving out negative shares, which
    is exact at corners and nearly so at edges.
    """
    used = np.unique(triangles)
    near = np.asarray(KDTree(vertices[used]).query(points, k=min(neighbors, len(used)))[1])
    corners, shares = np.empty((len(points), 3), np.int64), np.empty((len(points), 3))
    for number, point in enumerate(points):
        candidates = triangles[np.isin(triangles, used[near[number]]).any(1)]
        a, b, c = vertices[candidates].transpose(1, 0, 2)
        first, second, offset = b - a, c - a, point - a
        d11, d12, d22 = (first * first).sum(1), (first * second).sum(1), (second * second).sum(1)
        e1, e2 = (first * offset).sum(1), (second * offset).sum(1)
        area = np.maximum(d11 * d22 - d12**2, 1e-12)
        v, w = (d22 * e1 - d12 * e2) / area, (d11 * e2 - d12 * e1) / area
        clipped = np.maximum(np.stack([1 - v - w, v, w], 1), 0)
        clipped /= clipped.sum(1, keepdims=True)
        distance = np.linalg.norm(np.einsum("tk,tki->ti", clipped, vertices[candidates]) - point, axis=1)
        best = distance.argmin()
        corners[number], shares[number] = candidates[best], clipped[best]
    return SurfacePoints(corners, shares)
