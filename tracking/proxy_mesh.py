"""Coarse closed meshes that contain a person: the head with its hair, and the neck with the shoulders.

They bound where rays may meet the portrait, and so are generous rather than true: nothing behind the face is measured.
"""

from functools import lru_cache
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int

from tracking.head_model import HeadModel

FACE_POINTS = 468
"""The mesh's vertices; the irises that follow them lie inside."""
SKULL_CENTER = np.array([0.0, 2.0, -4.0])
SKULL_RADII = np.array([7.9, 12.0, 10.0])
"""An ellipsoid in head space, in centimetres, about the outside of a head."""
SKULL_RINGS = 12
TORSO_RINGS = np.array(
    [
        [11.0, 8.0, 8.0, 0.5],
        [5.0, 11.0, 9.0, 0.0],
        [1.0, 14.0, 9.5, 0.0],
        [-1.5, 19.5, 10.5, 0.5],
        [-5.0, 25.0, 12.0, 1.0],
        [-12.0, 28.0, 14.0, 1.5],
        [-30.0, 28.0, 16.0, 2.0],
        [-60.0, 28.0, 17.0, 2.0],
    ]
)
"""Height, half width, half depth and forward shift of slices through neck and chest, in torso space, in centimetres."""
TORSO_SEGMENTS = 36


def head_shell(
    identity: Float[np.ndarray, "modes"],
    expression: Float[np.ndarray, "expressions"] | None = None,
    hair: float = 3.5,
) -> tuple[Float[np.ndarray, "vertices 3"], Int[np.ndarray, "triangles 3"]]:
    """The fitted face, closed behind by an ellipsoid for skull, ears and hair; in head space.

    Args:
        expression: of the face; neutral if not given.
        hair: thickness around the skull, in centimetres.
    """
    model = HeadModel.load()
    coefficients = np.zeros(len(model.expression_names)) if expression is None else expression
    face = model.vertices(identity, coefficients)[:FACE_POINTS].astype(np.float64)
    rim = face_rim()
    # Polar angles around the axis through the face, each rim point's own meridian going from the rim to the back pole.
    offset = (face[rim] - SKULL_CENTER) / (SKULL_RADII + hair)
    around = np.arctan2(offset[:, 1], offset[:, 0])
    start = np.arctan2(np.linalg.norm(offset[:, :2], axis=1), offset[:, 2])
    rings = [rim]
    vertices = [face]
    count = len(face)
    for fraction in np.linspace(0, 1, SKULL_RINGS + 1)[1:-1]:
        polar = start + (np.pi - start) * fraction
        direction = np.stack([np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar)], 1)
        vertices.append(SKULL_CENTER + (SKULL_RADII + hair) * direction)
        rings.append(np.arange(count, count + len(rim)))
        count += len(rim)
    vertices.append((SKULL_CENTER - [0, 0, SKULL_RADII[2] + hair])[None])
    triangles = [model.triangles, *(_band(outer, inner) for outer, inner in pairwise(rings))]
    triangles.append(_fan(rings[-1], count))
    return np.concatenate(vertices), np.concatenate(triangles)


@lru_cache(maxsize=1)
def face_rim() -> Int[np.ndarray, "loop"]:
    """The vertices around the model's face. Not to be written to: it is found once."""
    rim = boundary_loop(HeadModel.load().triangles)
    rim.setflags(write=False)
    return rim


@lru_cache(maxsize=1)
def torso_shell() -> tuple[Float[np.ndarray, "vertices 3"], Int[np.ndarray, "triangles 3"]]:
    """Neck, shoulders and chest of a broad adult in loose clothes, in torso space. Not to be written to: it is made
    once."""
    angle = np.linspace(0, 2 * np.pi, TORSO_SEGMENTS, endpoint=False)
    vertices, rings = [], []
    for number, (height, half_width, half_depth, shift) in enumerate(TORSO_RINGS):
        x, z = half_width * np.cos(angle), half_depth * np.sin(angle) + shift
        vertices.append(np.stack([x, np.full_like(x, height), z], 1))
        rings.append(np.arange(TORSO_SEGMENTS) + number * TORSO_SEGMENTS)
    count = len(rings) * TORSO_SEGMENTS
    vertices += [np.array([[0.0, TORSO_RINGS[0, 0], TORSO_RINGS[0, 3]]]), np.array([[0.0, TORSO_RINGS[-1, 0], 0.0]])]
    triangles = [_band(upper, lower)[:, ::-1] for upper, lower in pairwise(rings)]
    triangles += [_fan(rings[0], count), _fan(rings[-1][::-1], count + 1)]
    shell = np.concatenate(vertices), np.concatenate(triangles)
    for part in shell:
        part.setflags(write=False)
    return shell


def boundary_loop(triangles: Int[np.ndarray, "triangles 3"]) -> Int[np.ndarray, "loop"]:
    """The rim of a mesh with one, in the direction of its triangles."""
    directed = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    known = {(int(a), int(b)) for a, b in directed}
    following = {a: b for a, b in known if (b, a) not in known}
    loop = [min(following)]
    while following[loop[-1]] != loop[0]:
        loop.append(following[loop[-1]])
    return np.array(loop)


def _band(first: Int[np.ndarray, "loop"], second: Int[np.ndarray, "loop"]) -> Int[np.ndarray, "triangles 3"]:
    """Triangles between two rings of equal length; along the first ring they run backward."""
    after_first, after_second = np.roll(first, -1), np.roll(second, -1)
    return np.concatenate([np.stack([after_first, first, second], 1), np.stack([after_first, second, after_second], 1)])


def _fan(ring: Int[np.ndarray, "loop"], pole: int) -> Int[np.ndarray, "triangles 3"]:
    """Close a ring by triangles to one point; along the ring they run backward."""
    return np.stack([np.roll(ring, -1), ring, np.full(len(ring), pole)], 1)
