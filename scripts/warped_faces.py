"""Pictures of a face bent by known amounts: a measuring device for what must notice that a face has moved.

A bend moves the tracked head model, its expressions and its pose; the picture follows by a smooth warp that carries the
face's landmarks along and leaves the picture's border where it was. So it is known exactly how far every landmark went,
whatever any detector says.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from scipy.interpolate import RBFInterpolator

from tracking.cameras import project, rigid, rigid_inverse, rotation_from_vector, transform
from tracking.clip import TrackedClip
from tracking.face_regions import INNER_LIPS, LEFT_EYE, RIGHT_EYE
from tracking.head_model import HeadModel

Picture = UInt8[np.ndarray, "height width 3"]
Points = Float[np.ndarray, "points 2"]

CELL = 3
"""Pixels from one place to the next at which the warp is computed; between them it is interpolated."""
FACE_STRIDE = 2
"""Of the face's points every so many, and all of the inner lips, carry the warp."""
SMOOTHING, TURN_SMOOTHING = 1e-4, 1e-2
"""Of the warp, in squared distances between the eyes; turns hide and uncover, which no smooth warp can."""
FINE = 4
"""So many times finer are the pixels in which lids are moved."""
LID_REACH = 1.0
"""Eye widths above and below an eye, from where its lids' skin is drawn."""
MEETING = 0.8
"""Of the way from the upper lid down to the lower one: where closing lids meet."""
MOUTH_COLOR = np.array([58, 22, 24], np.float32)
"""What is seen where lips part that were closed."""
EYE_LINES = (
    ((33, 246, 161, 160, 159, 158, 157, 173, 133), (33, 7, 163, 144, 145, 153, 154, 155, 133), RIGHT_EYE),
    ((362, 398, 384, 385, 386, 387, 388, 466, 263), (362, 382, 381, 380, 374, 373, 390, 249, 263), LEFT_EYE),
)
"""The edges of each eye's lids, from the picture's left to its right, and the whole outline."""


@dataclass(frozen=True)
class Bend:
    """What is done to the head."""

    expression: tuple[tuple[str, float], ...] = ()
    """Names of expressions and how much is added to each, in the model's unit (1 is fully on)."""
    lids: float = 0.0
    """How far both eyes are closed from where they are: 0 not at all, 1 shut; negative opens them wider."""
    turn: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Degrees about the head's axes: nodding, shaking, tilting."""
    shift: tuple[float, float] = (0.0, 0.0)
    """Across and down the picture, in shares of the distance between the irises."""
    growth: float = 1.0
    """Of the head's size in the picture."""


def bent(
    clip: TrackedClip, frame: int, bend: Bend, pictures: list[Picture]
) -> tuple[list[Picture], Float[np.ndarray, "478 2"]]:
    """Pictures of a frame, edits of it perhaps, bent; and where the frame's detected landmarks are then."""
    landmarks = clip.track.landmarks[frame].astype(np.float64)
    after_lids = with_lids(landmarks, bend.lids)
    pictures = [lids_moved(picture, landmarks, bend.lids) for picture in pictures]
    displacement = displacements(clip, frame, bend)
    truth = after_lids + displacement
    if np.abs(displacement).max() > 0:
        height, width = pictures[0].shape[:2]
        chosen = np.unique(np.r_[0 : len(landmarks) : FACE_STRIDE, list(INNER_LIPS)])
        smoothing = TURN_SMOOTHING if any(bend.turn) else SMOOTHING
        warp = picture_warp(
            after_lids[chosen], displacement[chosen], eye_distance(landmarks), (width, height), smoothing
        )
        pictures = [with_mouth(warp(picture), landmarks, truth) for picture in pictures]
    return pictures, truth


def displacements(clip: TrackedClip, frame: int, bend: Bend) -> Points:
    """How far the 478 landmarks go in the picture."""
    track, model = clip.track, HeadModel.load()
    head_to_camera = rigid_inverse(track.camera_to_head[frame].astype(np.float64))
    before = track.expression[frame].astype(np.float64)
    after = before.copy()
    for name, amount in bend.expression:
        after[model.expression_index(name)] += amount
    turn = rigid(rotation_from_vector(np.radians(np.array(bend.turn))), np.zeros(3))
    old, new = (
        project(
            transform(head_to_camera @ pose, model.vertices(track.identity, expression).astype(np.float64)),
            clip.intrinsics,
        )
        for expression, pose in ((before, np.eye(4)), (after, turn))
    )
    middle = new.mean(0)
    return middle + (new - middle) * bend.growth + eye_distance(old) * np.array(bend.shift) - old


def eye_distance(landmarks: Points) -> float:
    """Pixels between the irises."""
    return float(np.linalg.norm(landmarks[468] - landmarks[473]))


def picture_warp(
    points: Points, moves: Points, unit: float, size: tuple[int, int], smoothing: float
) -> Callable[[Picture], Picture]:
    """The warp of a picture that carries points along, by a thin-plate spline; its border stays."""
    width, height = size
    rim = border(width, height)
    # Sought is where each place of the bent picture comes from.
    places = np.concatenate([points + moves, rim]) / unit
    back = RBFInterpolator(places, np.concatenate([-moves, np.zeros_like(rim)]), smoothing=smoothing)
    columns, rows = np.arange(0, width + CELL, CELL), np.arange(0, height + CELL, CELL)
    grid = (np.stack(np.meshgrid(columns, rows), -1).reshape(-1, 2) + 0.5) / unit
    coarse = back(grid).reshape(len(rows), len(columns), 2).astype(np.float32)
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    fine = cv2.remap(coarse, x / CELL, y / CELL, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return lambda picture: cv2.remap(
        picture, x + fine[..., 0], y + fine[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )


def border(width: int, height: int) -> Points:
    """Points around the picture."""
    across, down = np.linspace(0, width, 9), np.linspace(0, height, 9)
    sides = [(x, y) for x in across for y in (-4.0, height + 4.0)] + [(x, y) for y in down for x in (-4.0, width + 4.0)]
    return np.array(sides)


def with_lids(landmarks: Float[np.ndarray, "478 2"], closing: float) -> Float[np.ndarray, "478 2"]:
    """Landmarks whose lids' edges have gone some of the way to where they meet."""
    landmarks = landmarks.copy()
    for upper, lower, _ in EYE_LINES:
        above, below = landmarks[list(upper)], landmarks[list(lower)]
        meeting = above + MEETING * (below - above)
        landmarks[list(upper)] = above + closing * (meeting - above)
        landmarks[list(lower)] = below + closing * (meeting - below)
    return landmarks


def lids_moved(picture: Picture, landmarks: Float[np.ndarray, "478 2"], closing: float) -> Picture:
    """A picture whose eyes are closed or opened: the lids' skin is drawn over the eyes, line by line across each."""
    if closing == 0:
        return picture
    for upper, lower, outline in EYE_LINES:
        # Into a fine picture of the eye in which its corners lie level.
        left, right = landmarks[upper[0]], landmarks[upper[-1]]
        width = float(np.linalg.norm(right - left))
        across = (right - left) / width
        center = landmarks[list(outline)].mean(0)
        side = int(np.ceil(2.6 * LID_REACH * width * FINE))
        to_eye = np.array([[across[0], across[1]], [-across[1], across[0]]]) * FINE
        matrix = np.column_stack([to_eye, side / 2 - to_eye @ center])
        pixel = np.column_stack([to_eye, matrix @ [0.5, 0.5, 1.0] - 0.5])
        patch = cv2.warpAffine(picture, pixel, (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        above, below = (landmarks[list(line)] @ matrix[:, :2].T + matrix[:, 2] for line in (upper, lower))
        columns = np.arange(side) + 0.5
        top, bottom = (np.interp(columns, line[:, 0], line[:, 1]) for line in (above, below))
        meeting = top + MEETING * (bottom - top)
        reach = LID_REACH * width * FINE
        source = np.empty((side, side), np.float32)
        for column in range(side):
            old = [top[column] - reach, top[column], bottom[column], bottom[column] + reach]
            new = [old[0], *(old[i] + closing * (meeting[column] - old[i]) for i in (1, 2)), old[3]]
            new[2] = max(new[2], new[1] + 1e-3)
            source[:, column] = np.interp(columns, new, old, left=-1, right=side + 1)
            outside = (columns < new[0]) | (columns > new[3])
            source[outside, column] = columns[outside]
        columns_of = np.tile(np.arange(side, dtype=np.float32), (side, 1))
        moved = cv2.remap(patch, columns_of, source - 0.5, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        size = (picture.shape[1], picture.shape[0])
        # Averaged down, not picked: a shut eye is a line.
        moved = cv2.GaussianBlur(moved, (0, 0), FINE / 3)
        inverse = cv2.invertAffineTransform(pixel)
        back = cv2.warpAffine(moved, inverse, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        window = np.zeros((side, side), np.float32)
        middle, axes = (side // 2, side // 2), (int(0.62 * width * FINE), int(0.45 * width * FINE))
        cv2.ellipse(window, middle, axes, 0.0, 0.0, 360.0, (1.0,), -1)
        window = cv2.GaussianBlur(window, (0, 0), 0.06 * width * FINE)
        share = cv2.warpAffine(window, inverse, size, flags=cv2.INTER_LINEAR)[..., None]
        picture = (picture + share * (back.astype(np.float32) - picture)).round().clip(0, 255).astype(np.uint8)
    return picture


def with_mouth(picture: Picture, before: Points, after: Points) -> Picture:
    """The inside of a mouth that has opened, dark, as far as it was not seen before."""
    lips = list(INNER_LIPS)
    areas = [abs(float(cv2.contourArea(points[lips].astype(np.float32)))) for points in (before, after)]
    if areas[1] <= 1.5 * areas[0] + 1:
        return picture
    mask = np.zeros((FINE * picture.shape[0], FINE * picture.shape[1]), np.float32)
    cv2.fillPoly(mask, [np.rint(FINE * after[lips] - 0.5).astype(np.int32)], [1.0])
    share = cv2.resize(mask, (picture.shape[1], picture.shape[0]), interpolation=cv2.INTER_AREA)
    share = cv2.GaussianBlur(share, (0, 0), 0.6)[..., None] * (1 - areas[0] / areas[1])
    brightness = picture.mean() / 110
    return np.clip(picture + share * (MOUTH_COLOR * brightness - picture), 0, 255).round().astype(np.uint8)
