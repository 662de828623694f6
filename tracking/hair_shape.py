"""Hair hangs together, and begins on the head."""

import cv2
import numpy as np
from jaxtyping import Bool

from tracking.face_regions import HeadFrame
from tracking.part_places import HAIR, Posterior

LEAST_STRAND = 0.03
"""Half the width, in face heights, of what counts as a link between hair and hair."""
LEAST_SHARE = 0.05
"""Patches smaller than this share of the largest are none of their own."""


def stray_hair(
    posterior: Posterior, person: Bool[np.ndarray, "height width"], head: HeadFrame
) -> Bool[np.ndarray, "height width"]:
    """What looks like hair but does not hang together with that on the head, or hangs by a thread."""
    height, width = person.shape
    likelihood = posterior[..., HAIR]
    rival = np.max([posterior[..., part] for part in range(posterior.shape[-1]) if part != HAIR], axis=0)
    hair = ((likelihood > rival) & person).astype(np.uint8)
    reach = max(1, round(LEAST_STRAND * head.face_height))
    brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    thick = cv2.morphologyEx(hair, cv2.MORPH_OPEN, brush)
    count, components = cv2.connectedComponents(thick, connectivity=4)
    if count < 2:
        return np.zeros(person.shape, dtype=bool)
    across, down = head.coordinates(width, height)
    on_head = (down < 0) & (np.abs(across) < 1)
    areas = np.bincount(np.asarray(components)[on_head], minlength=count)
    areas[0] = 0
    keep = areas > LEAST_SHARE * areas.max()
    # Opening rounded the tips off: they come back with what they are attached to.
    kept = cv2.dilate(keep[components].astype(np.uint8), brush, iterations=2) > 0
    return (hair > 0) & ~kept
