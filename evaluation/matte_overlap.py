"""Whether the edited person has the source's outline: the edit is cut out anew, and the mattes are compared.

Intersection over union of what each shows of the person (matte above 0.5). The cut itself is not perfect, so the
source's frames are cut out by the same means, and what they reach against the source's matte is told beside it.
"""

from typing import Protocol

import numpy as np
from jaxtyping import Bool, Float32

from evaluation.areas import SURELY_PERSON
from evaluation.curves import Curves, mean_measure
from evaluation.measurement import FaceMeasurement, FramePair, Measure, Picture
from evaluation.shrinking import shrink
from tracking.face_regions import CHIN, FACE_OVAL, FOREHEAD_TOP, inside
from tracking.matting import MatteConfig, PersonSegmenter, refine_matte, shared_segmenter

WORKING_SIZE = 512
"""Longer side, in pixels, of the pictures that are cut out; larger ones are shrunk."""

Matte = Float32[np.ndarray, "height width"]


class Matting(Protocol):
    """Cuts a person out of a picture."""

    def matte(self, picture: Picture, face: FaceMeasurement) -> Matte:
        """How much of each pixel is the person that the face belongs to, in [0, 1]."""
        ...


class FrameMatting:
    """The tracker's own matte of a single frame: without the steadying over time and without a background plate."""

    def __init__(self, person: PersonSegmenter | None = None, config: MatteConfig | None = None) -> None:
        self._person = person or shared_segmenter()
        self._config = config or MatteConfig()

    def matte(self, picture: Picture, face: FaceMeasurement) -> Matte:
        height, width = picture.shape[:2]
        # Outlines need two coordinates only.
        face_mask = inside(face.landmarks, FACE_OVAL, width, height)
        face_height = float(np.linalg.norm(face.landmarks[CHIN, :2] - face.landmarks[FOREHEAD_TOP, :2]))
        return refine_matte(picture, self._person.segment(picture), face_mask, face_height, self._config)


class MatteOverlap:
    """Intersection over union of the edit's matte and the source's."""

    def __init__(self, interval: int = 4, matting: Matting | None = None) -> None:
        """Look at every so many-th pair: cutting a frame out twice takes a fifth of a second."""
        self._interval = interval
        self._matting = matting
        self._seen = 0
        self._curves = Curves(("edited", "source"))

    def update(self, pair: FramePair) -> None:
        """Cut both pictures out, if this pair's turn has come."""
        due = self._seen % self._interval == 0
        self._seen += 1
        pair = shrink(pair, WORKING_SIZE) if due else pair
        if not due or pair.matte is None or pair.source_face is None:
            self._curves.add({})
            return
        self._matting = self._matting or FrameMatting()
        person = pair.matte > SURELY_PERSON
        source = self._matting.matte(pair.source, pair.source_face)
        # An edit without a face is searched where the source's face is: the person should still be there.
        edited = self._matting.matte(pair.edited, pair.edited_face or pair.source_face)
        self._curves.add(
            {"edited": overlap(edited > SURELY_PERSON, person), "source": overlap(source > SURELY_PERSON, person)}
        )

    def measures(self) -> list[Measure]:
        """The edit's overlap, and the source's own."""
        missing = "The source's matte and face are not known: give a tracked clip."
        which = "every frame" if self._interval == 1 else f"one frame of {self._interval}"
        return [
            mean_measure(
                "matte_iou",
                self._curves["edited"],
                f"Intersection over union of the person cut out of the edit and the source's matte, in {which}.",
                better="higher",
                missing=missing,
            ),
            mean_measure(
                "matte_iou_of_source",
                self._curves["source"],
                "The same of the person cut out of the source's frames by the same means: what cutting out itself "
                "reaches.",
                missing=missing,
            ),
        ]


def overlap(first: Bool[np.ndarray, "height width"], second: Bool[np.ndarray, "height width"]) -> float:
    """Intersection over union of two masks; NaN if both are empty."""
    union = (first | second).sum()
    return float((first & second).sum() / union) if union else float("nan")
