"""One face is followed through the frames, and what is not seen is not made up."""

import numpy as np

from tracking.face_linking import FaceLinkingConfig, link_longest_face
from tracking.landmarks import LANDMARK_COUNT, DetectedFace, face_size


def face_at(x: float, y: float = 100.0, size: float = 50.0, shape: int = 0) -> DetectedFace:
    """A made-up face: some fixed arrangement of points about a place."""
    arrangement = np.random.default_rng(shape).normal(size=(LANDMARK_COUNT, 3))
    arrangement -= arrangement.mean(axis=0)
    return DetectedFace(arrangement * size / face_size(arrangement) + np.array([x, y, 0.0]))


def test_face_size_grows_with_the_face_and_not_with_its_place() -> None:
    np.testing.assert_allclose(face_size(face_at(0, size=40).landmarks), 40)
    np.testing.assert_allclose(face_size(3 * face_at(500, size=40).landmarks), 120)


def test_longest_face_is_followed_through_another_order_and_another_face() -> None:
    detections = []
    for frame in range(30):
        faces = [face_at(100 + 2 * frame)]
        if frame < 20:
            faces.append(face_at(400, size=90))
        detections.append(faces[:: 1 if frame % 2 else -1])
    track = link_longest_face(detections)
    assert track.tracked.all()
    np.testing.assert_allclose(track.landmarks[:, :, 0].mean(axis=1), 100 + 2 * np.arange(30))


def test_of_two_equally_long_faces_the_larger_is_followed() -> None:
    track = link_longest_face([[face_at(100, size=30), face_at(300, size=60)] for _ in range(12)])
    np.testing.assert_allclose(track.landmarks[:, :, 0].mean(axis=1), 300)


def test_frames_without_the_face_hold_nan() -> None:
    track = link_longest_face([[face_at(100)] if frame % 5 else [] for frame in range(20)])
    np.testing.assert_array_equal(track.tracked, np.arange(20) % 5 > 0)
    assert np.isnan(track.landmarks[~track.tracked]).all()
    assert np.isfinite(track.landmarks[track.tracked]).all()


def test_another_place_after_a_long_gap_is_another_face() -> None:
    config = FaceLinkingConfig(max_gap=5)
    track = link_longest_face([[face_at(100)]] * 8 + [[]] * 10 + [[face_at(100)]] * 9, config)
    np.testing.assert_array_equal(np.flatnonzero(track.tracked), np.arange(18, 27))


def test_a_jump_there_and_back_is_flagged_and_kept_as_measured() -> None:
    detections = [[face_at(100 + frame)] for frame in range(15)]
    detections[7] = [face_at(100 + 7 + 25)]
    track = link_longest_face(detections)
    np.testing.assert_array_equal(np.flatnonzero(~track.tracked), [7])
    np.testing.assert_allclose(track.landmarks[7], detections[7][0].landmarks)


def test_a_collapsed_mesh_is_flagged() -> None:
    detections = [[face_at(100)] for _ in range(15)]
    detections[4] = [DetectedFace(face_at(100, shape=1).landmarks * 0.3 + face_at(100).landmarks * 0.7)]
    np.testing.assert_array_equal(np.flatnonzero(~link_longest_face(detections).tracked), [4])


def test_a_cut_that_moves_the_face_is_no_outlier() -> None:
    detections = [[face_at(100)] for _ in range(8)] + [[face_at(130)] for _ in range(8)]
    assert link_longest_face(detections).tracked.all()


def test_no_face_at_all() -> None:
    track = link_longest_face([[] for _ in range(5)])
    assert not track.tracked.any()
    assert np.isnan(track.landmarks).all()
