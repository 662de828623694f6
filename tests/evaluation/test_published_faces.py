"""What MediaPipe's FaceLandmarker would read, told beforehand: each measure of it has a known value."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from evaluation.expressions import FOLLOWED
from evaluation.face_reader import FaceReading, LandmarkerReader
from evaluation.landmark_distance import PARTS
from evaluation.metric_set import EditQuestion, MetricsConfig, build_metrics
from evaluation.published_faces import MEANINGS, PublishedFaces
from tests.evaluation.conftest import SHARED_WEIGHTS, frontal_landmarks
from tracking.errors import UserError

FRAMES = 24
IRIS_DISTANCE = 40.0


def reading(number: int, **change) -> FaceReading:
    landmarks = frontal_landmarks((100, 100), IRIS_DISTANCE)
    scores = {name: 0.5 + 0.3 * np.sin(0.7 * number + place) for place, name in enumerate(FOLLOWED)}
    return FaceReading(**{"landmarks": landmarks, "scores": scores, "rotation": np.eye(3), **change})


class Told:
    """Reads what it was told, and counts how often it was let go."""

    def __init__(self, readings) -> None:
        self.rest = list(readings)
        self.closed = 0

    def read(self, picture):
        return self.rest.pop(0)

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def compared(scene, measured):
    """The measures of a source and an edit whose readings are given."""

    def compare(source, edited, tracked=FRAMES):
        readers = [Told(source), Told(edited)]
        waiting = list(readers)
        known = [{} if number < tracked else {"matte": None} for number in range(len(source))]
        pairs = [scene.pair(number, **what) for number, what in enumerate(known)]
        found = measured(PublishedFaces(lambda: waiting.pop(0)), pairs)
        assert [reader.closed for reader in readers] == [1, 1]
        return {name: measure.value for name, measure in found.items()}

    return compare


def readings(change=lambda number: {}):
    return [reading(number, **change(number)) for number in range(FRAMES)]


def test_an_identical_face_has_moved_nowhere(compared) -> None:
    found = compared(readings(), readings())
    assert found.keys() == MEANINGS.keys()
    for name, value in found.items():
        assert value == pytest.approx(1.0 if "correlation" in name else 0.0, abs=1e-9), name


def test_another_place_size_and_turn_in_the_picture_do_not_count(compared) -> None:
    turn = 1.3 * np.array([[np.cos(0.2), -np.sin(0.2)], [np.sin(0.2), np.cos(0.2)]])
    moved = readings(lambda number: {"landmarks": frontal_landmarks((100, 100), IRIS_DISTANCE) @ turn.T + 30})
    assert compared(readings(), moved)["landmarker_distance"] == pytest.approx(0, abs=1e-9)


def test_lips_that_hang_lower_are_found_by_as_much(compared) -> None:
    """Forty of the 478 points are moved by a tenth of the irises' distance; the alignment gives a little of it back."""
    lower = frontal_landmarks((100, 100), IRIS_DISTANCE)
    lower[PARTS["_lips"][0], 1] += 0.1 * IRIS_DISTANCE
    found = compared(readings(), readings(lambda number: {"landmarks": lower}))
    assert 0.07 < found["landmarker_distance_lips"] < 0.1
    assert found["landmarker_distance_eyes"] < 0.03
    assert found["landmarker_distance"] < 0.03


def test_the_angle_between_the_heads_is_told_in_degrees(compared) -> None:
    turned = readings(lambda number: {"rotation": Rotation.from_euler("y", 3.0, degrees=True).as_matrix()})
    assert compared(readings(), turned)["landmarker_rotation"] == pytest.approx(3.0)


def test_scores_that_run_against_the_source_correlate_with_minus_one(compared) -> None:
    def against(number: int) -> dict:
        scores = reading(number).scores
        return {"scores": {**scores, "jawOpen": 1 - scores["jawOpen"]}}

    found = compared(readings(), readings(against))
    assert found["landmarker_correlation_jawOpen"] == pytest.approx(-1)
    assert found["landmarker_correlation_mouthPucker"] == pytest.approx(1)


def test_frames_that_are_not_tracked_do_not_pass_for_faithful_edits(compared) -> None:
    """The second half of the video was never edited: in it both faces are one."""
    turned = {"rotation": Rotation.from_euler("y", 3.0, degrees=True).as_matrix()}
    half = readings(lambda number: turned if number < FRAMES // 2 else {})
    assert compared(readings(), half)["landmarker_rotation"] == pytest.approx(1.5)
    assert compared(readings(), half, tracked=FRAMES // 2)["landmarker_rotation"] == pytest.approx(3.0)


def test_an_edit_without_a_face_is_reported_and_not_guessed(compared) -> None:
    assert set(compared(readings(), [None] * FRAMES).values()) == {None}


def test_without_the_landmarkers_file_its_cure_is_told(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    measures = [measure for metric in build_metrics(MetricsConfig(), EditQuestion()) for measure in metric.measures()]
    told = {measure.name: measure.missing for measure in measures if measure.name in MEANINGS}
    assert told.keys() == MEANINGS.keys()
    assert all("face_landmarker.task" in missing and "--weights-dir" in missing for missing in told.values())


def test_a_file_that_is_no_landmarker_is_refused(tmp_path) -> None:
    (tmp_path / "face_landmarker.task").write_bytes(b"none")
    with pytest.raises(UserError, match="no face landmarker"):
        LandmarkerReader(tmp_path / "face_landmarker.task")


@pytest.mark.skipif(not (SHARED_WEIGHTS / "face_landmarker.task").is_file(), reason="no face_landmarker.task")
def test_the_landmarker_itself_sees_no_face_in_noise() -> None:
    reader = LandmarkerReader(SHARED_WEIGHTS / "face_landmarker.task")
    noise = np.random.default_rng(0).integers(0, 255, (96, 96, 3), dtype=np.uint8)
    assert reader.read(noise) is None
    reader.close()
