"""A tracked head as an animated glTF 2.0 binary (`.glb`), for Blender, Unity, three.js and other viewers.

The scene is the camera's space in metres, x right, y up, the camera at the origin looking along -z: OpenGL's axes are
glTF's. The person's neutral face is a mesh with ARKit's expressions as morph targets, named in
`mesh.extras.targetNames`; an animation turns and moves it and sets the targets' weights at every tracked frame's time
stamp, in seconds from the first frame of the video. Untracked frames have no key: viewers bridge them, and
`animation.extras.untracked` lists the spans. The camera has the clip's field of view; a principal point beside the
image's middle, which glTF cannot express, is in `camera.extras`.

The head model's irises lie behind the surface that closes its eyes. Here eyeballs take that surface's place, added
after the head model's vertices. Normals are the neutral face's. Of an expression's displacements only those that are
not zero are stored (sparse accessors).
"""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from tracking.cameras import rigid_inverse, vector_from_rotation
from tracking.clip import TrackedClip
from tracking.errors import UserError
from tracking.face_regions import INNER_LIPS, LEFT_EYE, RIGHT_EYE
from tracking.head_model import HeadModel

METERS = 0.01
"""Metres in a centimetre."""
FLOAT, SHORT = 5126, 5123
"""glTF's codes for 32-bit floats and unsigned 16-bit integers."""
VERTEX_DATA, TRIANGLE_DATA = 34962, 34963
LEAST_DISPLACEMENT = 1e-5
"""Centimetres below which a vertex counts as unmoved by an expression."""
FACE_MESH_POINTS = 478
"""Of MediaPipe's mesh with its irises."""
IRIS_RINGS = ((468, (469, 470, 471, 472)), (473, (474, 475, 476, 477)))
"""Centre and rim of MediaPipe's irises."""
EYEBALL_RADIUS, EYEBALL_DEPTH = 1.0, 1.05
"""Centimetres: of the white of the eye, and from its centre to the plane of the iris, which turns about that centre and
so stays just outside of the white."""
EYEBALL_RINGS, EYEBALL_SEGMENTS, EYEBALL_ANGLE = 5, 20, np.radians(70)
"""How finely the front of an eyeball is divided, and how far round it goes."""
PARTS = {
    "skin": ([0.72, 0.54, 0.45, 1.0], 0.7),
    "mouth": ([0.12, 0.03, 0.03, 1.0], 0.9),
    "eyes": ([0.9, 0.9, 0.88, 1.0], 0.3),
    "irises": ([0.1, 0.07, 0.05, 1.0], 0.3),
}
"""Colour and roughness of the mesh's parts."""


class _Buffer:
    """The binary part of a glTF file, and what describes it."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []

    def view(self, values: np.ndarray, target: int | None = None) -> int:
        """Append an array; the number of its buffer view."""
        self.data.extend(b"\0" * (-len(self.data) % 4))
        content = np.ascontiguousarray(values).tobytes()
        view = {"buffer": 0, "byteOffset": len(self.data), "byteLength": len(content)}
        self.views.append(view if target is None else {**view, "target": target})
        self.data.extend(content)
        return len(self.views) - 1

    def floats(self, values: np.ndarray, target: int | None = None, bounded: bool = False) -> int:
        """Append scalars or vectors; the number of their accessor."""
        values = values.astype("<f4")
        return self._accessor({"bufferView": self.view(values, target)}, values, bounded)

    def sparse(self, values: Float[np.ndarray, "vertices 3"], moved: Int[np.ndarray, "moved"]) -> int:
        """Append vectors that are zero but for a few; the number of their accessor."""
        kept = np.zeros_like(values, dtype="<f4")
        kept[moved] = values[moved]
        if not len(moved):
            return self._accessor({}, kept, bounded=True)
        packed = {
            "count": len(moved),
            "indices": {"bufferView": self.view(moved.astype("<u2")), "componentType": SHORT},
            "values": {"bufferView": self.view(kept[moved])},
        }
        return self._accessor({"sparse": packed}, kept, bounded=True)

    def triangles(self, triangles: Int[np.ndarray, "triangles 3"]) -> int:
        """Append vertex numbers; the number of their accessor."""
        accessor = {"bufferView": self.view(triangles.astype("<u2"), TRIANGLE_DATA), "componentType": SHORT}
        self.accessors.append({**accessor, "count": triangles.size, "type": "SCALAR"})
        return len(self.accessors) - 1

    def _accessor(self, source: dict[str, Any], values: np.ndarray, bounded: bool) -> int:
        kind = "SCALAR" if values.ndim == 1 else f"VEC{values.shape[1]}"
        accessor = {**source, "componentType": FLOAT, "count": len(values), "type": kind}
        if bounded:
            columns = values.reshape(len(values), -1)
            accessor |= {"min": columns.min(0).tolist(), "max": columns.max(0).tolist()}
        self.accessors.append(accessor)
        return len(self.accessors) - 1


def write_gltf(clip: TrackedClip, path: Path, model: HeadModel | None = None) -> None:
    """Write a clip's head, its motion and its camera, whole or not at all.

    Args:
        model: the head model that the clip was fitted with, if it is not the default one.

    Raises:
        UserError: the clip was fitted with another head model, or the file cannot be written.
    """
    model = model or HeadModel.load()
    track = clip.track
    if track.expression_names != model.expression_names or len(track.identity) != len(model.identity_basis):
        raise UserError(f"{clip.root} was fitted with another head model: export it with that model.")
    content = _glb(*_document(clip, model))
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise UserError(f"Cannot write {path} ({error.strerror}): choose another place.") from error


def _document(clip: TrackedClip, model: HeadModel) -> tuple[dict[str, Any], bytearray]:
    buffer = _Buffer()
    neutral = model.neutral(clip.track.identity).astype(np.float64)
    parts = mesh_parts(model)
    if len(neutral) == FACE_MESH_POINTS:
        balls, parts["eyes"] = eyeballs(neutral)
        neutral = np.concatenate([neutral, balls])
    deltas = np.zeros((len(model.expression_names), *neutral.shape))
    deltas[:, : len(model.mean)] = model.expression_deltas
    attributes = {
        "POSITION": buffer.floats(neutral * METERS, VERTEX_DATA, bounded=True),
        "NORMAL": buffer.floats(vertex_normals(neutral, np.concatenate(list(parts.values()))), VERTEX_DATA),
    }
    targets = []
    for delta in deltas:
        moved = np.flatnonzero(np.linalg.norm(delta, axis=1) > LEAST_DISPLACEMENT)
        targets.append({"POSITION": buffer.sparse(delta * METERS, moved)})
    materials = [
        {
            "name": part,
            "pbrMetallicRoughness": {"baseColorFactor": color, "metallicFactor": 0.0, "roughnessFactor": roughness},
            "doubleSided": True,
        }
        for part, (color, roughness) in ((part, PARTS[part]) for part in parts)
    ]
    primitives = [
        {"attributes": attributes, "targets": targets, "indices": buffer.triangles(triangles), "material": number}
        for number, triangles in enumerate(parts.values())
    ]
    document = {
        "asset": {"version": "2.0", "generator": "portrait-edit"},
        "scene": 0,
        "scenes": [{"nodes": [0, 1]}],
        "nodes": [{"name": "head", "mesh": 0}, {"name": "camera", "camera": 0}],
        "cameras": [_camera(clip)],
        "meshes": [
            {
                "name": "head",
                "primitives": primitives,
                "weights": [0.0] * len(targets),
                "extras": {"targetNames": list(model.expression_names)},
            }
        ],
        "materials": materials,
        "animations": [_animation(clip, buffer)],
        "bufferViews": buffer.views,
        "accessors": buffer.accessors,
        "buffers": [{"byteLength": len(buffer.data)}],
    }
    return document, buffer.data


def mesh_parts(model: HeadModel) -> dict[str, Int[np.ndarray, "triangles 3"]]:
    """The mesh's triangles by what they show, without those across the eyes; all are skin in a mesh not MediaPipe's."""
    if len(model.mean) != FACE_MESH_POINTS:
        return {"skin": model.triangles}
    mouth = np.isin(model.triangles, INNER_LIPS).all(1)
    eyes = np.isin(model.triangles, LEFT_EYE).all(1) | np.isin(model.triangles, RIGHT_EYE).all(1)
    # MediaPipe numbers a rim clockwise or counterclockwise; seen from outside it is to be the latter.
    irises = []
    for center, rim in IRIS_RINGS:
        fan = np.array([(center, a, b) for a, b in zip(rim, (*rim[1:], rim[0]), strict=True)])
        corners = model.mean[fan]
        outward = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, 2].sum() > 0
        irises.append(fan if outward else fan[:, ::-1])
    return {
        "skin": model.triangles[~mouth & ~eyes],
        "mouth": model.triangles[mouth],
        "irises": np.concatenate(irises),
    }


def eyeballs(
    neutral: Float[np.ndarray, "478 3"],
) -> tuple[Float[np.ndarray, "added 3"], Int[np.ndarray, "triangles 3"]]:
    """The fronts of both eyeballs, of vertices that come after the face's, and their triangles."""
    polar = np.linspace(0, EYEBALL_ANGLE, EYEBALL_RINGS + 1)[1:, None]
    around = np.linspace(0, 2 * np.pi, EYEBALL_SEGMENTS, endpoint=False)
    ring = np.stack(
        [
            np.sin(polar) * np.cos(around),
            np.sin(polar) * np.sin(around),
            np.broadcast_to(np.cos(polar), (EYEBALL_RINGS, EYEBALL_SEGMENTS)),
        ],
        -1,
    )
    cap = np.concatenate([[[0.0, 0.0, 1.0]], ring.reshape(-1, 3)])
    here = np.arange(EYEBALL_SEGMENTS)
    after = np.roll(here, -1)
    triangles = [np.stack([np.zeros_like(here), 1 + here, 1 + after], 1)]
    for row in range(EYEBALL_RINGS - 1):
        inner, outer = 1 + row * EYEBALL_SEGMENTS, 1 + (row + 1) * EYEBALL_SEGMENTS
        triangles += [
            np.stack([inner + here, outer + here, outer + after], 1),
            np.stack([inner + here, outer + after, inner + after], 1),
        ]
    faces = np.concatenate(triangles)
    centers = [neutral[[center, *rim]].mean(0) - np.array([0.0, 0.0, EYEBALL_DEPTH]) for center, rim in IRIS_RINGS]
    return (
        np.concatenate([center + EYEBALL_RADIUS * cap for center in centers]),
        np.concatenate([len(neutral) + number * len(cap) + faces for number in range(len(centers))]),
    )


def vertex_normals(
    vertices: Float[np.ndarray, "vertices 3"], triangles: Int[np.ndarray, "triangles 3"]
) -> Float[np.ndarray, "vertices 3"]:
    """Unit normals, each the mean of its triangles' by area; out of the face where a vertex has no triangle."""
    a, b, c = (vertices[triangles[:, corner]] for corner in range(3))
    normals = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(normals, triangles[:, corner], np.cross(b - a, c - a))
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.where(lengths > 1e-12, normals / np.maximum(lengths, 1e-12), np.array([0.0, 0.0, 1.0]))


def continuous_quaternions(rotations: Float[np.ndarray, "frames 3 3"]) -> Float[np.ndarray, "frames 4"]:
    """Unit quaternions (x, y, z, w), each of the two possible ones that lies nearer to the one before it."""
    vectors = vector_from_rotation(rotations)
    half = np.linalg.norm(vectors, axis=1, keepdims=True) / 2
    quaternions = np.concatenate([vectors / 2 * np.sinc(half / np.pi), np.cos(half)], 1)
    flips = np.sign(np.einsum("fi,fi->f", quaternions[1:], quaternions[:-1]))
    signs = np.cumprod(np.concatenate([[1.0], np.where(flips == 0, 1, flips)]))
    return quaternions * signs[:, None]


def _camera(clip: TrackedClip) -> dict[str, Any]:
    camera = clip.intrinsics
    return {
        "name": "camera",
        "type": "perspective",
        "perspective": {
            "yfov": 2 * float(np.arctan(camera.height / 2 / camera.focal_length)),
            "aspectRatio": camera.width / camera.height,
            "znear": 0.01,
        },
        "extras": {
            "imageSize": [camera.width, camera.height],
            "focalLengthPixels": camera.focal_length,
            "principalPointPixels": [camera.center_x, camera.center_y],
        },
    }


def _animation(clip: TrackedClip, buffer: _Buffer) -> dict[str, Any]:
    frames = clip.frames
    head_to_camera = rigid_inverse(clip.track.camera_to_head[frames])
    outputs = {
        "rotation": continuous_quaternions(head_to_camera[:, :3, :3]),
        "translation": head_to_camera[:, :3, 3] * METERS,
        "weights": clip.track.expression[frames].ravel(),
    }
    times = buffer.floats(clip.seconds[frames], bounded=True)
    return {
        "name": Path(clip.source.path).stem,
        "channels": [{"sampler": number, "target": {"node": 0, "path": path}} for number, path in enumerate(outputs)],
        "samplers": [
            {"input": times, "output": buffer.floats(values), "interpolation": "LINEAR"} for values in outputs.values()
        ],
        "extras": {"untracked": _untracked_spans(clip)},
    }


def _untracked_spans(clip: TrackedClip) -> list[list[float]]:
    """First and last time stamp, in seconds, of every run of untracked frames."""
    lost = np.flatnonzero(~clip.track.tracked)
    runs = np.split(lost, np.flatnonzero(np.diff(lost) > 1) + 1) if len(lost) else []
    return [[float(clip.seconds[run[0]]), float(clip.seconds[run[-1]])] for run in runs]


def _glb(document: dict[str, Any], data: bytearray) -> bytes:
    """The file: a header and two chunks, each padded to four bytes (glTF 2.0, section 4.4)."""
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    binary = bytes(data) + b"\0" * (-len(data) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks
