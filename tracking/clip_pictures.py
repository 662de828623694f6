"""The second half of tracking: images, mattes and labels of the tracked frames, straight from the video.

Work goes in stretches. A stretch decodes its own frames, and a few before and after it: mattes and
labels are steadied by neighbouring frames, and are therefore the same however many processes there are.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int64

from tracking.clip import ClipFolder, write_png
from tracking.crop import Crop
from tracking.face_look import FaceLook, look_at_face
from tracking.face_search import stretches
from tracking.segmentation import ClipAppearance, PortraitFrame, PortraitSegmenter, Sample, SegmentationConfig
from tracking.torso_flow import TorsoPicture
from tracking.video import VideoReader
from tracking.video_index import VideoIndex, read_stretch
from tracking.workers import Advance
from tracking.workshop import read_stage


@dataclass(frozen=True)
class PictureSource:
    """Where a clip's images come from."""

    reader: VideoReader
    index: VideoIndex
    crop: Crop

    def portraits(
        self, frames: Sequence[int], landmarks: Float[np.ndarray, "chosen 478 3"], threads: int
    ) -> Iterator[PortraitFrame]:
        """Frames of the video, cut out.

        Args:
            frames: their numbers, in increasing order.
            landmarks: of the same frames, in pixels of the clip's images.
        """
        rows = {int(frame): row for row, frame in enumerate(frames)}
        for frame in read_stretch(self.reader, self.index, int(frames[0]), int(frames[-1]) + 1, threads):
            if frame.index in rows:
                image = self.crop.cut(self.reader.upright_rgb(frame.picture))
                yield PortraitFrame(frame.index, image, landmarks[rows[frame.index]])


def cut_samples(
    advance: Advance,
    source: PictureSource,
    frames: Int64[np.ndarray, "chosen"],
    landmarks: Float[np.ndarray, "chosen 478 3"],
    config: SegmentationConfig,
    threads: int,
) -> list[Sample]:
    """Frames to learn from: what is behind the person, and what the person looks like."""
    segmenter, samples = PortraitSegmenter(config), []
    for portrait in source.portraits(frames.tolist(), landmarks, threads):
        samples.append(segmenter.sample(portrait))
        advance(1)
    return samples


class PictureStretch(NamedTuple):
    """A piece of work; frames by their numbers in the video."""

    own: list[int]
    """Those whose files are written."""
    seen: list[int]
    """Those that are looked at: one more on either side."""


class PictureRecord(NamedTuple):
    """What later stages need of a frame whose files are written."""

    look: FaceLook
    torso: TorsoPicture


def picture_stretches(frames: Int64[np.ndarray, "wanted"], start: int, stop: int) -> list[PictureStretch]:
    """Divide frames into pieces of work, so that a frame more or less changes the pieces around it and no other.

    Args:
        frames: numbers of the frames, increasing.
        start: what is divided: all frames from this number on.
        stop: one more than the last number.
    """
    pieces = []
    for bounds in stretches(start, stop):
        first, end = np.searchsorted(frames, bounds)
        if first < end:
            seen = frames[max(0, first - 1) : end + 1]
            pieces.append(PictureStretch(own=frames[first:end].tolist(), seen=seen.tolist()))
    return pieces


def make_pictures(
    advance: Advance,
    source: PictureSource,
    folder: ClipFolder,
    own: list[int],
    seen: list[int],
    landmarks: Float[np.ndarray, "seen 478 3"],
    appearance: Path,
    config: SegmentationConfig,
    threads: int,
) -> list[PictureRecord]:
    """Write images, mattes and labels of some frames, and note what of them is needed later.

    Args:
        own: the frames whose files are written.
        seen: the frames that are looked at.
        landmarks: in the latter, in pixels of the clip's images.
        appearance: the file of the stage in which the clip's appearance was learned.
    """
    learned: ClipAppearance = read_stage(appearance)
    waiting: dict[int, PortraitFrame] = {}

    def noting(portraits: Iterator[PortraitFrame]) -> Iterator[PortraitFrame]:
        for portrait in portraits:
            waiting[portrait.index] = portrait
            yield portrait

    records = []
    wanted = set(own)
    # What steadies the first and the last of the frames is segmented as well, by its own, and dropped.
    for segmentation in PortraitSegmenter(config).segment(noting(source.portraits(seen, landmarks, threads)), learned):
        frame = waiting.pop(segmentation.index)
        if segmentation.index not in wanted:
            continue
        write_png(folder.image_path(frame.index), frame.image)
        write_png(folder.matte_path(frame.index), np.rint(255 * segmentation.matte).astype(np.uint8))
        write_png(folder.label_path(frame.index), segmentation.labels)
        look = look_at_face(frame.image, frame.landmarks)
        records.append(PictureRecord(look, segmentation.torso))
        advance(1)
    return records
