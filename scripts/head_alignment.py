"""Bringing faces seen in many poses and at many distances into one head space."""

import numpy as np
from jaxtyping import Float

from tracking.cameras import similarity_transform

FOREHEAD, CHIN, EAR_RIGHT, EAR_LEFT, OUTER_EYE_RIGHT, OUTER_EYE_LEFT = 10, 152, 234, 454, 33, 263
IRIS_DIAMETERS = ((469, 471), (470, 472), (474, 476), (475, 477))
IRIS_DIAMETER = 1.17
"""Centimetres; nearly the same in all people (horizontal visible iris diameter 11.7 mm, Rufer et al., Cornea 2005)."""
OUTER_EYE_DISTANCE = 9.2
"""Centimetres between the outer corners of the eyes: the first guess of scale, replaced by the irises'."""
EARS_BEHIND_ORIGIN = 2.5
"""Centimetres from the front of the ears to the origin of head space, along z."""


def undo_perspective(points: np.ndarray, distance: float) -> np.ndarray:
    """Landmarks as an orthographic camera would see them, in rough centimetres about the bridge of the nose."""
    centered = points - points[:, [168]]
    pixels = np.linalg.norm(centered[:, OUTER_EYE_LEFT] - centered[:, OUTER_EYE_RIGHT], axis=1)
    centered = centered * (OUTER_EYE_DISTANCE / pixels)[:, None, None]
    return np.concatenate([centered[..., :2] * (1 - centered[..., 2:] / distance), centered[..., 2:]], -1)


def similarity_align(
    points: Float[np.ndarray, "frames vertices 3"],
    target: Float[np.ndarray, "vertices 3"],
    weights: Float[np.ndarray, "vertices"],
) -> Float[np.ndarray, "frames vertices 3"]:
    """Move every frame by the rotation, scale and translation that best take it back to the target."""
    scale, rotation, translation = similarity_transform(target, points, weights)
    return (points - translation[:, None]) @ rotation / scale[:, None, None]


def align_frames(points: np.ndarray, clip: np.ndarray, iterations: int = 8) -> np.ndarray:
    """Generalised Procrustes analysis (Gower 1975) that trusts points the less the more expressions move them."""
    weights = np.ones(points.shape[1])
    template = points[0]
    for _ in range(iterations):
        aligned = similarity_align(points, template, weights)
        template = np.mean([aligned[clip == number].mean(0) for number in np.unique(clip)], 0)
        variance = np.mean([aligned[clip == number].var(0).sum(1) for number in np.unique(clip)], 0)
        weights = 1 / (variance + np.median(variance))
    return aligned


def to_head_space(points: np.ndarray, template: np.ndarray) -> np.ndarray:
    """Turn, shift and scale faces by what puts the template in head space, as defined in tracking/data/README.md."""
    diameter = np.mean([np.linalg.norm(template[a] - template[b]) for a, b in IRIS_DIAMETERS])
    across = template[EAR_LEFT] - template[EAR_RIGHT]
    across /= np.linalg.norm(across)
    up = template[FOREHEAD] - template[CHIN]
    up -= across * (up @ across)
    up /= np.linalg.norm(up)
    axes = np.stack([across, up, np.cross(across, up)], 1)
    middle = (template[FOREHEAD] + template[CHIN]) / 2 @ axes
    ears = (template[EAR_LEFT] + template[EAR_RIGHT]) / 2 @ axes
    scale = IRIS_DIAMETER / diameter
    return (points @ axes - np.array([ears[0], middle[1], ears[2]])) * scale + np.array([0, 0, -EARS_BEHIND_ORIGIN])
