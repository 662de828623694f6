"""Which pixels a training step sees: a few frames, the rare ones oftener, and the places that the eye looks at."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8, UInt16
from nerfstudio.data.pixel_samplers import PixelSampler, PixelSamplerConfig
from torch import Tensor

from stage2_nerf.error_map import ErrorMap
from stage2_nerf.face_parts import LIDS
from stage2_nerf.part_exchange import OWN, PartExchange
from tracking.frame_flags import FrameFlag, has_flag
from tracking.regions import REGIONS, Label

POOR = FrameFlag.BLURRED | FrameFlag.OCCLUDED | FrameFlag.DARK
"""Flags of frames that show the person worse than the others. Profiles are not among them: they are rare, and right."""

LID_HEIGHT = 0.015
"""How far from an eye its lids are looked at like it, as a share of the picture's height."""

LARGEST_ERROR = 4.0
"""A pixel around which the error is so many times the average is drawn no oftener for a larger one."""


@dataclass
class PortraitPixelSamplerConfig(PixelSamplerConfig):
    """Which pixels are trained on."""

    _target: type = field(default_factory=lambda: PortraitPixelSampler)
    frames_per_batch: int = 8
    """Distinct frames in a batch: each costs one blend of the fields' tables."""
    rare_expression_weight: float = 4.0
    """How much likelier, at most, a frame is drawn whose expression the clip hardly shows again."""
    poor_frame_weight: float = 0.3
    """How likely a frame is drawn that tracking flagged as blurred, covered or badly lit, against 1 for the others."""
    eyes_and_mouth_weight: float = 4.0
    """How much likelier a pixel of eyes, brows or mouth is drawn than one of skin."""
    edge_weight: float = 2.0
    """How much likelier a pixel of the matte's soft edge is drawn."""
    background_weight: float = 0.15
    """How likely a pixel without any person is drawn, against 1 for one of skin."""
    outside_region_weight: float = 0.05
    """How likely a pixel outside of the only region that a prompt edits is drawn, against what it would be otherwise:
    little is to be learned there, but that nothing changes."""
    exchanged_frames: int = 2
    """Further frames in a batch, which wear a part of other frames' expressions where that changes nothing
    (`part_exchange`). Somebody else's mouth on an avatar of 256 x 256 pixels left of what it does not move, hair and
    eyes, 19.1 dB with none of them, 21.8 with 2 and 22.5 with 4; held-out frames of another lost 0.35 dB with 4."""
    exchanged_background_weight: float = 0.4
    """How likely a pixel without any person is drawn of these: there an outline that an expression wrongly moves is
    seen."""
    error_share: float = 0.3
    """Share of each pixel's and each frame's likelihood that follows the error last seen there; 0 looks at none."""


class PortraitPixelSampler(PixelSampler):
    """Draws pixels from a few frames, more of them where the eye looks."""

    config: PortraitPixelSamplerConfig

    def __init__(self, config: PortraitPixelSamplerConfig, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        self.frames_per_batch = config.frames_per_batch
        self.exchanged_frames = config.exchanged_frames
        self.allowed_rows: Int[Tensor, "rows"] | None = None
        """Rows of the batch that may be drawn from; all where none is given."""
        self.region_labels: Bool[Tensor, "labels"] | None = None
        """Labels of the only region that is being edited; none where all of the person is."""
        self.turns: FrameTurns | None = None
        """Whose turn it is, where frames are drawn in turns; none where each batch's are drawn anew."""
        self.frame_weights: Float[Tensor, "rows"] | None = None
        """How likely each row of the batch is drawn; all alike where none is given."""
        self.exchange: PartExchange | None = None
        """Lets frames wear parts of other frames' expressions; all wear their own where none is given."""
        self.error_map: ErrorMap | None = None
        """Errors that the batches' rays found; none before any were told."""
        self.drawn: Int[Tensor, "3 rays"] | None = None
        """Row, y and x of the pixels drawn last."""
        self.shape = (0, 0, 0)
        """Frames, height and width of what they were drawn from."""
        self.label_weights = torch.ones(max(Label) + 1)
        for label in (Label.EYES, Label.BROWS, Label.LIPS, Label.MOUTH_INTERIOR):
            self.label_weights[label] = config.eyes_and_mouth_weight

    def sample(self, image_batch: dict[str, Any]) -> dict[str, Any]:
        """Draw a batch of pixels: four times as many uniformly, then among those by weight."""
        images = image_batch["image"]
        count, height, width = images.shape[:3]
        rows = torch.arange(count) if self.allowed_rows is None else self.allowed_rows
        likely = torch.ones(len(rows)) if self.frame_weights is None else self.frame_weights[rows]
        if self.error_map is not None:
            likely = likely * self.by_error(self.error_map.of_frames(rows))
        number = min(self.frames_per_batch, len(rows))
        chosen = torch.multinomial(likely, number) if self.turns is None else self.turns.next(rows, likely, number)
        worn = None
        if self.exchange is not None:
            worn = self.exchange.draw(rows[chosen], self.exchanged_frames)
        frames = rows[chosen] if worn is None else worn.row
        candidates = 4 * self.num_rays_per_batch
        position = torch.randint(len(frames), (candidates,))
        row = frames[position]
        y, x = torch.randint(height, (candidates,)), torch.randint(width, (candidates,))
        matte = image_batch["matte"][row, y, x, 0]
        label = image_batch["labels"][row, y, x, 0].long()
        background = torch.full((len(frames),), self.config.background_weight)
        if worn is not None:
            background[worn.part != OWN] = self.config.exchanged_background_weight
        weight = torch.where(matte == 0, background[position], self.label_weights[label])
        weight = torch.where(self.is_lid(image_batch["labels"], row, y, x), self.config.eyes_and_mouth_weight, weight)
        weight = torch.where((matte > 0) & (matte < 250), weight.clamp(min=self.config.edge_weight), weight)
        if self.region_labels is not None:
            weight = weight * torch.where(self.region_labels[label], 1.0, self.config.outside_region_weight)
        if self.error_map is not None:
            weight = weight * self.by_error(self.error_map.around(row, y, x))
        if self.exchange is not None and worn is not None:
            weight = weight * self.exchange.unchanged(row, y, x, label, matte, worn.part[position])
        kept = torch.multinomial(weight, self.num_rays_per_batch)
        # Neighbouring pixels follow each other: what they look up is still in the processor's cache.
        kept = kept[torch.argsort((row[kept] * height + y[kept]) * width + x[kept])]
        row, y, x, position = row[kept], y[kept], x[kept], position[kept]
        batch = {key: value[row, y, x] for key, value in image_batch.items() if key != "image_idx"}
        batch["indices"] = torch.stack([image_batch["image_idx"][row], y, x], dim=-1)
        if worn is not None:
            batch["worn"] = worn.of_rays(position)
        self.drawn, self.shape = torch.stack([row, y, x]), (count, height, width)
        return batch

    def is_lid(
        self,
        labels: UInt8[Tensor, "frames height width 1"],
        row: Int[Tensor, "pixels"],
        y: Int[Tensor, "pixels"],
        x: Int[Tensor, "pixels"],
    ) -> Bool[Tensor, "pixels"]:
        """Which pixels are just above or below an eye: lids are labelled as skin, and in a blink the eye is all lid."""
        height = labels.shape[1]
        reach = max(1, round(LID_HEIGHT * height))
        beside = [labels[row, (y + step).clamp(0, height - 1), x, 0] for step in (-reach, reach)]
        return (beside[0] == Label.EYES) | (beside[1] == Label.EYES)

    def favour(self, region: str | None) -> None:
        """Draw mostly from one region of the person; from all of it where none is named."""
        covered = None if region in (None, "person") else REGIONS[region]
        self.region_labels = None if covered is None else torch.tensor([label in covered for label in Label])

    def observe(self, error: Float[Tensor, "rays"]) -> None:
        """Learn the colour errors, in [0, 1], of the pixels drawn last."""
        if self.config.error_share > 0 and self.drawn is not None:
            self.error_map = self.error_map or ErrorMap(*self.shape)
            row, y, x = self.drawn
            self.error_map.observe(row, y, x, error.detach().cpu())

    def forget(self) -> None:
        """Look at no errors until new ones are told: other pictures are about to be trained on."""
        self.error_map = self.drawn = None

    def by_error(self, relative: Float[Tensor, "some"]) -> Float[Tensor, "some"]:
        """How much likelier something is drawn for its error over the average."""
        share = self.config.error_share
        return (1 - share) + share * relative.clamp(max=LARGEST_ERROR)


class FrameTurns:
    """Frames in turns: over any stretch of batches each is drawn as often as its likelihood says, give or take once.

    Edits of one look differ from frame to frame, and what a style learned last is what it shows: with frames drawn anew
    for every batch that was the mean of a few of them.
    """

    def __init__(self, count: int, seed: int) -> None:
        """For frames numbered from 0, beginning with any of them."""
        self.credit: Float[Tensor, "frames"] = torch.rand(count, generator=torch.Generator().manual_seed(seed))
        """How much of a draw each frame is owed."""

    def next(self, rows: Int[Tensor, "rows"], likely: Float[Tensor, "rows"], number: int) -> Int[Tensor, "number"]:
        """Positions among the rows of those that are owed most.

        Args:
            likely: how likely each row is drawn, against the others.
            number: how many, at most as many as there are rows.
        """
        # What cannot be drawn often enough is not owed ever more.
        self.credit[rows] = (self.credit[rows] + number * likely / likely.sum()).clamp(max=2.0)
        chosen = self.credit[rows].topk(number).indices
        self.credit[rows[chosen]] -= 1
        return chosen


def frame_weights(
    config: PortraitPixelSamplerConfig,
    expressions: Float[Tensor, "frames expressions"],
    flags: UInt16[np.ndarray, "frames"],
    names: Sequence[str],
) -> Float[Tensor, "frames"]:
    """How likely each frame is drawn: the oftener, the seldomer its expression is, and seldom where it shows little.

    The lids' expressions are also looked at by themselves: beside all that a mouth does a blink is not seldom.

    Args:
        names: ARKit's names of the expressions.
    """
    trust = torch.where(torch.from_numpy(has_flag(flags, POOR)), config.poor_frame_weight, 1.0)
    is_lid = torch.tensor([name.startswith(LIDS) for name in names])
    parts = [expressions, *([expressions[:, is_lid]] if is_lid.any() else [])]
    rarity = [expression_rarity(part, config.rare_expression_weight) for part in parts]
    return torch.stack(rarity).amax(dim=0) * trust


def expression_rarity(
    expressions: Float[Tensor, "frames expressions"], highest: float, neighbours: int = 5
) -> Float[Tensor, "frames"]:
    """How seldom each frame's expression is seen: its mean distance to its nearest neighbours, over the median frame's.

    Never below 1 nor above `highest`. A yawn in three frames of a hundred would otherwise hardly be trained on.
    """
    # By portions: of ten thousand frames, all distances at once would take a gigabyte and a half.
    nearest = torch.cat(
        [
            torch.cdist(portion, expressions).topk(min(neighbours + 1, len(expressions)), largest=False).values[:, 1:]
            for portion in expressions.split(512)
        ]
    )
    if nearest.shape[1] == 0:
        return torch.ones(len(expressions))
    novelty = nearest.mean(dim=1)
    return (novelty / novelty.median().clamp(min=1e-6)).clamp(1.0, highest)
