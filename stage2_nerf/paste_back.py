"""From the avatar's rendered crop back into the source's frame, at the source's resolution.

Three rules: where neither the person was nor the avatar is, the source's pixels stay as they are, bit for bit; where
the avatar no longer covers what the person covered, the background shows; and detail that the avatar could not resolve
is taken from the source: the difference in brightness between the filmed frame and the avatar's unedited picture of it.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)
"""Rec. 709's shares of red, green and blue in brightness."""

LEAST_OPACITY = 0.02
"""Opacities below this are taken for none: the field's fog must not touch the background."""


@dataclass(frozen=True)
class RenderedCrop:
    """The avatar's picture of one frame, the size of the clip's images."""

    foreground: Float32[np.ndarray, "height width 3"]
    """Premultiplied colour in the style asked for, in [0, 1]."""
    original_foreground: Float32[np.ndarray, "height width 3"]
    """The same without any style."""
    alpha: Float32[np.ndarray, "height width"]
    """Opacity in [0, 1]."""


@dataclass(frozen=True)
class CropSurroundings:
    """What is known of the same frame of the clip."""

    matte: Float32[np.ndarray, "height width"]
    """How much of each pixel was the person, in [0, 1]."""
    background: Float32[np.ndarray, "height width 3"]
    """What the frame would show without the person, in [0, 1]."""
    region: Float32[np.ndarray, "height width"]
    """How far each pixel may be edited, in [0, 1]."""
    is_filmed_view: bool = True
    """Whether the avatar is seen as the person was filmed: then it can only be near the matte."""


def clean_alpha(
    alpha: Float32[np.ndarray, "height width"], matte: Float32[np.ndarray, "height width"] | None
) -> Float32[np.ndarray, "height width"]:
    """Opacity without fog: none below a threshold, nor further from a matte that is given than 5 % of the height."""
    clean = np.clip((alpha - LEAST_OPACITY) / (1 - 2 * LEAST_OPACITY), 0, 1)
    if matte is None:
        return clean
    reach = max(1, round(0.05 * alpha.shape[0]))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    near = cv2.dilate((matte > 0).astype(np.uint8), kernel)
    return clean * near


def paste_back(
    frame: UInt8[np.ndarray, "frame_height frame_width 3"],
    crop: tuple[int, int, int, int],
    rendered: RenderedCrop,
    surroundings: CropSurroundings,
    detail: float,
) -> UInt8[np.ndarray, "frame_height frame_width 3"]:
    """The source's frame with the avatar in place of the person.

    Args:
        crop: left, top, width and height of the crop in the frame.
        detail: how much of the source's fine brightness to put back on the avatar, in [0, 1].
    """
    left, top, width, height = crop

    def enlarged(picture: Float32[np.ndarray, "height width *channels"]) -> Float32[np.ndarray, "..."]:
        if picture.shape[:2] == (height, width):
            return picture
        return cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)

    opacity = clean_alpha(rendered.alpha, surroundings.matte if surroundings.is_filmed_view else None)
    gain = (opacity / np.maximum(rendered.alpha, 1e-6))[..., None]
    alpha = enlarged(opacity)[..., None]
    foreground = enlarged(rendered.foreground * gain)
    matte = enlarged(surroundings.matte)[..., None]
    source = frame[top : top + height, left : left + width]
    filmed = source.astype(np.float32) / 255
    background = np.where(matte == 0, filmed, enlarged(surroundings.background))
    edited = foreground + (1 - alpha) * background
    if detail > 0:
        unedited = enlarged(rendered.original_foreground * gain) + (1 - alpha) * background
        before, after = unedited @ LUMINANCE, edited @ LUMINANCE
        missing = filmed @ LUMINANCE - before
        contrast = np.clip((after + 0.05) / (before + 0.05), 0.4, 1.6)
        edited = edited + (detail * missing * contrast)[..., None] * np.minimum(matte, alpha)
    region = enlarged(surroundings.region)[..., None]
    weight = np.where((alpha > 0) | (matte > 0), region, 0)
    mixed = filmed + weight * (edited - filmed)
    result = frame.copy()
    result[top : top + height, left : left + width] = np.where(
        weight > 0, np.clip(mixed * 255 + 0.5, 0, 255).astype(np.uint8), source
    )
    return result
