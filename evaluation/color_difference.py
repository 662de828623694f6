"""The difference of two colours as people see it: CIEDE2000 (CIE 142-2001)."""

import cv2
import numpy as np
from jaxtyping import Float, Float32

from evaluation.measurement import Picture

_CHROMA_PIVOT = 25.0**7


def to_lab(picture: Picture) -> Float32[np.ndarray, "height width 3"]:
    """CIELAB (D65) of sRGB levels 0 to 255: lightness in [0, 100], a and b about [-100, 100]."""
    return cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


def ciede2000(
    first: Float[np.ndarray, "*batch 3"], second: Float[np.ndarray, "*batch 3"]
) -> Float[np.ndarray, "*batch"]:
    """The CIEDE2000 difference of CIELAB colours, all three weights 1; 1 is about what can just be told apart.

    After Sharma, Wu and Dalal, "The CIEDE2000 color-difference formula: implementation notes, supplementary test data,
    and mathematical observations", Color Research and Application 30 (1), 2005, equations 2 to 22.
    """
    lightness_1, a_1, b_1 = np.moveaxis(first, -1, 0)
    lightness_2, a_2, b_2 = np.moveaxis(second, -1, 0)
    mean_chroma = (np.hypot(a_1, b_1) + np.hypot(a_2, b_2)) / 2
    stretch = 1.5 - 0.5 * _chroma_weight(mean_chroma)
    chroma_1, hue_1 = _chroma_and_hue(a_1 * stretch, b_1)
    chroma_2, hue_2 = _chroma_and_hue(a_2 * stretch, b_2)
    colourless = chroma_1 * chroma_2 == 0
    turn = np.where(colourless, 0.0, (hue_2 - hue_1 + 180) % 360 - 180)
    # Hues half a turn apart have two means; the formula's own choice is kept: the difference is +180, not -180.
    turn = np.where(~colourless & (turn == -180) & (hue_2 > hue_1), 180.0, turn)
    hue_step = 2 * np.sqrt(chroma_1 * chroma_2) * np.sin(np.radians(turn) / 2)
    apart = np.abs(hue_1 - hue_2) > 180
    mean_hue = (hue_1 + hue_2 + np.where(apart, np.where(hue_1 + hue_2 < 360, 360.0, -360.0), 0.0)) / 2
    mean_hue = np.where(colourless, hue_1 + hue_2, mean_hue)
    lightness_step, chroma_step = lightness_2 - lightness_1, chroma_2 - chroma_1
    lightness, chroma = (lightness_1 + lightness_2) / 2, (chroma_1 + chroma_2) / 2
    hue_weight = (
        1
        - 0.17 * np.cos(np.radians(mean_hue - 30))
        + 0.24 * np.cos(np.radians(2 * mean_hue))
        + 0.32 * np.cos(np.radians(3 * mean_hue + 6))
        - 0.20 * np.cos(np.radians(4 * mean_hue - 63))
    )
    lightness_scale = 1 + 0.015 * (lightness - 50) ** 2 / np.sqrt(20 + (lightness - 50) ** 2)
    chroma_scale = 1 + 0.045 * chroma
    hue_scale = 1 + 0.015 * chroma * hue_weight
    blue = 60 * np.exp(-(((mean_hue - 275) / 25) ** 2))
    rotation = -2 * _chroma_weight(chroma) * np.sin(np.radians(blue))
    steps = lightness_step / lightness_scale, chroma_step / chroma_scale, hue_step / hue_scale
    return np.sqrt(np.maximum(steps[0] ** 2 + steps[1] ** 2 + steps[2] ** 2 + rotation * steps[1] * steps[2], 0))


def _chroma_weight(chroma: Float[np.ndarray, "*batch"]) -> Float[np.ndarray, "*batch"]:
    seventh = chroma.astype(np.float64) ** 7
    return np.sqrt(seventh / (seventh + _CHROMA_PIVOT))


def _chroma_and_hue(
    a: Float[np.ndarray, "*batch"], b: Float[np.ndarray, "*batch"]
) -> tuple[Float[np.ndarray, "*batch"], Float[np.ndarray, "*batch"]]:
    """Hue in degrees, [0, 360)."""
    return np.hypot(a, b), np.degrees(np.arctan2(b, a)) % 360
