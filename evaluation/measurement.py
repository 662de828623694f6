"""What is measured, frame by frame, and what comes out: the border between the metrics and the command.

A metric is handed the frames of a source video and of its edit in order, pair by pair, and keeps no more of them than
it needs. At the end it says its numbers, each with its definition, so that a report can explain itself.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from jaxtyping import Float, Float32, UInt8

Picture = UInt8[np.ndarray, "height width 3"]


@dataclass(frozen=True)
class FaceMeasurement:
    """A face as it was tracked in one frame, of the source or of the edit."""

    landmarks: Float[np.ndarray, "478 2"]
    """MediaPipe's points, in pixels of the frame."""
    expression: Float[np.ndarray, "expressions"]
    """Named expressions (`HeadModel.expression_names`), about [0, 1]."""
    rotation: Float[np.ndarray, "3 3"]
    """Head to camera."""


@dataclass(frozen=True)
class FramePair:
    """One moment of a source and of its edit, in the same size."""

    number: int
    """The frame's number in the source."""
    time: float
    """Seconds from the source's first frame."""
    source: Picture
    edited: Picture
    matte: Float32[np.ndarray, "height width"] | None = None
    """How much of each pixel of the source is the person, in [0, 1]; none where nothing is known of it."""
    labels: UInt8[np.ndarray, "height width"] | None = None
    """The region (`tracking.regions.Label`) that each pixel of the source shows; none where nothing is known of it."""
    source_face: FaceMeasurement | None = None
    """None where no face was found."""
    edited_face: FaceMeasurement | None = None
    """None where no face was found."""
    target: Picture | None = None
    """What the editor alone makes of the source's frame, without anything that differs from frame to frame; none where
    that is not known."""


@dataclass(frozen=True)
class Measure:
    """One number of a metric."""

    name: str
    """Its key in `metrics.json`, such as `flow_warp_ratio`."""
    value: float | None
    """None where it could not be measured: `missing` says why."""
    meaning: str
    """One sentence for somebody who has never seen the project: what it is, and where its definition is from."""
    unit: str = ""
    better: Literal["higher", "lower", "neither"] = "neither"
    """Which way is better; neither, where the number only describes."""
    missing: str = ""
    """Why there is no value, and what to do about it."""
    curve: Float[np.ndarray, "frames"] | None = None
    """The number of every pair handed over, in order; NaN where it was not measured. Its mean over the other frames is
    the value, so that two edits' frames can be compared one by one. None for what single frames have no number of,
    such as a correlation over time."""


class Metric(Protocol):
    """Something that can be said of a source and its edit."""

    def update(self, pair: FramePair) -> None:
        """Look at the next pair of frames."""
        ...

    def measures(self) -> list[Measure]:
        """The numbers, after all pairs."""
        ...
