"""A tracked clip made from known poses, without a video of anybody."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from tracking.background import BackgroundKind, fill_smoothly
from tracking.cameras import project, rigid, rigid_inverse, rotation_from_vector, transform
from tracking.clip import HeadTrack, Intrinsics, SourceVideo, TrackedClip, write_png
from tracking.head_model import HeadModel
from tracking.regions import Label

MakeClip = Callable[..., TrackedClip]


def _made_clip(
    root: Path,
    frames: int = 30,
    size: int = 160,
    name: str = "talk.mp4",
    yaw: np.ndarray | float = 0.0,
    pitch: np.ndarray | float = 0.0,
    distance: float = 60.0,
    expressions: dict[str, np.ndarray] | None = None,
    expression_names: tuple[str, ...] | None = None,
    untracked: tuple[int, ...] = (),
    flags: dict[int, int] | None = None,
    brightness: np.ndarray | float = 120.0,
    scene_shift: np.ndarray | float = 0.0,
    blur: float = 0.0,
    background_kind: BackgroundKind = "plate",
) -> TrackedClip:
    """A head before a patterned wall, 30 frames a second.

    Args:
        yaw: degrees to the picture's right, of every frame or of all.
        expressions: how strongly named expressions are on, per frame.
        expression_names: those that the clip knows; the model's if not given.
        untracked: frames that are left out.
        flags: by frame.
        brightness: of the face, of 255.
        scene_shift: pixels by which the wall is seen shifted to the right.
        blur: standard deviation in pixels.
    """
    model, random = HeadModel.load(), np.random.default_rng(0)
    per_frame = np.zeros(frames)
    yaw, pitch, brightness, shift = (per_frame + value for value in (yaw, pitch, brightness, scene_shift))
    tracked = ~np.isin(np.arange(frames), untracked)
    turned = rotation_from_vector(np.radians(yaw)[:, None] * [0.0, 1.0, 0.0])
    raised = rotation_from_vector(np.radians(-pitch)[:, None] * [1.0, 0.0, 0.0])
    head_to_camera = rigid(turned @ raised, np.tile([0.0, 0.0, -distance], (frames, 1)))
    coefficients = np.zeros((frames, len(model.expression_names)))
    for expression, values in (expressions or {}).items():
        coefficients[:, model.expression_index(expression)] = values
    identity = np.zeros(len(model.identity_basis))
    camera = Intrinsics(1.75 * size, size / 2, size / 2, size, size)
    vertices = model.vertices(identity, coefficients).astype(np.float64)
    landmarks = project(transform(head_to_camera, vertices), camera).astype(np.float32)
    names = expression_names or model.expression_names
    known = coefficients[:, [model.expression_index(known) for known in names]]

    def where_tracked(values: np.ndarray) -> np.ndarray:
        filled = values.copy()
        filled[~tracked] = np.nan
        return filled

    clip = TrackedClip(
        root,
        SourceVideo(str(root.parent / name), size, size, "30", "1/30", (0, 0, size, size)),
        camera,
        HeadTrack(
            tracked=tracked,
            presentation_timestamps=np.arange(frames, dtype=np.int64),
            camera_to_head=where_tracked(rigid_inverse(head_to_camera)),
            camera_to_torso=where_tracked(rigid_inverse(head_to_camera)),
            expression=where_tracked(known),
            identity=identity,
            landmarks=where_tracked(landmarks),
            reprojection_error=where_tracked(np.full(frames, 0.25)),
            expression_names=names,
            flags=np.array([(flags or {}).get(frame, 0) for frame in range(frames)], np.uint16),
        ),
        background_kind,
    )
    wall = fill_smoothly(
        random.uniform(0, 255, (size, 2 * size, 3)).astype(np.float32), (random.random((size, 2 * size)) < 0.02) * 1.0
    )
    grain = random.normal(0, 8, (size, size, 1))
    for folder in ("images", "masks", "labels"):
        (root / folder).mkdir(parents=True)
    for frame in clip.frames:
        moved = np.float32([[1, 0, shift[frame] - size / 2], [0, 1, 0]])
        image = cv2.warpAffine(wall, moved, (size, size), flags=cv2.INTER_LINEAR)
        hull = cv2.convexHull(np.rint(landmarks[frame]).astype(np.int32))
        face = cv2.fillConvexPoly(np.zeros((size, size), np.uint8), hull, 1)
        person = cv2.dilate(face, np.ones((5, 5), np.uint8))
        image = np.where(person[..., None] > 0, brightness[frame] + grain, image)
        image = cv2.GaussianBlur(image, (0, 0), blur) if blur else image
        write_png(clip.image_path(frame), np.clip(image, 0, 255).astype(np.uint8))
        write_png(clip.matte_path(frame), 255 * person)
        write_png(clip.label_path(frame), np.where(person, Label.FACE_SKIN, Label.BACKGROUND).astype(np.uint8))
    write_png(clip.background_path, wall[:, :size].astype(np.uint8))
    clip.save_description()
    return TrackedClip.load(root)


@pytest.fixture
def make_clip(tmp_path: Path) -> MakeClip:
    """Makes tracked clips in a temporary folder; see `_made_clip` for what can be asked of them."""

    def make(folder: str = "clip", **options: object) -> TrackedClip:
        return _made_clip(tmp_path / folder, **options)  # type: ignore[arg-type]

    return make
