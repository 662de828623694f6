"""A drawn portrait: regions of known colours, with shading, texture and a soft matte."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
import torch

from stage1_edit.editor import EditRequest
from stage1_edit.frame_geometry import FrameGeometry
from stage1_edit.portrait import Portrait
from stage1_edit.prompts import EditPrompt
from tracking.cameras import project, rigid, rotation_from_vector, transform
from tracking.clip import Intrinsics
from tracking.head_model import HeadModel
from tracking.proxy_mesh import head_shell
from tracking.regions import Label

SIZE = 96


def draw_portrait() -> Portrait:
    """A head of dark brown hair on a blue wall; everything is anti-aliased by the matte alone."""
    labels = np.zeros((SIZE, SIZE), np.uint8)

    def ellipse(x: float, y: float, half_width: float, half_height: float, label: Label) -> None:
        axes = (round(half_width * SIZE), round(half_height * SIZE))
        cv2.ellipse(labels, (round(x * SIZE), round(y * SIZE)), axes, 0, 0, 360, int(label), -1)

    ellipse(0.5, 1.05, 0.42, 0.28, Label.CLOTHES)
    ellipse(0.5, 0.76, 0.11, 0.14, Label.NECK)
    ellipse(0.5, 0.40, 0.26, 0.31, Label.HAIR)
    ellipse(0.5, 0.48, 0.19, 0.26, Label.FACE_SKIN)
    for side in (-1, 1):
        ellipse(0.5 + side * 0.22, 0.48, 0.03, 0.06, Label.EARS)
        ellipse(0.5 + side * 0.08, 0.36, 0.06, 0.015, Label.BROWS)
        ellipse(0.5 + side * 0.08, 0.43, 0.05, 0.025, Label.EYES)
    ellipse(0.5, 0.64, 0.07, 0.03, Label.LIPS)
    ellipse(0.5, 0.64, 0.05, 0.01, Label.MOUTH_INTERIOR)
    colors = np.zeros((len(Label), 3), np.float32)
    colors[Label.BACKGROUND] = (0.30, 0.45, 0.70)
    colors[[Label.FACE_SKIN, Label.EARS, Label.NECK]] = (0.80, 0.60, 0.50)
    colors[[Label.HAIR, Label.BROWS]] = (0.20, 0.13, 0.09)
    colors[Label.EYES] = (0.85, 0.85, 0.85)
    colors[Label.LIPS] = (0.70, 0.40, 0.38)
    colors[Label.MOUTH_INTERIOR] = (0.25, 0.08, 0.08)
    colors[Label.CLOTHES] = (0.25, 0.30, 0.35)
    image = colors[labels]
    rows, columns = np.mgrid[:SIZE, :SIZE] / SIZE
    for side in (-1, 1):
        iris = np.hypot(columns - 0.5 - side * 0.08, rows - 0.43) < 0.021
        image[iris & (labels == Label.EYES)] = (0.28, 0.18, 0.12)
    shading = 1 + 0.25 * (0.5 - columns) + 0.12 * np.sin(70 * columns + 9 * np.sin(12 * rows))
    image = np.clip(image * shading[..., None], 0, 1).astype(np.float32)
    matte = cv2.GaussianBlur((labels != Label.BACKGROUND).astype(np.float32), (5, 5), 1.0)
    return Portrait(image, matte, labels)


def request_for(typed: str, portrait: Portrait, noise_level: float = 1.0, render: float = 0.5) -> EditRequest:
    """Ask for an edit of a drawn portrait whose render is a plain grey."""
    original = torch.from_numpy(portrait.image)
    return EditRequest(
        EditPrompt.parse(typed),
        original,
        torch.full_like(original, render),
        torch.from_numpy(portrait.matte)[..., None],
        torch.from_numpy(portrait.labels),
        noise_level,
        torch.Generator().manual_seed(0),
    )


@pytest.fixture(scope="session")
def portrait() -> Portrait:
    return draw_portrait()


@pytest.fixture(scope="session")
def make_request(portrait: Portrait):
    return lambda typed, **settings: request_for(typed, portrait, **settings)


def head_before_camera(turn: float = 0.0, side: int = 64) -> FrameGeometry:
    """A head 60 cm before a camera, turned about the vertical by some radians; landmarks are the mesh's points."""
    identity = np.zeros(len(HeadModel.load().identity_basis))
    vertices, triangles = head_shell(identity)
    to_camera = rigid(rotation_from_vector(np.array([0.0, turn, 0.0])), np.array([0.0, 0.0, -60.0]))
    camera = Intrinsics(1.6 * side, side / 2, side / 2, side, side)
    landmarks = project(transform(to_camera, HeadModel.load().neutral(identity).astype(np.float64)), camera)
    return FrameGeometry(transform(to_camera, vertices), triangles, camera, landmarks, len(triangles))


@pytest.fixture(scope="session")
def head() -> Callable[..., FrameGeometry]:
    """Makes heads before a camera."""
    return head_before_camera
