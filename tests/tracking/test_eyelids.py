"""Blinks that the landmarks miss are seen in the pictures of the eyes."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from tracking.clip import Intrinsics
from tracking.eye_pictures import CORNER_ROW, CORNERS, EYE_HEIGHT, EYE_WIDTH, eye_pictures, to_eye_picture
from tracking.eyelids import EyelidConfig, refine_blinks
from tracking.fitting import HeadFit
from tracking.head_model import HeadModel
from tracking.landmark_trust import EYES

SIZE, PIXELS_PER_CENTIMETER = 240, 12.0
SKIN, WHITE, IRIS, LASHES = (205, 150, 125), (225, 220, 215), (60, 45, 35), (70, 50, 45)
COURSE = np.array([0.0] * 12 + [0.7, 1.0, 1.0, 0.5] + [0.0] * 14)
"""How far both eyes are shut, frame by frame."""
UNDER_REPORTED = 0.35
"""How much of that the landmarks tell."""
BLINKS = ("eyeBlinkLeft", "eyeBlinkRight")


def landmarks_of(blink: float) -> np.ndarray:
    """The head model seen from the front, in pixels."""
    model = HeadModel.load()
    expression = np.zeros(len(model.expression_names))
    for name in BLINKS:
        expression[model.expression_index(name)] = blink
    shape = model.mean + np.tensordot(expression, model.expression_deltas, 1)
    return np.array([SIZE / 2, SIZE / 2, 0]) + shape * [PIXELS_PER_CENTIMETER, -PIXELS_PER_CENTIMETER, -1]


def picture_of(closed: float, gaze: float) -> np.ndarray:
    """Two eyes whose upper lids, which carry lashes, have come down by a share of the eyes' opening."""
    image = np.full((SIZE, SIZE, 3), SKIN, np.uint8)
    rows = np.arange(SIZE)[:, None]
    for (first, second), lids, _ in EYES:
        corners = landmarks_of(0.0)[[first, second], :2]
        gap = np.mean([landmarks_of(0.0)[[upper, lower], 1] for upper, lower in lids], axis=0)
        (x, y), (half_width, half_height) = corners.mean(axis=0), (np.ptp(corners[:, 0]) / 2, (gap[1] - gap[0]) / 2)
        outline = np.zeros((SIZE, SIZE), np.uint8)
        cv2.ellipse(outline, (round(x), round(y)), (round(half_width), round(half_height)), 0, 0, 360, (1,), -1)
        eye = np.full_like(image, WHITE)
        cv2.circle(eye, (round(x + gaze), round(y)), round(half_height), IRIS, -1)
        edge = y - half_height + 2 * half_height * closed
        image = np.where((outline > 0)[..., None] & (rows >= edge)[..., None], eye, image)
        image[(outline > 0) & (np.abs(rows - edge) < 1)] = LASHES
    noise = np.random.default_rng(round(1000 * closed + 10 * gaze + 100)).normal(scale=3, size=image.shape)
    return np.clip(cv2.GaussianBlur(image, (0, 0), 0.8) + noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def landmarks() -> np.ndarray:
    return np.stack([landmarks_of(UNDER_REPORTED * closed) for closed in COURSE])


@pytest.fixture(scope="module")
def eyes(landmarks: np.ndarray) -> np.ndarray:
    pictures = [
        eye_pictures(picture_of(closed, 3 * np.sin(frame)), landmarks[frame]) for frame, closed in enumerate(COURSE)
    ]
    return np.stack([picture for picture in pictures if picture is not None])


@pytest.fixture(scope="module")
def fit(landmarks: np.ndarray) -> HeadFit:
    """What a fit makes of the landmarks."""
    model = HeadModel.load()
    expression = np.zeros((len(COURSE), len(model.expression_names)))
    for name in BLINKS:
        expression[:, model.expression_index(name)] = UNDER_REPORTED * COURSE
    return HeadFit(
        Intrinsics(2.0 * SIZE, SIZE / 2, SIZE / 2, SIZE, SIZE),
        np.broadcast_to(np.eye(4), (len(COURSE), 4, 4)),
        expression,
        np.zeros(len(model.identity_basis)),
        np.zeros(len(COURSE)),
        model.expression_names,
        np.ones(len(COURSE), bool),
    )


def test_a_blink_that_landmarks_miss_is_found_in_the_pictures(
    fit: HeadFit, landmarks: np.ndarray, eyes: np.ndarray
) -> None:
    refined = refine_blinks(fit, landmarks, eyes)
    for name in BLINKS:
        blink = refined.expression[:, fit.expression_names.index(name)]
        assert blink[13:15].min() > 0.8
        assert 0.3 < blink[15] < 0.75
        assert blink[COURSE == 0].max() < 0.1
    others = [index for index, name in enumerate(fit.expression_names) if name not in BLINKS]
    np.testing.assert_array_equal(refined.expression[:, others], fit.expression[:, others])


def test_flicker_of_badly_seen_eyes_is_no_blink(fit: HeadFit, landmarks: np.ndarray) -> None:
    # Small eyes look a little more or less open from frame to frame.
    flicker = np.random.default_rng(0).uniform(0.0, 0.7, len(COURSE))
    seen = np.where(COURSE > 0, COURSE, flicker)
    pictures = [eye_pictures(picture_of(closed, 0.0), landmarks[frame]) for frame, closed in enumerate(seen)]
    eyes = np.stack([picture for picture in pictures if picture is not None])
    refined = refine_blinks(fit, landmarks, eyes)
    for name in BLINKS:
        blink = refined.expression[:, fit.expression_names.index(name)]
        assert blink[13:15].min() > 0.5
        assert blink[COURSE == 0].max() < 0.1


def test_a_wink_stays_one_eyes(fit: HeadFit, landmarks: np.ndarray, eyes: np.ndarray) -> None:
    open_eye = np.flatnonzero(COURSE == 0)[0]
    winking, moved = eyes.copy(), landmarks.copy()
    # The right eye, the first, stays open.
    winking[:, 0] = eyes[open_eye, 0]
    right = landmarks_of(0.0)[:, 0] < SIZE / 2
    moved[:, right] = landmarks[open_eye, right]
    expression = fit.expression.copy()
    expression[:, fit.expression_names.index("eyeBlinkRight")] = 0
    refined = refine_blinks(replace(fit, expression=expression), moved, winking).expression
    assert refined[13:15, fit.expression_names.index("eyeBlinkLeft")].min() > 0.6
    assert refined[:, fit.expression_names.index("eyeBlinkRight")].max() < 0.1


def test_frames_that_are_not_tracked_and_short_clips_stay_as_they_were(
    fit: HeadFit, landmarks: np.ndarray, eyes: np.ndarray
) -> None:
    gone = fit.tracked.copy()
    gone[5] = False
    expression, unseen = fit.expression.copy(), landmarks.copy()
    expression[5] = unseen[5] = np.nan
    refined = refine_blinks(replace(fit, tracked=gone, expression=expression), unseen, eyes)
    assert np.isnan(refined.expression[5]).all() and np.isfinite(np.delete(refined.expression, 5, axis=0)).all()
    few = np.arange(len(COURSE)) < 15
    assert refine_blinks(replace(fit, tracked=few), landmarks, eyes).expression is fit.expression
    assert refine_blinks(fit, landmarks, eyes, EyelidConfig(enabled=False)) is fit


def test_the_eyes_corners_have_the_same_place_in_every_picture() -> None:
    landmarks = landmarks_of(0.0)
    angle = np.radians(20)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    landmarks[:, :2] = landmarks[:, :2] @ turn.T * 2.5 + [300, -100]
    image = np.zeros((700, 700, 3), np.uint8)
    for eye, ((first, second), _, _) in enumerate(EYES):
        for corner, place in ((first, CORNERS[0]), (second, CORNERS[1])):
            matrix = to_eye_picture(landmarks, eye)
            np.testing.assert_allclose(
                matrix[:, :2] @ landmarks[corner, :2] + matrix[:, 2], [place, CORNER_ROW], atol=1e-9
            )
            # Pixel (0, 0) covers [0, 1).
            cv2.circle(image, tuple(np.floor(landmarks[corner, :2]).astype(int).tolist()), 6, (255, 255, 255), -1)
    pictures = eye_pictures(image, landmarks)
    assert pictures is not None
    x, y = np.meshgrid(np.arange(EYE_WIDTH) + 0.5, np.arange(EYE_HEIGHT) + 0.5)
    for picture in pictures[..., 0].astype(float):
        for place, half in ((CORNERS[0], x < 24), (CORNERS[1], x >= 24)):
            weight = picture * half
            np.testing.assert_allclose((weight * x).sum() / weight.sum(), place, atol=0.35)
            np.testing.assert_allclose((weight * y).sum() / weight.sum(), CORNER_ROW, atol=0.35)


def test_faces_without_eye_corners_have_no_eye_pictures() -> None:
    landmarks = landmarks_of(0.0)
    landmarks[EYES[0][0][0]] = np.nan
    assert eye_pictures(np.zeros((SIZE, SIZE, 3), np.uint8), landmarks) is None
