"""HDR video in standard range: what a bright screen would show, brought down to what an ordinary one can.

Light up to a knee is kept as it is, relative to the level of a white sheet of paper (203 cd/m2, ITU-R BT.2408), so that
faces keep their brightness; highlights are compressed into what is left. All three channels are compressed by one
factor, so that colours keep their hue.
"""

from functools import lru_cache
from typing import Literal

import cv2
import numpy as np
from jaxtyping import Float32, UInt8, UInt16

Transfer = Literal["PQ", "HLG"]

TRANSFERS: dict[int, Transfer] = {16: "PQ", 18: "HLG"}
"""By the numbers of ITU-T H.273, "transfer characteristics"."""

WHITE = 203.0
"""Luminance of diffuse white in cd/m2: ITU-R BT.2408."""
HLG_PEAK = 1000.0
"""Luminance in cd/m2 of the screen that HLG is shown on; its system gamma is then 1.2: ITU-R BT.2100."""
KNEE = 0.5
"""Light, relative to diffuse white, from which highlights are compressed."""
BRIGHTEST = 1000.0 / WHITE
"""Light, relative to diffuse white, that becomes the brightest that there is; what is brighter does too."""
DISPLAY_GAMMA = 2.4
"""Of the screens that standard range is made for: ITU-R BT.1886."""

BT2020_LUMINANCE = np.array([0.2627, 0.6780, 0.0593], dtype=np.float32)
BT2020_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], dtype=np.float32
)
"""Between linear RGB of the two standards' primaries: ITU-R BT.2087."""


def to_standard_range(
    image: UInt16[np.ndarray, "height width 3"], transfer: Transfer
) -> UInt8[np.ndarray, "height width 3"]:
    """A BT.2020 picture, coded by one of HDR's transfer functions in 16 bits, as BT.709 in 8 bits."""
    light = np.take(_light_of_code(transfer), image)
    if transfer == "HLG":
        # BT.2100's system gamma: from light before the camera to light on the screen.
        scene = light @ BT2020_LUMINANCE
        light = light * (HLG_PEAK / WHITE * np.maximum(scene, 1e-6) ** 0.2)[..., None]
    light = np.maximum(cv2.transform(light, BT2020_TO_BT709), 0)
    brightest = np.maximum(light.max(axis=-1, keepdims=True), 1e-6)
    light *= _compressed(brightest) / brightest
    return np.take(_code_of_light(), np.rint(light * 65535).astype(np.uint16))


def _compressed(light: Float32[np.ndarray, "*shape"]) -> Float32[np.ndarray, "*shape"]:
    """Light over diffuse white, brought to at most 1 without a kink: Reinhard et al. 2002, eq. 4, from the knee on."""
    room = 1 - KNEE
    above, brightest = np.maximum(light - KNEE, 0) / room, (BRIGHTEST - KNEE) / room
    high = KNEE + room * above * (1 + above / brightest**2) / (1 + above)
    return np.where(light <= KNEE, light, np.minimum(high, 1))


@lru_cache
def _light_of_code(transfer: Transfer) -> Float32[np.ndarray, "65536"]:
    """Linear light: for PQ on the screen, relative to diffuse white; for HLG before the camera, in [0, 1]."""
    code = np.linspace(0, 1, 65536)
    if transfer == "PQ":
        # SMPTE ST 2084, as in BT.2100, table 4.
        m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
        root = code ** (1 / m2)
        return (10000 / WHITE * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)).astype(np.float32)
    # BT.2100, table 5.
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12).astype(np.float32)


@lru_cache
def _code_of_light() -> UInt8[np.ndarray, "65536"]:
    return np.rint(255 * np.linspace(0, 1, 65536) ** (1 / DISPLAY_GAMMA)).astype(np.uint8)
