"""What is behind the person, and masks that meet the source's edges."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from stage2_nerf.backdrop import parse_backdrop
from stage2_nerf.enlarging import Enlarger
from tracking.errors import UserError


@pytest.mark.parametrize(("typed", "colour"), [("white", (255, 255, 255)), ("#20a040", (32, 160, 64))])
def test_a_colour_is_named_or_numbered(typed: str, colour: tuple[int, int, int]) -> None:
    backdrop = parse_backdrop(typed, 8, 6)
    assert backdrop.kind == "picture" and backdrop.picture is not None
    assert backdrop.picture.shape == (6, 8, 3)
    assert (backdrop.picture == colour).all()


def test_the_other_kinds_are_named() -> None:
    assert [parse_backdrop(name, 8, 6).kind for name in ("original", "plate", "alpha")] == [
        "original",
        "plate",
        "alpha",
    ]


@pytest.mark.parametrize("size", [(20, 60), (60, 20), (6, 8), (3, 3)])
def test_a_picture_covers_the_source_and_keeps_its_middle(tmp_path: Path, size: tuple[int, int]) -> None:
    picture = np.zeros((*size, 3), np.uint8)
    picture[size[0] // 3 : -(size[0] // 3), size[1] // 3 : -(size[1] // 3)] = (0, 0, 255)
    cv2.imwrite(str(tmp_path / "scene.png"), picture)
    backdrop = parse_backdrop(str(tmp_path / "scene.png"), 40, 30)
    assert backdrop.picture is not None and backdrop.picture.shape == (30, 40, 3)
    assert backdrop.picture[15, 20, 0] > 200 and backdrop.picture[15, 20, 2] < 50


def test_anything_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    for typed in ("nowhere.png", "greenish", str(tmp_path / "notes.txt")):
        with pytest.raises(UserError, match=r"background|no picture"):
            parse_backdrop(typed, 8, 6)


def edge_pictures(scale: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A dark shape with fine teeth on light ground: small, large, and which of the large is the shape."""
    y, x = np.mgrid[: 48 * scale, : 64 * scale] / scale
    inside = x < 32 + 2.0 * np.sign(np.sin(y * 2 * np.pi / 6))
    noise = np.random.default_rng(0).normal(0, 2, inside.shape)
    large = np.clip(np.where(inside, 40, 210) + noise, 0, 255).astype(np.uint8)[..., None].repeat(3, axis=-1)
    return cv2.resize(large, (64, 48), interpolation=cv2.INTER_AREA), large, inside


def test_a_mask_follows_the_edges_that_only_the_source_shows() -> None:
    small, large, inside = edge_pictures(4)
    mask = cv2.resize(inside.astype(np.float32), (64, 48), interpolation=cv2.INTER_AREA)
    enlarger = Enlarger(small, large)
    sharp, smooth = enlarger.mask(mask), enlarger.colours(mask)
    assert np.abs(sharp - inside).mean() < 0.5 * np.abs(smooth - inside).mean()


def test_a_mask_grows_by_no_more_than_a_pixel_of_the_clip() -> None:
    small, large, _ = edge_pictures(4)
    mask = np.zeros((48, 64), np.float32)
    mask[10:20, 10:20] = 1
    sharp = Enlarger(small, large).mask(mask)
    assert (sharp[:32] == 0).all() and (sharp[:, 88:] == 0).all()
    assert (sharp[48:72, 48:72] == 1).all()
    assert sharp.min() >= 0 and sharp.max() <= 1


def test_equal_sizes_are_left_alone() -> None:
    small, _, _ = edge_pictures(1)
    mask = np.random.default_rng(0).random((48, 64), dtype=np.float32)
    enlarger = Enlarger(small, small)
    assert enlarger.mask(mask) is mask and enlarger.colours(mask) is mask
