"""How well a torso's motion explains what is seen of the clothes: between frames far apart, without truth."""

from typing import Any

import cv2
import numpy as np
from jaxtyping import Float
from segmented_frames import Frames

from tracking.cameras import project, rigid_inverse, transform
from tracking.clip import Intrinsics
from tracking.fitting import FitConfig, fit_head
from tracking.regions import Label
from tracking.segmentation import Segmentation
from tracking.torso_flow import TorsoPicture, follow_torso
from tracking.torso_motion import TorsoConfig, measured_torso_poses, torso_poses

GAPS = (5, 15, 30)
"""Frames between the two that are compared."""
SURFACE = 6.0
"""How far the chest lies before the neck base, in centimetres."""


def torso_error(clip: Frames, found: list[Segmentation]) -> dict[str, Any]:
    """Mean absolute difference of grey values in [0, 1] on the clothes, carried from one frame to another by the torso.

    Carried by the measured motion, by the guess from the head's motion, and not at all.
    """
    height, width = clip.frames[0].image.shape[:2]
    count = len(clip.frames)
    landmarks = np.stack([frame.landmarks for frame in clip.frames])
    fit = fit_head(landmarks, np.ones(count, bool), width, height, FitConfig())
    rows = np.flatnonzero(fit.tracked)
    heads = rigid_inverse(fit.camera_to_head[rows])
    pictures = [found[row].torso for row in rows]
    similarities = follow_torso(pictures)
    config = TorsoConfig()
    poses = {
        "measured": measured_torso_poses(similarities, heads, rows, count, fit.intrinsics, clip.frame_rate, config),
        "guessed from the head": torso_poses(heads, rows, count, clip.frame_rate, config),
        "not moved": np.broadcast_to(np.eye(4), (len(rows), 4, 4)),
    }
    share = np.mean([(found[row].labels == Label.CLOTHES).mean() for row in rows])
    summary: dict[str, Any] = {
        "clothes' share of the picture": round(float(share), 4),
        "share of frames followed": round(float(np.isfinite(similarities[:, 0, 0]).mean()), 4),
    }
    for name, camera_to_torso in poses.items():
        depth = float(np.median(-rigid_inverse(poses["measured"])[:, 2, 3])) - SURFACE
        summary[name] = {
            f"{gap} frames apart": round(_difference(pictures, camera_to_torso, fit.intrinsics, depth, gap), 5)
            for gap in GAPS
            if gap < len(rows)
        }
    return summary


def _difference(
    pictures: list[TorsoPicture],
    camera_to_torso: Float[np.ndarray, "tracked 4 4"],
    camera: Intrinsics,
    depth: float,
    gap: int,
) -> float:
    """Over pairs of frames: pixels of the earlier one's clothes, looked up in the later one where they should be."""
    differences, pixels = 0.0, 0
    for first in range(0, len(pictures) - gap, 3):
        before, after = pictures[first], pictures[first + gap]
        y, x = np.nonzero(before.clothes)
        if not len(x):
            continue
        seen = np.stack([x + 0.5, y + 0.5], axis=-1) / before.scale
        rays = (seen - [camera.center_x, camera.center_y]) / camera.focal_length
        points = np.column_stack([rays[:, 0], -rays[:, 1], -np.ones(len(rays))]) * depth
        moved = transform(rigid_inverse(camera_to_torso[first + gap]) @ camera_to_torso[first], points)
        target = (project(moved, camera) * before.scale - 0.5).astype(np.float32)
        later = cv2.remap(
            after.grey, target[:, :1], target[:, 1:], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=[0]
        ).ravel()
        height, width = after.grey.shape
        inside = (target[:, 0] >= 0) & (target[:, 0] < width - 1) & (target[:, 1] >= 0) & (target[:, 1] < height - 1)
        difference = np.abs(before.grey[y, x].astype(np.float32) - later)[inside] / 255
        differences += float(difference.sum())
        pixels += int(inside.sum())
    return differences / max(pixels, 1)
