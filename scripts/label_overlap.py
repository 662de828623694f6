"""Overlap of our mattes and labels with those that people drew: CelebAMask-HQ's classes, beside ours."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from tracking.regions import Label

TRUTH_CLASSES: dict[str, tuple[int, ...]] = {
    "person": tuple(range(1, 19)),
    "hair": (13,),
    "skin": (1, 2),
    "brows": (6, 7),
    "eyes": (4, 5),
    "lips": (11, 12),
    "mouth interior": (10,),
    "ears": (8, 9),
    "neck": (17,),
    "clothes": (18,),
}
"""What people drew, for each thing compared. Skin is the skin of the face and the nose; ears and neck are apart, and
glasses, hats and jewellery are nobody's but the person's."""
OUR_LABELS: dict[str, frozenset[Label]] = {
    "person": frozenset(Label) - {Label.BACKGROUND},
    "hair": frozenset({Label.HAIR}),
    "skin": frozenset({Label.FACE_SKIN}),
    "brows": frozenset({Label.BROWS}),
    "eyes": frozenset({Label.EYES}),
    "lips": frozenset({Label.LIPS}),
    "mouth interior": frozenset({Label.MOUTH_INTERIOR}),
    "ears": frozenset({Label.EARS}),
    "neck": frozenset({Label.NECK}),
    "clothes": frozenset({Label.CLOTHES, Label.OTHER}),
}
ABOVE_CHIN = "person above the chin"
"""CelebAMask-HQ has no class for bare shoulders and hands: it counts them as background, mostly below the chin."""
LEAST_SHARE = 0.002
"""A picture says something about a thing that it shows on at least this share of its pixels."""


@dataclass
class Overlap:
    """Intersection over union, picture by picture and over all pictures' pixels together."""

    per_picture: list[float] = field(default_factory=list)
    """Of the pictures that show the thing."""
    intersection: int = 0
    union: int = 0

    def add(self, ours: Bool[np.ndarray, "height width"], truth: Bool[np.ndarray, "height width"]) -> None:
        """Count one picture."""
        intersection, union = int((ours & truth).sum()), int((ours | truth).sum())
        self.intersection += intersection
        self.union += union
        if truth.mean() >= LEAST_SHARE:
            self.per_picture.append(intersection / union)

    def summary(self) -> dict[str, float | int]:
        """The mean, the median and the worst tenth over the pictures, and the overlap of all pixels."""
        values = np.array(self.per_picture) if self.per_picture else np.array([np.nan])
        return {
            "mean": round(float(values.mean()), 4),
            "median": round(float(np.median(values)), 4),
            "10th percentile": round(float(np.quantile(values, 0.1)), 4),
            "all pixels": round(self.intersection / max(self.union, 1), 4),
            "pictures": len(self.per_picture),
        }


def compare(
    matte: Float32[np.ndarray, "height width"],
    labels: UInt8[np.ndarray, "height width"],
    truth: UInt8[np.ndarray, "height width"],
    above_chin: Bool[np.ndarray, "height width"],
) -> dict[str, tuple[Bool[np.ndarray, "height width"], Bool[np.ndarray, "height width"]]]:
    """Where each thing is, ours and drawn. Ours are cut at half the matte: a drawn mask has no soft edge."""
    person = matte >= 0.5
    masks = {
        name: (person & np.isin(labels, [int(label) for label in OUR_LABELS[name]]), np.isin(truth, classes))
        for name, classes in TRUTH_CLASSES.items()
    }
    ours, drawn = masks["person"]
    masks[ABOVE_CHIN] = ours & above_chin, drawn & above_chin
    return masks
