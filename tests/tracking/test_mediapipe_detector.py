"""MediaPipe's landmarks lie on the face, wherever it is and whatever its size."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from tracking import face_finder, face_mesh_model, matting
from tracking.head_model import HeadModel
from tracking.landmarks import LANDMARK_COUNT, Face
from tracking.mediapipe_detector import MediaPipeDetector, MediaPipeDetectorConfig
from tracking.segmentation import PortraitSegmenter
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


@pytest.mark.parametrize("width", [110, 160])
def test_a_very_small_face_is_found_wherever_it_is(carphone: Path, width: int) -> None:
    image = next(iter(VideoReader(carphone))).image
    small = cv2.resize(image, (width, width * 144 // 176), interpolation=cv2.INTER_AREA)
    expected = only_face(MediaPipeDetector(), image) * width / 176
    for left, top in ((40, 30), (560, 300), (900, 500)):
        frame = np.full((720, 1280, 3), 90, np.uint8)
        frame[top : top + small.shape[0], left : left + width] = small
        face = only_face(MediaPipeDetector(), frame)
        distance = np.linalg.norm(face[:, :2] - [left, top] - expected[:, :2], axis=1)
        assert distance.mean() < 0.05 * interocular(expected)


def test_an_empty_picture_has_no_face(detector: MediaPipeDetector) -> None:
    assert detector.detect(np.full((120, 160, 3), 128, np.uint8)) == []


def interocular(face: Face) -> float:
    return float(np.linalg.norm(face[33, :2] - face[263, :2]))


def test_landmarks_do_not_depend_on_the_frames_before(carphone: Path) -> None:
    frames = [frame.image for frame in VideoReader(carphone)][:12]
    from_the_start, from_the_last = MediaPipeDetector(), MediaPipeDetector()
    for image in frames[:-1]:
        from_the_start.detect(image)
    one, other = (only_face(detector, frames[-1]) for detector in (from_the_start, from_the_last))
    distance = np.linalg.norm(one - other, axis=1)[:, None] / interocular(one)
    assert np.sqrt(np.mean(distance**2)) < 0.02


def test_more_looks_prefer_neither_side(carphone: Path) -> None:
    image = next(iter(VideoReader(carphone))).image
    mirror = HeadModel.load().mirror
    bias = {}
    for samples in (1, 2):
        config = MediaPipeDetectorConfig(samples=samples)
        seen, mirrored = (
            [only_face(detector, picture) for _ in range(4)][-1]
            for detector, picture in ((MediaPipeDetector(config), picture) for picture in (image, image[:, ::-1]))
        )
        back = mirrored[mirror, :2] * [-1, 1] + [image.shape[1], 0]
        bias[samples] = np.linalg.norm(back - seen[:, :2], axis=1).mean() / interocular(seen)
    assert bias[2] < 0.5 * bias[1]


def test_a_picture_many_times_as_large_gives_the_same_landmarks(carphone: Path, detector: MediaPipeDetector) -> None:
    image = next(iter(VideoReader(carphone))).image
    large = cv2.resize(image, None, fx=24, fy=24, interpolation=cv2.INTER_CUBIC)
    face, expected = only_face(MediaPipeDetector(), large), only_face(MediaPipeDetector(), image)
    assert np.linalg.norm(face / 24 - expected, axis=1).mean() < 0.02 * interocular(expected)


def test_two_faces_are_found_and_each_once(carphone: Path) -> None:
    image = next(iter(VideoReader(carphone))).image
    pair = np.concatenate([image, image[:, ::-1]], axis=1)
    detector = MediaPipeDetector()
    for _ in range(3):
        faces = detector.detect(pair)
        assert sorted(face.landmarks[:, 0].mean() > image.shape[1] for face in faces) == [False, True]
    assert len(MediaPipeDetector(MediaPipeDetectorConfig(max_faces=1)).detect(pair)) == 1


def test_a_face_that_has_gone_is_no_longer_found(carphone: Path, detector: MediaPipeDetector) -> None:
    image = next(iter(VideoReader(carphone))).image
    assert detector.detect(image)
    assert detector.detect(np.full_like(image, 90)) == []


def test_detectors_and_segmenters_of_one_process_load_each_model_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stretch of frames has a detector and a segmenter of its own; MediaPipe kept 20 to 40 MB of every model."""
    built: list[str] = []
    for module, name, shared in (
        (face_mesh_model, "FaceMeshModel", face_mesh_model.shared_face_mesh),
        (face_finder, "FaceFinder", face_finder.shared_face_finder),
        (matting, "MediaPipeSegmenter", matting.shared_segmenter),
    ):
        original = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *a, original=original, name=name: built.append(name) or original(*a))
        shared.cache_clear()
    for _ in range(3):
        MediaPipeDetector()
        PortraitSegmenter()
    assert sorted(built) == ["FaceFinder", "FaceMeshModel", "MediaPipeSegmenter"]
