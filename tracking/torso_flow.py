"""How the clothes move in the picture: a similarity from one reference frame to every other, without drift.

A keyframe's clothes are laid straight over each frame's, by all of their pixels, from where the frame before had them.
Where they do not come to agree, they are looked for by their corners, which leap further: these are followed by the
pyramids of Lucas & Kanade (Bouguet 2000), there and back (Kalal et al., ICPR 2010), and a similarity is fitted to those
that agree. The first keyframe is asked first, so that errors do not add up; others are made only where it is no longer
recognised.

A dozen corners, as a dark suit shows, fix neither size nor turn: which of them were found used to hang on single pixels
of the labels.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8

from tracking.direct_alignment import DirectAlignment, Pyramid, Similarity, compose, inverse, pyramid
from tracking.regions import TORSO_LABELS, Label

PICTURE_SIZE = 256
"""Longer side, in pixels, of the pictures in which clothes are followed."""
CORNER_QUALITIES = (0.02, 0.002)
"""Least strength of a corner, as a share of the strongest; the second for plain clothes with one bright button."""
TORSO = sorted(int(label) for label in TORSO_LABELS - {Label.NECK})
"""The neck follows the head as much as the shoulders."""


@dataclass
class TorsoFlowConfig:
    """When the clothes count as seen. Lengths are in pixels of a picture whose longer side is 256."""

    least_agreement: float = 0.8
    """Least correlation of a keyframe's grey values with those of the clothes it is laid over."""
    least_share: float = 0.3
    """Least share of a keyframe's pixels that must be in view, and of its corners that must agree."""
    corners: int = 150
    """Most corners that are followed."""
    least_corners: int = 12
    """Clothes with fewer corners say nothing."""
    return_error: float = 0.7
    """Furthest from its start that a corner may be when it has been followed there and back."""
    corner_error: float = 1.5
    """Furthest from the similarity that a corner may be."""
    keyframes: int = 6
    """Most keyframes that are remembered."""


class TorsoPicture(NamedTuple):
    """What is needed of a frame: small enough to be handed from one process to another."""

    grey: UInt8[np.ndarray, "h w"]
    clothes: UInt8[np.ndarray, "h w"]
    """One where the clothes are, and not at their edge."""
    scale: float
    """Pixels of these pictures per pixel of the frame's."""

    @classmethod
    def of(
        cls, image: UInt8[np.ndarray, "height width 3"], labels: UInt8[np.ndarray, "height width"]
    ) -> "TorsoPicture":
        """Shrink a frame and its labels."""
        height, width = labels.shape
        scale = min(1.0, PICTURE_SIZE / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        grey = cv2.cvtColor(cv2.resize(image, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
        clothes = np.isin(cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST), TORSO).astype(np.uint8)
        return cls(grey, cv2.erode(clothes, np.ones((5, 5), np.uint8)), scale)


class _Keyframe(NamedTuple):
    grey: UInt8[np.ndarray, "h w"]
    points: Float32[np.ndarray, "points 2"]
    """Its corners."""
    clothes: DirectAlignment
    pose: Similarity
    """From the reference to this frame."""


def follow_torso(
    pictures: Iterable[TorsoPicture], config: TorsoFlowConfig | None = None
) -> Float[np.ndarray, "frames 2 3"]:
    """Similarities from the first frame in which clothes are seen to each frame, in pixels of the frames' images.

    NaN where the clothes cannot be followed: there are too few, or they have no texture.

    Args:
        pictures: of consecutive frames; a few are held at a time.
    """
    follower = _Follower(config or TorsoFlowConfig())
    poses = []
    for picture in pictures:
        pose = follower.follow(picture)
        to_image = np.array([1, 1, 1 / picture.scale])
        poses.append(np.full((2, 3), np.nan) if pose is None else pose * to_image)
    return np.array(poses).reshape(-1, 2, 3)


class _Follower:
    def __init__(self, config: TorsoFlowConfig) -> None:
        self._config = config
        self._keyframes: list[_Keyframe] = []
        self._last: tuple[TorsoPicture, Similarity] | None = None

    def follow(self, picture: TorsoPicture) -> Similarity | None:
        if self._last is None:
            pose = np.eye(2, 3)
            if not self._remember(picture, pose):
                return None
        else:
            pose = self._recognize(picture)
            if pose is None and self._remember(*self._last):
                pose = self._recognize(picture)
        if pose is not None:
            self._last = picture, pose
        return pose

    def _remember(self, picture: TorsoPicture, pose: Similarity) -> bool:
        points = None
        for quality in CORNER_QUALITIES:
            points = cv2.goodFeaturesToTrack(
                picture.grey, self._config.corners, quality, 5, mask=picture.clothes, blockSize=5
            )
            if points is not None and len(points) >= self._config.least_corners:
                break
        if points is None or len(points) < self._config.least_corners:
            return False
        # The reference stays; of the others the newest do.
        self._keyframes = self._keyframes[:1] + self._keyframes[1:][-(self._config.keyframes - 2) :]
        corners = np.asarray(points, np.float32).reshape(-1, 2)
        clothes = DirectAlignment(pyramid(picture.grey), picture.clothes)
        self._keyframes.append(_Keyframe(picture.grey, corners, clothes, pose))
        return True

    def _recognize(self, picture: TorsoPicture) -> Similarity | None:
        assert self._last is not None
        sizes = pyramid(picture.grey)
        keyframes = [self._keyframes[0], *self._keyframes[:0:-1]]
        expected = [compose(self._last[1], inverse(keyframe.pose)) for keyframe in keyframes]
        for find in (self._at, self._by_corners):
            for keyframe, start in zip(keyframes, expected, strict=True):
                step = find(keyframe, picture, sizes, start)
                if step is not None:
                    return compose(step, keyframe.pose)
        return None

    def _at(
        self, keyframe: _Keyframe, picture: TorsoPicture, sizes: Pyramid, expected: Similarity
    ) -> Similarity | None:
        """The keyframe's clothes laid over the picture's, if they are about where they are expected."""
        found = keyframe.clothes.align(sizes, picture.clothes, expected)
        if found is None or found.agreement < self._config.least_agreement or found.share < self._config.least_share:
            return None
        return found.step

    def _by_corners(
        self, keyframe: _Keyframe, picture: TorsoPicture, sizes: Pyramid, expected: Similarity
    ) -> Similarity | None:
        """The same, wherever corners find them."""
        config = self._config
        start = keyframe.points
        guess = (start @ expected[:, :2].T + expected[:, 2]).astype(np.float32)
        settings: dict[str, Any] = {"winSize": (17, 17), "maxLevel": 2, "flags": cv2.OPTFLOW_USE_INITIAL_FLOW}
        found, there, _ = cv2.calcOpticalFlowPyrLK(keyframe.grey, picture.grey, start, guess.copy(), **settings)
        returned, back, _ = cv2.calcOpticalFlowPyrLK(picture.grey, keyframe.grey, found, start.copy(), **settings)
        good = (there.ravel() > 0) & (back.ravel() > 0)
        good &= np.linalg.norm(returned - start, axis=1) < config.return_error
        least = max(config.least_corners, config.least_share * len(start))
        if good.sum() < least:
            return None
        step, agree = cv2.estimateAffinePartial2D(
            start[good], found[good], method=cv2.RANSAC, ransacReprojThreshold=config.corner_error
        )
        return None if step is None or agree.sum() < least else self._at(keyframe, picture, sizes, np.asarray(step))
