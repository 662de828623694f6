"""How a textured thing has moved from one picture to another, by all of its pixels rather than by a few corners.

The inverse compositional algorithm (Baker & Matthews, IJCV 2004) for a similarity, from coarse to fine, with Huber's
weights and with brightness and contrast that may change. Of every size the pixels on the strongest edges are asked.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

LEVELS = 4
"""Sizes looked at, each half of the one before."""
MOST_PIXELS = 1200
"""Pixels asked of each size: those where the picture changes most."""
LEAST_PIXELS = 30
"""Fewer say nothing."""
ITERATIONS = 6
"""Most steps at each size."""
SETTLED = 0.1
"""A step that moves pixels by less than this is the last."""
LEAST_NOISE = 3.0
"""Differences of grey values that always count in full."""

Similarity = Float[np.ndarray, "2 3"]
"""Takes a point of one picture to where it is in another; pixels' centres lie at whole numbers."""
Pyramid = list[Float32[np.ndarray, "h w"]]
"""A picture, and the same at half the size, at a quarter ..."""


@dataclass(frozen=True)
class Alignment:
    """How one picture lies over another."""

    step: Similarity
    agreement: float
    """Correlation of the grey values in the two pictures, from -1 to 1."""
    share: float
    """Of the pixels that are in view."""


class DirectAlignment:
    """Finds what one picture shows again in others."""

    def __init__(self, pictures: Pyramid, where: UInt8[np.ndarray, "h w"]) -> None:
        """
        Args:
            pictures: `pyramid` of the picture that shows the thing.
            where: one where it is.
        """
        self._levels: list[_Level] = []
        share = where.astype(np.float32)
        for picture in pictures:
            inside = share > 0.5
            if np.count_nonzero(inside) < LEAST_PIXELS:
                break
            self._levels.append(_Level.of(picture, inside))
            share = np.asarray(cv2.pyrDown(share))

    def align(self, pictures: Pyramid, where: UInt8[np.ndarray, "h w"], start: Similarity) -> Alignment | None:
        """Where the thing is in another picture; None where nothing of it is in view.

        Args:
            pictures: the other picture's `pyramid`.
            where: one where the thing may be in it; elsewhere something hides it.
            start: about from where to where it has moved.
        """
        found = None
        for number in reversed(range(len(self._levels))):
            to_level = np.array([1, 1, 0.5**number])
            moved = self._levels[number].align(pictures[number], where, 2.0**number, start * to_level)
            if moved is not None:
                start = moved.step / to_level
            found = moved
        return found


@dataclass(frozen=True)
class _Level:
    """The thing at one size."""

    points: Float32[np.ndarray, "pixels 2"]
    grey: Float32[np.ndarray, "pixels"]
    change: Float32[np.ndarray, "pixels 6"]
    """How the grey value changes with growth, turn, shift across and down, contrast and brightness."""
    center: Float[np.ndarray, "2"]
    radius: float
    """Of the points about their centre; growth and turn are counted in pixels at this distance."""

    @classmethod
    def of(cls, picture: Float32[np.ndarray, "h w"], inside: Bool[np.ndarray, "h w"]) -> "_Level":
        pixels = np.flatnonzero(inside)
        across = cv2.Sobel(picture, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8)
        down = cv2.Sobel(picture, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8)
        if len(pixels) > MOST_PIXELS:
            strength = np.hypot(across, down).ravel()[pixels]
            pixels = np.sort(pixels[np.argpartition(strength, -MOST_PIXELS)[-MOST_PIXELS:]])
        rows, columns = np.divmod(pixels, picture.shape[1])
        points = np.stack([columns, rows], axis=1).astype(np.float32)
        center = points.mean(axis=0, dtype=np.float64)
        radius = max(1.0, float(np.sqrt(((points - center) ** 2).sum(axis=1).mean())))
        x, y = ((points - center) / radius).T
        grey, across, down = picture.ravel()[pixels], across.ravel()[pixels], down.ravel()[pixels]
        contrast = (grey - grey.mean()) / max(float(grey.std()), 1.0)
        change = [across * x + down * y, down * x - across * y, across, down, contrast, np.ones_like(grey)]
        return cls(points, grey, np.stack(change, axis=1).astype(np.float32), center, radius)

    def align(
        self,
        picture: Float32[np.ndarray, "h w"],
        where: UInt8[np.ndarray, "h_full w_full"],
        scale: float,
        step: Similarity,
    ) -> Alignment | None:
        """Of the steps that lead from the given one, the one after which the pictures agree best."""
        best = None
        tone = np.zeros(2, np.float32)
        for remaining in reversed(range(ITERATIONS + 1)):
            across, down = np.split((self.points @ step[:, :2].T + step[:, 2]).astype(np.float32), 2, axis=1)
            shown = cv2.remap(where, scale * across, scale * down, cv2.INTER_NEAREST).ravel() > 0
            if np.count_nonzero(shown) < LEAST_PIXELS:
                break
            seen = cv2.remap(picture, across, down, cv2.INTER_LINEAR).ravel()
            difference = seen - self.grey
            left = np.abs(difference - self.change[:, 4:] @ tone)
            bound = max(LEAST_NOISE, 2 * float(np.median(left[shown])))
            weights = shown * np.minimum(1, bound / np.maximum(left, 1e-6)).astype(np.float32)
            agreement = _correlation(self.grey, seen, weights)
            if best is None or agreement > best.agreement:
                best = Alignment(step, agreement, float(shown.mean()))
            weighted = self.change * weights[:, None]
            change = np.linalg.solve(weighted.T @ self.change + 1e-2 * np.eye(6), weighted.T @ difference)
            if not remaining or np.abs(change[:4]).max() < SETTLED:
                break
            tone = change[4:].astype(np.float32)
            step = compose(step, inverse(self._as_similarity(change[:4])))
        return best

    def _as_similarity(self, change: Float[np.ndarray, "4"]) -> Similarity:
        growth, turn = change[:2] / self.radius
        linear = np.array([[1 + growth, -turn], [turn, 1 + growth]])
        return np.column_stack([linear, change[2:] + self.center - linear @ self.center])


def pyramid(grey: UInt8[np.ndarray, "h w"]) -> Pyramid:
    """A picture and its halves, slightly blurred so that grey values change evenly over a pixel."""
    pictures = [cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 1.0)]
    for _ in range(LEVELS - 1):
        # Every second pixel's centre is a pixel's of the half: positions are halved, and nothing else.
        pictures.append(np.asarray(cv2.pyrDown(pictures[-1])))
    return pictures


def _correlation(
    first: Float32[np.ndarray, "pixels"], second: Float32[np.ndarray, "pixels"], weights: Float32[np.ndarray, "pixels"]
) -> float:
    share = weights / weights.sum()
    first, second = (values - np.dot(share, values) for values in (first, second))
    scale = np.sqrt(np.dot(share, first**2) * np.dot(share, second**2))
    return float(np.dot(share, first * second) / max(scale, 1e-6))


def compose(second: Similarity, first: Similarity) -> Similarity:
    """The first, then the second."""
    turn = second[:, :2]
    return np.column_stack([turn @ first[:, :2], turn @ first[:, 2] + second[:, 2]])


def inverse(similarity: Similarity) -> Similarity:
    """The way back."""
    turn = np.linalg.inv(similarity[:, :2])
    return np.column_stack([turn, -turn @ similarity[:, 2]])
