"""The pictures in a clip's report: tracked frames with what was found in them, mattes, labels and the background."""

import base64
from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from tracking.clip import TrackedClip
from tracking.fitted_face import fitted_face
from tracking.overlay import draw_tracking, enlarge
from tracking.regions import Label

CONTACT_SIZE = 420
STRIP_SIZE = 220
PLATE_SIZE = 480
"""Longer sides in pixels."""
WINDOW_FACES = 1.9
"""Side of what is shown of a tracked frame, in sizes of the face."""
LEAST_WINDOW = 32
"""Pixels."""
JPEG_QUALITY = 82
GREEN = (0, 177, 64)
"""Where nothing of the person is; far from every colour of skin, hair and most clothes."""
LABEL_COLORS: dict[Label, tuple[int, int, int]] = {
    Label.BACKGROUND: (38, 38, 38),
    Label.FACE_SKIN: (240, 200, 160),
    Label.BROWS: (120, 70, 20),
    Label.EYES: (86, 180, 233),
    Label.LIPS: (213, 94, 0),
    Label.MOUTH_INTERIOR: (150, 0, 60),
    Label.HAIR: (204, 121, 167),
    Label.EARS: (240, 228, 66),
    Label.NECK: (0, 158, 115),
    Label.CLOTHES: (0, 114, 178),
    Label.OTHER: (160, 160, 160),
}
"""After Okabe & Ito's colours, which tell apart for colour-blind people too."""

Picture = UInt8[np.ndarray, "height width 3"]


@dataclass(frozen=True)
class FramePictures:
    """One frame of the report, as data addresses."""

    frame: int
    tracking: str
    """The face and what is around it, with landmarks and mesh."""
    matte: str
    """The person over plain green."""
    labels: str


def frame_pictures(clip: TrackedClip, frame: int) -> FramePictures:
    """Draw a tracked frame for the report; reads its three files."""
    image, matte = clip.image(frame), clip.matte(frame)
    face = fitted_face(clip, frame)
    (left, top), side = face_window(face.points, image.shape[1], image.shape[0])
    near = image[top : top + side, left : left + side]
    moved = replace(face, points=face.points - [left, top], axes=face.axes - [left, top])
    drawn = draw_tracking(near, moved, clip.track.landmarks[frame] - [left, top])
    small = shrink(image, STRIP_SIZE)
    small_matte = np.asarray(cv2.resize(matte, small.shape[1::-1], interpolation=cv2.INTER_AREA))
    return FramePictures(
        frame,
        data_address(shrink(drawn, CONTACT_SIZE)),
        data_address(over_green(small, small_matte)),
        data_address(shrink(paint_labels(clip.labels(frame)), STRIP_SIZE)),
    )


def face_window(points: Float[np.ndarray, "points 2"], width: int, height: int) -> tuple[tuple[int, int], int]:
    """A square around a face, inside of the picture as far as it goes: left and top, and the side, in pixels.

    Of the picture's shorter side at most, so that what surrounds a face that fills it is not cut off needlessly.
    """
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    side = int(np.clip(WINDOW_FACES * np.ptp(points, axis=0).max(), LEAST_WINDOW, min(width, height)))
    left, top = (
        int(np.clip(center - side / 2, 0, limit - side)) for center, limit in zip(middle, (width, height), strict=True)
    )
    return (left, top), side


def plate_picture(clip: TrackedClip) -> str | None:
    """The background plate as a data address; None if the clip has none."""
    return data_address(shrink(clip.background(), PLATE_SIZE)) if clip.background_path.is_file() else None


def over_green(image: Picture, matte: Float[np.ndarray, "height width"]) -> Picture:
    """What is left of a picture where the matte is, over green; a matte that is too wide drags the scene along."""
    opacity = matte[..., None]
    return np.rint(image * opacity + np.array(GREEN) * (1 - opacity)).astype(np.uint8)


def paint_labels(labels: UInt8[np.ndarray, "height width"]) -> Picture:
    """Region labels in the colours of `LABEL_COLORS`; unknown ones white."""
    palette = np.full((256, 3), 255, np.uint8)
    for label, color in LABEL_COLORS.items():
        palette[label] = color
    return palette[labels]


def shrink(picture: Picture, size: int) -> Picture:
    """The picture with its longer side at most `size` pixels long."""
    return enlarge(picture, min(1.0, size / max(picture.shape[:2])))


def data_address(picture: Picture) -> str:
    """The picture as a JPEG inside of its own address, to be embedded in a page."""
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options)
    return f"data:image/jpeg;base64,{base64.b64encode(encoded.tobytes()).decode('ascii')}"
