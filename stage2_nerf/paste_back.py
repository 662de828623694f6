"""From the avatar's rendered crop back into the source's frame, at the source's resolution.

Three rules: where neither the person was nor the avatar is, the source's pixels stay as they are, bit for bit; where
the avatar no longer covers what the person covered, the background shows; and detail that the avatar could not resolve
is taken from the source: the difference in brightness between the filmed frame and the avatar's unedited picture of it.
Where the crop ends amid the person, the avatar fades into the source over a narrow margin: a hard edge catches the eye.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from stage2_nerf.backdrop import ORIGINAL, Backdrop
from stage2_nerf.enlarging import Enlarger

LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)
"""Rec. 709's shares of red, green and blue in brightness."""

LEAST_OPACITY = 0.02
"""Opacities below this are taken for none: the field's fog must not touch the background."""

REACH = 0.03
"""How far from the matte the avatar may stand out, as a share of the crop's height."""

FADE = 0.04
"""Width of the margin inside of the crop, as a share of its shorter side."""


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
    image: UInt8[np.ndarray, "height width 3"]
    """The frame as the clip holds it."""
    plate: Float32[np.ndarray, "height width 3"] | None = None
    """The scene without the person over the whole clip, in [0, 1], where the camera stands still."""
    is_filmed_view: bool = True
    """Whether the avatar is seen as the person was filmed: then it can only be near the matte."""
    lasting: Float32[np.ndarray, "height width"] | None = None
    """Where the source's fine brightness still belongs to the avatar, in [0, 1]; none for everywhere."""


def clean_alpha(
    alpha: Float32[np.ndarray, "height width"], matte: Float32[np.ndarray, "height width"] | None
) -> Float32[np.ndarray, "height width"]:
    """Opacity without fog: none below a threshold; outside of a matte that is given it fades away within `REACH`."""
    clean = np.clip((alpha - LEAST_OPACITY) / (1 - 2 * LEAST_OPACITY), 0, 1)
    if matte is None:
        return clean
    distance = cv2.distanceTransform((matte == 0).astype(np.uint8), cv2.DIST_L2, 5)
    return clean * np.clip(1 - distance / (REACH * alpha.shape[0]), 0, 1)


@dataclass(frozen=True)
class PersonLayer:
    """The edited person at the source's resolution, within the crop, ready to be laid over anything."""

    colour: Float32[np.ndarray, "height width 3"]
    """Premultiplied."""
    alpha: Float32[np.ndarray, "height width 1"]
    background: Float32[np.ndarray, "height width 3"]
    """What the source would show without the person."""
    edited: Float32[np.ndarray, "height width 1"]
    """How far each pixel may differ from the source's; exactly 0 where neither the person was nor the avatar is."""


def person_layer(
    source: UInt8[np.ndarray, "height width 3"],
    enlarger: Enlarger,
    rendered: RenderedCrop,
    surroundings: CropSurroundings,
    detail: float,
) -> PersonLayer:
    """The avatar at the source's resolution.

    Args:
        source: the crop as it was filmed.
        enlarger: from the clip's size to the source's.
        detail: how much of the source's fine brightness to put back on the avatar, in [0, 1].
    """
    opacity = clean_alpha(rendered.alpha, surroundings.matte if surroundings.is_filmed_view else None)
    gain = (opacity / np.maximum(rendered.alpha, 1e-6))[..., None]
    alpha, matte = enlarger.mask(opacity)[..., None], enlarger.mask(surroundings.matte)[..., None]
    # Enlarged with its own opacity, and then cut out along the source's edges with the sharper one.
    smooth_alpha = enlarger.colours(opacity)[..., None]
    sharpen = alpha / np.maximum(smooth_alpha, 1e-6)
    colour = enlarger.colours(rendered.foreground * gain) * sharpen
    filmed = source.astype(np.float32) / 255
    unedited = enlarger.colours(rendered.original_foreground * gain) * sharpen
    background = np.where(matte == 0, filmed, enlarger.colours(surroundings.background))
    if surroundings.is_filmed_view:
        soft = np.nonzero((matte[..., 0] > 0) & (matte[..., 0] < 1))
        person = unedited[soft] / np.maximum(alpha[soft], 0.05)
        background[soft] = seen_background(filmed[soft], matte[soft], person, background[soft])
    if detail > 0:
        behind = (1 - alpha) * background
        missing = fine_brightness(filmed, unedited + behind, colour + behind)
        shown = np.minimum(matte, alpha)
        if surroundings.lasting is not None:
            shown = shown * enlarger.mask(surroundings.lasting)[..., None]
        colour = colour + (detail * missing)[..., None] * shown
    region = enlarger.mask(surroundings.region)[..., None]
    return PersonLayer(colour, alpha, background, np.where((alpha > 0) | (matte > 0), region, 0))


def fine_brightness(
    filmed: Float32[np.ndarray, "height width 3"],
    unedited: Float32[np.ndarray, "height width 3"],
    edited: Float32[np.ndarray, "height width 3"],
) -> Float32[np.ndarray, "height width"]:
    """What the film shows and the unedited avatar lacks, as strong as the edited one should show it.

    Args:
        filmed: the frame.
        unedited: the avatar's picture of it without any style, over the background.
        edited: the same in the style that is shown.
    """
    before, after = brightness(unedited), brightness(edited)
    # Fainter where the edit is darker, but nowhere stronger than filmed: the film's noise is part of it, and on hair
    # made bright it would flicker more than the film does.
    return (brightness(filmed) - before) * np.clip((after + 0.05) / (before + 0.05), 0.4, 1.0)


def seen_background(
    filmed: Float32[np.ndarray, "pixels 3"],
    matte: Float32[np.ndarray, "pixels 1"],
    person: Float32[np.ndarray, "pixels 3"],
    guess: Float32[np.ndarray, "pixels 3"],
) -> Float32[np.ndarray, "pixels 3"]:
    """What is behind the person, as far as the film shows it where the person covers it in part. In [0, 1].

    A filmed pixel is `matte * person + (1 - matte) * background`, which tells the background where the matte is small:
    it is followed there by `(1 - matte)^2`, for what errors the matte and the person's colour have grow as `1 / (1 -
    matte)`. What is told is kept between the filmed and the guessed colour, lest such errors become bright specks.

    Args:
        filmed: pixels of the frame; few are soft, and pictures may be large, so only those need be given.
        matte: how much of each pixel was the person.
        person: the colour of the person there, not multiplied by the matte.
        guess: the background, from the plate or carried inwards from around the person.

    Returns:
        Exactly the film where the matte is 0, and the guess where it is 1.
    """
    told = (filmed - matte * person) / np.maximum(1 - matte, 0.05)
    told = np.clip(told, np.minimum(filmed, guess), np.maximum(filmed, guess))
    return np.where(matte == 0, filmed, guess + (1 - matte) ** 2 * (told - guess))


def paste_back(
    frame: UInt8[np.ndarray, "frame_height frame_width 3"],
    crop: tuple[int, int, int, int],
    rendered: RenderedCrop,
    surroundings: CropSurroundings,
    detail: float,
    backdrop: Backdrop = ORIGINAL,
) -> UInt8[np.ndarray, "frame_height frame_width channels"]:
    """The source's frame with the avatar in place of the person.

    Args:
        crop: left, top, width and height of the crop in the frame.
        detail: how much of the source's fine brightness to put back on the avatar, in [0, 1].
        backdrop: what is behind the person. With `alpha` the result is RGBA, its colours not multiplied by opacity.
            Outside of the crop nothing is known of the person, so there is only the backdrop.
    """
    left, top, width, height = crop
    place = np.s_[top : top + height, left : left + width]
    source = frame[place]
    enlarger = Enlarger(surroundings.image, source)
    layer = person_layer(source, enlarger, rendered, surroundings, detail)
    filmed = source.astype(np.float32) / 255
    if backdrop.kind == "original":
        edited = layer.edited * faded(crop, frame.shape)[..., None]
        mixed = filmed + edited * (layer.colour + (1 - layer.alpha) * layer.background - filmed)
        result = frame.copy()
        result[place] = np.where(edited > 0, to_levels(mixed), source)
        return result
    # Where the edit leaves the source alone, the person is cut out of it: what the background adds is taken off.
    matte = enlarger.mask(surroundings.matte)[..., None]
    own = np.clip(filmed - (1 - matte) * layer.background, 0, matte)
    colour = own + layer.edited * (layer.colour - own)
    alpha = matte + layer.edited * (layer.alpha - matte)
    if backdrop.kind == "alpha":
        result = np.zeros((*frame.shape[:2], 4), np.uint8)
        straight = np.where(alpha > 0, colour / np.maximum(alpha, 1e-3), 0)
        result[place] = to_levels(np.concatenate([straight, alpha], axis=-1))
        return result
    result = np.array(frame if backdrop.picture is None else backdrop.picture)
    shown = result[place].astype(np.float32) / 255
    if backdrop.kind == "plate" and surroundings.plate is not None:
        shown = enlarger.colours(surroundings.plate)
    result[place] = to_levels(colour + (1 - alpha) * shown)
    return result


def faded(crop: tuple[int, int, int, int], frame_shape: tuple[int, ...]) -> Float32[np.ndarray, "height width"]:
    """How much of the avatar shows: 1, falling to almost 0 toward those edges of the crop that are not the frame's.

    Args:
        crop: left, top, width and height of the crop in the frame.
        frame_shape: the frame's height and width, first.
    """
    left, top, width, height = crop
    margin = max(1.0, FADE * min(width, height))
    ramps = []
    for begin, length, whole in ((top, height, frame_shape[0]), (left, width, frame_shape[1])):
        place = np.arange(length, dtype=np.float32) + 0.5
        before = place if begin > 0 else np.full(length, np.inf, np.float32)
        after = length - place if begin + length < whole else np.full(length, np.inf, np.float32)
        near = np.clip(np.minimum(before, after) / margin, 0, 1)
        ramps.append(near * near * (3 - 2 * near))
    return ramps[0][:, None] * ramps[1]


def brightness(picture: Float32[np.ndarray, "height width 3"]) -> Float32[np.ndarray, "height width"]:
    """Rec. 709's luma; OpenCV makes it in a third of the time of a matrix product."""
    return cv2.transform(picture, LUMINANCE[None])


def to_levels(picture: Float32[np.ndarray, "height width channels"]) -> UInt8[np.ndarray, "height width channels"]:
    """Values in [0, 1] in 8 bits."""
    return np.clip(picture * 255 + 0.5, 0, 255).astype(np.uint8)
