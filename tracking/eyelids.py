"""How far the eyes are shut, by what the frames show of them besides the landmarks.

MediaPipe's lids lag behind: of an eye that shuts in three frames they report a fifth to a half. But a picture of an eye
tells by itself how much of it is seen. Colours of eyes and of the skin around them are learned from the clip's frames
with open eyes; in every frame, the pixels in the outline of the open eye are then counted that are likelier eye than
skin. Lashes are as dark as an iris, so that some is always left: where the clip shows eyes that both landmarks and
pixels find closed, that is what shut means.

Pixels and landmarks are averaged, and `eyeBlinkLeft` and `eyeBlinkRight` set to what brings the head model's lids, with
its other expressions as they were fitted, to that opening. Open eyes keep what the landmarks' fit says.

On rendered heads (`scripts/benchmark_tracking.py`, 2026-11-24) the correlation with the true coefficients rises from
0.80 to 0.90, and a blink's measured height from a third of the true one to two thirds.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from scipy.ndimage import gaussian_filter

from tracking.eye_pictures import EYE_HEIGHT, EYE_WIDTH, to_eye_picture
from tracking.face_regions import CHIN, FOREHEAD_TOP, LEFT_EYE, RIGHT_EYE
from tracking.fitting import HeadFit
from tracking.head_model import HeadModel
from tracking.landmark_trust import EYES
from tracking.landmarks import Face
from tracking.spread_evenly import spread_evenly

NAMES = ("eyeBlinkRight", "eyeBlinkLeft")
OUTLINES = (RIGHT_EYE, LEFT_EYE)
LEAST_FRAMES = 20
"""Fewer say too little of what an open eye looks like."""
LEARNING_FRAMES = 300
"""Most frames with open eyes that colours are learned from, spread over the clip."""
CLOSED_SHARE = 40
"""Percentage of the frames, those with the smallest gaps between the lids, that open eyes are not learned from."""
BIN_SIZES, BINS = (8, 4, 4), (40, 24, 24)
"""Of the histogram of colours relative to the skin around the eye, in CIELAB as OpenCV stores it in bytes."""
BLUR = 0.7
"""Standard deviation of the histograms' smoothing, in bins."""
CHUNK = 256
"""Frames that are looked at at a time; bounds the memory used."""
SHUT_FRAMES = 3
"""In how many frames, those with the least open eyes, it is seen what shut means."""
LEAST_DROP = (0.8, 0.7)
"""Openings by pixels and by landmarks below which eyes in these frames count as shut."""
USUAL_SHUT = (0.35, 0.3)
"""What is left of either when eyes are shut, where the clip does not show it."""
MOST_SHUT = (0.75, 0.5)
"""The most that may be left of either."""
NOISES = 4.0
"""How many standard deviations of the frames' noise an eye must be closed by to count: small eyes are read worse."""

Opening = Float[np.ndarray, "frames"]
"""How open an eye is: 1 as in most frames, and less the more it is closed."""


@dataclass
class EyelidConfig:
    """How frames correct the blinks that the landmarks tell."""

    enabled: bool = True
    """Look at the eyes."""
    pixels: float = 0.6
    """How much the pixels, rather than the landmarks, count."""
    begin: float = 0.2
    """How far an eye must be closed, where frames show it well, for the landmarks' fit to be changed at all."""
    end: float = 0.55
    """How far, for it to be replaced. Where frames' noise is large, both are put off by as much as it asks for."""
    narrowest: tuple[float, float] = (0.5, 0.75)
    """Eyes seen from the side, narrower than the second of these shares of their usual width, count less by their
    pixels, and below the first not at all."""


def refine_blinks(
    fit: HeadFit,
    landmarks: Float[np.ndarray, "frames 478 3"],
    eyes: UInt8[np.ndarray, "frames 2 36 48 3"],
    config: EyelidConfig | None = None,
) -> HeadFit:
    """The fit with its two blinks corrected.

    Args:
        landmarks: what was fitted.
        eyes: `eye_pictures` of the frames; what untracked frames hold is ignored.
    """
    config = config or EyelidConfig()
    frames = np.flatnonzero(fit.tracked)
    outlined = np.isfinite(landmarks[frames][:, [*RIGHT_EYE, *LEFT_EYE], :2]).all()
    if not config.enabled or len(frames) < LEAST_FRAMES or not outlined:
        return fit
    model = HeadModel.load()
    closed = closings(landmarks[frames], eyes[frames], config)
    expression = fit.expression[frames].copy()
    neutral = model.neutral(fit.identity)
    shapes = neutral + np.tensordot(expression, model.expression_deltas, 1)
    for eye, name in enumerate(NAMES):
        blink = fit.expression_names.index(name)
        gap = _gap(shapes, eye)
        closes_by = -_gap(model.expression_deltas[blink], eye)
        is_open = closed[:, eye] < 0.2
        wide = float(np.median(gap[is_open] if is_open.any() else gap))
        shut = float(_gap(neutral, eye)) - closes_by
        share = np.clip(closed[:, eye], 0, 1)
        missing = (gap - (wide + share * (shut - wide))) / closes_by
        begin = max(config.begin, NOISES * _noise(closed[:, eye]))
        trust = np.clip((np.maximum(share, 1 - gap / wide) - begin) / (config.end - config.begin), 0, 1)
        expression[:, blink] = np.clip(expression[:, blink] + trust * missing, 0, 1)
    refined = fit.expression.copy()
    refined[frames] = expression
    return replace(fit, expression=refined)


def closings(
    landmarks: Float[np.ndarray, "frames 478 3"], eyes: UInt8[np.ndarray, "frames 2 36 48 3"], config: EyelidConfig
) -> Float[np.ndarray, "frames 2"]:
    """How far each eye is closed: about 0 open as usual, 1 shut."""
    openings = np.stack(
        [np.stack(_openings(landmarks, eyes[:, eye], eye)) for eye in range(len(EYES))]
    )  # eyes, [pixels, landmarks], frames
    least_open = np.argsort(openings.mean(axis=(0, 1)))[:SHUT_FRAMES]
    closed = []
    for eye, both in enumerate(openings):
        shut = both[:, least_open].mean(axis=1)
        is_shut = (shut < LEAST_DROP).all()
        left = np.clip(shut, 0.05, MOST_SHUT) if is_shut else np.array(USUAL_SHUT)
        by_pixels, by_landmarks = (1 - both) / (1 - left)[:, None]
        share = config.pixels * _in_view(landmarks, eye, config)
        closed.append(share * by_pixels + (1 - share) * by_landmarks)
    return np.stack(closed, axis=1)


def _noise(series: Float[np.ndarray, "frames"]) -> float:
    """The standard deviation of what changes from every frame to the next, most of which show no blink."""
    return float(np.median(np.abs(np.diff(series)))) / (0.6745 * np.sqrt(2))


def _openings(
    landmarks: Float[np.ndarray, "frames 478 3"], pictures: UInt8[np.ndarray, "frames 36 48 3"], eye: int
) -> tuple[Opening, Opening]:
    """By the pixels that show the eye, and by the distance of the lids."""
    gaps = _lid_distance(landmarks, eye)
    is_open = gaps >= np.percentile(gaps, CLOSED_SHARE)
    usual = np.flatnonzero(is_open)
    outlines = np.stack([_outline(landmarks[frame], eye) for frame in usual])
    areas = _Areas.of(np.median(outlines, axis=0))
    chosen = usual[spread_evenly(len(usual), LEARNING_FRAMES)]
    counts = np.zeros((2, int(np.prod(BINS))))
    for which, area in enumerate((areas.inside, areas.skin)):
        counts[which] = np.bincount(
            _color_bins(pictures[chosen], area, areas.around).ravel(), minlength=counts.shape[1]
        )
    eye_color, skin_color = (_smooth(count) for count in counts)
    is_eye = eye_color / (eye_color + skin_color)
    shown = np.concatenate(
        [
            is_eye[_color_bins(pictures[first : first + CHUNK], areas.opened, areas.around)].sum(axis=1)
            for first in range(0, len(pictures), CHUNK)
        ]
    )
    return shown / max(float(np.median(shown[usual])), 1e-6), gaps / max(float(np.median(gaps[usual])), 1e-6)


@dataclass(frozen=True)
class _Areas:
    """Parts of an eye's picture, by the outline of the open eye."""

    inside: Bool[np.ndarray, "36 48"]
    opened: Bool[np.ndarray, "36 48"]
    """The same and a little more."""
    skin: Bool[np.ndarray, "36 48"]
    around: Bool[np.ndarray, "36 48"]
    """Skin at some distance, whose median colour the others are compared with."""

    @classmethod
    def of(cls, outline: Float[np.ndarray, "points 2"]) -> "_Areas":
        mask = np.zeros((EYE_HEIGHT, EYE_WIDTH), np.uint8)
        cv2.fillPoly(mask, [np.rint((outline - 0.5) * 16).astype(np.int32)], (1,), shift=4)
        depth = cv2.distanceTransform(mask, cv2.DIST_L2, 3) - cv2.distanceTransform(1 - mask, cv2.DIST_L2, 3)
        return cls(depth > 2, depth > -1.2, (depth < -2.5) & (depth > -8), (depth < -3) & (depth > -9))


def _color_bins(
    pictures: UInt8[np.ndarray, "frames 36 48 3"], area: Bool[np.ndarray, "36 48"], around: Bool[np.ndarray, "36 48"]
) -> Int[np.ndarray, "frames pixels"]:
    """The histogram bins of an area's pixels, their colours relative to that of the skin around the eye."""
    # One below the other, for OpenCV.
    lab = np.asarray(cv2.cvtColor(pictures.reshape(-1, EYE_WIDTH, 3), cv2.COLOR_RGB2LAB)).reshape(pictures.shape)
    difference = lab[:, area] - np.median(lab[:, around], axis=1).astype(np.float32)[:, None]
    bins = np.rint(difference / np.array(BIN_SIZES, np.float32)).astype(np.int32) + np.array(BINS) // 2
    lightness, a, b = np.moveaxis(np.clip(bins, 0, np.array(BINS) - 1), -1, 0)
    return (lightness * BINS[1] + a) * BINS[2] + b


def _smooth(counts: Float[np.ndarray, "bins"]) -> Float[np.ndarray, "bins"]:
    smooth = gaussian_filter(counts.reshape(BINS), BLUR).ravel()
    return smooth / max(float(smooth.sum()), 1e-9) + 1e-6


def _outline(landmarks: Face, eye: int) -> Float[np.ndarray, "points 2"]:
    """The lids' edge in an eye's picture."""
    to_picture = to_eye_picture(landmarks, eye)
    return landmarks[list(OUTLINES[eye]), :2] @ to_picture[:, :2].T + to_picture[:, 2]


def _lid_distance(landmarks: Float[np.ndarray, "frames 478 3"], eye: int) -> Float[np.ndarray, "frames"]:
    """Mean distance between the lids, over the width of the eye."""
    (first, second), lids, _ = EYES[eye]
    gaps = [np.linalg.norm(landmarks[:, upper, :2] - landmarks[:, lower, :2], axis=-1) for upper, lower in lids]
    width = np.linalg.norm(landmarks[:, first, :2] - landmarks[:, second, :2], axis=-1)
    return np.mean(gaps, axis=0) / np.maximum(width, 1e-6)


def _in_view(
    landmarks: Float[np.ndarray, "frames 478 3"], eye: int, config: EyelidConfig
) -> Float[np.ndarray, "frames"]:
    """1 for eyes as wide as usual, 0 for those that are seen from the side."""
    first, second = EYES[eye][0]
    width = np.linalg.norm(landmarks[:, first, :2] - landmarks[:, second, :2], axis=-1)
    height = np.linalg.norm(landmarks[:, CHIN, :2] - landmarks[:, FOREHEAD_TOP, :2], axis=-1)
    relative = width / np.maximum(height, 1e-6)
    least, enough = config.narrowest
    return np.clip((relative / max(float(np.nanmedian(relative)), 1e-6) - least) / (enough - least), 0, 1)


def _gap(shape: Float[np.ndarray, "*batch vertices 3"], eye: int) -> Float[np.ndarray, "*batch"]:
    """How far a head's upper lid is above its lower one, in centimetres; negative where they overlap."""
    return np.mean([shape[..., upper, 1] - shape[..., lower, 1] for upper, lower in EYES[eye][1]], axis=0)
