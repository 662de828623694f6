"""The face in every frame of an edited video, found and fitted the way tracking finds and fits a source's.

The same detector sees the frames in the same stretches, and the same joint fit to landmarks and skin gives poses and
expressions; only lens and shape of the head are the source's, so that no difference between the two fits can pass for
a change of the face. An identical video gives the source's own landmarks, and poses that differ by hundredths of a
degree, since tracking settles lens and shape only on the way to them.
"""

from collections import deque
from typing import Any

import cv2
import numpy as np

from evaluation.measurement import FaceMeasurement, Picture
from evaluation.video_pairs import Window
from tracking.choose_detector import DetectorConfig, make_detector
from tracking.clip import TrackedClip
from tracking.crop import Crop
from tracking.errors import UserError
from tracking.face_fit import fit_face
from tracking.face_linking import FaceTrack, link_longest_face
from tracking.face_pictures import pictured
from tracking.face_search import WARM_UP_FRAMES, stretches
from tracking.fitting import KnownHead
from tracking.frame_flags import FrameFlag, has_flag
from tracking.landmarks import DetectedFace
from tracking.over_frames import over_frames
from tracking.video_survey import GREATEST_DETECTION_SIDE

FARTHEST = 1.0
"""A face of the edit is the person's where it lies so near to the source's, in face heights."""


class EditedFaces:
    """Gathers the faces of an edited video, frame by frame, and fits them at the end."""

    def __init__(self, clip: TrackedClip) -> None:
        self.clip = clip
        left, top, width, height = clip.source.crop
        self._crop = Crop(left, top, width, height, clip.intrinsics.width, clip.intrinsics.height)
        self._searched = ~has_flag(clip.track.flags, FrameFlag.OUTSIDE)
        self._beginnings = {first for first, _ in stretches(0, int(self._searched.sum()))}
        self._detections: dict[int, list[DetectedFace]] = {}
        self._recent: deque[Picture] = deque(maxlen=WARM_UP_FRAMES)
        self._detector = make_detector(DetectorConfig())

    def update(self, number: int, frame: Picture) -> None:
        """Look for the face in the edit of a source frame; frames come in order, as large as the source's."""
        if not self._searched[number]:
            return
        image = _reduced(frame)
        if self._detections and len(self._detections) in self._beginnings:
            # As in tracking: every stretch has a detector of its own, which sees a few frames before it.
            self._detector = make_detector(DetectorConfig())
            for earlier in self._recent:
                self._detector.detect(earlier)
        enlarge = frame.shape[1] / image.shape[1]
        found = [pictured(face, image, enlarge) for face in self._detector.detect(image)]
        self._recent.append(image)
        self._detections[number] = [face for face in found if self._may_be_the_person(number, face)]

    def measured(self, window: Window) -> dict[int, FaceMeasurement]:
        """The faces by source frame, in pixels of the window; frames without one are left out."""
        numbers = sorted(self._detections)
        track = link_longest_face([self._detections[number] for number in numbers])
        count = len(self.clip.track.tracked)

        def over_clip(values: np.ndarray, missing: Any) -> np.ndarray:
            return over_frames(values, np.array(numbers), count, missing)

        face = FaceTrack(
            landmarks=over_clip(self._crop.to_image(track.landmarks), np.nan),
            tracked=over_clip(track.tracked, False),
            eyes=None if track.eyes is None else over_clip(track.eyes, 0),
            skin=None if track.skin is None else over_clip(track.skin, 0),
        )
        camera = self.clip.intrinsics
        try:
            fit = fit_face(
                face,
                camera.width,
                camera.height,
                center=(camera.center_x, camera.center_y),
                known=KnownHead(camera.focal_length, self.clip.track.identity),
            )
        except UserError:
            # Too few faces for a fit: the edit counts as faceless, which is reported and no mistake of the user's.
            return {}
        return {
            int(frame): FaceMeasurement(
                window.of_image_points(face.landmarks[frame, :, :2], self.clip),
                fit.expression[frame],
                fit.camera_to_head[frame, :3, :3].T,
            )
            for frame in np.flatnonzero(fit.tracked)
        }

    def _may_be_the_person(self, number: int, face: DetectedFace) -> bool:
        """Whether a face lies where the source's does; any may, where the source has none."""
        if not self.clip.track.tracked[number]:
            return True
        left, top = self._crop.left, self._crop.top
        scale = np.array([self._crop.width / self._crop.image_width, self._crop.height / self._crop.image_height])
        own = self.clip.track.landmarks[number] * scale + [left, top]
        apart = np.nanmean(face.landmarks[:, :2], axis=0) - np.nanmean(own, axis=0)
        return bool(np.linalg.norm(apart) < FARTHEST * (np.nanmax(own[:, 1]) - np.nanmin(own[:, 1])))


def source_faces(clip: TrackedClip, window: Window) -> dict[int, FaceMeasurement]:
    """The faces of a tracked clip's frames, in pixels of the window."""
    track = clip.track
    return {
        int(frame): FaceMeasurement(
            window.of_image_points(track.landmarks[frame].astype(np.float64), clip),
            track.expression[frame],
            track.camera_to_head[frame, :3, :3].T,
        )
        for frame in clip.frames
    }


def _reduced(frame: Picture) -> Picture:
    """The frame at the size at which tracking looks for faces."""
    scale = GREATEST_DETECTION_SIDE / max(frame.shape[:2])
    if scale >= 1:
        return frame
    size = max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale))
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
