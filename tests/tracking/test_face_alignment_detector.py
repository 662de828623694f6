"""The 68 points of face-alignment land at the right places of MediaPipe's mesh."""

import sys
import warnings
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from tracking.errors import UserError
from tracking.face_alignment_detector import MESH_POINT_OF, FaceAlignmentConfig, FaceAlignmentDetector
from tracking.face_regions import FACE_OVAL, INNER_LIPS, LEFT_EYE, OUTER_LIPS, RIGHT_EYE
from tracking.head_model import HeadModel

MIRRORED = [
    *(*range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1)),
    *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),
    *(*range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), *range(67, 64, -1)),
]
"""iBUG's points in the mirror."""


class FakeAlignment:
    """Finds given points, and warns like the package when there are none."""

    def __init__(self, faces: list[np.ndarray]) -> None:
        self.faces = faces

    def get_landmarks_from_image(self, image_or_path: np.ndarray) -> list[np.ndarray] | None:
        if self.faces:
            return self.faces
        warnings.warn("No faces were detected.", stacklevel=1)
        return None


def drawn_points(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 100, (68, 2))


def detect(*faces: np.ndarray) -> list[np.ndarray]:
    found = FaceAlignmentDetector(FakeAlignment(list(faces))).detect(np.zeros((100, 100, 3), np.uint8))
    assert all(face.expression_scores is None for face in found)
    return [face.landmarks for face in found]


def test_every_point_has_a_place_of_its_own_on_its_contour() -> None:
    assert len(MESH_POINT_OF) == len(set(MESH_POINT_OF)) == 68
    contours = ((slice(0, 17), FACE_OVAL), (slice(36, 42), RIGHT_EYE), (slice(42, 48), LEFT_EYE))
    for points, contour in (*contours, (slice(48, 60), OUTER_LIPS), (slice(60, 68), INNER_LIPS)):
        assert set(MESH_POINT_OF[points]) <= set(contour)


def test_left_and_right_of_the_points_are_left_and_right_of_the_mesh() -> None:
    mirrored = HeadModel.load().mirror[list(MESH_POINT_OF)]
    np.testing.assert_array_equal(mirrored, np.array(MESH_POINT_OF)[MIRRORED])
    # The model's x points to the person's left, which is right in the picture.
    assert (HeadModel.load().mean[list(MESH_POINT_OF[:8]), 0] < 0).all()


def test_points_are_put_where_they_are_and_nothing_else_is_made_up() -> None:
    points = drawn_points()
    (face,) = detect(points)
    np.testing.assert_array_equal(face[list(MESH_POINT_OF), :2], points)
    assert np.isfinite(face).sum() == 2 * 68
    assert np.isnan(face[468:]).all()


def test_several_faces_and_none() -> None:
    first, second = detect(drawn_points(0), drawn_points(1))
    np.testing.assert_array_equal(second[list(MESH_POINT_OF), :2], drawn_points(1))
    assert not np.array_equal(first, second, equal_nan=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert detect() == []


def package(make: object) -> ModuleType:
    """A package face_alignment of which only the constructor is there."""
    module = ModuleType("face_alignment")
    module.LandmarksType = SimpleNamespace(TWO_D=1)  # type: ignore[attr-defined]
    module.FaceAlignment = make  # type: ignore[attr-defined]
    return module


def test_a_missing_package_is_told_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "face_alignment", None)
    with pytest.raises(UserError, match=r"scripts/install\.sh landmarks"):
        FaceAlignmentDetector.load()


def test_missing_weights_are_told_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setitem(sys.modules, "face_alignment", package(refuse))
    with pytest.raises(UserError, match=r"no route to host.*internet"):
        FaceAlignmentDetector.load()


def test_what_is_asked_for_reaches_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}

    def make(landmarks_type: int, **options: object) -> FakeAlignment:
        asked.update(options, landmarks_type=landmarks_type)
        return FakeAlignment([drawn_points()])

    monkeypatch.setitem(sys.modules, "face_alignment", package(make))
    detector = FaceAlignmentDetector.load(FaceAlignmentConfig(device="cpu", face_detector="blazeface"))
    assert len(detector.detect(np.zeros((10, 10, 3), np.uint8))) == 1
    assert (asked["landmarks_type"], asked["device"], asked["face_detector"]) == (1, "cpu", "blazeface")
