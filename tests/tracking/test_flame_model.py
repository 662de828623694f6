"""A FLAME file is read without running it, and becomes the head that it describes.

FLAME itself cannot be had here. The files are made of our own head model: its mean, in metres, turned and with its
vertices shuffled, is a FLAME-like template; its identity modes are shapes, mixtures of its displacements expressions.
"""

import pickle
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from tracking.cameras import project, rigid, rotation_from_vector, transform, vector_from_rotation
from tracking.clip import Intrinsics
from tracking.errors import UserError
from tracking.fit_stages import CameraStage
from tracking.fitting import FitConfig, fit_head
from tracking.flame_file import read_flame_file
from tracking.flame_model import (
    JAW,
    FlameConfig,
    chosen_head_model,
    default_identity,
    load_flame,
    nearest_places,
    posed,
)
from tracking.head_model import HeadModel

KNOWN = tuple(range(3, 468, 5))
EARS = (234, 454)
TURN = rotation_from_vector(np.array([0.1, 0.05, -0.02]))


@pytest.fixture(scope="module")
def content() -> dict[str, Any]:
    """The arrays of a FLAME-like model."""
    model, random = HeadModel.load(), np.random.default_rng(3)
    order = random.permutation(478)
    place = np.argsort(order)

    def foreign(field: np.ndarray) -> np.ndarray:
        return (field @ TURN.T / 100)[..., order, :]

    mixtures = random.normal(0, 0.5, (100, 52)) @ model.expression_deltas.reshape(52, -1)
    shapes = np.zeros((300, 478, 3))
    shapes[: len(model.identity_basis)] = model.identity_basis
    directions = np.concatenate([foreign(shapes), foreign(mixtures.reshape(100, 478, 3))])
    template = foreign(model.mean) + np.array([0.01, 0.02, -0.03])
    moved = np.linalg.norm(model.expression_deltas[model.expression_index("jawOpen")], axis=1)[order]
    weights = np.zeros((478, 5))
    weights[:, JAW] = moved / moved.max()
    weights[:, 1] = 1 - weights[:, JAW]
    regressor = np.zeros((5, 478))
    regressor[[0, 1, 3, 4], place[[5, 17, 473, 468]]] = 1
    regressor[JAW, place[list(EARS)]] = 0.5
    irises = np.array([[center, center + i, center + i % 4 + 1] for center in (468, 473) for i in (1, 2, 3, 4)])
    return {
        "v_template": template,
        "f": place[np.concatenate([model.triangles, irises])].astype(np.uint32),
        "shapedirs": np.moveaxis(directions, 0, -1),
        "posedirs": np.zeros((478, 3, 36)),
        "J_regressor": regressor,
        "weights": weights,
        "kintree_table": np.array([[4294967295, 0, 1, 1, 1], [0, 1, 2, 3, 4]], dtype=np.uint32),
    }


def write_embedding(path: Path, triangles: np.ndarray) -> Path:
    """Where the known landmarks are: at a corner of some triangle."""
    model = HeadModel.load()
    faces = [int(np.flatnonzero((model.triangles == index).any(1))[0]) for index in KNOWN]
    shares = (model.triangles[faces] == np.array(KNOWN)[:, None]).astype(float)
    np.savez(path, landmark_indices=np.array(KNOWN), lmk_face_idx=np.array(faces), lmk_b_coords=shares)
    return path


@pytest.fixture
def config(content: dict[str, Any], tmp_path: Path) -> FlameConfig:
    np.savez(tmp_path / "flame.npz", **content)
    return FlameConfig(tmp_path / "flame.npz", write_embedding(tmp_path / "embedding.npz", content["f"]))


def chumpy_modules(monkeypatch: pytest.MonkeyPatch) -> tuple[type, type]:
    """Classes named as chumpy's, to write a pickle like FLAME's with; gone again when it is read."""

    def record(self: Any, **state: Any) -> None:
        self.__dict__.update(state)

    ch, reordering = types.ModuleType("chumpy.ch"), types.ModuleType("chumpy.reordering")
    kinds = []
    for module, name in ((ch, "Ch"), (reordering, "Select")):
        kind = type(name, (), {"__module__": module.__name__, "__init__": record, "__qualname__": name})
        setattr(module, name, kind)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        kinds.append(kind)
    monkeypatch.setitem(sys.modules, "chumpy", types.ModuleType("chumpy"))
    return kinds[0], kinds[1]


@pytest.mark.parametrize("protocol", [0, 2, 5])
@pytest.mark.parametrize("matrix", [sparse.csc_matrix, sparse.csr_matrix])
def test_a_pickle_with_chumpy_and_scipy_in_it_is_read_without_them(
    content: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: int, matrix: type
) -> None:
    path = tmp_path / "flame.pkl"
    with monkeypatch.context() as patched:
        chumpy, select = chumpy_modules(patched)
        whole = np.concatenate([content["posedirs"].ravel(), np.ones(7)])
        disguised = {
            **content,
            "v_template": chumpy(x=content["v_template"], _dirty_vars=set(), _itr=None),
            "shapedirs": chumpy(x=np.asfortranarray(content["shapedirs"])),
            "posedirs": select(
                a=chumpy(x=whole), idxs=np.arange(content["posedirs"].size), preferred_shape=content["posedirs"].shape
            ),
            "J_regressor": matrix(content["J_regressor"]),
            "weights": content["weights"].astype(">f8"),
            "bs_style": "lbs",
        }
        path.write_bytes(pickle.dumps(disguised, protocol=protocol))
    flame = read_flame_file(path)
    assert "chumpy" not in sys.modules
    np.testing.assert_array_equal(flame.template, content["v_template"])
    np.testing.assert_array_equal(flame.triangles, content["f"])
    np.testing.assert_array_equal(
        np.concatenate([flame.shape_directions, flame.expression_directions], 2), content["shapedirs"]
    )
    np.testing.assert_array_equal(flame.pose_directions, content["posedirs"])
    np.testing.assert_array_equal(flame.joint_regressor, content["J_regressor"])
    np.testing.assert_array_equal(flame.weights, content["weights"])
    assert flame.parents.tolist() == [-1, 0, 1, 1, 1]


class Exploit:
    """Runs a command when it is unpickled in the usual way."""

    def __init__(self, call: Any, *arguments: Any) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.call, self.arguments


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_pickle_that_wants_to_run_something_is_refused_and_runs_nothing(
    content: dict[str, Any], tmp_path: Path, protocol: int
) -> None:
    mark = tmp_path / "was_here"
    for exploit in (
        Exploit(mark.touch),
        Exploit(eval, f"open({str(mark)!r}, 'w')"),
        Exploit(getattr, "", "join"),
        Exploit(np.load, str(mark), None, True),
    ):
        path = tmp_path / "evil.pkl"
        path.write_bytes(pickle.dumps({**content, "v_template": exploit}, protocol=protocol))
        with pytest.raises(UserError, match=r"wants to run .* it was not read"):
            read_flame_file(path)
    assert not mark.exists()


@pytest.mark.parametrize(
    "state",
    [
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\ndtype\n(I0\ntS'b'\ntR.",
        b"ccopy_reg\n_reconstructor\n(c__builtin__\nobject\nc__builtin__\nobject\nNtR.",
        b"c_codecs\nencode\n(S'x'\nS'zip'\ntR.",
    ],
)
def test_allowed_names_cannot_be_turned_to_other_use(tmp_path: Path, state: bytes) -> None:
    (tmp_path / "evil.pkl").write_bytes(state)
    with pytest.raises(UserError, match="wants to run"):
        read_flame_file(tmp_path / "evil.pkl")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": np.zeros((478, 4))}, r"weights is \(478, 4\), not \(478, 5\)"),
        ({"f": np.array([[0, 1, 478]])}, "no triangles"),
        ({"v_template": np.full((478, 3), np.nan)}, "no number"),
        ({"shapedirs": np.zeros((478, 3, 300))}, "no expression components"),
        ({"kintree_table": np.array([[0, 3, 1, 1, 1], [0, 1, 2, 3, 4]])}, "no tree"),
    ],
)
def test_what_is_no_flame_model_is_told(
    content: dict[str, Any], tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    np.savez(tmp_path / "flame.npz", **{**content, **change})
    with pytest.raises(UserError, match=message):
        read_flame_file(tmp_path / "flame.npz")


def test_other_files_are_told(tmp_path: Path, config: FlameConfig) -> None:
    (tmp_path / "text.pkl").write_text("dear")
    for path, message in ((tmp_path / "text.pkl", "is no FLAME model"), (tmp_path / "none.pkl", "does not exist")):
        with pytest.raises(UserError, match=message):
            read_flame_file(path)
    np.savez(
        tmp_path / "other.npz",
        landmark_indices=np.arange(20),
        lmk_face_idx=np.full(20, 9999),
        lmk_b_coords=np.ones((20, 3)),
    )
    with pytest.raises(UserError, match="does not belong to the mesh"):
        load_flame(config.model, tmp_path / "other.npz")
    with pytest.raises(UserError, match="lacks landmark_indices"):
        load_flame(config.model, config.model)


def test_a_model_made_of_ours_comes_back_as_ours(config: FlameConfig) -> None:
    model, default = chosen_head_model(config), HeadModel.load()
    # Points whose places are not given are found within a millimetre, most of them far nearer.
    distance = np.linalg.norm(model.mean - default.mean, axis=1)
    assert distance[list(KNOWN)].max() < 1e-4
    assert np.median(distance) < 0.005
    assert distance.max() < 0.1
    np.testing.assert_allclose(model.identity_basis[:46], default.identity_basis, atol=0.05)
    assert len(model.identity_basis) == 80
    for name, ours, theirs in zip(
        default.expression_names, default.expression_deltas, model.expression_deltas, strict=True
    ):
        if ours.any():
            cosine = (ours * theirs).sum() / np.sqrt((ours**2).sum() * (theirs**2).sum())
            assert cosine > 0.99, name
            assert np.linalg.norm(theirs) / np.linalg.norm(ours) == pytest.approx(1, abs=0.02), name


def test_a_person_keeps_their_face_in_the_default_model(config: FlameConfig) -> None:
    model = chosen_head_model(config)
    identity = np.zeros(80)
    identity[:46] = np.random.default_rng(5).normal(0, 1, 46)
    kept = HeadModel.load().neutral(default_identity(model, identity, ridge=1e-6))
    distance = np.linalg.norm(kept - model.neutral(identity), axis=1)
    assert np.median(distance) < 0.03
    assert distance.max() < 0.3


def test_a_clip_fitted_with_flame_is_read_without_it(config: FlameConfig) -> None:
    model, random = chosen_head_model(config), np.random.default_rng(11)
    assert chosen_head_model(FlameConfig()) is HeadModel.load()
    frames = 16
    identity = np.zeros(80)
    identity[:10] = random.normal(0, 0.7, 10)
    expression = np.zeros((frames, 52))
    expression[:, model.expression_index("jawOpen")] = np.linspace(0, 0.8, frames)
    turn = rotation_from_vector(
        np.stack([0.1 * np.sin(np.arange(frames)), np.linspace(-0.5, 0.5, frames), np.zeros(frames)], 1)
    )
    pose = rigid(turn, np.tile([1.0, 0.5, -60.0], (frames, 1)))
    points = transform(pose, model.vertices(identity, expression).astype(np.float64))
    seen = project(points, Intrinsics(800.0, 256.0, 256.0, 512, 512))
    depth = -(points[..., 2:] - points[..., 2:].mean(1, keepdims=True)) * 800 / 60
    observed = (np.concatenate([seen, depth], -1), np.ones(frames, bool), 512, 512)
    how = FitConfig(flame=config, camera=CameraStage(focal_length=800 / 512))
    fit = fit_head(*observed, how)
    again = fit_head(*observed, how, known=fit.known_head)
    np.testing.assert_allclose(again.camera_to_head, fit.camera_to_head, atol=0.01)
    assert fit.reprojection_error.max() < 0.5
    turned = fit.camera_to_head[:, :3, :3] @ turn
    assert np.degrees(np.linalg.norm(vector_from_rotation(turned), axis=1)).max() < 1
    assert np.corrcoef(fit.expression[:, model.expression_index("jawOpen")], expression.max(1))[0, 1] > 0.99
    default = HeadModel.load()
    assert len(fit.identity) == len(default.identity_basis)
    error = np.linalg.norm(default.neutral(fit.identity) - model.neutral(identity), axis=1)
    assert np.median(error) < 0.15


def test_flame_needs_both_files(config: FlameConfig) -> None:
    for half in (FlameConfig(model=config.model), FlameConfig(landmarks=config.landmarks)):
        with pytest.raises(UserError, match="needs two files"):
            chosen_head_model(half)


def test_joints_turn_what_belongs_to_them(content: dict[str, Any], config: FlameConfig) -> None:
    flame = read_flame_file(config.model)
    rest = np.repeat(np.eye(3)[None], 5, axis=0)
    np.testing.assert_allclose(posed(flame, rest), flame.template, atol=1e-12)
    turned = rest.copy()
    turned[JAW] = rotation_from_vector(np.array([0.3, 0.0, 0.0]))
    hinge, share = flame.joint_regressor[JAW] @ flame.template, flame.weights[:, JAW, None]
    expected = share * ((flame.template - hinge) @ turned[JAW].T + hinge) + (1 - share) * flame.template
    np.testing.assert_allclose(posed(flame, turned), expected, atol=1e-12)
    whole = rest.copy()
    whole[0] = rotation_from_vector(np.array([0.0, 0.5, 0.2]))
    root = flame.joint_regressor[0] @ flame.template
    np.testing.assert_allclose(posed(flame, whole), (flame.template - root) @ whole[0].T + root, atol=1e-12)


def test_nearest_places_are_on_the_mesh_and_nearest() -> None:
    corners = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]])
    triangles = np.array([[0, 1, 2], [1, 3, 2]])
    points = np.array([[0.2, 0.3, 0.5], [0.9, 0.8, -2.0], [-1.0, -1.0, 0.0]])
    places = nearest_places(points, corners, triangles)
    np.testing.assert_allclose(places.of(corners), [[0.2, 0.3, 0], [0.9, 0.8, 0], [0, 0, 0]], atol=1e-9)
    np.testing.assert_allclose(places.shares.sum(1), 1)
