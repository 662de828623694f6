"""How far an edit has moved a face: mouth, eyes and head, from the landmarks of the filmed frame and of its edit.

Both sets of landmarks come from the same detector, so that its habits cancel, and only their difference counts: neither
a camera nor a head model has to be believed. Fitting the head model to both, with the clip's own lens and person, was
tried in place of it: it told faithful edits from bent ones no better, and read real turns shorter.

Lengths are shares of the distance between the irises of the filmed face, angles are in degrees.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float, Int

from tracking.cameras import similarity_transform, vector_from_rotation
from tracking.face_regions import FACE_OVAL, INNER_LIPS, OUTER_LIPS
from tracking.head_model import HeadModel
from tracking.landmarks import Face

LIPS = tuple(sorted({*OUTER_LIPS, *INNER_LIPS}))
LIP_PAIRS = ((82, 87), (13, 14), (312, 317))
LID_PAIRS = (
    ((246, 7), (161, 163), (160, 144), (159, 145), (158, 153), (157, 154), (173, 155)),
    ((466, 249), (388, 390), (387, 373), (386, 374), (385, 380), (384, 381), (398, 382)),
)
"""Points of the inner lips and of the edges of the right and the left eye's lids, each upper one with the lower one of
the same place."""
IRISES = (468, 473)
STILL = 0.35
"""Centimetres: points that no expression moves farther say where the head is."""
SHAPE_POINTS = 468
"""The irises are left out: they tell the gaze."""


@dataclass(frozen=True)
class FaceDeviation:
    """By how much an edit's face differs from the filmed one."""

    lips: float
    """Distance of the lips' points once both heads are laid onto each other, root mean square."""
    mouth: float
    """Change of the gap between the lips."""
    eyes: float
    """Change of the gap between the lids, of the eye that changed more."""
    rotation: float
    """Degrees by which the head has turned."""
    shift: float
    """How far the head has gone in the picture."""
    growth: float
    """Change of the head's size in the picture, as a share of it."""


@cache
def still_points() -> Int[np.ndarray, "points"]:
    """The landmarks that hardly move when the face does, without those of its outline, which slide along it."""
    reach = np.linalg.norm(HeadModel.load().expression_deltas[:, :SHAPE_POINTS], axis=-1).max(axis=0)
    still = reach < STILL
    still[list(FACE_OVAL)] = False
    return np.flatnonzero(still)


def face_deviation(filmed: Face, edited: Face) -> FaceDeviation:
    """Compare the faces of a frame and of its edit, both with all 478 points and their depths."""
    unit = max(float(np.linalg.norm(filmed[IRISES[0], :2] - filmed[IRISES[1], :2])), 1e-6)
    filmed, edited = filmed / unit, edited / unit
    still = still_points()
    weights = np.ones(len(still))
    source, target = (np.column_stack([face[:, :2], np.zeros(len(face))]) for face in (edited, filmed))
    scale, turn, move = similarity_transform(source[still], target[None, still], weights)
    laid = scale[0] * source @ turn[0].T + move[0]
    _, rotation, _ = similarity_transform(filmed[still], edited[None, still], weights)
    off = laid[list(LIPS)] - target[list(LIPS)]
    return FaceDeviation(
        lips=float(np.sqrt((off**2).sum(axis=1).mean())),
        mouth=abs(gap(laid, LIP_PAIRS) - gap(target, LIP_PAIRS)),
        eyes=max(abs(gap(laid, pairs) - gap(target, pairs)) for pairs in LID_PAIRS),
        rotation=float(np.degrees(np.linalg.norm(vector_from_rotation(rotation[0])))),
        shift=float(np.linalg.norm(source[still].mean(axis=0) - target[still].mean(axis=0))),
        growth=float(abs(1 / scale[0] - 1)),
    )


def gap(face: Float[np.ndarray, "478 3"], pairs: tuple[tuple[int, int], ...]) -> float:
    """The mean distance of points that face each other."""
    upper, lower = np.array(pairs).T
    return float(np.linalg.norm(face[upper] - face[lower], axis=1).mean())
