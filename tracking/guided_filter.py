"""Edge-preserving smoothing by another picture: the guided filter of He, Sun & Tang (2010) with a colour guide.

OpenCV has one in its contributed modules, which are missing where a package put the plain OpenCV on top.
"""

import cv2
import numpy as np
from jaxtyping import Float32, UInt8


class GuidedFilter:
    """Smooths pictures, keeping the edges of one guide. What depends on the guide alone is computed once."""

    def __init__(self, guide: Float32[np.ndarray, "height width 3"], radius: int, smoothness: float) -> None:
        """
        Args:
            guide: colours in [0, 1].
            radius: half the side of the window, in pixels of the guide.
            smoothness: variance of the guide below which a window counts as flat.
        """
        self._guide = guide
        self._window = (2 * radius + 1, 2 * radius + 1)
        self._mean_guide = self._mean(guide)
        # The products of the channels with each other, of which the window's covariances are made.
        left, right = [0, 0, 0, 1, 1, 2], [0, 1, 2, 1, 2, 2]
        products = self._mean(guide[..., left] * guide[..., right])
        products -= self._mean_guide[..., left] * self._mean_guide[..., right]
        rr, rg, rb, gg, gb, bb = cv2.split(products)
        rr, gg, bb = rr + smoothness, gg + smoothness, bb + smoothness
        # The symmetric 3 x 3 matrix is inverted by its cofactors.
        i_rr, i_rg, i_rb = gg * bb - gb * gb, rb * gb - rg * bb, rg * gb - rb * gg
        i_gg, i_gb, i_bb = rr * bb - rb * rb, rb * rg - rr * gb, rr * gg - rg * rg
        scale = 1 / (rr * i_rr + rg * i_rg + rb * i_rb)
        rows = ((i_rr, i_rg, i_rb), (i_rg, i_gg, i_gb), (i_rb, i_gb, i_bb))
        self._inverse = [[entry * scale for entry in row] for row in rows]

    def smooth(self, picture: Float32[np.ndarray, "height width"]) -> Float32[np.ndarray, "height width"]:
        """Equations 14 to 16 of the paper: in every window, the picture as a linear function of the guide."""
        line = self._fit(picture)
        return np.einsum("yxc,yxc->yx", line[..., :3], self._guide) + line[..., 3]

    def smooth_at(
        self, picture: Float32[np.ndarray, "height width"], larger: UInt8[np.ndarray, "rows columns 3"]
    ) -> Float32[np.ndarray, "rows columns"]:
        """The same at the size of a larger picture of what the guide shows.

        The coefficients are smooth, so enlarging them loses little, and the larger picture's edges are met: He & Sun
        2015, "Fast Guided Filter".
        """
        rows, columns = larger.shape[:2]
        line = cv2.resize(self._fit(picture), (columns, rows), interpolation=cv2.INTER_LINEAR)
        result = np.ascontiguousarray(line[..., 3])
        for channel in range(3):
            result += cv2.multiply(line[..., channel], larger[..., channel], scale=1 / 255, dtype=cv2.CV_32F)
        return result

    def _fit(self, picture: Float32[np.ndarray, "height width"]) -> Float32[np.ndarray, "height width 4"]:
        """Three slopes and an offset for every pixel, the mean over the windows that hold it."""
        mean = self._mean(picture)
        covariance = cv2.split(self._mean(self._guide * picture[..., None]) - self._mean_guide * mean[..., None])
        red, green, blue = covariance
        slopes = [row[0] * red + row[1] * green + row[2] * blue for row in self._inverse]
        offset = mean
        for channel, slope in enumerate(slopes):
            offset = offset - slope * self._mean_guide[..., channel]
        return self._mean(cv2.merge([*slopes, offset]))

    def _mean(self, picture: Float32[np.ndarray, "height width *channels"]) -> Float32[np.ndarray, "..."]:
        return cv2.blur(picture, self._window)
