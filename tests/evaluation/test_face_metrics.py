"""What was done to a face is what is measured of it: moved points, turned heads, late lips, still eyes."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from evaluation.expressions import FOLLOWED, ExpressionsKept
from evaluation.face_alignment import IRISES, iris_distance, moved, similarity_onto
from evaluation.head_rotation import HeadRotation, angle_between
from evaluation.landmark_distance import LandmarkDistance
from evaluation.lip_sync import LOWER_LIP, UPPER_LIP, LipSync, aperture
from evaluation.series import by_number, correlation, find_lag
from tracking.head_model import HeadModel

NAMES = tuple(HeadModel.load().expression_names)
DISTANCES = ("landmark_distance", "landmark_distance_lips", "landmark_distance_eyes")


def with_faces(scene, number, source, edited):
    return scene.pair(number, source_face=source, edited_face=edited)


def test_a_similarity_is_found_exactly(scene):
    points = scene.face().landmarks
    turn = 1.3 * Rotation.from_euler("z", 25, degrees=True).as_matrix()[:2, :2]
    matrix = np.concatenate([turn, [[5.0], [-7.0]]], axis=1)
    np.testing.assert_allclose(similarity_onto(points, moved(points, matrix)), matrix, atol=1e-9)


def test_a_moved_turned_and_grown_face_is_the_same_face(scene, measured):
    face = scene.face()
    turn = 0.8 * Rotation.from_euler("z", -40, degrees=True).as_matrix()[:2, :2]
    other = replace(face, landmarks=face.landmarks @ turn.T + [30, -10])
    found = measured(LandmarkDistance(), [with_faces(scene, 0, face, other)])
    for name in DISTANCES:
        assert found[name].value == pytest.approx(0, abs=1e-9)


def test_scattered_landmarks_are_as_far_as_they_were_scattered(scene, measured):
    """Points scattered by a deviation s on both axes are s sqrt(pi / 2) away on average; the alignment hides little."""
    face = scene.face()
    unit = iris_distance(face.landmarks)
    last = 0.0
    for deviation in (0.01, 0.03, 0.1):
        pairs = []
        for number in range(8):
            scatter = np.random.default_rng(number).normal(0, deviation * unit, face.landmarks.shape)
            scatter[list(IRISES)] = 0
            pairs.append(with_faces(scene, number, face, replace(face, landmarks=face.landmarks + scatter)))
        found = measured(LandmarkDistance(), pairs)
        for name in DISTANCES:
            assert found[name].value == pytest.approx(deviation * np.sqrt(np.pi / 2), rel=0.1)
        assert found["landmark_distance"].value > last
        last = found["landmark_distance"].value


def test_moved_lips_are_the_lips(scene, measured):
    face = scene.face()
    points = face.landmarks.copy()
    points[[UPPER_LIP, LOWER_LIP]] += [0, 0.4 * iris_distance(points)]
    found = measured(LandmarkDistance(), [with_faces(scene, 0, face, replace(face, landmarks=points))])
    assert found["landmark_distance_lips"].value == pytest.approx(2 * 0.4 / 40, rel=0.15)
    assert found["landmark_distance_eyes"].value < 0.1 * found["landmark_distance_lips"].value


def test_an_edit_without_a_face_is_told(scene, measured):
    pairs = [scene.pair(0), scene.pair(1, edited_face=None), scene.pair(2, source_face=None), scene.pair(3)]
    found = measured(LandmarkDistance(), pairs)
    assert found["face_found_share"].value == pytest.approx(2 / 3)
    assert np.isnan(found["landmark_distance"].curve).tolist() == [False, True, True, False]
    nobody = measured(LandmarkDistance(), [scene.pair(0, edited_face=None)])
    assert nobody["face_found_share"].value == 0
    assert nobody["landmark_distance"].value is None


@pytest.mark.parametrize("degrees", [0, 1e-4, 5, 90, 180])
def test_a_known_turn(scene, measured, degrees):
    face = replace(scene.face(), rotation=Rotation.from_euler("xyz", [10, 20, 30], degrees=True).as_matrix())
    axis = np.array([1, 2, -2]) / 3
    turned = Rotation.from_rotvec(np.radians(degrees) * axis).as_matrix() @ face.rotation
    assert angle_between(face.rotation, turned) == pytest.approx(degrees, abs=1e-5)
    found = measured(HeadRotation(), [with_faces(scene, 0, face, replace(face, rotation=turned))])
    assert found["head_rotation_difference"].value == pytest.approx(degrees, abs=1e-5)


def speech(frames=60, seed=0):
    """Curves in [0, 1] for all expressions, each different."""
    random = np.random.default_rng(seed)
    time = np.arange(frames)[:, None] / 25
    rates, phases = random.uniform(0.5, 3, len(NAMES)), random.uniform(0, 6, len(NAMES))
    return 0.4 + 0.3 * np.sin(2 * np.pi * time * rates + phases)


def expression_pairs(scene, source, edited):
    face = scene.face()
    return [
        with_faces(scene, number, replace(face, expression=was), replace(face, expression=now))
        for number, (was, now) in enumerate(zip(source, edited, strict=True))
    ]


def test_kept_expressions(scene, measured):
    found = measured(ExpressionsKept(NAMES), expression_pairs(scene, speech(), speech()))
    assert found["expression_error"].value == 0
    assert all(found[f"correlation_{name}"].value == pytest.approx(1) for name in FOLLOWED)


def test_expressions_off_by_a_known_amount(scene, measured):
    """An offset is an error, but the motion is kept; an inversion is no error of the mean, and the motion is lost."""
    source = speech()
    found = measured(ExpressionsKept(NAMES), expression_pairs(scene, source, 0.5 * source + 0.1))
    assert found["expression_error"].value == pytest.approx(float(np.abs(0.1 - 0.5 * source).mean()))
    assert found["correlation_jawOpen"].value == pytest.approx(1)
    found = measured(ExpressionsKept(NAMES), expression_pairs(scene, source, 0.8 - source))
    assert found["correlation_jawOpen"].value == pytest.approx(-1)


def test_an_expression_without_a_score_does_not_count(scene, measured):
    source = speech()
    source[:, NAMES.index("tongueOut")] = np.nan
    found = measured(ExpressionsKept(NAMES), expression_pairs(scene, source, source + 0.1))
    assert found["expression_error"].value == pytest.approx(0.1)
    nothing = measured(ExpressionsKept(NAMES), expression_pairs(scene, np.full_like(source, np.nan), source))
    assert nothing["expression_error"].value is None


def test_expressions_go_along_less_with_noise_and_shuffling(scene, measured):
    source = speech()
    random = np.random.default_rng(0)
    noise = random.normal(0, 1, source.shape)
    correlations, errors = [], []
    for deviation in (0.02, 0.1, 0.4):
        found = measured(ExpressionsKept(NAMES), expression_pairs(scene, source, source + deviation * noise))
        correlations.append(found["correlation_mouthPucker"].value)
        errors.append(found["expression_error"].value)
        assert errors[-1] == pytest.approx(deviation * np.sqrt(2 / np.pi), rel=0.05)
    assert correlations == sorted(correlations, reverse=True)
    shuffled = expression_pairs(scene, source, source[random.permutation(len(source))])
    assert abs(measured(ExpressionsKept(NAMES), shuffled)["correlation_jawOpen"].value) < 0.4


def test_a_frozen_face_keeps_no_motion_and_a_still_source_has_none(scene, measured):
    still = np.full_like(speech(), 0.4)
    frozen = measured(ExpressionsKept(NAMES), expression_pairs(scene, speech(), still))
    assert frozen["correlation_jawOpen"].value == 0
    unmoved = measured(ExpressionsKept(NAMES), expression_pairs(scene, still, speech()))
    assert unmoved["correlation_jawOpen"].value is None and "hardly moves" in unmoved["correlation_jawOpen"].missing
    short = measured(ExpressionsKept(NAMES), expression_pairs(scene, speech(5), speech(5)))
    assert "Fewer than" in short["correlation_jawOpen"].missing
    unnamed = measured(ExpressionsKept(()), expression_pairs(scene, speech(), speech()))
    assert "no jawOpen" in unnamed["correlation_jawOpen"].missing


def mouth_pairs(scene, source, edited):
    """Faces whose lips are so far apart, in iris distances."""
    face = scene.face()

    def opened(width):
        points = face.landmarks.copy()
        points[LOWER_LIP] = points[UPPER_LIP] + [0, width * iris_distance(points)]
        return replace(face, landmarks=points)

    return [
        with_faces(scene, number, opened(was), opened(now))
        for number, (was, now) in enumerate(zip(source, edited, strict=True))
    ]


def talk(frames=80):
    time = np.arange(frames)
    return 0.2 + 0.1 * np.sin(time / 2.3) + 0.05 * np.sin(time / 1.1 + 1)


def test_lips_in_time(scene, measured):
    assert aperture(mouth_pairs(scene, [0.25], [0])[0].source_face.landmarks) == pytest.approx(0.25)
    found = measured(LipSync(), mouth_pairs(scene, talk(), 0.7 * talk() + 0.05))
    assert found["lip_aperture_correlation"].value == pytest.approx(1)
    assert found["lip_lag"].value == 0


@pytest.mark.parametrize("lag", [-4, 1, 7])
def test_late_lips(scene, measured, lag):
    whole = talk(100)
    found = measured(LipSync(), mouth_pairs(scene, whole[10:90], whole[10 - lag : 90 - lag]))
    assert found["lip_lag"].value == lag
    assert found["lip_aperture_correlation"].value < 0.9


def test_lips_that_do_something_else(scene, measured):
    noise = np.random.default_rng(0).normal(0, 1, 80)
    values = [
        measured(LipSync(), mouth_pairs(scene, talk(), talk() + deviation * noise))["lip_aperture_correlation"].value
        for deviation in (0, 0.05, 0.2)
    ]
    assert values == sorted(values, reverse=True) and values[2] < 0.5
    frozen = measured(LipSync(), mouth_pairs(scene, talk(), np.full(80, 0.2)))
    assert frozen["lip_aperture_correlation"].value == 0
    assert "any shift" in frozen["lip_lag"].missing
    resting = measured(LipSync(), mouth_pairs(scene, np.full(80, 0.2), talk()))
    assert "hardly move" in resting["lip_aperture_correlation"].missing


def test_frames_without_a_face_leave_gaps_in_time_and_not_shifts():
    curve = talk(40)
    numbers = [number for number in range(40) if number not in (7, 8, 9, 20)]
    source = by_number(numbers, [curve[number] for number in numbers])
    edited = by_number(numbers, [curve[max(number - 2, 0)] for number in numbers])
    lag = find_lag(source, edited, 10, 0.5)
    assert lag is not None and lag.frames == 2
    assert correlation(source, source) == pytest.approx(1)
