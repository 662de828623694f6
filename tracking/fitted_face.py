"""The fitted head of one frame, projected into its picture."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from tracking.cameras import project, rigid_inverse, transform
from tracking.clip import TrackedClip
from tracking.head_model import HeadModel

AXIS_LENGTH = 6.0
"""Centimetres."""


@dataclass(frozen=True)
class FittedFace:
    """The head model as fitted to one frame, as the clip's camera sees it."""

    points: Float[np.ndarray, "vertices 2"]
    """Pixels of the clip's images."""
    edges: Int[np.ndarray, "edges 2"]
    """Pairs of vertices, of the triangles that face the camera."""
    axes: Float[np.ndarray, "4 2"]
    """The origin of head space and the ends of its x, y and z axes, in pixels of the clip's images."""


def fitted_face(clip: TrackedClip, frame: int) -> FittedFace:
    """Project the fitted head of a tracked frame; expressions that the clip does not know are at rest."""
    model = HeadModel.load()
    track = clip.track
    head_to_camera = rigid_inverse(track.camera_to_head[frame].astype(np.float64))
    expression = np.zeros(len(model.expression_names))
    for name, value in zip(track.expression_names, track.expression[frame], strict=True):
        expression[model.expression_index(name)] = value
    vertices = transform(head_to_camera, model.vertices(track.identity, expression).astype(np.float64))
    # The axes begin between the ears' height and the nose, where the origin of head space lies.
    axes = transform(head_to_camera, np.concatenate([np.zeros((1, 3)), AXIS_LENGTH * np.eye(3)]))
    triangles = model.triangles[faces_camera(vertices, model.triangles)]
    return FittedFace(project(vertices, clip.intrinsics), unique_edges(triangles), project(axes, clip.intrinsics))


def faces_camera(
    vertices_in_camera: Float[np.ndarray, "vertices 3"], triangles: Int[np.ndarray, "triangles 3"]
) -> Bool[np.ndarray, "triangles"]:
    """Which triangles, counterclockwise from outside, show their outside to a camera in the origin."""
    a, b, c = vertices_in_camera[triangles].swapaxes(0, 1)
    return np.einsum("ti,ti->t", np.cross(b - a, c - a), a) < 0


def unique_edges(triangles: Int[np.ndarray, "triangles 3"]) -> Int[np.ndarray, "edges 2"]:
    """The sides of triangles, each once."""
    sides = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    return np.unique(np.sort(sides, axis=1), axis=0)
