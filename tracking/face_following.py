"""Faces measured frame after frame, by a model that looks at one upright face at a time.

Faces are followed by looking where they were in the frame before, and looked for anew in every frame that has room for
more. What is kept from frame to frame is only where to look: the landmarks are measured afresh, from several slightly
different looks at the face, half of them mirrored, whose mean jumps less and does not prefer a side.
"""

from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
from jaxtyping import Float, Int, UInt8

from tracking.face_appearance import face_appearance
from tracking.face_finder import SAME_FACE, FaceFinder
from tracking.face_square import FaceSquare
from tracking.head_model import HeadModel
from tracking.landmarks import DetectedFace
from tracking.picture_pyramid import PicturePyramid

LEAST_SQUARE = 20
"""Faces that fill a smaller square, in pixels, are left alone."""
MOST_TRIES = 4
"""How often the square is put right before the face is taken as it is."""
SETTLED = (0.06, 1.12, 0.12)
"""A square is right when the face in it is off by less than this: shares of its side, ratio of sizes, radians."""
LEAST_OVERSAMPLING = 1.2
"""Large pictures are halved as long as a face's square keeps this many times the pixels that the model sees."""

Look = tuple[float, float, float, float, bool]
"""Shift across and down as shares of the square's side, growth, turn in radians, and whether it is mirrored."""
STRAIGHT: Look = (0.0, 0.0, 1.0, 0.0, False)
MIRRORED: Look = (0.0, 0.0, 1.0, 0.0, True)
ASKEW: tuple[Look, ...] = ((0.03, 0.02, 1.05, 0.06, True), (-0.03, -0.02, 0.95, -0.06, True))
ASKEW_TOO: tuple[Look, ...] = ((-0.03, 0.02, 1.05, -0.06, False), (0.03, -0.02, 0.95, 0.06, False))
LOOKS: dict[int, tuple[Look, ...]] = {
    1: (STRAIGHT,),
    2: (STRAIGHT, MIRRORED),
    3: (STRAIGHT, *ASKEW),
    6: (STRAIGHT, MIRRORED, *ASKEW, *ASKEW_TOO),
}
"""The looks that are averaged. Of those tried, these come closest to the mean of 48 random ones for their number."""
Samples = Literal[1, 2, 3, 6]


class FaceModel(Protocol):
    """Measures one face that fills a square picture upright."""

    pixels: int
    """Side of the pictures that the model is to be given."""
    margin: float
    """Side of the picture over that of the face's `FaceSquare`."""

    def process(self, image: UInt8[np.ndarray, "pixels pixels 3"]) -> DetectedFace | None:
        """The face, its landmarks as shares of the picture; None where the model sees none."""
        ...


class FaceFollower:
    """Keeps the places of several faces, and measures each in every frame."""

    def __init__(self, model: FaceModel, finder: FaceFinder, max_faces: int, samples: Samples) -> None:
        self._model = model
        self._finder = finder
        self._max_faces = max_faces
        self._looks = LOOKS[samples]
        head = HeadModel.load()
        self._mirrored_points = head.mirror
        self._mirrored_scores = mirrored_expressions(head.expression_names)
        self._squares: list[FaceSquare] = []

    def measure(self, image: UInt8[np.ndarray, "height width 3"]) -> list[DetectedFace]:
        """The faces of the next frame, those seen in the frame before first."""
        picture = PicturePyramid(image)
        faces: list[DetectedFace] = []
        for square in self._squares:
            self._add_face(faces, picture, square)
        if len(faces) < self._max_faces:
            for square in self._finder.find(picture, small_too=not faces):
                self._add_face(faces, picture, square)
        self._squares = [FaceSquare.around(face.landmarks) for face in faces]
        return faces

    def _add_face(self, faces: list[DetectedFace], picture: PicturePyramid, square: FaceSquare) -> None:
        if len(faces) == self._max_faces or _is_one_of(square, faces):
            return
        face = self._measure_face(picture, square)
        if face is not None and not _is_one_of(FaceSquare.around(face.landmarks), faces):
            faces.append(face)

    def _measure_face(self, picture: PicturePyramid, square: FaceSquare) -> DetectedFace | None:
        """The face in a square, which is moved until the face fills it as the model expects."""
        for _ in range(MOST_TRIES):
            face = self._look(picture, square, STRAIGHT)
            if face is None:
                return None
            seen = FaceSquare.around(face.landmarks)
            if seen.size < LEAST_SQUARE:
                return None
            if _is_settled(square, seen):
                break
            square = seen
        looks = [face, *(self._look(picture, square, look) for look in self._looks[1:])]
        face = _mean_face([look for look in looks if look is not None])
        return face._replace(appearance=face_appearance(picture, FaceSquare.around(face.landmarks)))

    def _look(self, picture: PicturePyramid, square: FaceSquare, look: Look) -> DetectedFace | None:
        across, down, growth, turn, mirrored = look
        square = square.shifted(across, down, growth * self._model.margin, turn)
        pixels = self._model.pixels
        reduction = picture.reduction_to(square.size, LEAST_OVERSAMPLING * pixels)
        face = self._model.process(square.reduced(reduction).cut(picture.reduced(reduction), pixels, mirrored))
        if face is None:
            return None
        points, scores = face.landmarks, face.expression_scores
        if mirrored:
            points = points[self._mirrored_points]
            scores = None if scores is None else scores[self._mirrored_scores]
        return DetectedFace(square.to_picture(points, mirrored), scores)


def mirrored_expressions(names: Sequence[str]) -> Int[np.ndarray, "expressions"]:
    """The expression that each one changes places with in the mirror: jawLeft with jawRight, jawOpen with itself."""
    swap = {"Left": "Right", "Right": "Left"}
    places = {name: index for index, name in enumerate(names)}
    mirrored = (next((name[: -len(side)] + swap[side] for side in swap if name.endswith(side)), name) for name in names)
    return np.array([places[name] for name in mirrored])


def _mean_face(faces: list[DetectedFace]) -> DetectedFace:
    scores: list[Float[np.ndarray, "expressions"]] = [
        face.expression_scores for face in faces if face.expression_scores is not None
    ]
    return DetectedFace(
        np.mean([face.landmarks for face in faces], axis=0), np.mean(scores, axis=0) if scores else None
    )


def _is_one_of(square: FaceSquare, faces: list[DetectedFace]) -> bool:
    return any(square.distance(FaceSquare.around(face.landmarks)) < SAME_FACE for face in faces)


def _is_settled(square: FaceSquare, seen: FaceSquare) -> bool:
    distance, ratio, turn = SETTLED
    # The difference of two angles, in (-pi, pi].
    turned = abs((seen.rotation - square.rotation + np.pi) % (2 * np.pi) - np.pi)
    grown = max(square.size, seen.size) / min(square.size, seen.size)
    return square.distance(seen) < distance and grown < ratio and turned < turn
