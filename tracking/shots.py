"""Scene cuts: where one shot of a video ends and the next begins.

Two neighbouring frames are on either side of a cut if they differ far more than the frames around them do among
themselves, in what is where (the picture's structure) or in which colours there are. Brightness and contrast are taken
out first, so that an exposure that fades is no cut. What interrupts a shot for a moment (a flash, black frames, a
picture put in between) is no cut either: the shot that goes on afterwards is the one that was left.

Dissolves and cuts between two takes of the same picture are not seen as cuts.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import av
import cv2
import numpy as np
from av.video.reformatter import Interpolation
from jaxtyping import Float32, UInt8

THUMBNAIL_SIZE = 32
"""Side of the square pictures that are compared, in pixels."""
COLOR_LEVELS = 8
"""Bins of the colour histogram along each axis."""
MIDDLE_BRIGHTNESS = 64.0
"""To what a picture's mean is brought before its colours are counted."""
STRUCTURE_FLOOR = 2.0
"""Least contrast that pictures are brought up from, in grey levels: below lies noise."""
QUIET = 0.002
"""Structure distance between neighbours in a shot in which hardly anything moves."""

Thumbnail = UInt8[np.ndarray, "32 32 3"]


@dataclass
class ShotConfig:
    """What counts as a cut. Distances are in [0, 1]; 0 for equal pictures.

    In ten clips of talking people, neighbouring frames differ by at most 0.03 in structure and 0.04 in colour, and
    frames of two different clips by at least 0.2 in structure.
    """

    structure: float = 0.1
    """Least structure distance over a cut."""
    structure_with_color: float = 0.04
    """The same where the colours change too."""
    color: float = 0.15
    """From what colour distance on they do."""
    contrast: float = 5.0
    """How many times as large as usual the structure distance over a cut is; usual is the median around it."""
    neighborhood: int = 12
    """How many frames to either side say what is usual."""
    longest_interruption: float = 2.0
    """Seconds after which a shot that is interrupted no longer counts as going on."""
    same_structure: float = 0.15
    """Greatest structure distance between the frames before and after an interruption of one shot."""


class Shot(NamedTuple):
    """The frames from `start` up to, not including, `stop`."""

    start: int
    stop: int


class _Look(NamedTuple):
    """What of a frame is compared."""

    structure: Float32[np.ndarray, "pixels"]
    colors: Float32[np.ndarray, "bins"]


def thumbnail(picture: av.VideoFrame) -> Thumbnail:
    """What of a decoded frame is compared."""
    size, averaging = THUMBNAIL_SIZE, Interpolation.AREA
    return picture.reformat(width=size, height=size, format="rgb24", interpolation=averaging).to_ndarray()


class ShotFinder:
    """Collects frames in their order, a thumbnail each, and divides them into shots."""

    def __init__(self, config: ShotConfig | None = None) -> None:
        self.config = config or ShotConfig()
        self._last: _Look | None = None
        self._structure_steps: list[float] = []
        self._candidates: dict[int, tuple[_Look, _Look, float]] = {}

    def add(self, thumbnail: Thumbnail) -> None:
        """The next frame."""
        look = _look(thumbnail)
        if self._last is not None:
            structure, color = _distances(self._last, look)
            self._structure_steps.append(structure)
            if structure > self.config.structure_with_color:
                # The frame that is being added is number `len(steps)`.
                self._candidates[len(self._structure_steps)] = self._last, look, color
        self._last = look

    def shots(self, frame_rate: float) -> list[Shot]:
        """The shots of all frames so far, one after the other."""
        count = len(self._structure_steps) + (self._last is not None)
        cuts = self._without_interruptions([frame for frame in self._candidates if self._is_cut(frame)], frame_rate)
        edges = [0, *cuts, count]
        return [Shot(start, stop) for start, stop in pairwise(edges)]

    def _is_cut(self, frame: int) -> bool:
        """Whether a new shot begins with a frame."""
        config, steps = self.config, self._structure_steps
        step, color = steps[frame - 1], self._candidates[frame][2]
        before = steps[max(0, frame - 1 - config.neighborhood) : frame - 1]
        after = steps[frame : frame + config.neighborhood]
        usual = float(np.median([*before, *after])) if before or after else 0.0
        is_large = step > config.structure or color > config.color
        return is_large and step > config.contrast * (usual + QUIET)

    def _without_interruptions(self, cuts: list[int], frame_rate: float) -> list[int]:
        """The cuts after which another shot begins, rather than the same one goes on after a moment."""
        kept, position = [], 0
        while position < len(cuts):
            left = self._candidates[cuts[position]][0]
            back = None
            for later in range(position + 1, len(cuts)):
                if cuts[later] - cuts[position] > self.config.longest_interruption * frame_rate:
                    break
                structure, color = _distances(left, self._candidates[cuts[later]][1])
                if structure <= self.config.same_structure and color <= self.config.color:
                    back = later
            if back is None:
                kept.append(cuts[position])
            position = position + 1 if back is None else back + 1
        return kept


def _look(thumbnail: Thumbnail) -> _Look:
    colors = thumbnail.astype(np.float32)
    gray = cv2.blur(colors @ np.array([0.299, 0.587, 0.114], dtype=np.float32), (3, 3))
    centered = gray - gray.mean()
    structure = centered / np.sqrt(np.mean(centered**2) + STRUCTURE_FLOOR**2)
    gain = MIDDLE_BRIGHTNESS / max(float(gray.mean()), MIDDLE_BRIGHTNESS / 8)
    bins = np.clip(colors * (gain * COLOR_LEVELS / 256), 0, COLOR_LEVELS - 1).astype(np.int64)
    flat = (bins[..., 0] * COLOR_LEVELS + bins[..., 1]) * COLOR_LEVELS + bins[..., 2]
    histogram = np.bincount(flat.ravel(), minlength=COLOR_LEVELS**3).astype(np.float32) / flat.size
    cube = np.pad(histogram.reshape((COLOR_LEVELS,) * 3), 1, mode="edge")
    # A colour near the edge of its bin belongs to the next one too.
    for axis in range(3):
        cube = (np.roll(cube, 1, axis) + 2 * cube + np.roll(cube, -1, axis)) / 4
    smooth = cube[1:-1, 1:-1, 1:-1].ravel()
    return _Look(structure.ravel().astype(np.float32), smooth / max(float(smooth.sum()), 1e-9))


def _distances(one: _Look, other: _Look) -> tuple[float, float]:
    """How far two frames are apart in structure (one minus their correlation) and in colours, each in [0, 1]."""
    structure = 0.5 * float(np.mean((one.structure - other.structure) ** 2))
    return min(structure, 1.0), 0.5 * float(np.abs(one.colors - other.colors).sum())
