"""The preview: the source's crop as a video with everything drawn onto it that was tracked, its sound kept."""

import logging
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from tracking.capture_measures import chosen_part, frame_seconds, mean_expression
from tracking.clip import TrackedClip
from tracking.crop import Crop
from tracking.errors import UserError
from tracking.fitted_face import fitted_face
from tracking.flag_words import words_for
from tracking.head_angles import head_angles
from tracking.overlay import draw_text, draw_tracking, enlarge, even_size, legible_scale
from tracking.video import VideoFrame, VideoReader
from tracking.video_writer import VideoWriter

logger = logging.getLogger(__name__)

PREVIEW_NAME = "preview.mp4"
PANEL_WIDTH = 212
LEAST_HEIGHT = 360
"""Pixels; lower pictures get room below, so that every bar fits beside them."""
BAR_ROW = 19
BARS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("jaw open", ("jawOpen",)),
    ("smile L", ("mouthSmileLeft",)),
    ("smile R", ("mouthSmileRight",)),
    ("pucker", ("mouthPucker",)),
    ("funnel", ("mouthFunnel",)),
    ("blink L", ("eyeBlinkLeft",)),
    ("blink R", ("eyeBlinkRight",)),
    ("brows up", ("browInnerUp",)),
    ("brows down", ("browDownLeft", "browDownRight")),
    ("look left", ("eyeLookOutLeft", "eyeLookInRight")),
    ("look right", ("eyeLookInLeft", "eyeLookOutRight")),
)
"""Names of the bars, and the expressions of whose mean each shows; left and right are the person's."""
TEXT, DIM, WARNING, BAR, GROOVE = (235, 235, 235), (150, 150, 150), (255, 190, 90), (86, 180, 233), (70, 70, 70)

Picture = UInt8[np.ndarray, "height width 3"]


def write_preview(
    clip: TrackedClip, path: Path | None = None, progress: Callable[[int, int], None] | None = None
) -> Path:
    """Write a video of what was tracked, with the source's time stamps and sound, and return its path.

    Frames that were left out are shown as filmed, and say why. Where only a part of the source was chosen, only that
    part is shown, from time 0 on and without sound.

    Args:
        path: the file to write; `preview.mp4` in the clip's folder if not given.
        progress: told the number of frames done and of all frames to do.

    Raises:
        UserError: the source video is gone or is another one by now, or the preview cannot be written.
    """
    path = path or clip.root / PREVIEW_NAME
    reader = VideoReader(Path(clip.source.path))
    stamps = clip.track.presentation_timestamps
    part = chosen_part(clip)
    is_whole = part == slice(0, len(stamps))
    renderer = PreviewRenderer(clip)
    with _writer(path, reader, renderer.size, with_sound=is_whole) as writer:
        done = 0
        for frame in islice(reader, part.start, part.stop):
            if frame.timestamp != stamps[frame.index]:
                raise UserError(f"{clip.source.path} is no longer the video that was tracked: track it again.")
            writer.write(renderer.draw(frame), frame.timestamp - (0 if is_whole else int(stamps[part.start])))
            done += 1
            if progress is not None:
                progress(done, part.stop - part.start)
        if done != part.stop - part.start:
            raise UserError(f"{clip.source.path} is no longer the video that was tracked: track it again.")
    return path


class PreviewRenderer:
    """Draws frames of the source as the preview shows them."""

    def __init__(self, clip: TrackedClip) -> None:
        self._clip = clip
        camera = clip.intrinsics
        self._crop = Crop(*clip.source.crop, camera.width, camera.height)
        self._scale = legible_scale(camera.width, camera.height)
        width, height = even_size(camera.width, camera.height, self._scale)
        self.size = (width + PANEL_WIDTH, max(height, LEAST_HEIGHT))
        """Width and height of the preview, in pixels."""
        self._seconds = frame_seconds(clip)
        self._angles = head_angles(clip.track.camera_to_head)
        bars = [(name, mean_expression(clip.track, names)) for name, names in BARS]
        self._bars = [(name, values) for name, values in bars if values is not None]

    def draw(self, frame: VideoFrame) -> Picture:
        """A frame of the source as the preview shows it."""
        image, index = self._crop.cut(frame.image), frame.index
        is_tracked = bool(self._clip.track.tracked[index])
        if is_tracked:
            face, landmarks = fitted_face(self._clip, index), self._clip.track.landmarks[index]
            picture = draw_tracking(image, face, landmarks, axes=True)
        else:
            picture = enlarge(image, self._scale)
        canvas = np.zeros((self.size[1], self.size[0], 3), np.uint8)
        canvas[: picture.shape[0], : picture.shape[1]] = picture
        self._draw_panel(canvas, picture.shape[1] + 10, index, is_tracked)
        return canvas

    def _draw_panel(self, canvas: Picture, left: int, frame: int, is_tracked: bool) -> None:
        draw_text(canvas, f"frame {frame}   {self._seconds[frame]:.2f} s", (left, 20), TEXT)
        if is_tracked:
            angles = self._angles
            pose = f"yaw {angles.yaw[frame]:+.0f}  pitch {angles.pitch[frame]:+.0f}  roll {angles.roll[frame]:+.0f}"
            draw_text(canvas, pose, (left, 40), TEXT, 0.4)
            error = self._clip.track.reprojection_error[frame]
            draw_text(canvas, f"{angles.distance[frame]:.0f} cm   error {error:.2f} px", (left, 58), TEXT, 0.4)
        top = 74
        for name, values in self._bars if is_tracked else []:
            self._draw_bar(canvas, left, top, name, float(values[frame]))
            top += BAR_ROW
        for word in words_for(self._clip, frame):
            draw_text(canvas, word, (left, top + 18), WARNING)
            top += BAR_ROW

    @staticmethod
    def _draw_bar(canvas: Picture, left: int, top: int, name: str, value: float) -> None:
        start, length = left + 80, PANEL_WIDTH - 100
        draw_text(canvas, name, (left, top + 12), DIM, 0.4)
        cv2.rectangle(canvas, (start, top + 3), (start + length, top + 12), GROOVE, -1)
        end = start + round(length * float(np.clip(value, 0, 1)))
        cv2.rectangle(canvas, (start, top + 3), (end, top + 12), BAR, -1)


def _writer(path: Path, reader: VideoReader, size: tuple[int, int], with_sound: bool) -> VideoWriter:
    """A writer with the source's sound if mp4 can hold it: a preview without sound is better than none."""
    try:
        return VideoWriter(path, reader.properties, size=size, with_sound=with_sound)
    except UserError:
        if not (with_sound and reader.properties.has_sound):
            raise
        logger.warning("The sound of %s does not fit into %s: the preview is silent.", reader.path, path.suffix)
        return VideoWriter(path, reader.properties, size=size, with_sound=False)
