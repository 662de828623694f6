"""One face is followed through the frames, and what is not seen is not made up."""

import numpy as np
import pytest

from tracking.face_linking import FaceLinkingConfig, FaceTrack, link_longest_face
from tracking.face_shape import face_size
from tracking.landmarks import LANDMARK_COUNT, DetectedFace


def face_at(x: float, y: float = 100.0, size: float = 50.0, shape: int = 0, person: int | None = None) -> DetectedFace:
    """A made-up face: some fixed arrangement of points about a place, and a person's colours."""
    arrangement = np.random.default_rng(shape).normal(size=(LANDMARK_COUNT, 3))
    arrangement -= arrangement.mean(axis=0)
    landmarks = arrangement * size / face_size(arrangement) + np.array([x, y, 0.0])
    return DetectedFace(landmarks, appearance=None if person is None else np.eye(4)[person])


def talking(face: DetectedFace, frame: int, strength: float = 0.05) -> DetectedFace:
    """The face with a mouth that opens and closes."""
    opened = np.zeros((LANDMARK_COUNT, 3))
    opened[:100, 1] = strength * np.sin(0.4 * frame) * face_size(face.landmarks)
    return face._replace(landmarks=face.landmarks + opened)


def seen_at(track: FaceTrack) -> np.ndarray:
    """The face's place along x, by frame."""
    return np.nanmean(track.landmarks[track.tracked, :, 0], axis=1)


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


def test_points_that_a_detector_lacks_stay_missing_and_change_nothing_else() -> None:
    def partial(frame: int, x: float) -> DetectedFace:
        face = face_at(x + 2 * frame)
        face.landmarks[68:] = np.nan
        face.landmarks[:, 2] = np.nan
        return face

    detections = [[partial(frame, 100), partial(frame, 300)] for frame in range(15)]
    detections[9] = [partial(9, 130), partial(9, 300)]
    detections[4] = []
    track = link_longest_face([[faces[0]] if faces else [] for faces in detections])
    np.testing.assert_array_equal(np.flatnonzero(~track.tracked), [4, 9])
    np.testing.assert_array_equal(np.isfinite(track.landmarks[0, :, 0]), np.arange(LANDMARK_COUNT) < 68)
    both = link_longest_face([faces[::-1] for faces in detections])
    assert len(np.unique(np.sign(seen_at(both) - 230))) == 1


def test_expression_scores_go_with_the_face() -> None:
    detections = [[face_at(100)._replace(expression_scores=np.array([frame / 10, 0.5]))] for frame in range(9)]
    detections[3] = []
    for faces in detections[:6]:
        faces.append(face_at(300)._replace(expression_scores=np.array([0.95, 0.95])))
    track = link_longest_face(detections)
    assert track.expression_scores is not None
    np.testing.assert_allclose(track.expression_scores[track.tracked, 0], np.arange(9)[track.tracked] / 10)
    assert np.isnan(track.expression_scores[3]).all()
    assert link_longest_face([[face_at(100)]] * 5).expression_scores is None


def test_who_leaves_and_returns_elsewhere_is_the_same_person() -> None:
    config = FaceLinkingConfig(max_gap=5)
    there, away, back = [[face_at(100, person=0)]] * 8, [[]] * 20, [[face_at(300, size=80, person=0)]] * 9
    np.testing.assert_array_equal(
        np.flatnonzero(link_longest_face([*there, *away, *back], config).tracked), [*range(8), *range(28, 37)]
    )


def test_who_takes_the_seat_of_another_is_another_person() -> None:
    there, away = [[face_at(100, person=0)]] * 9, [[]] * 20
    track = link_longest_face([*there, *away, *[[face_at(100, person=1)]] * 8])
    np.testing.assert_array_equal(np.flatnonzero(track.tracked), np.arange(9))


def test_a_light_that_goes_on_makes_nobody_else() -> None:
    assert link_longest_face([[face_at(100, person=frame // 10)] for frame in range(20)]).tracked.all()


@pytest.mark.parametrize("person", [None, 0])
@pytest.mark.parametrize("hidden", [0, 6])
def test_two_people_who_cross_are_not_exchanged(hidden: int, person: int | None) -> None:
    """The nearer one, who is seen throughout, hides the other for some frames."""
    other = None if person is None else 1
    detections = []
    for frame in range(60):
        near, far = face_at(100 + 5 * frame, size=60, person=person), face_at(400 - 5 * frame, shape=1, person=other)
        is_hidden = abs(frame - 30) <= hidden / 2 and hidden
        detections.append([near] if is_hidden else [near, far][:: 1 if frame % 3 else -1])
    track = link_longest_face(detections)
    np.testing.assert_allclose(seen_at(track), 100 + 5 * np.arange(60))
    assert track.tracked.all()


def test_alike_people_who_cross_without_stopping_are_told_apart_by_where_they_were_going() -> None:
    detections = [[face_at(100 + 5 * frame), face_at(395 - 5 * frame)] for frame in range(60)]
    for frame in range(28, 33):
        detections[frame] = detections[frame][:1]
    np.testing.assert_allclose(seen_at(link_longest_face(detections)), 100 + 5 * np.arange(60))


@pytest.mark.parametrize(("shape", "other"), [(1, None), (0, 1)])
def test_people_who_meet_and_turn_back_are_told_apart_by_their_shape_or_their_colours(
    shape: int, other: int | None
) -> None:
    """Where they were going, they would have passed each other by."""
    detections = []
    for frame in range(40):
        way = 4 * min(frame, 40 - frame)
        faces = [face_at(100 + way, size=55, person=0), face_at(250 - way, shape=shape, person=other)]
        detections.append([] if abs(frame - 20) <= 1 else faces)
    track = link_longest_face(detections)
    expected = np.array([100 + 4 * min(frame, 40 - frame) for frame in range(40)])
    np.testing.assert_allclose(seen_at(track), expected[track.tracked])


def test_a_person_is_preferred_to_a_larger_picture_of_one() -> None:
    rng = np.random.default_rng(3)
    detections = []
    for frame in range(40):
        picture = face_at(300, size=120, shape=1)
        noisy = picture._replace(landmarks=picture.landmarks + rng.normal(0, 0.4, (LANDMARK_COUNT, 3)))
        detections.append([noisy, talking(face_at(100), frame)] if frame % 4 else [noisy])
    track = link_longest_face(detections)
    np.testing.assert_allclose(seen_at(track), 100, atol=1)
    assert track.tracked.sum() == 30


def test_who_is_seen_for_a_moment_is_not_preferred_for_being_lively() -> None:
    detections = [[face_at(300)] + ([talking(face_at(100), frame)] if frame < 12 else []) for frame in range(40)]
    np.testing.assert_allclose(seen_at(link_longest_face(detections)), 300)


def test_no_face_is_followed_over_a_cut() -> None:
    detections = [[face_at(100, person=0)]] * 8 + [[face_at(105, person=0)]] * 12
    assert link_longest_face(detections).tracked.all()
    cut = link_longest_face(detections, cuts=[0, 8])
    np.testing.assert_array_equal(np.flatnonzero(cut.tracked), np.arange(8, 20))


def test_a_fast_move_right_before_a_cut_is_judged_by_its_own_shot() -> None:
    """Frame 8 is unlike both its neighbours, but the later one is in another shot."""
    detections = [[face_at(100)]] * 8 + [[face_at(125)]] + [[face_at(100)]] * 5
    assert not link_longest_face(detections).tracked[8]
    np.testing.assert_array_equal(np.flatnonzero(link_longest_face(detections, cuts=[9]).tracked), np.arange(9))
