"""Laying one picture over another, where how they lie is known."""

import cv2
import numpy as np
import pytest
from jaxtyping import UInt8

from tracking.direct_alignment import DirectAlignment, Similarity, compose, inverse, pyramid

SIZE = 200
BODY = (slice(80, 190), slice(30, 170))
"""Rows and columns that the thing takes up."""


def smooth_texture() -> UInt8[np.ndarray, "h w"]:
    """Soft spots on a plain ground: hardly a corner."""
    spots = np.zeros((SIZE, SIZE), np.float32)
    for x, y, radius, height in ((60, 120, 14, 60), (120, 100, 18, -50), (100, 160, 10, 40), (150, 150, 20, 30)):
        rows, columns = np.mgrid[:SIZE, :SIZE]
        spots += height * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * radius**2)).astype(np.float32)
    return (90 + spots).clip(0, 255).astype(np.uint8)


def body() -> UInt8[np.ndarray, "h w"]:
    where = np.zeros((SIZE, SIZE), np.uint8)
    where[BODY] = 1
    return where


def similarity(scale: float, degrees: float, shift: tuple[float, float]) -> Similarity:
    """About the middle of the thing."""
    turn = cv2.getRotationMatrix2D((100, 135), degrees, scale)
    turn[:, 2] += shift
    return turn


def moved(picture: UInt8[np.ndarray, "h w"], step: Similarity) -> UInt8[np.ndarray, "h w"]:
    return np.asarray(
        cv2.warpAffine(picture, step, (SIZE, SIZE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    )


def furthest_error(found: Similarity, truth: Similarity) -> float:
    """How far apart they put a corner of the thing, in pixels."""
    corners = np.array([[30, 80, 1], [170, 80, 1], [30, 190, 1], [170, 190, 1]])
    return float(np.linalg.norm(corners @ (found - truth).T, axis=1).max())


@pytest.mark.parametrize(
    "truth", [similarity(1.0, 0, (7, -4)), similarity(1.1, 8, (-6, 5)), similarity(0.92, -5, (3, 9))]
)
def test_a_known_motion_of_soft_spots_is_found(truth: Similarity) -> None:
    reference = smooth_texture()
    thing = DirectAlignment(pyramid(reference), body())
    found = thing.align(pyramid(moved(reference, truth)), np.ones((SIZE, SIZE), np.uint8), np.eye(2, 3))
    assert found is not None
    assert found.agreement > 0.99
    assert furthest_error(found.step, truth) < 0.3


def test_light_and_contrast_may_change() -> None:
    reference, truth = smooth_texture(), similarity(1.05, 4, (5, 3))
    dimmed = (0.7 * moved(reference, truth) + 30).astype(np.uint8)
    found = DirectAlignment(pyramid(reference), body()).align(
        pyramid(dimmed), np.ones((SIZE, SIZE), np.uint8), np.eye(2, 3)
    )
    assert found is not None
    assert furthest_error(found.step, truth) < 0.5


def test_what_hides_the_thing_is_not_heard() -> None:
    reference, truth = smooth_texture(), similarity(1.0, 0, (4, 2))
    picture, visible = moved(reference, truth), np.ones((SIZE, SIZE), np.uint8)
    picture[90:150, 40:80] = np.random.default_rng(0).integers(0, 255, (60, 40), np.uint8)
    visible[88:152, 38:82] = 0
    found = DirectAlignment(pyramid(reference), body()).align(pyramid(picture), visible, np.eye(2, 3))
    assert found is not None
    assert furthest_error(found.step, truth) < 0.3
    assert found.share < 0.95


def test_where_it_was_outlined_matters_little() -> None:
    reference, truth = smooth_texture(), similarity(1.08, -6, (5, 4))
    picture, everywhere = pyramid(moved(reference, truth)), np.ones((SIZE, SIZE), np.uint8)
    narrower = np.asarray(cv2.erode(body(), np.ones((9, 9), np.uint8)))
    wide, narrow = (
        DirectAlignment(pyramid(reference), where).align(picture, everywhere, np.eye(2, 3))
        for where in (body(), narrower)
    )
    assert wide is not None
    assert narrow is not None
    assert furthest_error(wide.step, narrow.step) < 0.3


def test_what_is_out_of_view_is_not_found() -> None:
    reference = smooth_texture()
    thing, away = DirectAlignment(pyramid(reference), body()), np.array([[1.0, 0, 500], [0, 1, 500]])
    assert thing.align(pyramid(reference), body(), away) is None


def test_something_else_does_not_agree() -> None:
    thing = DirectAlignment(pyramid(smooth_texture()), body())
    noise = cv2.GaussianBlur(np.random.default_rng(1).normal(128, 400, (SIZE, SIZE)).astype(np.float32), (0, 0), 3)
    found = thing.align(pyramid(noise.clip(0, 255).astype(np.uint8)), body(), np.eye(2, 3))
    assert found is not None
    assert found.agreement < 0.8


def test_similarities_compose_and_invert() -> None:
    first = np.array([[0.9, -0.2, 5.0], [0.2, 0.9, -3.0]])
    second = np.array([[1.1, 0.1, 2.0], [-0.1, 1.1, 7.0]])
    point = np.array([3.0, 4.0, 1.0])
    np.testing.assert_allclose(compose(second, first) @ point, second @ [*(first @ point), 1.0])
    np.testing.assert_allclose(compose(inverse(first), first), np.eye(2, 3), atol=1e-12)
