"""A landmarker file gives landmarks and scores in the head model's order; wrong files are told in one sentence."""

import os
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tracking.choose_detector import DetectorConfig, make_detector
from tracking.errors import UserError
from tracking.face_following import mirrored_expressions
from tracking.head_model import HeadModel
from tracking.landmarker_task_detector import LandmarkerTaskDetector, expression_scores
from tracking.mediapipe_detector import MediaPipeDetector
from tracking.video import VideoReader

NAMES = HeadModel.load().expression_names
TASK = os.environ.get("PORTRAIT_EDIT_LANDMARKER")
"""The path of MediaPipe's face_landmarker.task, on machines that have it."""


def test_scores_go_by_name_into_the_models_order() -> None:
    categories = [SimpleNamespace(category_name=name, score=i / 100) for i, name in enumerate(("_neutral", *NAMES))]
    np.testing.assert_allclose(expression_scores(reversed(categories), NAMES), np.arange(1, 1 + len(NAMES)) / 100)


def test_an_expression_without_a_score_has_none_made_up() -> None:
    scores = expression_scores([SimpleNamespace(category_name="jawOpen", score=0.25)], NAMES)
    assert scores[NAMES.index("jawOpen")] == 0.25
    assert np.isfinite(scores).sum() == 1


def test_in_the_mirror_left_and_right_change_places_and_nothing_else() -> None:
    mirrored = mirrored_expressions(NAMES)
    assert NAMES[mirrored[NAMES.index("eyeBlinkLeft")]] == "eyeBlinkRight"
    assert NAMES[mirrored[NAMES.index("jawOpen")]] == "jawOpen"
    np.testing.assert_array_equal(mirrored[mirrored], np.arange(len(NAMES)))
    assert (mirrored != np.arange(len(NAMES))).sum() == sum(name.endswith(("Left", "Right")) for name in NAMES)


def test_a_file_that_is_not_there_or_no_landmarker_is_told_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        LandmarkerTaskDetector(tmp_path / "missing.task")
    text = tmp_path / "text.task"
    text.write_text("not a bundle")
    bundle = tmp_path / "bundle.task"
    with zipfile.ZipFile(bundle, "w") as archive:
        archive.writestr("something.tflite", b"else")
    for path in (text, bundle):
        with pytest.raises(UserError, match="no face landmarker"):
            LandmarkerTaskDetector(path)


def test_the_file_must_be_given_to_its_detector_and_to_no_other(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"add --detector\.task"):
        make_detector(DetectorConfig(kind="landmarker-task"))
    with pytest.raises(UserError, match="add --detector landmarker-task"):
        make_detector(DetectorConfig(task=tmp_path / "face_landmarker.task"))
    with pytest.raises(UserError, match="cannot be read"):
        make_detector(DetectorConfig(kind="landmarker-task", task=tmp_path / "face_landmarker.task"))


@pytest.mark.skipif(not TASK, reason="PORTRAIT_EDIT_LANDMARKER names no face_landmarker.task")
def test_a_real_landmarker_agrees_with_the_bundled_models(carphone: Path) -> None:
    frames = [frame.image for frame in VideoReader(carphone)]
    detector = LandmarkerTaskDetector(Path(TASK or ""))
    openness = []
    for image in (frames[0], frames[40], frames[80]):
        (face,), (expected,) = detector.detect(image), MediaPipeDetector().detect(image)
        distance = np.linalg.norm(face.landmarks[:, :2] - expected.landmarks[:, :2], axis=1)
        assert distance.mean() < 0.05 * np.linalg.norm(expected.landmarks[33] - expected.landmarks[263])
        assert face.expression_scores is not None
        scored = np.isfinite(face.expression_scores)
        assert set(np.array(NAMES)[~scored]) == {"tongueOut"}
        assert ((face.expression_scores[scored] >= 0) & (face.expression_scores[scored] <= 1)).all()
        openness.append(face.expression_scores[NAMES.index("jawOpen")])
    assert np.ptp(openness) > 0.001
