"""MediaPipe's landmarks lie on the face, wherever it is and whatever its size."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from tracking.landmarks import LANDMARK_COUNT, Face
from tracking.mediapipe_detector import MediaPipeDetector
from tracking.video import VideoReader


def only_face(detector: MediaPipeDetector, image: np.ndarray) -> Face:
    (face,) = detector.detect(image)
    return face.landmarks


@pytest.fixture(scope="module")
def detector() -> MediaPipeDetector:
    return MediaPipeDetector()


def test_landmarks_lie_on_the_face_and_move_with_the_picture(carphone: Path, detector: MediaPipeDetector) -> None:
    image = next(iter(VideoReader(carphone))).image
    face = only_face(detector, image)
    assert face.shape == (LANDMARK_COUNT, 3)
    # The right eye is left of the left eye, and the mouth below both.
    assert face[33, 0] < face[263, 0]
    assert face[13, 1] > max(face[33, 1], face[263, 1])
    moved = np.zeros((200, 260, 3), np.uint8)
    moved[30:174, 60:236] = image
    moved_face = only_face(MediaPipeDetector(), moved)
    np.testing.assert_allclose(moved_face[:, :2].mean(axis=0) - [60, 30], face[:, :2].mean(axis=0), atol=1.5)


def test_a_small_face_in_a_large_frame_is_found(carphone: Path) -> None:
    image = next(iter(VideoReader(carphone))).image
    frame = np.full((1080, 1920, 3), 90, np.uint8)
    frame[500 : 500 + 288, 1400 : 1400 + 352] = cv2.resize(image, (352, 288), interpolation=cv2.INTER_CUBIC)
    face = only_face(MediaPipeDetector(), frame)
    expected = only_face(MediaPipeDetector(), image)
    np.testing.assert_allclose(face[:, :2].mean(axis=0), 2 * expected[:, :2].mean(axis=0) + [1400, 500], atol=4)


def test_an_empty_picture_has_no_face(detector: MediaPipeDetector) -> None:
    assert detector.detect(np.full((120, 160, 3), 128, np.uint8)) == []
