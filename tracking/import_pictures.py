"""The pictures of an imported clip: a video without loss, images, mattes, region labels and the background plate."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import cv2
import numpy as np
from av.error import FFmpegError
from av.video.reformatter import ColorRange
from jaxtyping import Float, Float32, Int64, UInt8
from rich.progress import Progress
from scipy.ndimage import distance_transform_edt

from tracking.background import BackgroundKind
from tracking.clip import TrackedClip, write_png
from tracking.errors import UserError
from tracking.face_linking import FaceTrack
from tracking.face_look import FaceLook, look_at_face
from tracking.foreign_clip import ForeignClip
from tracking.regions import Label
from tracking.segmentation import PortraitFrame, PortraitSegmenter, SegmentationConfig
from tracking.spread_evenly import spread_evenly
from tracking.torso_flow import TorsoFlowConfig, TorsoPicture, follow_torso
from tracking.video import VideoReader


def write_source(
    path: Path, foreign: ForeignClip, frame_rate: float, progress: Progress
) -> Int64[np.ndarray, "frames"]:
    """Write the pictures as a video without loss, in RGB; the time stamps that it ended up with."""
    task = progress.add_task("Copying pictures", total=len(foreign.numbers))
    rate = Fraction(frame_rate).limit_denominator(1001)
    try:
        with av.open(str(path), "w", options={"movflags": "+faststart"}) as output:
            stream: Any = output.add_stream("libx264rgb", rate=rate, options={"qp": "0", "preset": "veryfast"})
            stream.width, stream.height = foreign.intrinsics.width, foreign.intrinsics.height
            stream.pix_fmt = "rgb24"
            stream.codec_context.color_range = ColorRange.JPEG
            for position, number in enumerate(foreign.numbers - foreign.numbers[0]):
                image = foreign.image(position)
                if image.shape[:2] != (stream.height, stream.width):
                    raise UserError(
                        f"Frame {foreign.numbers[position]} of {foreign.source} is {image.shape[1]} x {image.shape[0]} "
                        f"pixels and the first {stream.width} x {stream.height}: scale all alike."
                    )
                frame = av.VideoFrame.from_ndarray(image, "rgb24")
                frame.pts, frame.time_base = int(number), 1 / rate
                output.mux(stream.encode(frame))
                progress.advance(task)
            output.mux(stream.encode())
    except FFmpegError as error:
        raise UserError(f"Cannot write {path} ({error.strerror}): is the disk full?") from error
    return np.array([frame.timestamp for frame in VideoReader(path)], dtype=np.int64)


class PictureFindings(NamedTuple):
    """What the pictures tell besides what is written of them."""

    background_kind: BackgroundKind
    looks: list[FaceLook]
    """How the face looks in every tracked frame."""
    torso: Float[np.ndarray, "tracked 2 3"]
    """How the clothes move: see `tracking.torso_flow.follow_torso`."""


def write_pictures(
    clip: TrackedClip,
    foreign: ForeignClip,
    face: FaceTrack,
    config: SegmentationConfig,
    torso: TorsoFlowConfig,
    progress: Progress,
) -> PictureFindings:
    """Write the images, the given mattes or our own, the labels and the plate of the tracked frames."""
    for path in clip.picture_paths(0):
        path.parent.mkdir()
    segmenter = PortraitSegmenter(config)

    def portraits(frames: list[int], what: str) -> Iterator[PortraitFrame]:
        for frame in progress.track(frames, description=what):
            yield PortraitFrame(frame, foreign.image(frame), face.landmarks[frame])

    samples = [int(clip.frames[i]) for i in spread_evenly(len(clip.frames), config.plate_samples)]
    appearance = segmenter.learn(portraits(samples, "Learning hair, skin and background"))
    write_png(clip.background_path, appearance.plate.image)
    looks: list[FaceLook] = []

    def torsos() -> Iterator[TorsoPicture]:
        # The segmenter answers a frame later, and a video is not read backwards: frames are kept until then.
        waiting: dict[int, PortraitFrame] = {}

        def kept(frames: Iterator[PortraitFrame]) -> Iterator[PortraitFrame]:
            for frame in frames:
                waiting[frame.index] = frame
                yield frame

        frames = kept(portraits(clip.frames.tolist(), "Labelling the person"))
        for segmentation in segmenter.segment(frames, appearance):
            number = segmentation.index
            frame = waiting.pop(number)
            matte, labels = _as_given(foreign.matte(number), segmentation.matte, segmentation.labels)
            write_png(clip.image_path(number), frame.image)
            write_png(clip.matte_path(number), np.rint(255 * matte).astype(np.uint8))
            write_png(clip.label_path(number), labels)
            looks.append(look_at_face(frame.image, frame.landmarks))
            yield TorsoPicture.of(frame.image, labels)

    similarities = follow_torso(torsos(), torso)
    return PictureFindings(appearance.plate.kind, looks, similarities)


def _as_given(
    given: Float32[np.ndarray, "given_height given_width"] | None,
    matte: Float32[np.ndarray, "height width"],
    labels: UInt8[np.ndarray, "height width"],
) -> tuple[Float32[np.ndarray, "height width"], UInt8[np.ndarray, "height width"]]:
    """The matte that the data set gives, and labels that agree with it; our own where it gives none."""
    if given is None:
        return matte, labels
    if given.shape != matte.shape:
        given = cv2.resize(given, matte.shape[::-1], interpolation=cv2.INTER_AREA)
    # Eight bits is what the clip stores, and what "exactly 0" must survive.
    matte = np.rint(255 * given).astype(np.float32) / 255
    return matte, with_given_matte(labels, matte)


def with_given_matte(
    labels: UInt8[np.ndarray, "height width"], matte: Float32[np.ndarray, "height width"]
) -> UInt8[np.ndarray, "height width"]:
    """Labels made to agree with a matte: background exactly where it is 0, elsewhere the nearest part."""
    person = labels != Label.BACKGROUND
    if not person.any():
        return np.where(matte > 0, Label.CLOTHES, Label.BACKGROUND).astype(np.uint8)
    nearest = distance_transform_edt(~person, return_distances=False, return_indices=True)
    assert isinstance(nearest, np.ndarray)
    return np.where(matte > 0, labels[tuple(nearest)], Label.BACKGROUND).astype(np.uint8)
