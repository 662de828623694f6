"""Heads with known parameters: ICT-FaceKit's geometry, its eyeballs turned by the gaze, posed before a camera.

ICT-FaceKit (Li et al., "Learning Formation of Physically-Based Face Attributes", CVPR 2020; MIT licence) is read from a
packed file that is not part of this project. Its axes are this project's: x to the person's left, y up, z out of the
face, in centimetres.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from tracking.cameras import rotation_from_vector
from tracking.errors import UserError

LANDMARKS_68 = (
    *(1225, 1888, 1052, 367, 1719, 1722, 2199, 1447, 966, 3661, 4390, 3927, 3924, 2608, 3272, 4088, 3443),
    *(268, 493, 1914, 2044, 1401, 3615, 4240, 4114, 2734, 2509),
    *(978, 4527, 4942, 4857, 1140, 2075, 1147, 4269, 3360),
    *(1507, 1542, 1537, 1528, 1518, 1511, 3742, 3751, 3756, 3721, 3725, 3732),
    *(5708, 5695, 2081, 0, 4275, 6200, 6213, 6346, 6461, 5518, 5957, 5841),
    *(5702, 5711, 5533, 6216, 6207, 6470, 5517, 5966),
)
"""Vertices at the 68 points of iBUG's annotation, from ICT-FaceKit's own description: jaw, brows, nose, eyes, lips."""

DRAWN = ("M_Face", "M_BackHead", "M_GumsTongue", "M_Teeth", "M_ScleraLeft", "M_ScleraRight")
"""Parts that are drawn. The others are transparent layers over the eyes, or lie behind these."""
SKIN_PARTS = ("M_Face", "M_BackHead")
EYEBALLS = ("M_ScleraLeft", "M_ScleraRight")

GAZE_DEGREES = {"In": 30.0, "Out": 30.0, "Up": 25.0, "Down": 25.0}
"""How far an eyeball turns for a coefficient of 1. ICT-FaceKit's expressions move the lids only."""
SPLIT = ("browInnerUp", "cheekPuff")
"""ARKit's expressions that ICT-FaceKit has for each side by itself."""
MISSING = ("tongueOut",)
"""ARKit's expressions that ICT-FaceKit does not have."""


@dataclass(frozen=True)
class SyntheticHeads:
    """ICT-FaceKit's linear model, cut down to what is drawn."""

    mean: Float[np.ndarray, "vertices 3"]
    identity_basis: Float[np.ndarray, "modes vertices 3"]
    """Displacements for one standard deviation among people."""
    expression_names: tuple[str, ...]
    """ICT-FaceKit's: ARKit's with _L and _R for Left and Right."""
    expression_deltas: Float[np.ndarray, "expressions vertices 3"]
    triangles: Int[np.ndarray, "triangles 3"]
    part: Int[np.ndarray, "triangles"]
    """Index into `DRAWN` of every triangle."""

    @classmethod
    def load(cls, path: Path) -> "SyntheticHeads":
        """Read the packed file.

        Raises:
            UserError: there is no such file.
        """
        if not path.is_file():
            raise UserError(f"{path} is missing: the benchmark renders ICT-FaceKit's heads, packed into that file.")
        with np.load(path) as arrays:
            quads, materials = arrays["faces"], arrays["face_material"]
            triangles, part = [], []
            for number, name in enumerate(DRAWN):
                faces = quads[materials == name]
                halves = np.concatenate([faces[:, [0, 1, 2]], faces[faces[:, 3] >= 0][:, [0, 2, 3]]])
                triangles.append(halves)
                part.append(np.full(len(halves), number))
            return cls(
                mean=arrays["neutral"].astype(np.float32),
                identity_basis=arrays["identity"].astype(np.float32),
                expression_names=tuple(str(name) for name in arrays["expression_names"]),
                expression_deltas=arrays["expression"].astype(np.float32),
                triangles=np.concatenate(triangles),
                part=np.concatenate(part),
            )

    def part_vertices(self, *names: str) -> Int[np.ndarray, "vertices"]:
        """The vertices of some parts, each once."""
        chosen = np.isin(self.part, [DRAWN.index(name) for name in names])
        return np.unique(self.triangles[chosen])

    def neutral(self, identity: Float[np.ndarray, "modes"]) -> Float[np.ndarray, "vertices 3"]:
        """A person's head at rest. The identity may leave out the last modes."""
        return self.mean + np.tensordot(identity, self.identity_basis[: len(identity)], 1).astype(np.float32)

    def vertices(
        self, neutral: Float[np.ndarray, "vertices 3"], expression: dict[str, float]
    ) -> Float[np.ndarray, "vertices 3"]:
        """The head with expressions given by ARKit's names, its eyeballs turned accordingly."""
        coefficients = np.zeros(len(self.expression_names), np.float32)
        for name, value in expression.items():
            for own_name in own_names(name):
                coefficients[self.expression_names.index(own_name)] = value
        moved = neutral + np.tensordot(coefficients, self.expression_deltas, 1)
        for eyeball, side in zip(EYEBALLS, ("Left", "Right"), strict=True):
            points = self.part_vertices(eyeball)
            center = self.eye_center(neutral, eyeball)
            turn = rotation_from_vector(gaze(expression, side)).astype(np.float32)
            moved[points] = (moved[points] - center) @ turn.T + center
        return moved

    def eye_center(self, neutral: Float[np.ndarray, "vertices 3"], eyeball: str) -> Float[np.ndarray, "3"]:
        """The centre of the sphere nearest to an eyeball's vertices."""
        points = neutral[self.part_vertices(eyeball)].astype(np.float64)
        system = np.column_stack([2 * points, np.ones(len(points))])
        return np.linalg.lstsq(system, (points**2).sum(1), rcond=None)[0][:3].astype(np.float32)

    @cached_property
    def mean_eye_centers(self) -> dict[str, Float[np.ndarray, "3"]]:
        """Where the average person's eyeballs are."""
        return {eyeball: self.eye_center(self.mean, eyeball) for eyeball in EYEBALLS}


def own_names(name: str) -> tuple[str, ...]:
    """ICT-FaceKit's names of an ARKit expression; empty if it has none."""
    if name in MISSING:
        return ()
    if name in SPLIT:
        return (f"{name}_L", f"{name}_R")
    for side in ("Left", "Right"):
        if name.endswith(side) and name not in ("jawLeft", "jawRight", "mouthLeft", "mouthRight"):
            return (f"{name.removesuffix(side)}_{side[0]}",)
    return (name,)


def gaze(expression: dict[str, float], side: str) -> Float[np.ndarray, "3"]:
    """The rotation vector, in radians, by which an eyeball turns: the person's left eye looks in toward -x."""
    degrees = {way: expression.get(f"eyeLook{way}{side}", 0.0) * most for way, most in GAZE_DEGREES.items()}
    outward = degrees["Out"] - degrees["In"]
    return np.radians([degrees["Down"] - degrees["Up"], outward if side == "Left" else -outward, 0.0])
