"""Expressions of other frames in training, wherever they change nothing.

A clip of seconds shows few expressions, each from few sides: whoever turns the head while talking has codes of the
mouth that only profiles have shown. Nothing in such a clip tells an avatar that hair, eyes and outline stay what they
are when only the mouth is another's, and driven by somebody else it dissolved, hair and all. So some frames of every
batch take the expressions of one part of the face from another frame, and are compared with the film only where that
part moves nothing:

    the mouth's (with jaw, cheeks and nose)    above the eyes' lower lids
    the eyes' and the brows'                   below the eyes, in the hair, on the ears, and where nobody is

Above and below are meant along the line from the middle of the eyes to the middle of the lips, on which the eyes lie at
0 and the lips at 1.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from tracking.cameras import project, rigid_inverse, transform
from tracking.clip import TrackedClip
from tracking.face_regions import LEFT_EYE, OUTER_LIPS, RIGHT_EYE
from tracking.head_model import HeadModel
from tracking.regions import Label

OWN, MOUTH, EYES_AND_BROWS = -1, 0, 1
"""Which part of a frame's face wears another frame's expression."""
ABOVE, BELOW = 0.25, 0.4
"""Where along the line the mouth moves nothing any more, and from where on eyes and brows move nothing."""
BEYOND = 0.25
"""How far past two frames' expressions those lie at most that are made of them, as a share of the way between them: who
drives an avatar makes faces that it has not made."""


@dataclass(frozen=True)
class Exchange:
    """The frames of a batch, and what each of them wears."""

    row: Int[Tensor, "frames"]
    """The frames' rows; those that wear something of others' come last."""
    part: Int[Tensor, "frames"]
    """One of the constants above for each."""
    donors: Float[Tensor, "frames 3"]
    """When the two frames are shown that the part is mixed of, and how far from the first to the second."""

    def of_rays(self, position: Int[Tensor, "rays"]) -> Float[Tensor, "rays 4"]:
        """Part and donors for rays that see the batch's frames at these positions."""
        return torch.cat([self.part[:, None].float(), self.donors], dim=1)[position]


class PartExchange:
    """Chooses which frames of a batch wear what of which other frames, and tells where that changes nothing."""

    def __init__(self, clip: TrackedClip, frames: list[int]) -> None:
        """
        Args:
            frames: the source's numbers of the frames that are trained on, in the order of their rows.
        """
        neutral = HeadModel.load().neutral(clip.track.identity)
        middles = np.array([neutral[[*RIGHT_EYE, *LEFT_EYE]].mean(axis=0), neutral[list(OUTER_LIPS)].mean(axis=0)])
        head_to_camera = rigid_inverse(clip.track.camera_to_head[frames])
        seen = project(np.stack([transform(pose, middles) for pose in head_to_camera]), clip.intrinsics)
        eyes, line = seen[:, 0], seen[:, 1] - seen[:, 0]
        along = line / np.maximum((line**2).sum(axis=1, keepdims=True), 1.0)
        self._eyes = torch.from_numpy(eyes).float()
        self._along = torch.from_numpy(along).float()
        self._times = torch.from_numpy(clip.times[frames]).float()

    def draw(self, rows: Int[Tensor, "own_frames"], further: int) -> Exchange:
        """Add frames that wear a part of others' expressions.

        What they wear lies on the line through the expressions of two frames drawn at random, `BEYOND` of the way past
        either at most.

        Args:
            rows: the batch's frames, which wear their own.
            further: how many others of these frames to add, drawn at random.
        """
        added = rows[torch.randint(len(rows), (further,))]
        part = torch.cat([torch.full_like(rows, OWN), torch.randint(2, (further,))])
        own = torch.stack([self._times[rows], self._times[rows], torch.zeros(len(rows))], dim=-1)
        pair = self._times[torch.randint(len(self._times), (further, 2))]
        way = (1 + 2 * BEYOND) * torch.rand(further, 1) - BEYOND
        return Exchange(torch.cat([rows, added]), part, torch.cat([own, torch.cat([pair, way], dim=-1)]))

    def unchanged(
        self,
        row: Int[Tensor, "pixels"],
        y: Int[Tensor, "pixels"],
        x: Int[Tensor, "pixels"],
        label: Int[Tensor, "pixels"],
        matte: UInt8[Tensor, "pixels"],
        part: Int[Tensor, "pixels"],
    ) -> Bool[Tensor, "pixels"]:
        """Whether pixels look as they were filmed, whatever expression the part has.

        Args:
            row, y, x: which frame and where.
            label: what is seen there.
            matte: how much of it is the person, from 0 to 255.
            part: what of the frame's expression is another's.
        """
        place = torch.stack([x + 0.5, y + 0.5], dim=-1) - self._eyes[row]
        along = (place * self._along[row]).sum(dim=-1)
        apart = (label == Label.HAIR) | (label == Label.EARS) | (matte == 0)
        return torch.where(part == MOUTH, along < ABOVE, (part == OWN) | (along > BELOW) | apart)

    def unchanged_in_frame(
        self, row: int, labels: UInt8[Tensor, "height width"], matte: UInt8[Tensor, "height width"], part: int
    ) -> Bool[Tensor, "height width"]:
        """Which pixels of a whole frame look as they were filmed; the arguments are as `unchanged` has them."""
        height, width = labels.shape
        y, x = (place.flatten() for place in torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij"))
        rows, parts = torch.full_like(y, row), torch.full_like(y, part)
        return self.unchanged(rows, y, x, labels.flatten().long(), matte.flatten(), parts).view(height, width)


def worn(
    own: Float[Tensor, "moments expressions"],
    donors: Float[Tensor, "moments expressions"],
    part: Int[Tensor, "moments"],
    face_parts: Bool[Tensor, "parts expressions"],
) -> Float[Tensor, "moments expressions"]:
    """Expressions with one part taken from others.

    Args:
        face_parts: which are the eyes', the brows' and the mouth's (`face_parts`).
    """
    is_mouth = face_parts[-1]
    exchanged = torch.where((part == MOUTH)[:, None], is_mouth, (part == EYES_AND_BROWS)[:, None] & ~is_mouth)
    return torch.where(exchanged, donors, own)
