"""Edge-preserving smoothing by another picture: the guided filter of He, Sun & Tang (2010) with a colour guide.

OpenCV has one in its contributed modules, which are missing where a package put the plain OpenCV on top.
"""

import cv2
import numpy as np
from jaxtyping import Float32

MAX_FITTED_SIZE = 256
"""Longer side, in pixels, at which the filter's coefficients are fitted. They are smooth, so enlarging them loses
little: He & Sun 2015, "Fast Guided Filter"."""


class GuidedFilter:
    """Smooths pictures, keeping the edges of one guide. What depends on the guide alone is computed once."""

    def __init__(self, guide: Float32[np.ndarray, "height width 3"], radius: int, smoothness: float) -> None:
        """
        Args:
            guide: colours in [0, 1].
            radius: half the side of the window, in pixels of the guide.
            smoothness: variance of the guide below which a window counts as flat.
        """
        height, width = guide.shape[:2]
        scale = min(1.0, MAX_FITTED_SIZE / max(height, width))
        self._guide = cv2.split(guide)
        self._small_size = (round(width * scale), round(height * scale))
        reach = max(1, round(radius * scale))
        self._window = (2 * reach + 1, 2 * reach + 1)
        self._small_guide = cv2.split(self._shrink(guide))
        self._mean_guide = [self._mean(channel) for channel in self._small_guide]

        def covariance(i: int, j: int) -> Float32[np.ndarray, "h w"]:
            product = self._mean(self._small_guide[i] * self._small_guide[j])
            return product - self._mean_guide[i] * self._mean_guide[j] + (smoothness if i == j else 0)

        rr, rg, rb = covariance(0, 0), covariance(0, 1), covariance(0, 2)
        gg, gb, bb = covariance(1, 1), covariance(1, 2), covariance(2, 2)
        # The symmetric 3 x 3 matrix is inverted by its cofactors.
        i_rr, i_rg, i_rb = gg * bb - gb * gb, rb * gb - rg * bb, rg * gb - rb * gg
        i_gg, i_gb, i_bb = rr * bb - rb * rb, rb * rg - rr * gb, rr * gg - rg * rg
        determinant = rr * i_rr + rg * i_rg + rb * i_rb
        cofactors = np.stack([i_rr, i_rg, i_rb, i_rg, i_gg, i_gb, i_rb, i_gb, i_bb])
        self._inverse = (cofactors / determinant).reshape(3, 3, *cofactors.shape[1:])

    def smooth(self, picture: Float32[np.ndarray, "height width"]) -> Float32[np.ndarray, "height width"]:
        """Equations 14 to 16 of the paper: in every window, the picture as a linear function of the guide."""
        small = self._shrink(picture)
        mean = self._mean(small)
        covariance = [
            self._mean(channel * small) - mean_channel * mean
            for channel, mean_channel in zip(self._small_guide, self._mean_guide, strict=True)
        ]
        slopes = np.einsum("ij...,j...->i...", self._inverse, np.stack(covariance))
        offset = mean - np.einsum("i...,i...->...", slopes, np.stack(self._mean_guide))
        result = self._enlarge(self._mean(offset), picture.shape)
        for slope, channel in zip(slopes, self._guide, strict=True):
            result += self._enlarge(self._mean(slope), picture.shape) * channel
        return result

    def _mean(self, picture: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
        return cv2.blur(picture, self._window)

    def _shrink(self, picture: Float32[np.ndarray, "height width *channels"]) -> Float32[np.ndarray, "h w *channels"]:
        return cv2.resize(picture, self._small_size, interpolation=cv2.INTER_AREA)

    def _enlarge(
        self, picture: Float32[np.ndarray, "h w"], shape: tuple[int, ...]
    ) -> Float32[np.ndarray, "height width"]:
        return cv2.resize(picture, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)
