"""Flicker: how far each frame is from an earlier one carried along the source's motion.

    E = mean over t of  sum( M_t * (f_t - W(f_(t-k); F_t))^2 ) / sum( M_t )

with f the edit, F_t the optical flow of the *source* from frame t back to frame t - k, W the look-up along it, M_t the
pixels that come back to within a pixel when they are followed there and back, squares averaged over the channels, and
colours in [0, 1] (Lai et al., ECCV 2018; as Rerender-A-Video and FateZero use it, with k = 1). The same number of the
source itself is the floor that noise, blur and the flow's own errors set, so the ratio of both is what compares. Blur
lowers it: read it beside the sharpness. Large k shows what drifts slowly.
"""

from collections import deque

import numpy as np

from evaluation.areas import person_and_region
from evaluation.curves import Curves, mean_measure, ratio_measure
from evaluation.measurement import FramePair, Measure, Picture
from evaluation.optical_flow import DenseInverseSearch, FlowEstimator, backward_flow, warp_difference
from evaluation.shrinking import shrink

WORKING_SIZE = 512
"""Longer side, in pixels, of the pictures that are compared; larger ones are shrunk."""


class FlowWarpError:
    """The flow-warp error of an edit and of its source, over one or several distances in time."""

    def __init__(
        self,
        distances: tuple[int, ...] = (1, 8, 30),
        regions: tuple[str, ...] = ("hair",),
        estimator: FlowEstimator | None = None,
    ) -> None:
        """Compare frames so many frames apart, everywhere, in the matte and in the named regions of the person."""
        self._distances = distances
        self._areas = {
            "": "in the whole frame",
            "_in_matte": "in the source's matte",
            **{f"_{region}": f"where the source shows {region}" for region in regions},
        }
        self._regions = regions
        self._estimator = estimator or DenseInverseSearch()
        self._before: deque[tuple[int, Picture, Picture]] = deque(maxlen=max(distances))
        names = [f"{area}{distance}" for area in self._areas for distance in distances]
        self._edited, self._source = Curves(names), Curves(names)
        self._visible = Curves([str(distance) for distance in distances])

    def update(self, pair: FramePair) -> None:
        """Compare the pair with the earlier ones; as many of these are kept as the longest distance."""
        pair = shrink(pair, WORKING_SIZE)
        earlier = {number: (source, edited) for number, source, edited in self._before}
        edited, source, visible = {}, {}, {}
        areas = {"": np.ones(pair.source.shape[:2], bool), **person_and_region(pair, self._regions)}
        for distance in self._distances:
            if pair.number - distance not in earlier:
                continue
            source_before, edited_before = earlier[pair.number - distance]
            flow, seen = backward_flow(source_before, pair.source, self._estimator)
            visible[str(distance)] = float(seen.mean())
            source_squares = warp_difference(source_before, pair.source, flow)
            edited_squares = warp_difference(edited_before, pair.edited, flow)
            for area, mask in areas.items():
                counted = mask & seen
                if counted.any():
                    source[f"{area}{distance}"] = float(source_squares[counted].mean())
                    edited[f"{area}{distance}"] = float(edited_squares[counted].mean())
        self._source.add(source)
        self._edited.add(edited)
        self._visible.add(visible)
        self._before.append((pair.number, pair.source, pair.edited))

    def measures(self) -> list[Measure]:
        """Errors and ratios, and how much of the frame they speak of."""
        found: list[Measure] = []
        for distance in self._distances:
            found += self._measures_at(distance)
        return found

    def _measures_at(self, distance: int) -> list[Measure]:
        suffix = "" if distance == 1 else f"_{distance}_frames"
        when = "neighbouring frames" if distance == 1 else f"frames {distance} apart"
        size = f"pictures of at most {WORKING_SIZE} pixels"
        missing = f"No two frames {distance} apart show it: the video is too short, or the matte is not known."
        found = []
        for area, where in self._areas.items():
            edited, source = self._edited[f"{area}{distance}"], self._source[f"{area}{distance}"]
            found += [
                ratio_measure(
                    f"flow_warp_ratio{area}{suffix}",
                    edited,
                    source,
                    f"Flow-warp error of the edit over the source's own, between {when}, {where}: 1 flickers as "
                    "little as the film.",
                    better="lower",
                    missing=missing,
                    still="The source does not change at all along its own motion, so the error has no floor to be "
                    "compared with.",
                ),
                mean_measure(
                    f"flow_warp_error{area}{suffix}",
                    edited,
                    f"Mean squared difference of the edit's {when} along the source's optical flow, {where}, where the "
                    f"flow leads there and back to within a pixel (Lai et al. 2018; {size}, colours in [0, 1]).",
                    better="lower",
                    missing=missing,
                ),
            ]
        found.append(
            mean_measure(
                f"flow_visible_share{suffix}",
                self._visible[str(distance)],
                f"Share of the pixels that the flow-warp error between {when} speaks of: the others are hidden in "
                "one of the frames, or the flow is not sure of them.",
                missing=missing,
            )
        )
        return found
