"""What each of ARKit's expressions does to a face, written by hand as displacements of MediaPipe's mesh.

An expression is a few *handles* (`expression_handles.py`): vertices and where they go at coefficient 1. The surface
between the handles and the unmoved rest follows with the least bending (the biharmonic equation on the mesh). Jaw,
blink and gaze are geometry. Left and right are the person's; right expressions are the left ones' mirror images.
"""

from dataclasses import dataclass

import numpy as np
from expression_handles import (
    CHIN,
    EARS,
    LEFT_IRIS,
    LEFT_JAW_LINE,
    LEFT_LID_CORNERS,
    LEFT_LOWER_LID,
    LEFT_UPPER_LID,
    LOWER_LIP,
    MOUTH_OPENING_PAIRS,
    NOSE_BASE,
    RIGHT_JAW_LINE,
    UPPER_LIP,
    WRITTEN,
    Handles,
)
from jaxtyping import Float, Int
from scipy import sparse
from scipy.sparse import linalg
from scipy.spatial.distance import cdist

EXPRESSION_NAMES = (
    *("browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "cheekPuff"),
    *("cheekSquintLeft", "cheekSquintRight", "eyeBlinkLeft", "eyeBlinkRight", "eyeLookDownLeft", "eyeLookDownRight"),
    *("eyeLookInLeft", "eyeLookInRight", "eyeLookOutLeft", "eyeLookOutRight", "eyeLookUpLeft", "eyeLookUpRight"),
    *("eyeSquintLeft", "eyeSquintRight", "eyeWideLeft", "eyeWideRight", "jawForward", "jawLeft", "jawOpen", "jawRight"),
    *("mouthClose", "mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft", "mouthFrownRight", "mouthFunnel"),
    *("mouthLeft", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthPressLeft", "mouthPressRight", "mouthPucker"),
    *("mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthSmileLeft"),
    *("mouthSmileRight", "mouthStretchLeft", "mouthStretchRight", "mouthUpperUpLeft", "mouthUpperUpRight"),
    *("noseSneerLeft", "noseSneerRight", "tongueOut"),
)
"""ARKit's 52 expressions. This mesh has no tongue: `tongueOut` moves nothing and is there to keep the numbering."""

JAW_OPENING_DEGREES = 17.0
"""How far the jaw turns about the ears at `jawOpen` 1; puts about 3 cm between the lips."""
GAZE_DEGREES = {"In": 30.0, "Out": 30.0, "Up": 24.0, "Down": 26.0}
"""How far the eyeball turns at coefficient 1 of the `eyeLook` expressions."""
IRIS_TO_EYEBALL_CENTER = 1.05
"""Depth in centimetres of the eyeball's centre of rotation behind the plane of the iris."""
LID_FOLLOWS_GAZE = {"Up": 0.16, "Down": -0.42}
"""How far the upper lid goes with the eyeball at coefficient 1, in centimetres."""


@dataclass(frozen=True)
class Face:
    """The neutral face on which the handles are placed."""

    neutral: Float[np.ndarray, "vertices 3"]
    mirror: Int[np.ndarray, "vertices"]
    """The vertex that each vertex changes places with under reflection."""
    laplacian: sparse.csr_matrix
    """Graph Laplacian of the open mesh (no faces across eyes and mouth), irises unconnected."""


def author(face: Face) -> Float[np.ndarray, "expressions vertices 3"]:
    """Every expression at coefficient 1, as displacements in centimetres."""
    left = _left_and_middle_expressions(face)
    zero = np.zeros_like(face.neutral)
    displacements = []
    for name in EXPRESSION_NAMES:
        partner = mirror_name(name)
        if name in left:
            displacement = left[name]
        elif partner in left:
            displacement = mirrored(left[partner], face.mirror)
        else:
            displacement = zero
        displacements.append(displacement if partner != name else _symmetric(displacement, face.mirror))
    return np.stack(displacements)


def mirror_name(name: str) -> str:
    """The expression that is this one seen in a mirror; itself if it is symmetric."""
    if name.endswith("Left"):
        return name.removesuffix("Left") + "Right"
    return name.removesuffix("Right") + "Left" if name.endswith("Right") else name


def mirrored(
    displacement: Float[np.ndarray, "*batch vertices 3"], mirror: Int[np.ndarray, "vertices"]
) -> Float[np.ndarray, "*batch vertices 3"]:
    """A displacement field reflected in the face's plane of symmetry, x = 0."""
    return displacement[..., mirror, :] * np.array([-1.0, 1.0, 1.0])


def _symmetric(displacement: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    return (displacement + mirrored(displacement, mirror)) / 2


def _left_and_middle_expressions(face: Face) -> dict[str, Float[np.ndarray, "vertices 3"]]:
    fields = {
        name: drag(face, _on_both_sides(face, name, handles), reach) for name, (handles, reach) in WRITTEN.items()
    }
    fields |= _jaw_expressions(face)
    fields["eyeBlinkLeft"] = _blink(face)
    for direction in GAZE_DEGREES:
        fields[f"eyeLook{direction}Left"] = _gaze(face, direction)
    return fields


def _on_both_sides(face: Face, name: str, handles: Handles) -> Handles:
    """The handles of an expression without a side, with the mirror images of those written for the left."""
    if mirror_name(name) != name:
        return handles
    both: Handles = {}
    for vertices, (x, y, z) in handles.items():
        middle = set(vertices) == set(face.mirror[list(vertices)].tolist())
        both[vertices] = (0.0 if middle else x, y, z)
        if not middle:
            both[tuple(face.mirror[list(vertices)].tolist())] = (-x, y, z)
    return both


def drag(face: Face, handles: Handles, reach: float) -> Float[np.ndarray, "vertices 3"]:
    """Move the handles, hold what is farther than `reach` centimetres from all of them, bend the rest least.

    Solves the biharmonic equation L^2 u = 0 on the free vertices (Botsch & Sorkine, "On Linear Variational Surface
    Deformation Methods", TVCG 2008, section 3).
    """
    goal = np.zeros_like(face.neutral)
    moved = [vertex for vertices in handles for vertex in vertices]
    for vertices, displacement in handles.items():
        goal[list(vertices)] = displacement
    return _interpolate(face, goal, np.array(moved), reach, order=2)


def _interpolate(face: Face, goal: np.ndarray, moved: np.ndarray, reach: float, order: int) -> np.ndarray:
    near = cdist(face.neutral, face.neutral[moved]).min(1) <= reach
    near[468:] = False
    free = near.copy()
    free[moved] = False
    held = ~free
    operator = face.laplacian if order == 1 else sparse.csr_matrix(face.laplacian @ face.laplacian)
    solved = goal.copy()
    solved[free] = linalg.spsolve(operator[free][:, free].tocsc(), -operator[free][:, held] @ goal[held])
    return solved


def _jaw_weights(face: Face) -> Float[np.ndarray, "vertices"]:
    """How much each vertex goes with the jaw: 1 at lower lip and chin, 0 at upper lip and above, harmonic between."""
    weight = np.zeros(len(face.neutral))
    moved = np.array((*LOWER_LIP, *CHIN, *LEFT_JAW_LINE, *RIGHT_JAW_LINE))
    weight[moved] = 1.0
    above = face.neutral[:, 1] > face.neutral[list(NOSE_BASE), 1].mean() - 0.3
    held = above.copy()
    held[[*UPPER_LIP, *moved, *range(468, len(held))]] = True
    solved = weight[:, None].copy()
    free = ~held
    solved[free] = linalg.spsolve(face.laplacian[free][:, free].tocsc(), -face.laplacian[free][:, held] @ weight[held])[
        :, None
    ]
    return solved[:, 0]


def _jaw_expressions(face: Face) -> dict[str, np.ndarray]:
    weights = _jaw_weights(face)[:, None]
    hinge = face.neutral[list(EARS)].mean(0) + np.array([0.0, 0.0, -0.5])
    opened = weights * (_turn(face.neutral - hinge, "x", JAW_OPENING_DEGREES) + hinge - face.neutral)
    return {
        "jawOpen": opened,
        "jawLeft": weights * np.array([0.9, 0.0, 0.0]),
        "jawForward": weights * np.array([0.0, 0.0, 0.9]),
        "mouthClose": lips_meeting(face, face.neutral + opened),
    }


def lips_meeting(face: Face, parted: Float[np.ndarray, "vertices 3"]) -> Float[np.ndarray, "vertices 3"]:
    """The displacement that brings the lips of a face together where the jaw has parted them."""
    goal = np.zeros_like(parted)
    for upper, lower in MOUTH_OPENING_PAIRS:
        gap = parted[lower] - parted[upper]
        goal[upper], goal[lower] = 0.4 * gap, -0.6 * gap
    moved = np.array([vertex for pair in MOUTH_OPENING_PAIRS for vertex in pair])
    return _interpolate(face, goal, moved, reach=3.5, order=2)


def _blink(face: Face) -> np.ndarray:
    """The upper lid comes down over the eyeball and meets the lower."""
    goal = np.zeros_like(face.neutral)
    for upper, lower in zip(LEFT_UPPER_LID, LEFT_LOWER_LID, strict=True):
        gap = face.neutral[lower] - face.neutral[upper]
        goal[upper], goal[lower] = 0.9 * gap, -0.1 * gap
    moved = np.array(LEFT_UPPER_LID + LEFT_LOWER_LID + LEFT_LID_CORNERS)
    return _interpolate(face, goal, moved, reach=1.1, order=2)


def _gaze(face: Face, direction: str) -> np.ndarray:
    """The iris turns about the eyeball's centre; the lids follow a vertical gaze."""
    lift = LID_FOLLOWS_GAZE.get(direction, 0.0)
    field = drag(face, {LEFT_UPPER_LID: (0.0, lift, 0.0), LEFT_LOWER_LID: (0.0, 0.2 * lift, 0.0)}, reach=1.1)
    iris = face.neutral[list(LEFT_IRIS)]
    center = iris.mean(0) - np.array([0.0, 0.0, IRIS_TO_EYEBALL_CENTER])
    axis, sign = {"In": ("y", -1), "Out": ("y", 1), "Up": ("x", -1), "Down": ("x", 1)}[direction]
    field[list(LEFT_IRIS)] = _turn(iris - center, axis, sign * GAZE_DEGREES[direction]) + center - iris
    return field


def _turn(points: np.ndarray, axis: str, degrees: float) -> np.ndarray:
    """Rotate by the right-hand rule about the x or y axis."""
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    x, y, z = points.T
    if axis == "x":
        return np.stack([x, cosine * y - sine * z, sine * y + cosine * z], 1)
    return np.stack([cosine * x + sine * z, y, cosine * z - sine * x], 1)
