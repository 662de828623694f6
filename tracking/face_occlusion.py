"""Frames in which something lies before the face: a hand, a glass, a microphone.

The unwrapped face of every frame is foretold from its pose and expression, by a regression over the clip that leaves
aside what it cannot explain. Where a frame shows something else than foretold, over a large enough area that hangs
together, something foreign is in the way. What covers the same spot throughout the clip is part of the face.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32

from tracking.face_look import FaceLook
from tracking.spread_evenly import spread_evenly

LEARNING_FRAMES = 400
"""Most frames that the regression is made from, spread over the clip."""
FRAMES_PER_CAUSE = 10
"""How many frames there are at least for every number that a frame's look is foretold from."""
ROUNDS = 4
"""Of fitting, and leaving aside what does not fit."""
RIDGE = 1e-2
"""Keeps causes that hardly vary from explaining much; per frame."""


@dataclass
class OcclusionConfig:
    """What counts as foreign. Colours are in grey levels, from 0 to 255."""

    least_difference: float = 16.0
    """Colours closer than this to those foretold are the face's own."""
    deviations: float = 4.0
    """How many standard deviations of the spot's own unexplained changes a colour must be off."""
    least_share: float = 0.07
    """Share of the face in sight that must be foreign, in one piece."""


def foreign_share(
    looks: Sequence[FaceLook], causes: Float[np.ndarray, "frames causes"], config: OcclusionConfig
) -> Float[np.ndarray, "frames"]:
    """The largest piece of every frame's face that shows something else, as a share of what is in sight.

    Args:
        causes: what the face's look depends on, such as pose and expression, the most telling first.
    """
    if len(looks) < 2 * FRAMES_PER_CAUSE:
        return np.zeros(len(looks))
    seen = np.stack([look.is_seen for look in looks])
    design = _design(causes)
    learning = spread_evenly(len(looks), LEARNING_FRAMES)
    usual = np.maximum(np.median(np.stack([looks[row].colors for row in learning]), axis=0), 1).astype(np.float32)
    colors = np.stack([_at_usual_brightness(looks[row], usual) for row in learning])
    weights, spread = _regress(design[learning], colors, seen[learning], config)
    shares = np.zeros(len(looks))
    for row, (look, in_sight) in enumerate(zip(looks, seen, strict=True)):
        frame = _at_usual_brightness(look, usual)
        difference = np.abs(frame - np.tensordot(design[row], weights, 1)).max(axis=-1)
        foreign = in_sight & (difference > np.maximum(config.deviations * spread, config.least_difference))
        shares[row] = _largest_piece(foreign) / max(int(in_sight.sum()), 1)
    return shares


def _at_usual_brightness(
    look: FaceLook, usual: Float32[np.ndarray, "texels texels 3"]
) -> Float32[np.ndarray, "texels texels 3"]:
    """A face's colours, brought to the usual brightness by one factor: light that changes is nothing foreign."""
    ratios = (look.colors / usual)[look.is_seen]
    return look.colors / np.float32(max(float(np.median(ratios)), 0.1) if ratios.size else 1.0)


def _design(causes: Float[np.ndarray, "frames causes"]) -> Float32[np.ndarray, "frames terms"]:
    """A constant and the causes, each over its own deviation, as many as there are frames for."""
    most = max(1, len(causes) // FRAMES_PER_CAUSE - 1)
    chosen = causes[:, :most]
    centered = chosen - chosen.mean(axis=0)
    scaled = centered / np.maximum(centered.std(axis=0), 1e-6)
    return np.column_stack([np.ones(len(causes)), np.clip(scaled, -3, 3)]).astype(np.float32)


def _regress(
    design: Float32[np.ndarray, "frames terms"],
    colors: Float32[np.ndarray, "frames texels texels 3"],
    seen: Bool[np.ndarray, "frames texels texels"],
    config: OcclusionConfig,
) -> tuple[Float32[np.ndarray, "terms texels texels 3"], Float32[np.ndarray, "texels texels"]]:
    """Weights that foretell every texel, and the deviation that remains, from the frames in which it is itself."""
    counts = seen.astype(np.float32)
    ridge = RIDGE * len(design) * np.eye(design.shape[1], dtype=np.float32)
    ridge[0, 0] = 1e-3
    # The median is a start that half of the frames may lie about.
    residual = np.abs(colors - np.median(colors, axis=0)).max(axis=-1)
    spread = np.zeros(seen.shape[1:], dtype=np.float32)
    weights = np.zeros((design.shape[1], *colors.shape[1:]), dtype=np.float32)
    for _ in range(ROUNDS):
        spread = 1.48 * np.median(residual, axis=0)
        counts = seen * (residual < np.maximum(config.deviations / 2 * spread, config.least_difference)).astype(
            np.float32
        )
        normal = np.einsum("ft,fyx,fs->yxts", design, counts, design, optimize=True) + ridge
        right = np.einsum("ft,fyx,fyxc->yxtc", design, counts, colors, optimize=True)
        weights = np.moveaxis(np.linalg.solve(normal, right), 2, 0)
        residual = np.abs(colors - np.tensordot(design, weights, 1)).max(axis=-1)
    return weights, spread


def _largest_piece(foreign: Bool[np.ndarray, "texels texels"]) -> int:
    """The size of the largest piece that is more than a thread."""
    solid = cv2.morphologyEx(foreign.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    _, _, stats, _ = cv2.connectedComponentsWithStats(solid, connectivity=4)
    return int(stats[1:, cv2.CC_STAT_AREA].max(initial=0))
