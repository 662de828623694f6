"""The avatar's picture laid onto the film it was learned from, by the optical flow between the two.

The unedited avatar shows what the film shows, but for fractions of a pixel by which poses, expressions and the field
are off, another fraction in every frame. Under an edit these show more than they do without: a silver hairline is a
harder edge than the filmed one, and flickers by as much more. As the unedited picture and the film can be compared in
every frame, the fractions are measured there, and every look of that frame is shifted by them.

Dense inverse search (Kroeger et al., "Fast Optical Flow using Dense Inverse Search", ECCV 2016) finds the flow. It is
believed as far as it makes the pictures more alike, averaged over the neighbourhood (normalised convolution, Knutsson &
Westin 1993), and bounded: where the film shows what the avatar lacks, such as a hand, there is nothing to be followed.
"""

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from tracking.flow_look_up import look_up

NEIGHBOURHOOD = 0.012
"""Standard deviation of the averaging, as a share of the picture's height."""
LONGEST = 0.02
"""No shift is longer, as a share of the picture's height."""
DOUBT = 0.02
"""Belief in there being no shift at all, beside the average belief in what was found."""
ALIKE_WITHIN = 3.0
"""Standard deviation, in pixels, of the neighbourhood in which pictures are compared."""
LEAST_OPACITY = 0.05
"""Where neither matte nor avatar is denser there is no person to be followed."""

Shift = Float32[np.ndarray, "height width 2"]
"""Where a point of the film lies in the avatar's picture: across and down from its own place, in pixels."""


def shift_to_film(
    unedited: Float32[np.ndarray, "height width 3"],
    film: UInt8[np.ndarray, "height width 3"],
    person: Float32[np.ndarray, "height width"],
) -> Shift:
    """Where the film's points lie in the avatar's picture of the same frame.

    Args:
        unedited: the avatar without a style, over the frame's background, in [0, 1].
        film: the frame.
        person: how much of each pixel the person covers in either of them, in [0, 1].
    """
    height = film.shape[0]
    # At half the size: finer flow follows the film's noise.
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    search.setFinestScale(1)
    target = cv2.cvtColor(film, cv2.COLOR_RGB2GRAY)
    found = cv2.cvtColor((unedited * 255).clip(0, 255).astype(np.uint8), cv2.COLOR_RGB2GRAY)
    flow = np.asarray(search.calc(target, found, None))  # pyright: ignore[reportCallIssue, reportArgumentType]
    before, after = difference(found, target), difference(shifted(found, flow), target)
    belief = (person > LEAST_OPACITY) * np.clip((before - after) / np.maximum(before, 1e-6), 0, 1)
    width = NEIGHBOURHOOD * height
    total = cv2.GaussianBlur(belief, (0, 0), width) + DOUBT
    mean = cv2.GaussianBlur(flow * belief[..., None], (0, 0), width) / total[..., None]
    length = np.linalg.norm(mean, axis=-1, keepdims=True)
    most = LONGEST * height
    return (mean * (most * np.tanh(length / most) / np.maximum(length, 1e-6))).astype(np.float32)


def difference(
    one: UInt8[np.ndarray, "height width"], other: UInt8[np.ndarray, "height width"]
) -> Float32[np.ndarray, "height width"]:
    """The mean squared difference around every pixel, of brightness in [0, 1]."""
    squares = ((one.astype(np.float32) - other) / 255) ** 2
    return cv2.GaussianBlur(squares, (0, 0), ALIKE_WITHIN)


def shifted(picture: np.ndarray, shift: Shift) -> np.ndarray:
    """A picture of any number of channels as the film shows it, interpolated (Keys 1981); it ends as its edge does."""
    return look_up(picture, shift, interpolation=cv2.INTER_CUBIC)
