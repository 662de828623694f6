"""The few frames that span a clip's poses and expressions."""

import numpy as np
from jaxtyping import Bool, Float

from tracking.cameras import vector_from_rotation

MOUTH = ("jawOpen",)
BLINK = ("eyeBlinkLeft", "eyeBlinkRight")
"""ARKit's expressions whose strongest frames are always taken."""


def choose_keyframes(
    rotations: Float[np.ndarray, "frames 3 3"],
    expressions: Float[np.ndarray, "frames expressions"],
    names: tuple[str, ...],
    count: int,
    usable: Bool[np.ndarray, "frames"] | None = None,
) -> list[int]:
    """The most typical frame, the widest open mouth, the firmest blink, then again and again the frame that is least
    like any taken so far (farthest-point sampling; Gonzalez 1985).

    Args:
        rotations: of the head, in any fixed frame.
        expressions: in [0, 1].
        names: ARKit's, of the expressions.
        count: how many; fewer where there are not as many different frames.
        usable: which frames may be taken; all if none are.

    Returns:
        Row numbers, the typical frame first.
    """
    features = spread_features(rotations, expressions)
    rows = np.arange(len(features))
    if usable is not None and usable.any():
        rows = rows[usable]
    if count < 1 or not len(rows):
        return []
    candidates = features[rows]
    typical = np.linalg.norm(candidates - np.median(candidates, axis=0), axis=1).argmin()
    chosen = [int(typical)]
    for wanted in (MOUTH, BLINK):
        known = [names.index(name) for name in wanted if name in names]
        if known:
            # Both eyes must be shut: a wink is no blink.
            strongest = int(expressions[rows][:, known].min(axis=1).argmax())
            chosen += [strongest] if strongest not in chosen else []
    chosen = chosen[:count]
    nearest = np.min([np.linalg.norm(candidates - candidates[row], axis=1) for row in chosen], axis=0)
    while len(chosen) < count and nearest.max() > 0:
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, np.linalg.norm(candidates - candidates[chosen[-1]], axis=1))
    return [int(rows[row]) for row in chosen]


def spread_features(
    rotations: Float[np.ndarray, "frames 3 3"], expressions: Float[np.ndarray, "frames expressions"]
) -> Float[np.ndarray, "frames features"]:
    """Rotation and expression as coordinates in which the clip varies equally much by the one and by the other.

    Rotations are vectors from the first frame's, in radians. Each of the two is divided by its frames' root mean square
    distance from their mean; one that stands still stays 0.
    """
    turned = vector_from_rotation(rotations[0].T @ rotations) if len(rotations) else np.zeros((0, 3))
    parts = []
    for part in (turned, expressions):
        centered = part - part.mean(axis=0, keepdims=True)
        spread = np.sqrt((centered**2).sum(axis=1).mean()) if len(part) else 0.0
        parts.append(centered / spread if spread > 1e-9 else np.zeros_like(centered))
    return np.concatenate(parts, axis=1)
