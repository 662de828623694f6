"""What a camera path shows in every frame of a rendered video."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby

import numpy as np

from stage2_nerf.camera_path import CameraPath, frames_in_order
from stage2_nerf.frame_renderer import Moment
from stage2_nerf.render_motion import ExpressionChange, changed_expressions
from tracking.clip import TrackedClip
from tracking.video import VideoFrame, VideoReader


class PathMotion:
    """The camera goes a way of its own while the avatar does what the clip's person does.

    A path with times makes a video of its own: a frame for every camera, at the path's frame rate, each showing the
    moment that it names, and so without the clip's sound. A path without is spread over the clip.
    """

    def __init__(self, clip: TrackedClip, reader: VideoReader, change: ExpressionChange, path: CameraPath) -> None:
        self._path = path
        self._expressions = changed_expressions(clip, change)
        self._times, self._seconds = clip.times, clip.seconds
        if path.times is None:
            self.like = reader.properties
            self.frame_count = len(clip.times)
            self._visits: list[tuple[int, list[int]]] = []
            return
        rate = path.frame_rate or reader.properties.frame_rate
        count = len(path.camera_to_head)
        self.like = replace(reader.properties, frame_rate=rate, time_base=1 / rate, has_sound=False, end=count)
        self.frame_count = count
        # The background is that of the nearest frame that tracked; the avatar shows the very moment.
        nearest = clip.frames[np.abs(clip.times[clip.frames][None] - path.times[:, None]).argmin(axis=1)]
        self._visits = [
            (int(number), [index for index, _ in cameras])
            for number, cameras in groupby(enumerate(nearest), key=lambda numbered: numbered[1])
        ]
        self._next_visit = iter(self._visits)

    def frames(self, reader: VideoReader) -> Iterable[VideoFrame]:
        """The source's frames in the order in which the path visits them."""
        if self._path.times is None:
            return reader
        return frames_in_order(reader, [number for number, _ in self._visits])

    def at(self, frame: VideoFrame) -> Iterator[tuple[int, float, Moment]]:
        """What the cameras that visit this frame see; the frames come as `frames` gives them."""
        expression = self._expressions.get(frame.index)
        if self._path.times is None:
            number = min(frame.index, len(self._times) - 1)
            view = self._path.at(float(self._times[number]))
            yield frame.timestamp, float(self._seconds[number]), Moment(expression, view=view)
            return
        for index in next(self._next_visit)[1]:
            yield index, index / float(self.like.frame_rate), Moment(expression, view=self._path.view(index))
