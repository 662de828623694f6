"""Cheap measurements of a clip's pictures, from a bounded sample: how light, how sharp, how still the scene."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int64, UInt8

from tracking.clip import TrackedClip
from tracking.face_regions import FACE_OVAL, inside
from tracking.fitted_face import fitted_face

BURSTS = 14
BURST_LENGTH = 4
"""Frames are read in short runs of neighbours, so that flicker and a shaking camera show; at most 56 in all."""
LIGHT_QUANTILES = (5, 95)
SHADOW_LEVEL, HIGHLIGHT_LEVEL = 16, 250
"""At and beyond these of 255 levels a camera's picture holds no detail."""
FEWEST_CORNERS = 8
"""Fewer followed points than this say nothing about the camera."""
CORNERS = 120
LEAST_TOGETHER = 0.6
"""Share of the followed points that must move as one."""
PERSON_MARGIN = 0.06
"""How far from the person a point must lie to belong to the scene, in face heights."""


@dataclass(frozen=True)
class CaptureStatistics:
    """What a sample of tracked frames looks like."""

    frames: Int64[np.ndarray, "samples"]
    """Their numbers in the source, increasing, in bursts of neighbours."""
    brightness: Float[np.ndarray, "samples"]
    """Mean luma of the face, in [0, 1]; NaN where the face is out of the picture."""
    clipped: Float[np.ndarray, "samples"]
    """Share of the face in which light or shadow holds no detail."""
    blur: Float[np.ndarray, "samples"]
    """`blur_effect` of the face, in [0, 1]."""
    scene_shake: Float[np.ndarray, "bursts"]
    """How far the scene moves from one frame to the next, in pixels of the clip's images; NaN where it has too few
    features to tell."""
    scene_wander: Float[np.ndarray, "steps"]
    """How far the scene moves from one burst to the next, in the same unit."""


def sample_statistics(clip: TrackedClip, bursts: int = BURSTS) -> CaptureStatistics:
    """Measure a bounded number of frames spread over the clip."""
    frames: list[int] = []
    rows: list[tuple[float, float, float]] = []
    shake, wander = [], []
    before: tuple[np.ndarray, np.ndarray] | None = None
    for burst in choose_bursts(clip.frames, bursts):
        pictures = [cv2.cvtColor(clip.image(int(frame)), cv2.COLOR_RGB2GRAY) for frame in burst]
        frames += burst.tolist()
        rows += [
            face_statistics(picture, face_points(clip, int(frame)))
            for picture, frame in zip(pictures, burst, strict=True)
        ]
        scene = _scene(clip, int(burst[0]))
        if len(burst) > 1:
            shake.append(scene_motion(pictures[0], pictures[-1], scene) / (len(burst) - 1))
        if before is not None:
            wander.append(scene_motion(before[0], pictures[0], before[1] & scene))
        before = pictures[0], scene
    brightness, clipped, blur = np.array(rows, dtype=np.float64).reshape(-1, 3).T
    return CaptureStatistics(
        np.array(frames, np.int64), brightness, clipped, blur, np.array(shake, np.float64), np.array(wander, np.float64)
    )


def choose_bursts(frames: Int64[np.ndarray, "tracked"], bursts: int) -> list[Int64[np.ndarray, "burst"]]:
    """Runs of consecutive frame numbers, spread evenly over those given, none overlapping."""
    if not len(frames):
        return []
    count = min(bursts, max(1, len(frames) // BURST_LENGTH))
    starts = np.unique(np.linspace(0, max(0, len(frames) - BURST_LENGTH), count).round().astype(int))
    chosen = []
    for start in starts:
        run = frames[start : start + BURST_LENGTH]
        # A gap in the track ends the run.
        consecutive = np.cumprod(np.diff(run, prepend=run[0] - 1) == 1).astype(bool)
        chosen.append(run[consecutive])
    return chosen


def face_points(clip: TrackedClip, frame: int) -> Float[np.ndarray, "points 2"]:
    """The landmarks of a tracked frame in pixels, and the fitted points where the detector has none."""
    landmarks = clip.track.landmarks[frame]
    return np.where(np.isfinite(landmarks), landmarks, fitted_face(clip, frame).points)


def face_statistics(
    gray: UInt8[np.ndarray, "height width"], landmarks: Float[np.ndarray, "points 2"]
) -> tuple[float, float, float]:
    """Brightness, clipped share and blur of a face; NaN if it is tiny or lies outside of the picture."""
    height, width = gray.shape
    mask = inside(landmarks, FACE_OVAL, width, height)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if len(rows) < 8 or len(columns) < 8:
        return np.nan, np.nan, np.nan
    box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    face = gray[box][mask[box]]
    clipped = float(((face <= SHADOW_LEVEL) | (face >= HIGHLIGHT_LEVEL)).mean())
    return float(face.mean()) / 255, clipped, blur_effect(gray[box])


def blur_effect(gray: UInt8[np.ndarray, "height width"], window: int = 11) -> float:
    """How little a picture changes when it is blurred once more: near 0 for a sharp one, 1 for a fully blurred one.

    Crete, Dolmiere, Ladret & Nicolas, "The blur effect", SPIE 2007: 1 - (variation lost by blurring) / (variation),
    along both axes, the larger of the two.
    """
    picture = gray.astype(np.float32)
    effects = []
    for axis, size in ((0, (1, window)), (1, (window, 1))):
        blurred = cv2.blur(picture, size, borderType=cv2.BORDER_REPLICATE)
        variation = np.abs(np.diff(picture, axis=axis))
        lost = np.maximum(variation - np.abs(np.diff(blurred, axis=axis)), 0)
        total = float(variation.sum())
        effects.append(1 - float(lost.sum()) / total if total else 1.0)
    return max(effects)


def scene_motion(
    first: UInt8[np.ndarray, "height width"],
    last: UInt8[np.ndarray, "height width"],
    scene: Bool[np.ndarray, "height width"],
) -> float:
    """Median distance in pixels by which corners of the scene move between two pictures.

    NaN if there are too few corners, or too few that move together as a turned, shifted or enlarged picture does: then
    they are noise on a plain wall, or things that move by themselves.
    """
    corners = cv2.goodFeaturesToTrack(first, CORNERS, 0.01, 7, mask=scene.astype(np.uint8))
    if corners is None or len(corners) < FEWEST_CORNERS:
        return np.nan
    moved, found, _ = cv2.calcOpticalFlowPyrLK(first, last, corners, np.empty_like(corners))
    before, after = corners[found.ravel() == 1], moved[found.ravel() == 1]
    if len(before) < FEWEST_CORNERS:
        return np.nan
    similarity, together = cv2.estimateAffinePartial2D(before, after, ransacReprojThreshold=1.0)
    if similarity is None or together.mean() < LEAST_TOGETHER or together.sum() < FEWEST_CORNERS:
        return np.nan
    return float(np.median(np.linalg.norm((after - before)[together.ravel() == 1, 0], axis=1)))


def brightness_drift(brightness: Float[np.ndarray, "samples"]) -> float:
    """How far the face's brightness ranges over the clip, as a fraction of its median; NaN if unknown."""
    known = brightness[np.isfinite(brightness)]
    if not len(known):
        return np.nan
    low, high = np.percentile(known, LIGHT_QUANTILES)
    return float((high - low) / max(np.median(known), 1e-3))


def flicker(frames: Int64[np.ndarray, "samples"], brightness: Float[np.ndarray, "samples"]) -> float:
    """Standard deviation of the brightness from frame to frame, as a fraction of its median; NaN if unknown.

    From second differences of neighbouring frames, which know no slow change: of independent values of variance v they
    have variance 6 v. By the median absolute difference, so that a blink does not count.
    """
    neighbors = (np.diff(frames, n=1)[1:] == 1) & (np.diff(frames, n=1)[:-1] == 1)
    second = np.diff(brightness, n=2)[neighbors]
    second = second[np.isfinite(second)]
    if not len(second):
        return np.nan
    return float(1.48 * np.median(np.abs(second)) / np.sqrt(6) / max(np.nanmedian(brightness), 1e-3))


def _scene(clip: TrackedClip, frame: int) -> Bool[np.ndarray, "height width"]:
    """What is surely not the person."""
    margin = max(2, round(PERSON_MARGIN * float(np.ptp(face_points(clip, frame)[:, 1]))))
    near = cv2.boxFilter(clip.matte(frame), -1, (2 * margin + 1, 2 * margin + 1))
    return near < 1e-3
