"""The one face that a clip is about, followed through its frames.

Every face is followed from frame to frame by where it should be next, by its size, shape and colours. Pieces of a shot
that show one person, who left and returned, are joined by the colours. Of all faces the one seen most is kept; a
picture of a face, which never moves a muscle, gives way to a person.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8

from tracking.face_shape import face_size, placed_shape
from tracking.face_tracklets import FollowingConfig, Tracklet, follow_faces, join_tracklets, liveliness
from tracking.landmarks import LANDMARK_COUNT, DetectedFace

STILL = 0.004
"""Where the liveliest face moves its features less than this, in face sizes, all are as good as still. Photographs on a
wall measured 0.001 to 0.003, by noise and a camera that shakes; people in ten clips 0.010 to 0.062."""


@dataclass
class FaceLinkingConfig(FollowingConfig):
    """What counts as the same face from one frame to the next, and which face is kept."""

    least_share: float = 0.5
    """A face that is seen in fewer frames than this share of the longest's is not preferred for being livelier."""
    least_liveliness: float = 0.25
    """A face that moves its features less than this share of the liveliest's motion is taken for a picture."""
    outlier_step: float = 0.35
    """A frame whose landmarks are further than this from both the frame before and the frame after is an outlier."""
    outlier_shape: float = 0.15
    """The same for the landmarks' arrangement, once position and size are taken out."""


@dataclass(frozen=True)
class FaceTrack:
    """One face through the video."""

    landmarks: Float[np.ndarray, "frames 478 3"]
    """Pixels; NaN where the face was not found, and at points that the detector does not have."""
    tracked: Bool[np.ndarray, "frames"]
    """Found, and no outlier."""
    expression_scores: Float[np.ndarray, "frames expressions"] | None = None
    """What the detector said of the expressions, NaN where the face was not found; none from detectors that do not."""
    eyes: UInt8[np.ndarray, "frames 2 36 48 3"] | None = None
    """`eye_pictures`, black where there are none; none at all where nobody took any."""
    skin: UInt8[np.ndarray, "frames 128 128"] | None = None
    """`skin_picture`, black where there is no face; none at all where nobody took any."""

    @property
    def found(self) -> Bool[np.ndarray, "frames"]:
        """Whether the face was seen at all."""
        return np.isfinite(self.landmarks[..., 0]).any(axis=1)


def link_longest_face(
    detections: Sequence[Sequence[DetectedFace]],
    config: FaceLinkingConfig | None = None,
    cuts: Sequence[int] = (),
) -> FaceTrack:
    """Follow every face through the frames and keep the one seen in most; of about equals the liveliest, the largest.

    Args:
        detections: the faces of every frame, in any order.
        cuts: the frames with which new shots begin. No face is followed from one shot into another.
    """
    config = config or FaceLinkingConfig()
    tracklets = join_tracklets(follow_faces(detections, config, cuts), config, cuts)
    landmarks = np.full((len(detections), LANDMARK_COUNT, 3), np.nan)
    best = _choose(tracklets, config) if tracklets else {}
    for frame, face in best.items():
        landmarks[frame] = face.landmarks
    scores = _gathered({frame: face.expression_scores for frame, face in best.items()}, len(detections), np.nan)
    eyes = _gathered({frame: face.eyes for frame, face in best.items()}, len(detections), 0)
    skin = _gathered({frame: face.skin for frame, face in best.items()}, len(detections), 0)
    seen = np.isfinite(landmarks[..., 0]).any(axis=1)
    return FaceTrack(landmarks, seen & ~_is_outlier(landmarks, cuts, config), scores, eyes, skin)


def _gathered(given: dict[int, np.ndarray | None], frames: int, missing: float) -> np.ndarray | None:
    """What frames have, in one array, with something else where they have nothing; none if no frame has anything."""
    present = {frame: value for frame, value in given.items() if value is not None}
    if not present:
        return None
    example = next(iter(present.values()))
    gathered = np.full((frames, *example.shape), missing, example.dtype)
    for frame, value in present.items():
        gathered[frame] = value
    return gathered


def _choose(tracklets: Sequence[Tracklet], config: FaceLinkingConfig) -> Tracklet:
    """The face that the clip is about."""
    longest = max(len(tracklet) for tracklet in tracklets)
    long = [tracklet for tracklet in tracklets if len(tracklet) >= config.least_share * longest]
    motion = [liveliness(tracklet) for tracklet in long]
    enough = config.least_liveliness * max(motion) if max(motion) > STILL else 0.0
    lively = [tracklet for tracklet, moves in zip(long, motion, strict=True) if moves >= enough]

    def weight(tracklet: Tracklet) -> float:
        return len(tracklet) * float(np.mean([face_size(face.landmarks) for face in tracklet.values()]) ** 0.5)

    return max(lively, key=weight)


def _is_outlier(
    landmarks: Float[np.ndarray, "frames 478 3"], cuts: Sequence[int], config: FaceLinkingConfig
) -> Bool[np.ndarray, "frames"]:
    """Frames unlike both the frame seen before and the frame seen after.

    A fast turn is unlike one of them only, and stays, as does the first frame after a cut.
    """
    outlier = np.zeros(len(landmarks), dtype=bool)
    seen = np.flatnonzero(np.isfinite(landmarks[..., 0]).any(axis=1))
    if len(seen) < 3:
        return outlier
    sizes = np.maximum(face_size(landmarks[seen]), 1e-6)
    steps = _mean_distance(np.diff(landmarks[seen, :, :2], axis=0)) / np.minimum(sizes[1:], sizes[:-1])
    shape_steps = _mean_distance(np.diff(placed_shape(landmarks[seen]), axis=0))
    # Nothing is known about how far a face may go over a cut.
    over_cut = np.searchsorted(np.sort(cuts), seen[1:], "right") != np.searchsorted(np.sort(cuts), seen[:-1], "right")
    steps[over_cut] = shape_steps[over_cut] = 0
    bad = np.minimum(steps[1:], steps[:-1]) > config.outlier_step
    bad |= np.minimum(shape_steps[1:], shape_steps[:-1]) > config.outlier_shape
    outlier[seen[1:-1]] = bad
    return outlier


def _mean_distance(offsets: Float[np.ndarray, "steps points 2"]) -> Float[np.ndarray, "steps"]:
    lengths = np.linalg.norm(offsets, axis=-1)
    there = np.isfinite(lengths)
    return np.where(there, lengths, 0.0).sum(axis=1) / np.maximum(there.sum(axis=1), 1)
