"""The exported head, read back from the file's bytes, is the tracked head."""

import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tracking.cameras import rigid, rigid_inverse, rotation_from_vector, transform
from tracking.clip import TrackedClip
from tracking.errors import UserError
from tracking.face_regions import LEFT_EYE, RIGHT_EYE
from tracking.gltf_export import continuous_quaternions, write_gltf
from tracking.head_model import HeadModel

WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
TYPES = {5126: "<f4", 5123: "<u2"}


class Glb:
    """A reader that follows the specification and knows nothing of the writer."""

    def __init__(self, path: Path) -> None:
        content = path.read_bytes()
        magic, version, length = struct.unpack_from("<4sII", content)
        assert (magic, version, length) == (b"glTF", 2, len(content))
        size, kind = struct.unpack_from("<I4s", content, 12)
        assert kind == b"JSON" and size % 4 == 0
        self.document: dict[str, Any] = json.loads(content[20 : 20 + size])
        binary_size, kind = struct.unpack_from("<I4s", content, 20 + size)
        assert kind == b"BIN\0" and binary_size % 4 == 0
        self.binary = content[28 + size :]
        assert len(self.binary) == binary_size
        assert 0 <= binary_size - self.document["buffers"][0]["byteLength"] < 4

    def view(self, number: int, kind: str, count: int) -> np.ndarray:
        view = self.document["bufferViews"][number]
        assert view["byteOffset"] % 4 == 0
        assert count * np.dtype(kind).itemsize == view["byteLength"]
        return np.frombuffer(self.binary, kind, count, view["byteOffset"])

    def accessor(self, number: int) -> np.ndarray:
        accessor = self.document["accessors"][number]
        kind, width = TYPES[accessor["componentType"]], WIDTHS[accessor["type"]]
        shape = (accessor["count"], width)
        if "bufferView" in accessor:
            values = self.view(accessor["bufferView"], kind, int(np.prod(shape))).reshape(shape)
        else:
            values = np.zeros(shape, kind)
        if "sparse" in accessor:
            sparse = accessor["sparse"]
            indices = self.view(sparse["indices"]["bufferView"], "<u2", sparse["count"])
            assert (np.diff(indices.astype(int)) > 0).all()
            values = values.copy()
            values[indices] = self.view(sparse["values"]["bufferView"], kind, sparse["count"] * width).reshape(
                -1, width
            )
        if "min" in accessor:
            np.testing.assert_array_equal(values.min(0), np.array(accessor["min"], kind))
            np.testing.assert_array_equal(values.max(0), np.array(accessor["max"], kind))
        return values[:, 0] if width == 1 else values

    def channel(self, path: str) -> tuple[np.ndarray, np.ndarray]:
        (animation,) = self.document["animations"]
        (channel,) = [channel for channel in animation["channels"] if channel["target"]["path"] == path]
        sampler = animation["samplers"][channel["sampler"]]
        return self.accessor(sampler["input"]), self.accessor(sampler["output"])


@pytest.fixture
def glb(known_clip: TrackedClip, tmp_path: Path) -> Glb:
    write_gltf(known_clip, tmp_path / "head.glb")
    return Glb(tmp_path / "head.glb")


def rotation_of(quaternion: np.ndarray) -> np.ndarray:
    """The textbook's matrix of a unit quaternion (x, y, z, w)."""
    x, y, z, w = quaternion
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def test_every_accessor_reads_back_with_its_bounds(glb: Glb) -> None:
    for number in range(len(glb.document["accessors"])):
        assert np.isfinite(glb.accessor(number)).all()


def test_the_evaluated_scene_is_the_tracked_head_in_front_of_the_camera(glb: Glb, known_clip: TrackedClip) -> None:
    model = HeadModel.load()
    (mesh,) = glb.document["meshes"]
    primitive = mesh["primitives"][0]
    neutral = glb.accessor(primitive["attributes"]["POSITION"])[:478]
    targets = np.stack([glb.accessor(target["POSITION"])[:478] for target in primitive["targets"]])
    times, weights = glb.channel("weights")
    _, rotations = glb.channel("rotation")
    _, translations = glb.channel("translation")
    weights = weights.reshape(len(times), -1)
    assert mesh["extras"]["targetNames"] == list(model.expression_names)
    for key, frame in enumerate(known_clip.frames):
        assert times[key] == pytest.approx(known_clip.seconds[frame])
        local = neutral + np.tensordot(weights[key], targets, 1)
        placed = local @ rotation_of(rotations[key]).T + translations[key]
        expected = model.vertices(known_clip.track.identity, known_clip.track.expression[frame])
        expected = transform(rigid_inverse(known_clip.track.camera_to_head[frame]), expected) / 100
        np.testing.assert_allclose(placed, expected, atol=2e-6)
    assert (placed[:, 2] < 0).all()


def test_untracked_frames_have_no_keys_and_are_told(glb: Glb, known_clip: TrackedClip) -> None:
    for path in ("weights", "rotation", "translation"):
        times, _ = glb.channel(path)
        np.testing.assert_allclose(times, known_clip.seconds[known_clip.frames], rtol=1e-6)
    spans = glb.document["animations"][0]["extras"]["untracked"]
    np.testing.assert_allclose(spans, [[0, 0.04], [0.68, 0.76], [1.56, 1.56]])


def test_the_camera_sees_as_far_as_the_clips(glb: Glb, known_clip: TrackedClip) -> None:
    (camera,) = glb.document["cameras"]
    # A point at the image's upper rim: half its height away at a focal length's distance.
    camera_y = known_clip.intrinsics.height / 2 / known_clip.intrinsics.focal_length
    assert np.tan(camera["perspective"]["yfov"] / 2) == pytest.approx(camera_y)
    assert camera["perspective"]["aspectRatio"] == 1
    assert camera["extras"]["principalPointPixels"] == [230, 250]


def test_normals_have_length_one_and_face_outward(glb: Glb) -> None:
    attributes = glb.document["meshes"][0]["primitives"][0]["attributes"]
    normals, positions = glb.accessor(attributes["NORMAL"]), glb.accessor(attributes["POSITION"])
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-6)
    assert normals[1, 2] > 0.7
    assert ((normals * (positions - [0, 0, -0.06])).sum(1) > 0).mean() > 0.95


def parts_of(glb: Glb) -> dict[str, np.ndarray]:
    names = [material["name"] for material in glb.document["materials"]]
    primitives = glb.document["meshes"][0]["primitives"]
    return {names[p["material"]]: glb.accessor(p["indices"]).reshape(-1, 3) for p in primitives}


def test_the_parts_are_the_models_triangles_but_for_the_eyes(glb: Glb) -> None:
    parts = parts_of(glb)
    assert set(parts) == {"skin", "mouth", "eyes", "irises"}
    kept = {tuple(row) for row in np.concatenate([parts["skin"], parts["mouth"]]).tolist()}
    own = {tuple(row) for row in HeadModel.load().triangles.tolist()}
    assert kept < own
    assert {point for row in own - kept for point in row} == set(LEFT_EYE) | set(RIGHT_EYE)
    positions = glb.accessor(glb.document["meshes"][0]["primitives"][0]["attributes"]["POSITION"])
    for part in ("skin", "eyes", "irises"):
        a, b, c = positions[parts[part]].transpose(1, 0, 2)
        assert np.cross(b - a, c - a)[:, 2].sum() > 0


def height_over(positions: np.ndarray, triangles: np.ndarray, x: float, y: float) -> float:
    """z of the mesh's front at a place, minus infinity where there is none."""
    a, b, c = positions[triangles].transpose(1, 0, 2)
    u, v, w = b - a, c - a, np.array([x, y, 0]) - a
    area = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
    s = (w[:, 0] * v[:, 1] - w[:, 1] * v[:, 0]) / np.where(area == 0, np.inf, area)
    t = (u[:, 0] * w[:, 1] - u[:, 1] * w[:, 0]) / np.where(area == 0, np.inf, area)
    inside = (s >= 0) & (t >= 0) & (s + t <= 1)
    return float(np.max(np.where(inside, a[:, 2] + s * u[:, 2] + t * v[:, 2], -np.inf)))


@pytest.mark.parametrize("gaze", ["In", "Out", "Up", "Down"])
def test_irises_are_seen_on_the_white_and_hidden_by_closed_lids(glb: Glb, gaze: str) -> None:
    (mesh,) = glb.document["meshes"]
    primitive, parts = mesh["primitives"][0], parts_of(glb)

    def face(**weights: float) -> np.ndarray:
        positions = glb.accessor(primitive["attributes"]["POSITION"]).astype(float)
        for name, weight in weights.items():
            target = primitive["targets"][mesh["extras"]["targetNames"].index(name)]
            positions = positions + weight * glb.accessor(target["POSITION"])
        return positions

    for side, center in (("Left", 473), ("Right", 468)):
        turned = face(**{f"eyeLook{gaze}{side}": 0.7})
        x, y, z = turned[center]
        assert z > height_over(turned, parts["eyes"], x, y)
        assert height_over(turned, parts["skin"], x, y) == -np.inf
        closed = face(**{f"eyeBlink{side}": 1.0})
        x, y, z = closed[center]
        assert height_over(closed, parts["skin"], x, y) > max(z, height_over(closed, parts["eyes"], x, y))


def test_what_does_not_move_is_not_stored(glb: Glb, tmp_path: Path) -> None:
    counts = {}
    mesh = glb.document["meshes"][0]
    for name, target in zip(mesh["extras"]["targetNames"], mesh["primitives"][0]["targets"], strict=True):
        counts[name] = glb.document["accessors"][target["POSITION"]].get("sparse", {"count": 0})["count"]
    assert counts["tongueOut"] == 0
    assert 0 < counts["eyeBlinkLeft"] < 478
    assert (tmp_path / "head.glb").stat().st_size < 400_000


def test_quaternions_do_not_jump_where_a_rotation_passes_a_half_turn() -> None:
    angles = np.linspace(0, 4 * np.pi, 200)
    quaternions = continuous_quaternions(rotation_from_vector(np.array([0.6, 0.0, 0.8]) * angles[:, None]))
    np.testing.assert_allclose(np.linalg.norm(quaternions, axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(quaternions[:, 3], np.cos(angles / 2), atol=1e-9)
    assert np.linalg.norm(np.diff(quaternions, axis=0), axis=1).max() < 0.04


def test_a_clip_of_another_head_model_is_refused(known_clip: TrackedClip, tmp_path: Path) -> None:
    other = replace(known_clip, track=replace(known_clip.track, identity=np.zeros(3)))
    with pytest.raises(UserError, match="another head model"):
        write_gltf(other, tmp_path / "head.glb")
    assert not (tmp_path / "head.glb").exists()


def test_one_tracked_frame_is_enough(known_clip: TrackedClip, tmp_path: Path) -> None:
    pose = rigid(np.eye(3), np.array([0.0, 0.0, 60.0]))
    tracked = np.zeros(len(known_clip.track.tracked), bool)
    tracked[5] = True
    track = replace(known_clip.track, tracked=tracked, camera_to_head=np.repeat(pose[None], len(tracked), 0))
    write_gltf(replace(known_clip, track=track), tmp_path / "head.glb")
    times, rotation = Glb(tmp_path / "head.glb").channel("rotation")
    assert times.tolist() == pytest.approx([0.2])
    np.testing.assert_allclose(rotation, [[0, 0, 0, 1]], atol=1e-7)
