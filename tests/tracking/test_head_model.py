"""The head model's named parts move where their names say."""

import hashlib
from importlib import resources

import numpy as np
import pytest

from tracking.clip import FORMAT_VERSION
from tracking.head_model import HeadModel
from tracking.proxy_mesh import head_shell, torso_shell

NOSE_TIP, CHIN, UPPER_LIP, LOWER_LIP = 1, 152, 13, 14
RIGHT_CORNER, LEFT_CORNER = 61, 291
LEFT_LIDS, RIGHT_LIDS = (386, 374), (159, 145)
LEFT_IRIS, RIGHT_IRIS = 473, 468
LEFT_BROW, RIGHT_BROW = 282, 52
BELOW_LEFT_EYE = (346, 347, 348, 449, 450)


@pytest.fixture(scope="module")
def model() -> HeadModel:
    return HeadModel.load()


def face(model: HeadModel, **coefficients: float) -> np.ndarray:
    expression = np.zeros(len(model.expression_names))
    for name, value in coefficients.items():
        expression[model.expression_index(name)] = value
    return model.vertices(np.zeros(len(model.identity_basis)), expression)


def gap(vertices: np.ndarray, pair: tuple[int, int]) -> float:
    return float(np.linalg.norm(vertices[pair[0]] - vertices[pair[1]]))


def test_axes_are_left_up_and_out_of_the_face(model):
    assert model.mean[LEFT_CORNER, 0] > 1 > -1 > model.mean[RIGHT_CORNER, 0]
    assert model.mean[LEFT_IRIS, 1] > model.mean[NOSE_TIP, 1] > model.mean[CHIN, 1]
    assert model.mean[NOSE_TIP, 2] == pytest.approx(model.mean[:, 2].max(), abs=0.5)


def test_iris_has_human_size(model):
    # The detector's irises are wider than high; their mean diameter sets the scale.
    assert (gap(model.mean, (474, 476)) + gap(model.mean, (475, 477))) / 2 == pytest.approx(1.17, rel=0.03)
    assert 5.5 < gap(model.mean, (LEFT_IRIS, RIGHT_IRIS)) < 7.0


def test_jaw_open_lowers_the_chin_and_parts_the_lips(model):
    rest, opened = face(model), face(model, jawOpen=1)
    assert rest[CHIN, 1] - opened[CHIN, 1] > 2
    assert abs(rest[NOSE_TIP] - opened[NOSE_TIP]).max() < 0.2
    assert gap(rest, (UPPER_LIP, LOWER_LIP)) < 0.05
    assert 2.5 < gap(opened, (UPPER_LIP, LOWER_LIP)) < 4


def test_mouth_close_undoes_the_parting_of_the_lips(model):
    assert gap(face(model, jawOpen=1, mouthClose=1), (UPPER_LIP, LOWER_LIP)) < 0.1


def test_blink_closes_its_own_eye_only(model):
    rest, blink = face(model), face(model, eyeBlinkLeft=1)
    assert gap(blink, LEFT_LIDS) < 0.2 * gap(rest, LEFT_LIDS)
    assert gap(blink, RIGHT_LIDS) == pytest.approx(gap(rest, RIGHT_LIDS), rel=0.02)


def test_smile_widens_the_mouth_and_lifts_its_corners(model):
    rest, smile = face(model), face(model, mouthSmileLeft=1, mouthSmileRight=1)
    assert gap(smile, (RIGHT_CORNER, LEFT_CORNER)) > gap(rest, (RIGHT_CORNER, LEFT_CORNER)) + 0.7
    assert smile[LEFT_CORNER, 1] > rest[LEFT_CORNER, 1] + 0.4


def test_pucker_narrows_the_mouth_and_brings_it_forward(model):
    rest, pucker = face(model), face(model, mouthPucker=1)
    assert gap(pucker, (RIGHT_CORNER, LEFT_CORNER)) < gap(rest, (RIGHT_CORNER, LEFT_CORNER)) - 0.5
    assert pucker[LOWER_LIP, 2] > rest[LOWER_LIP, 2] + 0.2


@pytest.mark.parametrize(("name", "border", "line"), [("mouthRollLower", 17, 14), ("mouthRollUpper", 0, 13)])
def test_a_rolled_lip_turns_about_the_line_at_which_the_lips_meet(model, name, border, line):
    moved = face(model, **{name: 1}) - face(model)
    toward_the_line = moved[border, 1] * np.sign(model.mean[line, 1] - model.mean[border, 1])
    assert toward_the_line > 0.3
    assert abs(moved[line, 1]) < 0.1
    assert moved[line, 2] < -0.3


def test_squinting_skin_goes_up_and_to_the_inner_corner(model):
    moved = (face(model, eyeSquintLeft=1) - face(model))[list(BELOW_LEFT_EYE)].mean(0)
    assert moved[0] < -0.1 and moved[1] > 0.1


def test_what_is_on_the_left_hardly_moves_the_right_half(model):
    right = model.mean[:, 0] < -1.5
    for name, delta in zip(model.expression_names, model.expression_deltas, strict=True):
        # The jaw and the whole mouth go as one.
        if name.endswith("Left") and name not in ("jawLeft", "mouthLeft"):
            size = np.linalg.norm(delta, axis=-1)
            assert size[right].max() < 0.4 * size.max(), name


def test_another_head_model_is_another_clip_format():
    """A clip holds coefficients of the model that it was tracked by, which mean another shape to another model."""
    content = (resources.files("tracking") / "data" / "head_model.npz").read_bytes()
    assert (FORMAT_VERSION, hashlib.sha256(content).hexdigest()[:12]) == (3, "770abd9a29a3"), (
        "the head model has changed: raise FORMAT_VERSION, then note both here"
    )


def test_brows_go_up_and_down(model):
    rest = face(model)
    assert face(model, browOuterUpLeft=1)[LEFT_BROW, 1] > rest[LEFT_BROW, 1] + 0.25
    assert abs(face(model, browOuterUpLeft=1)[RIGHT_BROW, 1] - rest[RIGHT_BROW, 1]) < 0.1
    assert face(model, browDownLeft=1)[LEFT_BROW, 1] < rest[LEFT_BROW, 1] - 0.15


@pytest.mark.parametrize(("name", "axis", "sign"), [("Out", 0, 1), ("In", 0, -1), ("Up", 1, 1), ("Down", 1, -1)])
def test_gaze_turns_the_named_iris_the_named_way(model, name, axis, sign):
    moved = face(model, **{f"eyeLook{name}Left": 1}) - face(model)
    assert sign * moved[LEFT_IRIS, axis] > 0.3
    assert abs(moved[RIGHT_IRIS]).max() < 1e-6


def test_left_and_right_expressions_are_mirror_images(model):
    flip = np.array([-1, 1, 1])
    np.testing.assert_array_equal(model.mirror[model.mirror], np.arange(len(model.mean)))
    np.testing.assert_allclose(model.mean[model.mirror] * flip, model.mean, atol=1e-5)
    for name, delta in zip(model.expression_names, model.expression_deltas, strict=True):
        partner = (
            name[:-4] + "Right" if name.endswith("Left") else name[:-5] + "Left" if name.endswith("Right") else name
        )
        other = model.expression_deltas[model.expression_index(partner)]
        np.testing.assert_allclose(delta[model.mirror] * flip, other, atol=1e-5, err_msg=name)


def test_every_expression_but_the_tongue_moves_something(model):
    size = np.linalg.norm(model.expression_deltas, axis=-1).max(1)
    still = [name for name, largest in zip(model.expression_names, size, strict=True) if largest < 0.1]
    assert still == ["tongueOut"]
    assert size.max() < 5


def test_triangles_face_outward_with_one_rim(model):
    corners = model.mean[model.triangles]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert normals[:, 2].sum() > 0
    edges = np.concatenate([model.triangles[:, [0, 1]], model.triangles[:, [1, 2]], model.triangles[:, [2, 0]]])
    directed = {tuple(edge) for edge in edges.tolist()}
    assert len(directed) == len(edges)
    assert sum((b, a) not in directed for a, b in directed) == 36


def test_identity_modes_hold_no_rigid_motion(model):
    smooth = model.identity_basis[:36]
    np.testing.assert_allclose(smooth.mean(1), 0, atol=1e-4)
    np.testing.assert_allclose(np.cross(model.mean, smooth).mean(1), 0, atol=1e-3)


@pytest.mark.parametrize("shell", [head_shell(np.zeros(len(HeadModel.load().identity_basis))), torso_shell()])
def test_shells_are_closed_and_face_outward(shell):
    vertices, triangles = shell
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    directed = {tuple(edge) for edge in edges.tolist()}
    assert len(directed) == len(edges)
    assert all((b, a) in directed for a, b in directed)
    a, b, c = vertices[triangles].transpose(1, 0, 2)
    assert (a * np.cross(b, c)).sum() / 6 > 1000


def test_head_shell_contains_the_face(model):
    vertices, _ = head_shell(np.zeros(len(model.identity_basis)))
    assert vertices[:, 1].max() > model.mean[:, 1].max() + 5
    assert vertices[:, 2].min() < -13
    np.testing.assert_allclose(vertices[:468], model.mean[:468], atol=1e-6)


def test_an_unknown_expression_is_named(model):
    with pytest.raises(KeyError, match="smirk"):
        model.expression_index("smirk")
