"""The small pictures that are kept of every detected face, so that no frame need be decoded again to fit the head."""

import numpy as np
from jaxtyping import UInt8

from tracking.eye_pictures import eye_pictures
from tracking.landmarks import DetectedFace
from tracking.skin_pictures import skin_picture


def pictured(face: DetectedFace, image: UInt8[np.ndarray, "height width 3"], enlarge: float = 1.0) -> DetectedFace:
    """A face with the pictures of its eyes and its skin.

    Args:
        face: as detected in the image.
        image: RGB.
        enlarge: what the landmarks are multiplied with, for an image that is larger than this one.
    """
    return face._replace(
        landmarks=(face.landmarks * enlarge).astype(np.float32),
        eyes=eye_pictures(image, face.landmarks),
        skin=skin_picture(image, face.landmarks),
    )
