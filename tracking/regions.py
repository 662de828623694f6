"""The parts of a portrait that labels name and prompts may ask for."""

from enum import IntEnum

import numpy as np
from jaxtyping import Bool, UInt8


class Label(IntEnum):
    """What a pixel of `labels/` shows. The numbers are part of the clip format."""

    BACKGROUND = 0
    FACE_SKIN = 1
    BROWS = 2
    EYES = 3
    LIPS = 4
    MOUTH_INTERIOR = 5
    HAIR = 6
    EARS = 7
    NECK = 8
    CLOTHES = 9
    OTHER = 10


REGIONS: dict[str, frozenset[Label]] = {
    "person": frozenset(Label) - {Label.BACKGROUND},
    "head": frozenset(Label) - {Label.BACKGROUND, Label.NECK, Label.CLOTHES, Label.OTHER},
    "face": frozenset({Label.FACE_SKIN, Label.BROWS, Label.EYES, Label.LIPS, Label.MOUTH_INTERIOR}),
    "skin": frozenset({Label.FACE_SKIN, Label.EARS, Label.NECK}),
    "hair": frozenset({Label.HAIR}),
    "brows": frozenset({Label.BROWS}),
    "eyes": frozenset({Label.EYES}),
    "lips": frozenset({Label.LIPS}),
    "mouth": frozenset({Label.LIPS, Label.MOUTH_INTERIOR}),
    "ears": frozenset({Label.EARS}),
    "neck": frozenset({Label.NECK}),
    "clothes": frozenset({Label.CLOTHES, Label.OTHER}),
}
"""The words that a prompt may put before its colon, and the labels that each covers. `person` is everything."""

TORSO_LABELS = frozenset({Label.NECK, Label.CLOTHES, Label.OTHER})
"""What moves with the shoulders rather than with the head."""


def is_in_region(labels: UInt8[np.ndarray, "*shape"], region: str) -> Bool[np.ndarray, "*shape"]:
    """Where the labels belong to the named region.

    Raises:
        KeyError: there is no region of that name.
    """
    return np.isin(labels, [int(label) for label in REGIONS[region]])
