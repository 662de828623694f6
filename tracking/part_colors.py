"""What colours the parts of a person have: over the whole clip, and around each pixel of one frame."""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float, Float32, Int, UInt8

from tracking.part_places import CLOTHES, HAIR, NECK, PARTS, SKIN, Posterior

BIN_SHIFT = (3, 2, 2)
"""Bits dropped from the lightness and the two chroma channels to get a colour's bin."""
BINS = tuple(256 >> shift for shift in BIN_SHIFT)
BIN_VOLUME = float(np.prod([2.0**shift / 255 for shift in BIN_SHIFT]))
"""Of CIELAB with channels in [0, 1]."""
LEAST_DEVIATION = 0.03
"""Least standard deviation of the colours around a pixel, for channels in [0, 1]."""

Colors = UInt8[np.ndarray, "height width 3"]
"""CIELAB as OpenCV stores it in bytes."""


def color_bins(lab: Colors) -> Int[np.ndarray, "height width"]:
    """The histogram bin of every pixel."""
    lightness, a, b = (lab[..., channel].astype(np.int32) >> BIN_SHIFT[channel] for channel in range(3))
    return (lightness * BINS[1] + a) * BINS[2] + b


def part_histograms(
    pictures: Sequence[Colors],
    weights: Sequence[Posterior],
    below_chin: Sequence[Float32[np.ndarray, "height width"]],
) -> Float32[np.ndarray, "parts bins"]:
    """Likelihood of every colour bin for each part, from weighted pixels.

    Args:
        below_chin: weight of each pixel as one of the person's below the chin, whatever it may be.
    """
    counts = np.zeros((len(PARTS), int(np.prod(BINS))), dtype=np.float64)
    counts_below = np.zeros(counts.shape[1], dtype=np.float64)
    for lab, weight, below in zip(pictures, weights, below_chin, strict=True):
        bins = color_bins(lab).ravel()
        for part in range(len(PARTS)):
            counts[part] += np.bincount(bins, weights=weight[..., part].ravel(), minlength=counts.shape[1])
        counts_below += np.bincount(bins, weights=below.ravel(), minlength=counts.shape[1])
    smooth = np.stack([_smooth_histogram(count) for count in counts])
    smooth_below = _smooth_histogram(counts_below)
    smooth_below /= max(smooth_below.sum(), 1e-9)
    smooth /= np.maximum(smooth.sum(axis=1, keepdims=True), 1e-9)
    # What was taken for hair may be forehead; for clothes, a bare chest or hair that hangs low; for neck, a collar.
    for part, other in ((HAIR, SKIN), (CLOTHES, SKIN), (CLOTHES, HAIR), (NECK, CLOTHES)):
        own_share = smooth[part] / np.maximum(smooth[part] + smooth[other], 1e-12)
        smooth[part] *= np.clip(1.5 * own_share - 0.25, 0, 1)
    # The neck is skin in another light.
    smooth[NECK] = 0.3 * smooth[NECK] + 0.7 * smooth[SKIN]
    # Ties, collars and jewellery have any colour that is found below the chin and is nothing else.
    unexplained = smooth_below / np.maximum(smooth_below + smooth.sum(axis=0), 1e-12)
    smooth[CLOTHES] += 0.3 * smooth_below * unexplained * smooth[CLOTHES].sum()
    smooth /= np.maximum(smooth.sum(axis=1, keepdims=True), 1e-9)
    return (smooth + 1e-7).astype(np.float32)


def local_likelihoods(lab: Colors, weights: Posterior, reach: int) -> tuple[Posterior, Posterior]:
    """How well each pixel's colour fits the colours that each part has around it, and how much of the part is there.

    A normal distribution for every part and pixel, over a window; the likelihood is that of a histogram bin.

    Args:
        weights: how much each pixel counts for each part.
        reach: half the window's side, in pixels.
    """
    height, width = lab.shape[:2]
    colors = lab.astype(np.float32) / 255
    half = (max(1, width // 2), max(1, height // 2))
    window = (2 * max(1, reach // 2) + 1,) * 2
    small, small_weights = (
        cv2.split(cv2.resize(picture, half, interpolation=cv2.INTER_AREA)) for picture in (colors, weights)
    )
    channels = cv2.split(colors)

    def enlarged(plane: np.ndarray) -> Float32[np.ndarray, "height width"]:
        return np.asarray(cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR))

    likelihoods, support = [], []
    for weight in small_weights:
        share = cv2.blur(weight, window)
        inverse = 1 / np.maximum(share, 1e-6)
        fit, volume = np.zeros((height, width), np.float32), np.full(half[::-1], (2 * np.pi) ** 3, np.float32)
        for channel, plane in zip(channels, small, strict=True):
            weighted = cv2.multiply(plane, weight)
            mean = cv2.blur(weighted, window) * inverse
            variance = cv2.blur(cv2.multiply(weighted, plane), window) * inverse - mean * mean
            variance = np.maximum(variance, 0) + np.float32(LEAST_DEVIATION**2)
            difference = cv2.subtract(channel, enlarged(mean))
            fit += cv2.multiply(cv2.multiply(difference, difference), enlarged(-0.5 / variance))
            volume *= variance
        likelihoods.append(cv2.multiply(enlarged(BIN_VOLUME / np.sqrt(volume)), cv2.exp(fit)))
        support.append(enlarged(share))
    return cv2.merge(likelihoods), cv2.merge(support)


def _smooth_histogram(counts: Float[np.ndarray, "bins"]) -> Float[np.ndarray, "bins"]:
    cube = counts.reshape(BINS).astype(np.float32)
    for axis, sigma in enumerate((1.2, 1.0, 1.0)):
        moved = np.moveaxis(cube, axis, 0).reshape(BINS[axis], -1)
        blurred = cv2.GaussianBlur(moved, (1, 7), sigmaX=1, sigmaY=sigma, borderType=cv2.BORDER_CONSTANT)
        shape = (BINS[axis], *[size for other, size in enumerate(BINS) if other != axis])
        cube = np.ascontiguousarray(np.moveaxis(blurred.reshape(shape), 0, axis))
    return cube.ravel().astype(np.float64)
