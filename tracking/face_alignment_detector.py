"""Landmarks by the package `face-alignment` (Bulat and Tzimiropoulos 2017): 68 points, placed into MediaPipe's mesh."""

import warnings
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from jaxtyping import Float, UInt8

from tracking.errors import UserError
from tracking.face_appearance import face_appearance
from tracking.face_square import FaceSquare
from tracking.landmarks import LANDMARK_COUNT, DetectedFace
from tracking.picture_pyramid import PicturePyramid

MESH_POINT_OF = (
    *(127, 234, 93, 132, 172, 136, 149, 148, 152, 377, 378, 365, 397, 361, 323, 454, 356),  # the jaw, from ear to ear
    *(70, 63, 105, 66, 107, 336, 296, 334, 293, 300),  # brows
    *(168, 197, 195, 4, 98, 97, 2, 326, 327),  # bridge of the nose, and under it
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),  # eyes
    *(61, 39, 37, 0, 267, 269, 291, 321, 314, 17, 84, 91),  # outer edge of the lips
    *(78, 81, 13, 311, 308, 402, 14, 178),  # inner edge of the lips
)
"""The mesh's point for each of iBUG's 68 (Sagonas et al. 2013), from left to right in the picture.

Found by aligning the 68 vertices that ICT-FaceKit names for them with MediaPipe's canonical face and taking the nearest
point on the same contour: lids, lips, brows, and the oval for the jaw. The distance that is left is 2.8 % of that
between the eyes' outer corners in the median and 5.2 % at most; along the jaw, where both slide, 11 to 21 %.
"""


class FaceAlignment(Protocol):
    """What is used of `face_alignment.FaceAlignment`."""

    def get_landmarks_from_image(
        self, image_or_path: UInt8[np.ndarray, "height width 3"]
    ) -> list[Float[np.ndarray, "68 2"]] | None:
        """The faces' points in pixels from the picture's corner; None where there is no face."""
        ...


@dataclass
class FaceAlignmentConfig:
    """The package face-alignment, which downloads its weights when it is first used."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where it runs; auto: on CUDA if there is any. On a CPU a frame takes about a second."""
    face_detector: Literal["sfd", "blazeface"] = "sfd"
    """What finds the faces: sfd is surer, blazeface is faster."""


class FaceAlignmentDetector:
    """68 landmarks a face; the mesh's other points, irises among them, are NaN, and so is depth."""

    def __init__(self, alignment: FaceAlignment) -> None:
        self._alignment = alignment

    @classmethod
    def load(cls, config: FaceAlignmentConfig | None = None) -> "FaceAlignmentDetector":
        """Load the networks, from the network the first time.

        Raises:
            UserError: the package or its weights are not there.
        """
        return cls(_load_face_alignment(config or FaceAlignmentConfig()))

    def detect(self, image: UInt8[np.ndarray, "height width 3"]) -> list[DetectedFace]:
        with warnings.catch_warnings():
            # It warns of every picture without a face.
            warnings.simplefilter("ignore")
            faces = self._alignment.get_landmarks_from_image(np.ascontiguousarray(image))
        picture = PicturePyramid(image)
        meshes = [to_mesh(points) for points in faces or []]
        return [DetectedFace(mesh, appearance=face_appearance(picture, FaceSquare.around(mesh))) for mesh in meshes]


def to_mesh(points: Float[np.ndarray, "68 2"]) -> Float[np.ndarray, "478 3"]:
    """iBUG's points in their places in the mesh, in pixels from the picture's corner; all else is NaN."""
    mesh = np.full((LANDMARK_COUNT, 3), np.nan)
    mesh[list(MESH_POINT_OF), :2] = points
    return mesh


def _load_face_alignment(config: FaceAlignmentConfig) -> Any:
    try:
        import face_alignment  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise UserError(
            "The detector face-alignment needs a package that is not installed: bash scripts/install.sh landmarks"
        ) from error
    import torch

    device = config.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("There is no CUDA device for face-alignment: leave out its device, or choose cpu.")
    try:
        return face_alignment.FaceAlignment(
            face_alignment.LandmarksType.TWO_D, device=device, face_detector=config.face_detector, compile=False
        )
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"The weights of face-alignment could not be loaded ({error}): they are downloaded when it is first used, "
            "so connect this machine to the internet once, or choose --detector mediapipe."
        ) from error
