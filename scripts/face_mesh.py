"""Triangles, mirror symmetry and smooth modes of MediaPipe's face mesh, worked out from its edges and a mean face."""

import numpy as np
from authored_expressions import Face
from head_alignment import similarity_align
from jaxtyping import Float, Int
from mediapipe.python.solutions import face_mesh_connections
from scipy import sparse
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

MESH_POINTS = 468
OPENINGS = (
    (
        (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308),
        (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308),
    ),
    ((33, 246, 161, 160, 159, 158, 157, 173, 133), (33, 7, 163, 144, 145, 153, 154, 155, 133)),
    ((362, 398, 384, 385, 386, 387, 388, 466, 263), (362, 382, 381, 380, 374, 373, 390, 249, 263)),
)
"""The mouth, the right and the left eye: an upper and a lower row of points, both running to the person's left."""


RESTING_EXPRESSIONS = (
    *("browInnerUp", "browDownLeft", "browDownRight", "browOuterUpLeft", "browOuterUpRight", "eyeSquintLeft"),
    *("eyeSquintRight", "eyeWideLeft", "eyeWideRight", "jawForward"),
)
"""Where brows, lids and the chin are at rest is a trait of the person."""


def find_mirror(points: Float[np.ndarray, "vertices 3"]) -> Int[np.ndarray, "vertices"]:
    """Which vertex each one changes places with in the plane of symmetry: the cheapest one-to-one assignment."""
    reflected = points * np.array([-1.0, 1.0, 1.0])
    for _ in range(5):
        _, mirror = linear_sum_assignment(cdist(reflected, points) ** 2)
        reflected = similarity_align((points * np.array([-1.0, 1.0, 1.0]))[None], points[mirror], np.ones(len(points)))[
            0
        ]
    if not np.array_equal(mirror[mirror], np.arange(len(points))):
        raise ValueError("The mean face is too asymmetric to pair its left and right points: give more clips.")
    return mirror


def open_mesh(points: Float[np.ndarray, "vertices 3"]) -> Int[np.ndarray, "triangles 3"]:
    """The faces that MediaPipe's edges enclose, turned outward, with holes at the eyes and the mouth."""
    edges = {tuple(sorted(edge)) for edge in face_mesh_connections.FACEMESH_TESSELATION}
    neighbors: dict[int, set[int]] = {}
    for a, b in edges:
        neighbors.setdefault(a, set()).add(b)
        neighbors.setdefault(b, set()).add(a)
    cycles = {tuple(sorted((a, b, c))) for a, b in edges for c in neighbors[a] & neighbors[b]}
    # Three neighbours around a vertex with no others also form a cycle, but no face.
    around_one = {tuple(sorted(ring)) for ring in neighbors.values() if len(ring) == 3}
    triangles = np.array(sorted(cycles - around_one))
    corners = points[triangles]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    inside = points[:MESH_POINTS].mean(0) * [1, 1, 0]
    flipped = ((corners.mean(1) - inside) * normals).sum(1) < 0
    triangles[flipped] = triangles[flipped][:, [0, 2, 1]]
    return _consistent(triangles)


def _consistent(triangles: np.ndarray) -> np.ndarray:
    """Turn triangles so that neighbours agree, led by the majority."""
    owners: dict[tuple[int, int], list[int]] = {}
    for number, triangle in enumerate(triangles):
        for a, b in zip(triangle, np.roll(triangle, -1), strict=True):
            owners.setdefault((min(a, b), max(a, b)), []).append(number)
    turned = triangles.copy()
    seen, queue = {0}, [0]
    while queue:
        current = queue.pop()
        for a, b in zip(turned[current], np.roll(turned[current], -1), strict=True):
            for other in owners[min(a, b), max(a, b)]:
                if other in seen:
                    continue
                directed = list(zip(turned[other].tolist(), np.roll(turned[other], -1).tolist(), strict=True))
                if (a, b) in directed:
                    turned[other] = turned[other][[0, 2, 1]]
                seen.add(other)
                queue.append(other)
    agreement = (turned == triangles).all(1).mean()
    return turned if agreement > 0.5 else turned[:, [0, 2, 1]]


def strip(upper: tuple[int, ...], lower: tuple[int, ...]) -> Int[np.ndarray, "triangles 3"]:
    """Close an opening between two rows of points that share their ends, rows running to the person's left."""
    triangles = []
    for a, b, c, d in zip(upper, upper[1:], lower, lower[1:], strict=False):
        triangles += [triangle for triangle in ((a, c, d), (a, d, b)) if len(set(triangle)) == 3]
    return np.array(triangles)


def graph_laplacian(triangles: np.ndarray, vertices: int) -> sparse.csr_matrix:
    """Degree minus adjacency."""
    pairs = np.unique(
        np.sort(np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]), 1), axis=0
    )
    adjacency = sparse.coo_matrix((np.ones(len(pairs)), pairs.T), (vertices, vertices))
    adjacency = adjacency + adjacency.T
    return (sparse.diags(np.asarray(adjacency.sum(1)).ravel()) - adjacency).tocsr()


def smooth_modes(face: Face, triangles: np.ndarray, modes: int) -> Float[np.ndarray, "modes vertices 3"]:
    """Smooth ways for a face to differ, without any person's data.

    Displacements along x, y, z by the lowest eigenvectors of the closed mesh's graph Laplacian (Karni & Gotsman 2000),
    symmetric fields first, free of rigid motion, orthogonal, falling in size with frequency. A coefficient of 1 moves
    the points by half a centimetre (root mean square) in the lowest modes.
    """
    mesh = graph_laplacian(triangles, len(face.neutral))[:MESH_POINTS, :MESH_POINTS].toarray()
    mirror = face.mirror[:MESH_POINTS]
    values, vectors = np.linalg.eigh(mesh + 1e-9 * np.eye(MESH_POINTS))
    candidates = []
    for frequency, vector in zip(values[:40], vectors.T[:40], strict=True):
        parity = 1 if vector @ vector[mirror] > 0 else -1
        for axis in range(3):
            field = np.zeros((len(face.neutral), 3))
            field[:MESH_POINTS, axis] = vector
            for eye, lids in (((33, 133), range(468, 473)), ((263, 362), range(473, 478))):
                field[list(lids), axis] = vector[list(eye)].mean()
            is_symmetric = (parity == 1) != (axis == 0)
            candidates.append((frequency if is_symmetric else 4 * frequency + 0.05, frequency, field))
    candidates.sort(key=lambda candidate: candidate[0])
    rigid = [np.broadcast_to(direction, face.neutral.shape).ravel() for direction in np.eye(3)]
    rigid += [np.cross(direction, face.neutral).ravel() for direction in np.eye(3)]
    directions, basis = [*np.linalg.qr(np.stack(rigid, 1))[0].T], []
    for _, frequency, field in candidates:
        residual = field.ravel() - sum(direction * (direction @ field.ravel()) for direction in directions)
        if np.linalg.norm(residual) < 0.3:
            continue
        direction = residual / np.linalg.norm(residual)
        directions.append(direction)
        scale = 0.5 / np.sqrt(1 + frequency / 0.05)
        basis.append(scale * np.sqrt(len(face.neutral)) * direction.reshape(-1, 3))
        if len(basis) == modes:
            return np.array(basis)
    raise ValueError(f"The mesh has no {modes} smooth modes: ask for fewer.")


def resting_modes(
    displacements: Float[np.ndarray, "expressions vertices 3"], names: tuple[str, ...]
) -> Float[np.ndarray, "modes vertices 3"]:
    """Ways in which faces at rest differ that the smooth modes are too coarse for: half an expression, on or off.

    None of them parts the lips, so that every face rests with its mouth closed.
    """
    return 0.5 * np.stack([displacements[names.index(name)] for name in RESTING_EXPRESSIONS])
