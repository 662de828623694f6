"""Pieces of a video in which one face is followed, and which of them show one person."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from jaxtyping import Float

from tracking.face_appearance import appearance_distance
from tracking.face_shape import aligned, face_center, face_size, placed_shape
from tracking.landmarks import DetectedFace, Face

SPEED_FRAMES = 5
"""A face's speed is the mean over this many frames."""
SPEED_LASTS = 6.0
"""For about how many frames a face that is out of sight is expected to go on as it went."""
APPEARANCE_WEIGHT = 1.0
"""How much a difference in colours counts against a distance of the same number of face sizes."""
APPEARANCE_FRAMES = 10
"""Over how many frames, those seen last, a face's colours are averaged."""
BLINK_OF_AN_EYE = 5
"""A face that was out of sight for no more than this many frames may change its colours: a light goes on."""
MOTION_BLOCK = 5
"""Over how many frames the landmarks are averaged before their motion is measured: the detector's noise is none."""
MOST_PIECES = 40
"""Of more pieces, the shortest are not joined to others."""

Tracklet = dict[int, DetectedFace]
"""One face, by frame, in the order of the video."""


@dataclass
class FollowingConfig:
    """What counts as the same face. Lengths are in face sizes: see `face_size`."""

    max_step: float = 0.8
    """Furthest that a face's landmarks are, on average, from where they are expected when the face is seen again."""
    max_scale_step: float = 1.6
    """Greatest ratio of its sizes in those two frames."""
    max_gap: int = 60
    """Longest time out of sight, in frames, after which a face is known by its place; later it is by its colours."""
    same_person: float = 0.45
    """Greatest distance, in [0, 1.41], between the colours of one person's face in two pieces of the video; see
    `face_appearance`."""


def follow_faces(
    detections: Sequence[Sequence[DetectedFace]], config: FollowingConfig, cuts: Sequence[int]
) -> list[Tracklet]:
    """Follow every face as long as it is in sight, or nearly so; anew after every cut."""
    starts = set(cuts)
    tracklets: list[Tracklet] = []
    alive: list[Tracklet] = []
    for frame, faces in enumerate(detections):
        if frame in starts:
            alive = []
        alive = [tracklet for tracklet in alive if frame - last_frame(tracklet) <= config.max_gap]
        matched = set()
        for row, column in _match(alive, faces, frame, config):
            alive[row][frame] = faces[column]
            matched.add(column)
        fresh = [{frame: face} for index, face in enumerate(faces) if index not in matched]
        tracklets += fresh
        alive += fresh
    return tracklets


def join_tracklets(tracklets: Sequence[Tracklet], config: FollowingConfig, cuts: Sequence[int]) -> list[Tracklet]:
    """Join pieces of one shot that show one person, one after the other; the most alike first."""
    by_length = sorted(tracklets, key=len, reverse=True)
    joined, others = by_length[:MOST_PIECES], by_length[MOST_PIECES:]
    looks = [_mean_appearance(list(tracklet.values())) for tracklet in joined]
    shots = [int(np.searchsorted(np.sort(cuts), last_frame(tracklet), "right")) for tracklet in joined]

    def distance(one: int, other: int) -> float:
        one_looks, other_looks = looks[one], looks[other]
        if shots[one] != shots[other] or one_looks is None or other_looks is None:
            return float("inf")
        if joined[one].keys() & joined[other].keys():
            return float("inf")
        return appearance_distance(one_looks, other_looks)

    while len(joined) > 1:
        pairs = ((distance(one, other), one, other) for other in range(len(joined)) for one in range(other))
        least, one, other = min(pairs)
        if least > config.same_person:
            break
        joined[one] = dict(sorted((joined[one] | joined[other]).items()))
        looks[one] = _mean_appearance(list(joined[one].values()))
        del joined[other], looks[other], shots[other]
    return joined + others


def last_frame(tracklet: Tracklet) -> int:
    """The frame in which a face was last seen."""
    return next(reversed(tracklet))


def liveliness(tracklet: Tracklet) -> float:
    """How much a face's features move against each other, in face sizes; about zero for a picture of a face."""
    frames = np.array(list(tracklet))
    shapes = placed_shape(np.stack([face.landmarks for face in tracklet.values()]))
    there = np.isfinite(shapes).all(axis=(0, 2))
    if not there.any():
        return 0.0
    first = shapes[0]
    shapes = np.stack([aligned(shape, first, there)[there] for shape in shapes])
    blocks = [shapes[frames // MOTION_BLOCK == block].mean(axis=0) for block in np.unique(frames // MOTION_BLOCK)]
    offsets = np.stack(blocks) - np.mean(blocks, axis=0)
    return float(np.median(np.sqrt(np.mean(np.sum(offsets**2, axis=-1), axis=-1))))


def _match(
    tracklets: Sequence[Tracklet], faces: Sequence[DetectedFace], frame: int, config: FollowingConfig
) -> list[tuple[int, int]]:
    """Pairs (tracklet, face) that are close enough to be one face, of least total difference."""
    if not tracklets or not faces:
        return []
    cost = np.full((len(tracklets), len(faces)), np.inf)
    for row, tracklet in enumerate(tracklets):
        last = tracklet[last_frame(tracklet)].landmarks
        shift = _expected_shift(tracklet, frame)
        looks = _mean_appearance([tracklet[seen] for seen in _last_frames(tracklet, APPEARANCE_FRAMES)])
        long_gone = frame - last_frame(tracklet) > BLINK_OF_AN_EYE
        for column, face in enumerate(faces):
            unlike = 0.0 if looks is None or face.appearance is None else appearance_distance(looks, face.appearance)
            if not (long_gone and unlike > config.same_person):
                place = _difference(last, shift, face.landmarks, config)
                cost[row, column] = place + APPEARANCE_WEIGHT * unlike
    possible = np.isfinite(cost)
    if cost.size == 1:
        return [(0, 0)] if possible.all() else []
    # It takes half a second to import, and where one face is followed nobody asks.
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(np.where(possible, cost, 1e6))
    return [(row, column) for row, column in zip(rows, columns, strict=True) if possible[row, column]]


def _difference(last: Face, shift: Float[np.ndarray, "2"], face: Face, config: FollowingConfig) -> float:
    """How far landmarks and size are from what is expected of a face seen before; infinite if it cannot be that one."""
    size_before, size_now = max(float(face_size(last)), 1e-6), max(float(face_size(face)), 1e-6)
    smaller, larger = sorted((size_before, size_now))
    offsets = face[:, :2] - last[:, :2]
    there = np.isfinite(offsets[:, 0])
    if not there.any() or larger > config.max_scale_step * smaller:
        return float("inf")

    def distance(expected: Float[np.ndarray, "2"]) -> float:
        return float(np.linalg.norm(offsets[there] - expected, axis=1).mean()) / smaller

    moved_on = distance(shift)
    if min(moved_on, distance(np.zeros(2))) > config.max_step:
        return float("inf")
    return moved_on + float(np.log(larger / smaller))


def _expected_shift(tracklet: Tracklet, frame: int) -> Float[np.ndarray, "2"]:
    """How far the face should have gone since it was last seen, in pixels."""
    last = last_frame(tracklet)
    recent = [seen for seen in _last_frames(tracklet, SPEED_FRAMES + 1) if seen >= last - SPEED_FRAMES]
    if len(recent) < 2:
        return np.zeros(2)
    first = min(recent)
    speed = (face_center(tracklet[last].landmarks) - face_center(tracklet[first].landmarks)) / (last - first)
    return speed * SPEED_LASTS * (1 - np.exp(-(frame - last) / SPEED_LASTS))


def _last_frames(tracklet: Tracklet, count: int) -> list[int]:
    """The last frames in which a face was seen, the very last one first."""
    return list(islice(reversed(tracklet), count))


def _mean_appearance(faces: Sequence[DetectedFace]) -> Float[np.ndarray, "bins"] | None:
    """What a face looks like in several frames; none from detectors that do not say."""
    looks = [face.appearance for face in faces if face.appearance is not None]
    return np.mean(looks, axis=0) if looks else None
