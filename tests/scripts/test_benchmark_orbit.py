"""What is measured of an avatar from the side, on silhouettes that are known."""

import numpy as np
import pytest
from benchmark_orbit import haze, outline, psnr_near, roughness, silhouette_overlap
from orbit_truth import SideView

Y, X = np.mgrid[:200, :240] + 0.5


def disc(radius: float, x: float = 120.0) -> np.ndarray:
    """Opacity of a disc with an edge of about a pixel."""
    return (radius - np.hypot(X - x, Y - 100) + 0.5).clip(0, 1).astype(np.float32)


def test_the_outline_of_a_disc_is_its_circumference_and_a_hole_has_one_too() -> None:
    assert outline(disc(60) > 0.5) == pytest.approx(2 * np.pi * 60, rel=0.03)
    ring = (disc(60) > 0.5) & ~(disc(20) > 0.5)
    assert outline(ring) == pytest.approx(2 * np.pi * 80, rel=0.03)


def test_a_smooth_outline_is_not_rough_and_a_frayed_one_is() -> None:
    assert abs(roughness(disc(60))) < 0.03
    frayed = disc(60) * (1 - 0.9 * ((Y // 4 % 2 == 0) & (np.abs(X - 120) > 45)))
    assert roughness(frayed.astype(np.float32)) > 0.3


def test_haze_is_what_is_seen_and_not_opaque() -> None:
    opacity = np.zeros((10, 10), np.float32)
    opacity[:4], opacity[4], opacity[5] = 1, 0.5, 0.05
    assert haze(opacity) == pytest.approx(1 / 5)


def test_a_view_is_compared_with_the_truth_near_it() -> None:
    def view(opacity: np.ndarray) -> SideView:
        return SideView(opacity[..., None] * np.array([0.9, 0.1, 0.1], np.float32), opacity)

    truth = view(disc(60))
    assert silhouette_overlap(truth.opacity, disc(60)) == 1
    assert silhouette_overlap(disc(60), disc(30)) == pytest.approx(0.25, abs=0.01)
    darker = SideView(truth.foreground * 0.9, truth.opacity)
    far_off = np.maximum(disc(60), disc(5, x=230.0))
    assert psnr_near(darker, truth) > 25
    assert psnr_near(view(disc(50)), truth) < psnr_near(view(disc(58)), truth)
    assert psnr_near(view(far_off), truth) > 80
