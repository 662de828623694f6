"""Fixtures of the tracking tests."""

from pathlib import Path

import numpy as np
import pytest

from tracking.cameras import rigid, rigid_inverse, rotation_from_vector
from tracking.clip import HeadTrack, Intrinsics, SourceVideo, TrackedClip
from tracking.frame_flags import FrameFlag
from tracking.head_model import HeadModel


@pytest.fixture
def known_clip(tmp_path: Path) -> TrackedClip:
    """A track with made-up but known values and without pictures: 40 frames, 25 a second, some of them not tracked."""
    model, random = HeadModel.load(), np.random.default_rng(7)
    frames = 40
    tracked = np.ones(frames, bool)
    tracked[[0, 1, 17, 18, 19, 39]] = False
    phase = np.linspace(0, 4, frames)
    turn = np.stack([0.3 * np.sin(phase), 0.6 * np.cos(phase), 0.2 * np.sin(2 * phase)], 1)
    place = np.array([1.0, -2.0, -60.0]) + 2 * np.stack([np.cos(phase), np.sin(phase), np.sin(3 * phase)], 1)
    hidden = np.where(tracked, 1.0, np.nan)
    camera_to_head = rigid_inverse(rigid(rotation_from_vector(turn), place)) * hidden[:, None, None]
    expression = random.uniform(0, 1, (frames, len(model.expression_names)))
    return TrackedClip(
        tmp_path / "known",
        SourceVideo("talk.mp4", 640, 480, "25", "1/12800", (20, 0, 480, 480)),
        Intrinsics(700.0, 230.0, 250.0, 480, 480),
        HeadTrack(
            tracked=tracked,
            presentation_timestamps=1000 + 512 * np.arange(frames),
            camera_to_head=camera_to_head,
            camera_to_torso=camera_to_head,
            expression=expression * hidden[:, None],
            identity=random.normal(0, 0.5, len(model.identity_basis)),
            landmarks=np.full((frames, 478, 2), np.nan, np.float32),
            reprojection_error=0.5 * hidden,
            expression_names=model.expression_names,
            flags=np.where(tracked, 0, int(FrameFlag.NO_FACE)).astype(np.uint16),
        ),
        "plate",
    )
