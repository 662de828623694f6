"""From one face, followed through a clip, to a fitted head: by its landmarks, by its skin, and by its lids."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from tracking.eyelids import EyelidConfig, refine_blinks
from tracking.face_linking import FaceTrack
from tracking.fitting import FitConfig, HeadFit, KnownHead, fit_head
from tracking.skin_motion import SkinMotionConfig, fit_with_skin


@dataclass
class FaceFitConfig:
    """How a head is fitted to a face."""

    fit: FitConfig = field(default_factory=FitConfig)
    skin: SkinMotionConfig = field(default_factory=SkinMotionConfig)
    eyelids: EyelidConfig = field(default_factory=EyelidConfig)


def fit_face(
    face: FaceTrack,
    width: int,
    height: int,
    config: FaceFitConfig | None = None,
    center: tuple[float, float] | None = None,
    known: KnownHead | None = None,
    threads: int = 1,
    advance: Callable[[int], None] | None = None,
) -> HeadFit:
    """Fit the head model to a face.

    Args:
        face: in pixels of the clip's images. Its skin is followed and its lids are looked at only if it has pictures of
            them.
        width: of the clip's images, in pixels.
        height: of the clip's images, in pixels.
        config: how.
        center: principal point in pixels of the clip's images; their middle if none is given.
        known: camera and identity, where they are not to be fitted.
        threads: follow the skin.
        advance: told of every frame done, `frames_to_do` of them in all.

    Raises:
        UserError: too few frames are tracked.
    """
    config = config or FaceFitConfig()

    def fit_points(
        points: Float[np.ndarray, "frames 478 3"],
        how: FitConfig,
        found: KnownHead | None = None,
        weights: Float[np.ndarray, "frames 478"] | None = None,
    ) -> HeadFit:
        told = 0

        def progress(done: int, total: int) -> None:
            nonlocal told
            now = round(done / max(total, 1) * int(face.tracked.sum()))
            if advance is not None:
                advance(now - told)
            told = now

        return fit_head(
            points,
            face.tracked,
            width,
            height,
            how,
            progress=progress,
            center=center,
            expression_scores=face.expression_scores,
            known=known or found,
            detected=face.landmarks,
            confidence=weights,
        )

    fit = fit_with_skin(face.landmarks, face.skin, fit_points, config.fit, config.skin, threads)
    return fit if face.eyes is None else refine_blinks(fit, face.landmarks, face.eyes, config.eyelids)


def frames_to_do(face: FaceTrack, config: FaceFitConfig) -> int:
    """How many frames `fit_face` is done with in the end, each counted as often as the head is fitted."""
    rounds = 0 if face.skin is None else config.skin.rounds
    return (1 + rounds) * int(face.tracked.sum())
