"""Where the face's points have gone by what its skin shows, rather than by what a detector takes each frame for.

A landmark detector judges every frame by itself and leans toward the faces it was trained on: of a nod MediaPipe's
points tell two thirds. But skin keeps its spots and edges. With the poses that the landmarks give, the skin of every
frame is laid out flat (`skin_texture.py`) and dense optical flow (DIS; Kroeger et al., ECCV 2016) says how far each
texel lies from where the clip's own median texture has it. The model's point of a frame is moved by as much:

    u_i = p_i + c_i (P(x_i + F(x_i)) - P(x_i)) + (1 - c_i) (d_i - p_i)

p_i is the point as fitted, d_i as detected, x_i its place among the texels, F the flow, P a texel's place in the
picture. The confidence c_i is high where the texture is strong, frame and texture agree, and the skin faces the camera.
It is 0 on the face's outline, where the background begins, and at eyes and lips, whose edges the detector sees well and
which open and close. In the mean over the frames each point is put back to where it was detected: the skin tells how a
point moves, and only the detector which point it is. Of what lies between skin and detector for longer, the skin is
believed a part: a head that turns slowly turns in its light, and light looks like texture. Then the head is fitted to u
in place of d, and the more to a point, the surer the skin is of it; and all of it again, with a sharper texture. The
last fit keeps lens and person, and goes by lips, eyes and what the skin tells.

On the rendered heads of `scripts/benchmark_tracking.py` and on filmed clips it pays: see README.md.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Protocol

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8
from scipy.ndimage import gaussian_filter1d

from tracking.cameras import project, rigid_inverse
from tracking.clip import Intrinsics
from tracking.face_regions import FACE_OVAL, INNER_LIPS, LEFT_EYE, OUTER_LIPS, RIGHT_EYE
from tracking.fitting import FitConfig, HeadFit, KnownHead
from tracking.flow_look_up import look_up as along_flow
from tracking.head_model import HeadModel
from tracking.skin_pictures import to_skin_picture
from tracking.skin_texture import LEVELS, SkinLayout, SkinTexture, SkinView, lay_out
from tracking.spread_evenly import spread_evenly
from tracking.surface_samples import MESH_POINTS, look_up

SMOOTH = 2.2
"""Standard deviation in texels over which the flow is averaged, by its weights."""
AGREEING = 0.05
"""Squared difference of normalised brightness at which a texel's flow counts half."""
STRONG = 0.002
"""Squared slope of the texture, per texel, at which it counts half."""
SURE = 0.3
"""Averaged weight from which a point's confidence is 1."""
EDGE_ON, SQUARE = 0.3, 0.6
"""Cosines to the line of sight between which skin begins to count, and counts in full."""
HIDDEN = 0.2
"""Cosine below which the texture stands in for what a frame shows."""
ENOUGH = 120.0
"""Points that the skin must tell of for a frame's others to count no more than `LEAST_CONFIDENCE`."""
FRAMES_AT_ONCE = 16
"""Frames that a thread follows before it takes the next."""
FEATURES = INNER_LIPS + OUTER_LIPS + RIGHT_EYE + LEFT_EYE
"""Edges that the detector sees well, and that open and close: what is skin there in one frame is gone in the next."""
LEAST_CONFIDENCE = 0.05
"""How much a point counts of which the skin tells nothing, beside those of which it does; eyes and lips count fully."""
SLOW_FRAMES = 4.0
"""Standard deviation, in frames, of the average over time in which skin and detector differ slowly."""


@dataclass
class SkinMotionConfig:
    """How frames' skin corrects what the landmark detector says of their motion."""

    texture_frames: int = 60
    """Frames, spread over the clip, whose median is the texture."""
    rounds: int = 2
    """How often the texture is made and followed: the better the poses, the sharper it is; 0 leaves it all to the
    landmarks."""
    slow_trust: float = 0.75
    """How much is believed, in [0, 1], of what lies between skin and detector for longer than some frames. With all of
    it, 1, the mouth of one avatar was 0.3 dB better and its frames 0.15, but a rendered head's rotation errs by 2.3
    degrees in place of 2.2, and a filmed face that grimaces is fitted farther from its landmarks (1.7 % of the distance
    between the eyes, not 1.5)."""


@dataclass(frozen=True)
class PosedFaces:
    """Some frames of a clip: what is seen, what was detected, and where a fit has the face."""

    pictures: UInt8[np.ndarray, "frames 128 128"]
    landmarks: Float32[np.ndarray, "frames 478 3"]
    """As detected; pixels of the image."""
    in_camera: Float32[np.ndarray, "frames 468 3"]
    """The fitted mesh, in centimetres."""
    intrinsics: Intrinsics

    @classmethod
    def of(
        cls, fit: HeadFit, landmarks: Float[np.ndarray, "frames 478 3"], pictures: UInt8[np.ndarray, "frames 128 128"]
    ) -> "PosedFaces":
        """The frames that a fit tracked, of those given."""
        rows, model = np.flatnonzero(fit.tracked), HeadModel.load()
        shapes = model.vertices(fit.identity, fit.expression[rows].astype(np.float32))[:, :MESH_POINTS]
        head_to_camera = rigid_inverse(fit.camera_to_head[rows])
        posed = shapes @ head_to_camera[:, :3, :3].swapaxes(1, 2) + head_to_camera[:, None, :3, 3]
        # Pictures of a long clip are not copied without need.
        pictures = pictures if fit.tracked.all() else pictures[rows]
        return cls(pictures, landmarks[rows].astype(np.float32), posed.astype(np.float32), fit.intrinsics)

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, frames: slice | list[int]) -> "PosedFaces":
        return replace(
            self,
            pictures=self.pictures[frames],
            landmarks=self.landmarks[frames],
            in_camera=self.in_camera[frames],
        )

    def views(self) -> Iterator[SkinView]:
        """The frames' skin, laid out."""
        for picture, face, posed in zip(self.pictures, self.landmarks, self.in_camera, strict=True):
            yield lay_out(picture, to_skin_picture(face), posed.astype(np.float64), self.intrinsics)


@dataclass(frozen=True)
class FollowedPoints:
    """Where the skin says that points are, and the detector where the skin says nothing."""

    points: Float32[np.ndarray, "frames 478 3"]
    """Pixels of the image; NaN where the detector has none. Depths are the detector's."""
    confidence: Float32[np.ndarray, "frames 478"]
    """How much of it is the skin's word, in [0, 1]."""
    into_face: Float32[np.ndarray, "frames 2 2"]
    """What turns ways in the image into ways in the frame's cut face."""

    @classmethod
    def concatenate(cls, parts: "list[FollowedPoints]") -> "FollowedPoints":
        return cls(
            np.concatenate([part.points for part in parts]),
            np.concatenate([part.confidence for part in parts]),
            np.concatenate([part.into_face for part in parts]),
        )

    def anchored(self, detected: Float32[np.ndarray, "frames 478 3"]) -> "FollowedPoints":
        """The points shifted, each by a constant in the face, to where the detector has them in the mean of all frames.

        The skin tells how a point moves, and only the detector which point it is.
        """
        away = self._away_from(detected)
        told = np.where(np.isnan(detected[..., 0]), 0, self.confidence)
        mean = (told[..., None] * away).sum(0) / np.maximum(told.sum(0), 1e-9)[:, None]
        return self._moved(-self.confidence[..., None] * mean)

    def doubted_where_slow(self, detected: Float32[np.ndarray, "frames 478 3"], trust: float) -> "FollowedPoints":
        """The points moved toward where they were detected by a part of what is slow of the way from there.

        Args:
            detected: of frames in their order; that some are missing between them is not looked at.
            trust: the part of the slow way that stays.
        """
        slow = gaussian_filter1d(self._away_from(detected), SLOW_FRAMES, axis=0, mode="nearest")
        return self._moved((trust - 1) * slow)

    def _away_from(self, detected: Float32[np.ndarray, "frames 478 3"]) -> Float32[np.ndarray, "frames 478 2"]:
        """The way from where points were detected, in the cut face's axes and pixels; 0 where they were not."""
        return np.nan_to_num(self.points[..., :2] - detected[..., :2]) @ self.into_face.swapaxes(1, 2)

    def _moved(self, ways: Float32[np.ndarray, "frames 478 2"]) -> "FollowedPoints":
        """The points gone some way in the cut face's axes."""
        points = self.points.copy()
        points[..., :2] += ways @ np.linalg.inv(self.into_face).swapaxes(1, 2)
        return replace(self, points=points)

    def weights(self) -> Float[np.ndarray, "frames 478"]:
        """How much each point counts in a fit, in [0, 1].

        Where the skin says little, as in a blurred frame, the detector's word counts after all.
        """
        little = 1 - self.confidence.sum(1, keepdims=True) / ENOUGH
        weights = np.maximum(self.confidence, np.clip(little, LEAST_CONFIDENCE, 1))
        weights[:, [*FEATURES, *range(MESH_POINTS, weights.shape[1])]] = 1
        return weights


class FitPoints(Protocol):
    """Fits the head to all frames' points; see `fit_head`."""

    def __call__(
        self,
        points: Float[np.ndarray, "frames 478 3"],
        config: FitConfig,
        known: KnownHead | None = None,
        confidence: Float[np.ndarray, "frames 478"] | None = None,
        /,
    ) -> HeadFit: ...


def fit_with_skin(
    landmarks: Float[np.ndarray, "frames 478 3"],
    pictures: UInt8[np.ndarray, "frames 128 128"] | None,
    fit_points: FitPoints,
    fit_config: FitConfig,
    config: SkinMotionConfig,
    threads: int = 1,
) -> HeadFit:
    """Fit the head to where the landmarks are, and to how the skin moves from frame to frame.

    Args:
        landmarks: as detected, in pixels of the clip's images; NaN where there are none.
        pictures: `skin_picture` of every frame; without any the landmarks alone decide.
        fit_points: fits the head to points.
        fit_config: for the fit that counts; those on the way leave frames by themselves.
        config: how to follow the skin.
        threads: follow it.
    """
    if pictures is None or config.rounds == 0:
        return fit_points(landmarks, fit_config)
    alone = replace(fit_config, sequence=replace(fit_config.sequence, iterations=0))
    points, weights = landmarks.copy(), np.ones(landmarks.shape[:2])
    for _ in range(config.rounds):
        fit = fit_points(points, alone, None, weights)
        points[fit.tracked], weights[fit.tracked] = _followed(fit, landmarks, pictures, config, threads)
    return fit_points(points, replace(fit_config, depth_weight=0.0), fit.known_head, weights)


def _followed(
    fit: HeadFit,
    landmarks: Float[np.ndarray, "frames 478 3"],
    pictures: UInt8[np.ndarray, "frames 128 128"],
    config: SkinMotionConfig,
    threads: int,
) -> tuple[Float32[np.ndarray, "tracked 478 3"], Float[np.ndarray, "tracked 478"]]:
    """Points of the tracked frames and how much they count; what they come from, of long clips much, is given back."""
    faces = PosedFaces.of(fit, landmarks, pictures)
    texture = texture_of(faces[spread_evenly(len(faces), config.texture_frames)])
    parts = [slice(first, first + FRAMES_AT_ONCE) for first in range(0, len(faces), FRAMES_AT_ONCE)]
    with ThreadPoolExecutor(threads) as pool:
        followed = FollowedPoints.concatenate(list(pool.map(lambda part: follow_skin(faces[part], texture), parts)))
    followed = followed.anchored(faces.landmarks)
    followed = followed.doubted_where_slow(faces.landmarks, config.slow_trust)
    return followed.points, followed.weights()


def texture_of(faces: PosedFaces) -> SkinTexture:
    """What a person's skin looks like in the median of some frames."""
    return SkinTexture.of(list(faces.views()))


def follow_skin(faces: PosedFaces, texture: SkinTexture) -> FollowedPoints:
    """Where the points of frames are by the skin as far as it tells, and else as detected.

    Args:
        faces: the frames.
        texture: of the same person.
    """
    follower = _Follower(texture)
    points = faces.landmarks.copy()
    confidence = np.zeros(points.shape[:2], np.float32)
    into_face = np.stack([to_skin_picture(face)[:, :2] for face in points]).astype(np.float32)
    for row, view in enumerate(faces.views()):
        moved, sure = follower.look(view)
        fitted = project(faces.in_camera[row].astype(np.float64), faces.intrinsics)
        detected = points[row, :MESH_POINTS, :2]
        by_skin = sure[:, None] * (fitted + moved) + (1 - sure[:, None]) * np.nan_to_num(detected)
        points[row, :MESH_POINTS, :2] = np.where(np.isnan(detected), np.nan, by_skin)
        confidence[row, :MESH_POINTS] = sure
    return FollowedPoints(points, confidence, into_face)


class _Follower:
    """Compares frames with a texture."""

    def __init__(self, texture: SkinTexture) -> None:
        self.texture = texture
        self.layout = SkinLayout.load()
        slopes = [cv2.Sobel(texture.shown, cv2.CV_32F, *axes, scale=1 / 8 / LEVELS) for axes in ((1, 0), (0, 1))]
        slope = cv2.GaussianBlur((slopes[0] ** 2 + slopes[1] ** 2) / 2, (0, 0), SMOOTH)
        self.weight = np.where(texture.known, slope / (slope + STRONG), 0).astype(np.float32)
        # The quickest flow, but of every texel: the medium one takes five times as long and was no better.
        self.flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self.flow.setFinestScale(0)

    def look(self, view: SkinView) -> tuple[Float[np.ndarray, "468 2"], Float[np.ndarray, "468"]]:
        """By how many pixels of the image a frame shows each point away from where it was fitted, and how surely."""
        wanted = self.texture.shown
        shown = np.where(view.facing < HIDDEN, wanted, view.shown)
        no_guess: Any = None
        flow = np.asarray(self.flow.calc(wanted, shown, no_guess))
        found = along_flow(shown, flow)
        difference = (found.astype(np.float32) - wanted) / LEVELS
        disagreement = cv2.GaussianBlur(difference**2, (0, 0), SMOOTH)
        facing = np.clip((view.facing - EDGE_ON) / (SQUARE - EDGE_ON), 0, 1)
        weight = self.weight * facing / (1 + disagreement / AGREEING)
        total = cv2.GaussianBlur(weight, (0, 0), SMOOTH)
        flow = cv2.GaussianBlur(flow * weight[..., None], (0, 0), SMOOTH) / np.maximum(total, 1e-6)[..., None]
        places = self.layout.places
        confidence = np.clip(look_up(total[..., None], places)[:, 0] / SURE, 0, 1)
        confidence[list(FACE_OVAL + FEATURES)] = 0
        moved = look_up(view.pixels, places + look_up(flow, places)) - look_up(view.pixels, places)
        return moved, confidence
