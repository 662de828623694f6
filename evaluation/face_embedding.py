"""A face as a direction that is the same for pictures of the same person.

Faces are first laid upright: a similarity takes five points of them to where ArcFace expects them (Deng et al., CVPR
2019), in a picture of 112 x 112.
"""

from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8

from evaluation.face_alignment import inverted, moved, similarity_onto
from evaluation.measurement import Picture
from evaluation.ncnn_network import NcnnNetwork
from evaluation.weights import FACE_EMBEDDING

FACE_SIZE = 112
FIVE_POINTS = (468, 473, 1, 61, 291)
"""Among MediaPipe's: both irises, the tip of the nose, both corners of the mouth; the picture's left ones first."""
FIVE_PLACES = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"""Where ArcFace wants them; whole numbers are pixels' centres."""

Face = UInt8[np.ndarray, "112 112 3"]
Direction = Float[np.ndarray, "dimensions"]
"""Of length 1."""


class FaceEmbedder(Protocol):
    """Knows faces again."""

    def embed(self, face: Face) -> Direction:
        """The direction of an upright face."""
        ...


class MobileFaceNet:
    """MobileFaceNet (Chen et al. 2018) trained with ArcFace's loss, from ncnn's files."""

    def __init__(self, folder: Path, device: torch.device | str = "cpu") -> None:
        """Load the two files from a folder.

        Raises:
            UserError: they are not what they should be.
        """
        param, weights = (folder / name for name in FACE_EMBEDDING.files)
        self._device = torch.device(device)
        self._network = NcnnNetwork(param, weights, device)

    def embed(self, face: Face) -> Direction:
        """The direction of an upright face."""
        # Its first layers bring levels 0 to 255, RGB, to [-1, 1].
        levels = torch.from_numpy(face).to(self._device).permute(2, 0, 1)[None].float()
        values = self._network(levels)[0].double().cpu().numpy()
        return values / np.linalg.norm(values)


def upright_face(picture: Picture, landmarks: Float[np.ndarray, "478 2"]) -> Face:
    """The face laid where ArcFace wants it.

    Args:
        landmarks: pixels of the picture, whose pixel (0, 0) covers [0, 1).
    """
    matrix = similarity_onto(landmarks[list(FIVE_POINTS), :2] - 0.5, FIVE_PLACES)
    scale = float(np.hypot(*matrix[:, 0]))
    if scale < 0.5:
        # A large face would be sampled at points far apart: it is blurred to the size that it will have, and only it.
        blur = 0.5 / scale - 0.5
        corners = moved(np.array([[0, 0], [0, FACE_SIZE], [FACE_SIZE, 0], [FACE_SIZE, FACE_SIZE]]), inverted(matrix))
        margin = 4 * blur + 2
        left, top = np.floor(corners.min(axis=0) - margin).clip(0).astype(int)
        right, bottom = np.ceil(corners.max(axis=0) + margin).clip(0).astype(int)
        if left < min(right, picture.shape[1]) and top < min(bottom, picture.shape[0]):
            picture = cv2.GaussianBlur(picture[top:bottom, left:right], (0, 0), blur)
            matrix = np.concatenate([matrix[:, :2], moved(np.array([[left, top]]), matrix).T], axis=1)
    size = (FACE_SIZE, FACE_SIZE)
    return cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
