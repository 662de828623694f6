"""Learning what person and background look like, and cutting the person out: the part of tracking that makes pictures.

Of the fit it needs only which frames it kept, which are nearly always all that it was given. With several processes it
goes on beside the fit, whose own process leaves the others little to do: frames are cut out as if all were kept, and
the few pieces around one that was not are done again.
"""

import zlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from threading import Lock
from typing import Any

import numpy as np
from jaxtyping import Int64

from tracking.clip import ClipFolder
from tracking.clip_pictures import PictureRecord, PictureSource, cut_samples, make_pictures, picture_stretches
from tracking.face_linking import FaceTrack
from tracking.piecewise import NewBar, PiecewiseStage
from tracking.segmentation import ClipAppearance, Sample, SegmentationConfig, learn_from
from tracking.spread_evenly import spread_evenly
from tracking.workers import Workers
from tracking.workshop import Workshop

LEARNING = "Learning hair, skin and background"
APPEARANCE = "appearance"


class CuttingOut:
    """Makes a clip's images, mattes and labels, beginning before it is certain which frames are wanted."""

    def __init__(
        self,
        pictures: PictureSource,
        face: FaceTrack,
        first_frame: int,
        workshop: Workshop,
        config: SegmentationConfig,
        workers: Workers,
        new_bar: NewBar,
    ) -> None:
        """
        Args:
            pictures: where the images come from.
            face: in pixels of the clip's images.
            first_frame: number, in the video, of the face's first frame.
            workshop: what is done is kept there.
            config: how to cut out.
            workers: do it.
            new_bar: shows progress.
        """
        self._pictures = pictures
        self._face = face
        self._first_frame = first_frame
        self._workshop = workshop
        self._config = config
        self._workers = workers
        self._new_bar = new_bar
        self._stage = PiecewiseStage("pictures", "Cutting out the person", make_pictures, workshop, workers)
        self._threads = workers.decoding_threads
        self._folder = ClipFolder(workshop.clip)
        self._found = first_frame + np.flatnonzero(face.tracked)
        self._learning: Future[ClipAppearance] | None = None
        self._begun: dict[str, Callable[[], None]] = {}
        self._may_begin = True
        self._lock = Lock()

    def begin(self, beside: Executor) -> None:
        """Go on beside the calling process.

        Args:
            beside: one thread, which hands the work out.
        """
        self._learning = beside.submit(self._learn_in_processes)
        beside.submit(self._cut_ahead)

    def appearance(self) -> ClipAppearance:
        """What the clip looks like."""
        if self._learning is None:
            return self._learn_here()
        if not self._learning.done():
            advance = self._new_bar(LEARNING, 1)
            self._learning.result()
            advance(1)
        return self._learning.result()

    def records(self, frames: Int64[np.ndarray, "kept"]) -> Iterator[PictureRecord]:
        """Write image, matte and labels of every frame that is wanted, and of no other; gives a record of each.

        Args:
            frames: their numbers in the video.
        """
        with self._lock:
            self._may_begin = False
        pieces = self._pieces(frames)
        # Those that are not wanted after all must not write over what is made in their place.
        for key, wait_for in self._begun.items():
            if key not in pieces:
                wait_for()
        frame_counts = {key: len(arguments[2]) for key, arguments in pieces.items()}
        done = self._stage.results(pieces, frame_counts, self._new_bar, self._begun)
        for frame in sorted(set(self._found.tolist()) - set(frames.tolist())):
            for path in self._folder.picture_paths(frame):
                path.unlink(missing_ok=True)
        return (record for piece in done for record in piece)

    def _learn_here(self) -> ClipAppearance:
        def cut(work: list[tuple[Any, ...]]) -> list[list[Sample]]:
            advance = self._new_bar(LEARNING, sum(len(frames) for _, frames, *_ in work))
            return [cut_samples(advance, *arguments) for arguments in work]

        return self._learned_from(cut)

    def _learn_in_processes(self) -> ClipAppearance:
        def cut(work: list[tuple[Any, ...]]) -> list[list[Sample]]:
            begun = [self._workers.start(cut_samples, *arguments) for arguments in work]
            return [wait_for() for wait_for in begun]

        return self._learned_from(cut)

    def _learned_from(self, cut: Callable[[list[tuple[Any, ...]]], list[list[Sample]]]) -> ClipAppearance:
        """What is learned from samples, of which the work of cutting them out is given; once for a clip."""

        def learn() -> ClipAppearance:
            return learn_from([sample for part in cut(self._learning_work()) for sample in part], self._config)

        return self._workshop.once(APPEARANCE, learn)

    def _learning_work(self) -> list[tuple[Any, ...]]:
        """Arguments of `cut_samples` for frames spread over the clip, a piece for every process."""
        tracked = np.flatnonzero(self._face.tracked)
        rows = tracked[spread_evenly(len(tracked), self._config.plate_samples)]
        return [
            (self._pictures, self._first_frame + part, self._face.landmarks[part], self._config, self._threads)
            for part in np.array_split(rows, self._workers.count)
            if len(part)
        ]

    def _cut_ahead(self) -> None:
        """Begin pieces, no more of them at a time than there are processes: the fit has work for these, too."""
        if not self._workshop.is_kept(APPEARANCE):
            return
        under_way: deque[Callable[[], None]] = deque()
        for key, arguments in self._pieces(self._found).items():
            if self._stage.is_kept(key):
                continue
            if len(under_way) == self._workers.count:
                under_way.popleft()()
            with self._lock:
                if not self._may_begin:
                    return
                self._begun[key] = self._stage.begin(key, arguments)
            under_way.append(self._begun[key])

    def _pieces(self, frames: Int64[np.ndarray, "wanted"]) -> dict[str, tuple[Any, ...]]:
        """Arguments of every piece of work; its key says what it is made of."""
        for path in self._folder.picture_paths(0):
            path.parent.mkdir(parents=True, exist_ok=True)
        appearance = self._workshop.path_of(APPEARANCE)
        pieces = {}
        for own, seen in picture_stretches(frames, int(self._found[0]), int(self._found[-1]) + 1):
            of_these = np.array([len(own), *seen], np.int64)
            landmarks = self._face.landmarks[np.array(seen) - self._first_frame]
            pieces[f"{own[0]:06d}-{zlib.crc32(of_these.tobytes()):08x}"] = (
                self._pictures, self._folder, own, seen, landmarks, appearance, self._config, self._threads,
            )  # fmt: skip
        return pieces
