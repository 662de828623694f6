"""Soft region masks, and pasting an edit back through one."""

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, UInt8
from torch import Tensor

from stage1_edit.editor import Image
from tracking.regions import Label, is_in_region

DEFAULT_FEATHER = 0.012
"""Reach of a region's soft border to either side, as a fraction of the picture's shorter side."""


def region_weights(
    labels: UInt8[np.ndarray, "height width"],
    matte: Float32[np.ndarray, "height width"],
    region: str,
    feather: float = DEFAULT_FEATHER,
) -> Float32[np.ndarray, "height width"]:
    """How much of each pixel belongs to a region: the matte times the share of the region among nearby person pixels.

    Counting only the person's pixels keeps the border towards the background exactly as soft as the matte, so that
    wisps of hair are not thinned twice, and lets the masks of regions that tile the person add up to the matte.
    """
    if region == "person":
        return matte.copy()
    person = (labels != Label.BACKGROUND).astype(np.float32)
    inside = labelled(labels, region).astype(np.float32)
    radius = max(1, round(feather * min(labels.shape)))
    size = (2 * radius + 1, 2 * radius + 1)
    # A truncated Gaussian: it reaches zero exactly, `radius` pixels from the region.
    nearby_region = cv2.GaussianBlur(inside, size, radius / 2, borderType=cv2.BORDER_REPLICATE)
    nearby_person = cv2.GaussianBlur(person, size, radius / 2, borderType=cv2.BORDER_REPLICATE)
    share = np.divide(nearby_region, nearby_person, out=np.zeros_like(matte), where=nearby_person > 0)
    return matte * np.minimum(share, 1.0)


def labelled(labels: UInt8[np.ndarray, "height width"], region: str) -> Bool[np.ndarray, "height width"]:
    """Where the labels belong to the region, by a table of all 256 labels: much faster than comparing each pixel."""
    return is_in_region(np.arange(256, dtype=np.uint8), region)[labels]


def region_mask(
    labels: UInt8[Tensor, "height width"],
    matte: Float[Tensor, "height width 1"],
    region: str,
    feather: float = DEFAULT_FEATHER,
) -> Float[Tensor, "height width 1"]:
    """How much of each pixel an edit of the region may change.

    The mask is exactly the matte for `person`; it is exactly 0 wherever the matte is 0 and farther than `feather` from
    the region.

    Raises:
        KeyError: there is no region of that name.
    """
    weights = region_weights(labels.cpu().numpy(), matte[..., 0].float().cpu().numpy(), region, feather)
    return torch.from_numpy(weights)[..., None].to(matte)


def training_mask(
    labels: UInt8[Tensor, "height width"], matte: Float[Tensor, "height width 1"], region: str
) -> Float[Tensor, "height width 1"]:
    """How much of each pixel of an edit to train on; the rest stays as filmed.

    For `person` the matte. For a part of the person everything that its mask reaches, whole: the mask's softness comes
    when the style is pasted back through that mask. Trained on what is blended already, a style would be blended twice,
    and borders, whose labels waver from frame to frame, would be averaged into neither the edit nor the film.

    Raises:
        KeyError: there is no region of that name.
    """
    mask = region_mask(labels, matte, region)
    return mask if region == "person" else (mask > 0).to(mask)


def composite(edited: Image, original: Image, mask: Float[Tensor, "height width 1"]) -> Image:
    """Lay the edit over the original through the mask; where the mask is 0 the original stays bit-exact."""
    return torch.where(mask > 0, torch.lerp(original, edited, mask.to(original)), original)
