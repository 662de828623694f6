"""The avatar is laid onto the film by what lies between them: known shifts are found, and nothing else is done."""

import cv2
import numpy as np
import pytest

from stage2_nerf.film_registration import LONGEST, shift_to_film, shifted

SIDE = 128


def textured(across: float = 0.0, down: float = 0.0) -> np.ndarray:
    """A smooth random picture in [0, 1], moved right and down by fractions of a pixel."""
    noise = np.random.default_rng(0).random((SIDE, SIDE, 3)).astype(np.float32)
    # Repeated on all sides, so that it goes on where it ends.
    wide = cv2.GaussianBlur(np.tile(noise, (3, 3, 1)), (0, 0), 3)
    picture = wide[SIDE : 2 * SIDE, SIDE : 2 * SIDE]
    picture = (picture - picture.min()) / (picture.max() - picture.min())
    frequencies = np.fft.fftfreq(SIDE)
    phase = np.exp(-2j * np.pi * (across * frequencies[None] + down * frequencies[:, None]))
    moved = np.fft.ifft2(np.fft.fft2(picture, axes=(0, 1)) * phase[..., None], axes=(0, 1)).real
    return moved.astype(np.float32).clip(0, 1)


def film(picture: np.ndarray) -> np.ndarray:
    return np.rint(picture * 255).astype(np.uint8)


EVERYWHERE = np.ones((SIDE, SIDE), np.float32)
INSIDE = np.s_[16:-16, 16:-16]


@pytest.mark.parametrize("across, down", [(1.2, 0.0), (0.0, -0.8), (-0.6, 0.9)])
def test_a_known_shift_is_found_and_undone(across: float, down: float) -> None:
    """The avatar lies right of and below the film by so much."""
    avatar, filmed = textured(across, down), textured()
    shift = shift_to_film(avatar, film(filmed), EVERYWHERE)
    np.testing.assert_allclose(np.median(shift[INSIDE], axis=(0, 1)), (across, down), atol=0.15)
    before = np.abs(avatar - filmed)[INSIDE].mean()
    after = np.abs(shifted(avatar, shift) - filmed)[INSIDE].mean()
    assert after < 0.35 * before


def test_alike_pictures_are_left_alone() -> None:
    picture = film(textured()).astype(np.float32) / 255
    shift = shift_to_film(picture, film(picture), EVERYWHERE)
    np.testing.assert_allclose(shift, 0, atol=1e-3)
    np.testing.assert_allclose(shifted(picture, np.zeros_like(shift)), picture, atol=1e-6)


def test_nothing_is_followed_where_nobody_is() -> None:
    person = np.zeros((SIDE, SIDE), np.float32)
    person[:, : SIDE // 2] = 1
    shift = shift_to_film(textured(1.0), film(textured()), person)
    assert np.abs(shift[INSIDE][:, :32]).max() > 0.7
    np.testing.assert_allclose(shift[:, SIDE // 2 + 16 :], 0, atol=1e-3)


def test_what_the_avatar_lacks_pulls_it_nowhere_far() -> None:
    filmed = textured()
    filmed[40:90, 40:90] = np.random.default_rng(3).random((50, 50, 3))
    shift = shift_to_film(textured(0.5), film(filmed), EVERYWHERE)
    assert np.linalg.norm(shift, axis=-1).max() <= LONGEST * SIDE


def test_every_channel_goes_the_same_way() -> None:
    """Pictures of several looks are stacked: more channels than OpenCV looks up at once."""
    shift = np.random.default_rng(1).normal(0, 1, (SIDE, SIDE, 2)).astype(np.float32)
    pictures = np.random.default_rng(2).random((SIDE, SIDE, 9)).astype(np.float32)
    together = shifted(pictures, shift)
    assert together.shape == pictures.shape
    for channel in range(9):
        np.testing.assert_allclose(together[..., channel], shifted(pictures[..., channel], shift), atol=1e-6)
    np.testing.assert_allclose(shifted(pictures[..., :1], shift)[..., 0], shifted(pictures[..., 0], shift), atol=1e-6)
