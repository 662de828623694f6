"""How the synthetic heads move: poses and expressions over time, drawn from a seed."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter1d

from tracking.cameras import rotation_from_vector

Motion = Literal["talk", "expressions", "still", "nod"]

NOD_FREQUENCY, NOD_DEGREES = 4.0, 4.5
"""Hertz, and amplitude in degrees either way."""
NECK = np.array([0.0, -9.0, -1.0])
"""About this point of head space, in centimetres, heads turn."""
HEIGHT_IN_PICTURE = 1.5
"""Centimetres from the picture's middle up to the head's origin, at rest."""
FIELD_OF_VIEW = 36.0
"""Centimetres across the shorter side of the picture at the head's usual distance."""

SHOWN = (
    *("browDown*", "browInnerUp", "browOuterUp*", "eyeSquint*", "eyeWide*", "jawOpen", "jawLeft", "jawRight"),
    *("mouthFunnel", "mouthPucker", "mouthLeft", "mouthRight", "mouthSmile*", "mouthFrown*", "mouthDimple*"),
    *("mouthStretch*", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthPress*"),
    *("mouthLowerDown*", "mouthUpperUp*", "noseSneer*", "cheekSquint*"),
)
"""Expressions of the sequence that exercises them; * stands for Left and Right, which mostly go together. Blinks and
gaze come besides, in every sequence."""
OFTEN = ("jawOpen", "browInnerUp", "mouthSmile*", "mouthPucker", "mouthFunnel")


@dataclass(frozen=True)
class HeadMotion:
    """The truth of every frame."""

    rotation: Float[np.ndarray, "frames 3 3"]
    translation: Float[np.ndarray, "frames 3"]
    """From head space to the axes of an OpenGL camera, in centimetres."""
    expression: dict[str, Float[np.ndarray, "frames"]]
    """Coefficients in [0, 1] by ARKit's names; what is not named is 0."""


def move(motion: Motion, frames: int, frame_rate: float, distance: float, seed: int) -> HeadMotion:
    """Draw a motion.

    Args:
        motion: `talk` turns the head by up to 25 degrees of yaw and 15 of pitch, nears and leaves; `expressions` moves
            the head less and the face more; `still` holds both; `nod` nods at `NOD_FREQUENCY`.
        frames: how many.
        frame_rate: per second.
        distance: from camera to head, in centimetres.
        seed: of everything random.
    """
    random = np.random.default_rng(seed)
    seconds = np.arange(frames) / frame_rate
    limits = {"talk": (22, 12, 9), "expressions": (12, 7, 5)}.get(motion, (0, 0, 0))
    # In the order of the rotation vector's axes: pitch, yaw, roll.
    yaw, pitch, roll = (limit * _wander(random, seconds, 0.12, 0.45) for limit in limits)
    shift = _wander_3d(random, seconds) * (np.array([2.0, 1.2, 0.10 * distance]) if any(limits) else 0.0)
    resting = random.uniform([-3, -4, -2], [3, 4, 2])
    degrees = np.stack([pitch, yaw, roll], 1) + resting
    if motion == "nod":
        degrees[:, 0] += NOD_DEGREES * np.sin(2 * np.pi * NOD_FREQUENCY * seconds)
    # Yaw about the vertical, then pitch, then roll in the picture.
    rotation = np.stack([_turn(degrees[:, axis], axis) for axis in range(3)])
    rotation = rotation[2] @ rotation[0] @ rotation[1]
    translation = np.array([0.0, HEIGHT_IN_PICTURE, -distance]) + shift + NECK - rotation @ NECK
    makers = {"talk": _talking, "expressions": _expressing}
    expression = makers[motion](random, seconds) if motion in makers else {}
    return HeadMotion(rotation, translation, expression)


def _turn(degrees: Float[np.ndarray, "frames"], axis: int) -> Float[np.ndarray, "frames 3 3"]:
    return rotation_from_vector(np.radians(degrees)[:, None] * np.eye(3)[axis])


def _wander(random: np.random.Generator, seconds: np.ndarray, slowest: float, fastest: float) -> np.ndarray:
    """A sum of slow oscillations (hertz) that reaches 1."""
    frequencies = random.uniform(slowest, fastest, 4)
    phases = random.uniform(0, 2 * np.pi, 4)
    waves = np.sin(2 * np.pi * seconds[:, None] * frequencies + phases) / np.sqrt(frequencies)
    path = waves.sum(1)
    path = path - (path.max() + path.min()) / 2
    return path / np.abs(path).max()


def _wander_3d(random: np.random.Generator, seconds: np.ndarray) -> np.ndarray:
    return np.stack([_wander(random, seconds, 0.1, 0.4) for _ in range(3)], 1)


def _blinks(random: np.random.Generator, seconds: np.ndarray, every: float) -> np.ndarray:
    """Blinks of 3 to 6 frames, so many seconds apart on average: quick to close, slower to open."""
    frame_seconds = seconds[1] - seconds[0]
    closed = np.zeros(len(seconds))
    frame = random.uniform(0.3, 1.0) * every / frame_seconds
    while frame < len(seconds):
        length = int(random.integers(3, 7))
        shape = np.interp(np.arange(length + 2), [0, 0.4 * (length + 1), length + 1], [0, 1, 0])
        shape = np.minimum(1, 1.35 * shape) * random.uniform(0.9, 1.0)
        first = int(frame)
        part = closed[first : first + len(shape)]
        part[:] = np.maximum(part, shape[: len(part)])
        frame += random.uniform(0.6, 1.4) * every / frame_seconds
    return closed


def _gaze(random: np.random.Generator, seconds: np.ndarray, reach: float) -> dict[str, np.ndarray]:
    """Both eyes jump from point to point, and rest there."""
    frames = len(seconds)
    starts = np.cumsum(random.integers(8, 22, frames // 8))
    points = random.uniform(-reach, reach, (len(starts) + 1, 2)) * [1.0, 0.6]
    path = gaussian_filter1d(points[np.searchsorted(starts, np.arange(frames), side="right")], 0.8, axis=0)
    left, up = path[:, 0].clip(0, None), path[:, 1].clip(0, None)
    right, down = (-path[:, 0]).clip(0, None), (-path[:, 1]).clip(0, None)
    return {
        "eyeLookOutLeft": left,
        "eyeLookInRight": left,
        "eyeLookInLeft": right,
        "eyeLookOutRight": right,
        **{f"eyeLookUp{side}": up for side in ("Left", "Right")},
        **{f"eyeLookDown{side}": down for side in ("Left", "Right")},
    }


def _syllables(random: np.random.Generator, frames: int, spread: float, most: float) -> np.ndarray:
    """Speech-like opening and closing, from closed to `most`."""
    noise = gaussian_filter1d(random.normal(size=frames), spread)
    return most * np.clip(noise / np.percentile(noise, 95), 0, 1.1).clip(0, 1)


def _talking(random: np.random.Generator, seconds: np.ndarray) -> dict[str, np.ndarray]:
    frames = len(seconds)
    jaw = _syllables(random, frames, 2.0, 0.5)
    blinks = _blinks(random, seconds, 1.3)
    smile = 0.45 * _bumps(random, frames, 2, 20, 45)
    brows = 0.6 * _bumps(random, frames, 3, 8, 24)
    expression = {
        "jawOpen": jaw,
        "eyeBlinkLeft": blinks,
        "eyeBlinkRight": blinks,
        "mouthSmileLeft": smile,
        "mouthSmileRight": smile * random.uniform(0.7, 1.0),
        "browInnerUp": brows,
        "browOuterUpLeft": 0.6 * brows,
        "browOuterUpRight": 0.6 * brows,
        "mouthPucker": 0.5 * _bumps(random, frames, 4, 5, 12),
        "mouthFunnel": 0.5 * _bumps(random, frames, 4, 5, 12),
        "mouthStretchLeft": 0.3 * _bumps(random, frames, 3, 5, 12),
    }
    expression["mouthStretchRight"] = expression["mouthStretchLeft"]
    for side in ("Left", "Right"):
        expression[f"mouthLowerDown{side}"] = 0.4 * jaw * _syllables(random, frames, 4.0, 1.0)
        expression[f"mouthUpperUp{side}"] = expression[f"mouthLowerDown{side}"] * 0.6
    return expression | _gaze(random, seconds, 0.5)


def _expressing(random: np.random.Generator, seconds: np.ndarray) -> dict[str, np.ndarray]:
    """Three or four expressions at a time, each rising and falling smoothly, all of them in turn."""
    frames = len(seconds)
    expression: dict[str, np.ndarray] = {}
    for name in SHOWN:
        course = _bumps(random, frames, 4 if name in OFTEN else 2, 8, 24)
        if not name.endswith("*"):
            expression[name] = course
            continue
        balance = random.uniform(0.75, 1.0)
        stem = name.removesuffix("*")
        expression[f"{stem}Left"], expression[f"{stem}Right"] = course, course * balance
        alone = random.choice(["Left", "Right"])
        expression[f"{stem}{alone}"] = np.maximum(expression[f"{stem}{alone}"], _bumps(random, frames, 1, 8, 20))
    blinks = _blinks(random, seconds, 0.9)
    wink = _bumps(random, frames, 1, 8, 12)
    expression |= {"eyeBlinkLeft": np.maximum(blinks, wink), "eyeBlinkRight": blinks}
    for course in expression.values():
        # Clips begin and end at rest, so that even the shortest holds the person's neutral face.
        course[:3] = course[-2:] = 0
    return expression | _gaze(random, seconds, 0.8)


def _bumps(random: np.random.Generator, frames: int, count: int, shortest: int, longest: int) -> np.ndarray:
    """Raised cosines of 0.5 to 1 at random times, so many of them, of so many frames."""
    course = np.zeros(frames)
    for _ in range(count):
        length = int(random.integers(shortest, longest + 1))
        middle = random.uniform(4 + length / 2, max(5 + length / 2, frames - 4 - length / 2))
        phase = (np.arange(frames) - middle) / length
        bump = np.where(np.abs(phase) < 0.5, 0.5 + 0.5 * np.cos(2 * np.pi * phase), 0)
        course = np.maximum(course, random.uniform(0.5, 1.0) * bump)
    return course
