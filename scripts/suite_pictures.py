"""A picture of one edit by several methods: six moments of each, and a row of pixels over all frames, where flicker
is seen as stripes."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from evaluation.video_pairs import Window
from stage1_edit.compositing import labelled
from tracking.clip import TrackedClip, write_png
from tracking.spread_evenly import spread_evenly
from tracking.video import VideoReader

MOMENTS = 6
CELL = 176
"""Longer side of a moment's picture, in pixels."""

Picture = UInt8[np.ndarray, "height width 3"]


def write_sheet(clip: TrackedClip, videos: Sequence[Path], region: str, path: Path) -> None:
    """Rows from top to bottom: the source, then every video; below them their rows of pixels over time, side by side.

    Args:
        region: whose row with the most pixels, in the middle frame, is followed over time.
    """
    window = Window.of_clip(clip, CELL)
    row = telling_row(clip, region, window)
    shown = set(clip.frames[spread_evenly(len(clip.frames), MOMENTS)].tolist())
    sheet, slices = [], []
    for video in (Path(clip.source.path), *videos):
        cells, lines = [], []
        for frame in VideoReader(video):
            if frame.index > clip.frames[-1]:
                break
            picture = window.cut(frame.image)
            lines.append(picture[row])
            if frame.index in shown:
                cells.append(picture)
        sheet.append(np.concatenate(cells, axis=1))
        slices.append(np.stack(lines))
    frames = np.concatenate(sheet, axis=0)
    over_time = np.concatenate(slices, axis=1)
    size = (frames.shape[1], round(frames.shape[1] / over_time.shape[1] * over_time.shape[0]))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_png(path, np.concatenate([frames, cv2.resize(over_time, size, interpolation=cv2.INTER_NEAREST)], axis=0))


def telling_row(clip: TrackedClip, region: str, window: Window) -> int:
    """The row of pixels with most of the region, in the middle frame."""
    labels = window.labels(clip, int(clip.frames[len(clip.frames) // 2]))
    return int(labelled(labels, region).sum(axis=1).argmax())
