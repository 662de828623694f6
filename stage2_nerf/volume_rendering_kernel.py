"""Accumulation along rays as one compiled loop, for pictures on the CPU; tested against the same with tensors."""

import math

import numpy as np

from stage2_nerf.kernels import kernel


@kernel
def accumulate_two(
    start, stop, row_1, edges_1, density_1, colours_1, row_2, edges_2, density_2, colours_2, seen,
):  # fmt: skip
    """Accumulate the rays from `start` to `stop`, each part's samples merged by distance, front to back.

    Args:
        start: the first ray.
        stop: the ray after the last.
        row_1: each ray's row among the first part's samples, -1 where it has none.
        edges_1: distances where samples meet, increasing, [hits, samples + 1].
        density_1: per scene unit, [hits, samples].
        colours_1: [hits, samples, channels].
        row_2: the second part's, as all that follow.
        edges_2: distances.
        density_2: densities.
        colours_2: colours.
        seen: premultiplied colour, opacity and mean distance are written here, [rays, channels + 2].
    """
    half, one = np.float32(0.5), np.float32(1)
    channels = colours_1.shape[2]
    for ray in range(start, stop):
        a, b = row_1[ray], row_2[ray]
        count_a = density_1.shape[1] if a >= 0 else 0
        count_b = density_2.shape[1] if b >= 0 else 0
        i, j = 0, 0
        transmittance, distance = one, np.float32(0)
        while i < count_a or j < count_b:
            at_a, at_b = np.float32(1e30), np.float32(1e30)
            if i < count_a:
                at_a = (edges_1[a, i] + edges_1[a, i + 1]) * half
            if j < count_b:
                at_b = (edges_2[b, j] + edges_2[b, j + 1]) * half
            if at_a <= at_b:
                passed = np.float32(math.exp(-density_1[a, i] * (edges_1[a, i + 1] - edges_1[a, i])))
                weight = transmittance * (one - passed)
                for channel in range(channels):
                    seen[ray, channel] += weight * colours_1[a, i, channel]
                distance += weight * at_a
                i += 1
            else:
                passed = np.float32(math.exp(-density_2[b, j] * (edges_2[b, j + 1] - edges_2[b, j])))
                weight = transmittance * (one - passed)
                for channel in range(channels):
                    seen[ray, channel] += weight * colours_2[b, j, channel]
                distance += weight * at_b
                j += 1
            transmittance *= passed
        opacity = one - transmittance
        seen[ray, channels] = opacity
        if opacity > np.float32(0.01):
            seen[ray, channels + 1] = distance / opacity
