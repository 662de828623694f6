"""Frames of a real face that are spoilt on purpose are flagged for what was done to them, and no others are."""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest
from jaxtyping import Float, UInt8

from tracking.cameras import rigid
from tracking.face_look import TEXTURE_SIZE, FaceLook, look_at_face
from tracking.frame_flags import FrameFlag
from tracking.frame_quality import FrameQualityConfig, quality_flags
from tracking.mediapipe_detector import MediaPipeDetector
from tracking.video import VideoReader

FRAMES = 60
SPOILT = range(20, 30)
NO_EXPRESSION = np.zeros((FRAMES, 52))


class Shown(NamedTuple):
    image: UInt8[np.ndarray, "height width 3"]
    landmarks: Float[np.ndarray, "478 3"]


@pytest.fixture(scope="module")
def talking(carphone: Path) -> list[Shown]:
    detector = MediaPipeDetector()
    shown = []
    for frame in VideoReader(carphone):
        if frame.index == FRAMES:
            break
        shown.append(Shown(frame.image, detector.detect(frame.image)[0].landmarks))
    return shown


def turned(yaw: Float[np.ndarray, "frames"]) -> Float[np.ndarray, "frames 4 4"]:
    """Camera-to-head transforms of a head that is turned so many degrees to its left."""
    angle = np.radians(yaw)
    rotation = np.tile(np.eye(3), (len(yaw), 1, 1))
    rotation[:, 0, 0] = rotation[:, 2, 2] = np.cos(angle)
    rotation[:, 0, 2], rotation[:, 2, 0] = np.sin(angle), -np.sin(angle)
    return rigid(rotation, np.zeros((len(yaw), 3)))


def flags_of(looks: list[FaceLook], yaw: Float[np.ndarray, "frames"] | None = None) -> list[int]:
    poses = turned(np.zeros(len(looks)) if yaw is None else yaw)
    return quality_flags(looks, poses, NO_EXPRESSION[: len(looks)], FrameQualityConfig()).tolist()


def expected(flag: FrameFlag) -> list[int]:
    return [int(flag) if frame in SPOILT else 0 for frame in range(FRAMES)]


def spoil(talking: list[Shown], change: object) -> list[FaceLook]:
    assert callable(change)
    return [
        look_at_face(change(shown) if frame in SPOILT else shown.image, shown.landmarks)
        for frame, shown in enumerate(talking)
    ]


def face_width(shown: Shown) -> float:
    return float(np.ptp(shown.landmarks[:, 0]))


def test_frames_as_filmed_are_not_flagged(talking: list[Shown]) -> None:
    assert flags_of([look_at_face(*shown) for shown in talking]) == [0] * FRAMES


def test_unwrapping_takes_place_and_size_out(talking: list[Shown]) -> None:
    image, landmarks = talking[0]
    look = look_at_face(image, landmarks)
    assert look.is_seen.mean() > 0.5
    grown = cv2.resize(np.pad(image, ((30, 0), (50, 0), (0, 0))), None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    again = look_at_face(grown, 2 * (landmarks + np.array([50, 30, 0])))
    both = look.is_seen & again.is_seen
    assert both.sum() > 0.95 * look.is_seen.sum()
    assert np.abs(look.colors.astype(int) - again.colors)[both].mean() < 6
    # The pupils are darker than the cheeks below them.
    rows = slice(round(0.3 * TEXTURE_SIZE), round(0.45 * TEXTURE_SIZE)), slice(round(0.55 * TEXTURE_SIZE), None)
    for columns in (slice(8, 16), slice(24, 32)):
        eye, cheek = (look.colors[part, columns].mean(axis=-1) for part in rows)
        assert eye.min() < cheek.mean() - 20


@pytest.mark.parametrize("size", [(1, 1), (1, 0), (0, 1)])
def test_blur_in_any_direction_is_flagged(talking: list[Shown], size: tuple[int, int]) -> None:
    def blurred(shown: Shown) -> np.ndarray:
        reach = max(3, round(face_width(shown) / 12))
        return cv2.blur(shown.image, (reach if size[0] else 1, reach if size[1] else 1))

    assert flags_of(spoil(talking, blurred)) == expected(FrameFlag.BLURRED)


@pytest.mark.parametrize(("gain", "offset"), [(0.1, 0), (1.0, 220)])
def test_faces_that_are_too_dark_or_too_bright_are_flagged(talking: list[Shown], gain: float, offset: int) -> None:
    flags = flags_of(spoil(talking, lambda shown: cv2.convertScaleAbs(shown.image, alpha=gain, beta=offset)))
    assert [bool(flag & FrameFlag.DARK) for flag in flags] == [frame in SPOILT for frame in range(FRAMES)]


def test_light_that_changes_is_nothing_foreign(talking: list[Shown]) -> None:
    looks = spoil(talking, lambda shown: cv2.convertScaleAbs(shown.image, alpha=0.7))
    assert flags_of(looks) == [0] * FRAMES


@pytest.mark.parametrize(("where", "color"), [(13, (235, 205, 190)), (50, (90, 90, 95)), (386, (15, 15, 15))])
def test_what_lies_before_the_face_is_flagged(talking: list[Shown], where: int, color: tuple[int, int, int]) -> None:
    """Four fingers, of a fair hand before the mouth, of a glove before a cheek, of a black thing before an eye."""

    def hidden(shown: Shown) -> np.ndarray:
        image, width = shown.image.copy(), face_width(shown)
        x, y = shown.landmarks[where, :2]
        for finger in range(4):
            center = round(x + (finger - 1.5) * 0.14 * width), round(y + 0.1 * width)
            cv2.ellipse(image, center, (round(0.08 * width), round(0.36 * width)), 0, 0, 360, color, -1, cv2.LINE_AA)
        return image

    flags = flags_of(spoil(talking, hidden))
    occluded = [bool(flag & FrameFlag.OCCLUDED) for flag in flags]
    assert occluded == [frame in SPOILT for frame in range(FRAMES)]


def test_a_clip_of_few_frames_does_not_say_what_is_usual(talking: list[Shown]) -> None:
    looks = [look_at_face(*shown) for shown in talking[:12]]
    assert flags_of(looks) == [0] * 12


def test_profiles_are_flagged_by_pose_and_by_what_is_in_sight(talking: list[Shown]) -> None:
    looks = [look_at_face(*shown) for shown in talking]
    yaw = np.where(np.isin(np.arange(FRAMES), SPOILT), 70.0, 50.0)
    for side in (1, -1):
        assert flags_of(looks, side * yaw) == expected(FrameFlag.PROFILE)
    for frame in SPOILT:
        seen = looks[frame].is_seen.copy()
        seen[:, : TEXTURE_SIZE // 2] = False
        looks[frame] = looks[frame]._replace(is_seen=seen)
    flags = flags_of(looks)
    assert [bool(flag & FrameFlag.PROFILE) for flag in flags] == [frame in SPOILT for frame in range(FRAMES)]
