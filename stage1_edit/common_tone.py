"""Edits of single frames brought to agree in what is smooth: how bright they are, how yellow, how strong.

A diffusion model that begins with other noise makes another edit: of one sentence one frame becomes bright and the next
dark. An avatar that is trained on both takes pose and expression for the reason, and flickers. What the edits have in
common is known on the tracked surface (`surface_aggregation.py`). So every edit E is trained on with the smooth part of
what it lacks of that,

    E' = E + m G(k (C - E)) / G(k)

C is the filmed frame with the change that all edits agree on, k where that is known, G a Gaussian, m how much of each
pixel is edited. Hair lies off the mesh, so that a place on it is another one in every frame: it is never asked, and is
shifted with the face beside it alone. Fine detail stays the frame's own. Panoramas are stitched from unlike exposures
in the same way (Brown and Lowe 2007, IJCV 74, section 6, with one gain for each picture).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from stage1_edit.editor import Image
from stage1_edit.surface_aggregation import SurfaceStarts

REACH = 0.1
"""Standard deviation of what counts as smooth, in the picture's longer sides. A shorter reach takes what frames rightly
differ in, too: bronze statues of `scripts/benchmark_schedules.py` were 2.53, 2.55, 2.65 and 2.74 off their target with
0.12, 0.06, 0.03 and 0.015, and no steadier."""
LEAST_KNOWN = 0.02
"""Where less of the surroundings is known, the correction fades out: all of a small region, as of the lips, tells its
tone."""

Mask = Float[Tensor, "height width 1"]


@dataclass
class CommonTone:
    """Gives edited frames the tone that they have in common."""

    surface: Callable[[], SurfaceStarts]
    """Makes what gathers what they agree on, anew for every round: what it remembers of frames would be out of date."""
    trusted: Callable[[int], Mask]
    """How much of each pixel tells the edit's tone: what is edited and lies on the tracked mesh, as hair does not."""
    mask: Callable[[int], Mask]
    """How much of each pixel is edited."""

    def toned(self, frames: Sequence[int]) -> Iterator[tuple[int, Image]]:
        """Frames that have been edited, and their edits in the common tone."""
        surface = self.surface()
        change = surface.agreed(set(frames))
        for frame in frames:
            original = surface.original(frame)
            edited = surface.edited(frame).to(original)
            if change is not None:
                agreed, known = change.shown(original, self.trusted(frame), surface.geometry(frame))
                mask = self.mask(frame)
                # What was not edited tells nothing of the edit's tone.
                edited = in_tone(edited, agreed, known * mask.to(known), mask)
            yield frame, edited


def in_tone(edited: Image, agreed: Image, known: Mask, mask: Mask) -> Image:
    """An edit with the smooth part of another picture, as far as that is known there and nearby.

    Args:
        edited: in [0, 1].
        agreed: what gives the tone, in [0, 1].
        known: where it can be trusted, in [0, 1].
        mask: how much of each pixel may change; where it is 0 the edit stays bit-exact.
    """
    reach = REACH * max(edited.shape[:2])

    def smooth(picture: np.ndarray) -> np.ndarray:
        return np.asarray(cv2.GaussianBlur(picture, (0, 0), reach))

    missing = (known * (agreed - edited)).float().cpu().numpy()
    nearby = smooth(known[..., 0].float().cpu().numpy())[..., None]
    correction = torch.from_numpy(smooth(missing) / np.maximum(nearby, LEAST_KNOWN)).to(edited)
    return torch.where(mask > 0, (edited + mask.to(edited) * correction).clamp(0, 1), edited)
