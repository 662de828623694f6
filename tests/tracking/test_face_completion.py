"""Landmarks that a detector lacks are put where the rest of the face says."""

import numpy as np

from tracking.cameras import rotation_from_vector
from tracking.face_alignment_detector import MESH_POINT_OF, to_mesh
from tracking.face_completion import completed
from tracking.head_model import HeadModel

PIXELS_PER_CENTIMETER = 8.0


def drawn_face(jaw_open: float = 0.0, turn: float = 0.0) -> np.ndarray:
    """The mean head in the image, turned about its vertical axis."""
    model = HeadModel.load()
    expression = np.zeros(len(model.expression_names))
    expression[model.expression_index("jawOpen")] = jaw_open
    vertices = model.vertices(np.zeros(len(model.identity_basis)), expression)[:478].astype(float)
    turned = vertices @ rotation_from_vector(np.array([0.0, turn, 0.0])).T
    return PIXELS_PER_CENTIMETER * turned * [1, -1, -1] + [120, 90, 0]


def test_a_whole_face_comes_back_from_68_points() -> None:
    for truth in (drawn_face(), drawn_face(turn=0.5), drawn_face(jaw_open=0.8, turn=-0.3)):
        face = completed(to_mesh(truth[list(MESH_POINT_OF), :2])[None])[0]
        distance = np.linalg.norm(face[:, :2] - truth[:, :2], axis=1) / PIXELS_PER_CENTIMETER
        assert np.median(distance) < 0.1
        assert distance.max() < 0.6
        depth = truth[:, 2] - truth[:, 2].mean()
        assert np.corrcoef(face[:, 2], depth)[0, 1] > 0.98


def test_what_was_measured_and_what_was_not_seen_stay_as_they_are() -> None:
    whole, partial = drawn_face(), to_mesh(drawn_face()[list(MESH_POINT_OF), :2])
    landmarks = np.stack([whole, partial, np.full_like(whole, np.nan)])
    result = completed(landmarks)
    np.testing.assert_array_equal(result[0], whole)
    np.testing.assert_array_equal(result[1, list(MESH_POINT_OF), :2], partial[list(MESH_POINT_OF), :2])
    assert np.isfinite(result[1]).all()
    assert np.isnan(result[2]).all()
