"""Edge-preserving smoothing by another picture: the guided filter of He, Sun & Tang (2010) with a colour guide.

OpenCV has one in its contributed modules, which are missing where a package put the plain OpenCV on top.
"""

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

Plane = Float32[np.ndarray, "height width"]


class GuidedFilter:
    """Smooths pictures, keeping the edges of one guide. What depends on the guide alone is computed once."""

    def __init__(self, guide: Float32[np.ndarray, "height width 3"], radius: int, smoothness: float) -> None:
        """
        Args:
            guide: colours in [0, 1].
            radius: half the side of the window, in pixels of the guide.
            smoothness: variance of the guide below which a window counts as flat.
        """
        # One plane for each channel: OpenCV goes through planes twice as fast as through pixels of three numbers.
        self._guide = cv2.split(guide)
        self._window = (2 * radius + 1, 2 * radius + 1)
        self._mean_guide = [self._mean(channel) for channel in self._guide]
        # The products of the channels with each other, of which the window's covariances are made.
        rr, rg, rb, gg, gb, bb = (
            self._covariance(self._guide[left], self._mean_guide[left], self._guide[right], self._mean_guide[right])
            for left, right in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
        )
        rr, gg, bb = rr + smoothness, gg + smoothness, bb + smoothness
        # The symmetric 3 x 3 matrix is inverted by its cofactors.
        i_rr, i_rg, i_rb = gg * bb - gb * gb, rb * gb - rg * bb, rg * gb - rb * gg
        i_gg, i_gb, i_bb = rr * bb - rb * rb, rb * rg - rr * gb, rr * gg - rg * rg
        scale = 1 / (rr * i_rr + rg * i_rg + rb * i_rb)
        rows = ((i_rr, i_rg, i_rb), (i_rg, i_gg, i_gb), (i_rb, i_gb, i_bb))
        self._inverse = [[entry * scale for entry in row] for row in rows]

    def smooth(self, picture: Plane) -> Plane:
        """Equations 14 to 16 of the paper: in every window, the picture as a linear function of the guide."""
        *slopes, result = self._fit(picture)
        for slope, channel in zip(slopes, self._guide, strict=True):
            result += cv2.multiply(slope, channel)
        return result

    def smooth_at(
        self, picture: Plane, larger: UInt8[np.ndarray, "rows columns 3"]
    ) -> Float32[np.ndarray, "rows columns"]:
        """The same at the size of a larger picture of what the guide shows.

        The coefficients are smooth, so enlarging them loses little, and the larger picture's edges are met: He & Sun
        2015, "Fast Guided Filter".
        """
        rows, columns = larger.shape[:2]
        *slopes, result = (
            np.asarray(cv2.resize(plane, (columns, rows), interpolation=cv2.INTER_LINEAR))
            for plane in self._fit(picture)
        )
        for slope, channel in zip(slopes, cv2.split(larger), strict=True):
            result += cv2.multiply(slope, channel, scale=1 / 255, dtype=cv2.CV_32F)
        return result

    def _fit(self, picture: Plane) -> list[Plane]:
        """Three slopes and an offset for every pixel, the mean over the windows that hold it."""
        mean = self._mean(picture)
        red, green, blue = (
            self._covariance(channel, average, picture, mean)
            for channel, average in zip(self._guide, self._mean_guide, strict=True)
        )
        slopes = [row[0] * red + row[1] * green + row[2] * blue for row in self._inverse]
        offset = mean
        for average, slope in zip(self._mean_guide, slopes, strict=True):
            offset = offset - slope * average
        return [self._mean(plane) for plane in (*slopes, offset)]

    def _covariance(self, left: Plane, left_mean: Plane, right: Plane, right_mean: Plane) -> Plane:
        """How two planes vary together, in the window around each pixel."""
        return np.asarray(cv2.subtract(self._mean(cv2.multiply(left, right)), cv2.multiply(left_mean, right_mean)))

    def _mean(self, picture: Plane) -> Plane:
        return np.asarray(cv2.blur(picture, self._window))
