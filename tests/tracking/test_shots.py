"""Cuts between scenes are found; flashes, black frames, fades and fast motion are none."""

import numpy as np
import pytest
from jaxtyping import UInt8

from tracking.errors import UserError
from tracking.frame_selection import NumberedShot, clock, seconds_of, shots_in_span
from tracking.shots import Shot, ShotFinder

FRAME_RATE = 25.0
Thumbnails = UInt8[np.ndarray, "frames 32 32 3"]


def scene(seed: int, frames: int, speed: float = 0.2) -> Thumbnails:
    """Soft blobs of colour that drift, with a little noise: a camera that pans over something."""
    generator = np.random.default_rng(seed)
    centers, colors = generator.uniform(0, 64, (24, 2)), generator.uniform(20, 235, (24, 3))
    drift = generator.normal(size=2)
    drift *= speed / np.linalg.norm(drift)
    rows, columns = np.mgrid[0:32, 0:32]
    pictures = []
    for frame in range(frames):
        x, y = ((centers + frame * drift) % 64 - 16).T
        weights = np.exp(-((columns - x[:, None, None]) ** 2 + (rows - y[:, None, None]) ** 2) / 40)
        picture = np.einsum("kyx,kc->yxc", weights, colors) / (weights.sum(axis=0)[..., None] + 0.05)
        pictures.append(picture + generator.normal(0, 2, (32, 32, 3)))
    return np.clip(pictures, 0, 255).astype(np.uint8)


def shots_of(thumbnails: Thumbnails) -> list[Shot]:
    finder = ShotFinder()
    for thumbnail in thumbnails:
        finder.add(thumbnail)
    return finder.shots(FRAME_RATE)


def test_a_cut_is_found_at_its_frame() -> None:
    for seed in range(6):
        video = np.concatenate([scene(seed, 30), scene(seed + 20, 25), scene(seed + 40, 41)])
        assert shots_of(video) == [Shot(0, 30), Shot(30, 55), Shot(55, 96)]


def test_a_cut_between_shaking_shots_is_found() -> None:
    assert shots_of(np.concatenate([scene(1, 40, speed=0.6), scene(2, 40, speed=0.6)])) == [Shot(0, 40), Shot(40, 80)]


@pytest.mark.parametrize("speed", [0.0, 0.2, 0.6])
def test_motion_is_no_cut(speed: float) -> None:
    assert shots_of(scene(3, 80, speed)) == [Shot(0, 80)]


def test_a_flash_is_no_cut() -> None:
    video = scene(4, 80)
    video[30:32] = 255
    video[50] = np.clip(3.0 * video[50] + 60, 0, 255)
    assert shots_of(video) == [Shot(0, 80)]


def test_black_frames_in_between_are_no_cut_but_end_a_shot_for_good() -> None:
    video = scene(5, 120, speed=0.05)
    video[30:60] = 0
    assert shots_of(video) == [Shot(0, 120)]
    video[:60] = 0
    assert shots_of(video) == [Shot(0, 60), Shot(60, 120)]


def test_exposure_that_fades_or_jumps_is_no_cut() -> None:
    fading = scene(6, 90) * np.concatenate([np.linspace(1, 0.05, 45), np.linspace(0.05, 1, 45)])[:, None, None, None]
    assert shots_of(fading.astype(np.uint8)) == [Shot(0, 90)]
    switched = scene(7, 90) * np.where(np.arange(90) < 45, 1.0, 0.5)[:, None, None, None]
    assert shots_of(switched.astype(np.uint8)) == [Shot(0, 90)]


def test_repeated_frames_are_no_cuts() -> None:
    assert shots_of(np.repeat(scene(8, 40, speed=0.5), 2, axis=0)) == [Shot(0, 80)]


def test_shots_keep_their_numbers_in_a_span() -> None:
    shots = [Shot(0, 30), Shot(30, 55), Shot(55, 96)]
    assert shots_in_span(shots, 40, 60) == [NumberedShot(2, 40, 55), NumberedShot(3, 55, 60)]
    assert shots_in_span(shots, 0, 96) == [NumberedShot(number, *shot) for number, shot in enumerate(shots, 1)]


def test_times_are_read_and_written_as_people_do() -> None:
    assert seconds_of("12.5", "--start") == seconds_of(12.5, "--start") == 12.5
    assert seconds_of("1:02:03.25", "--start") == 3723.25
    assert seconds_of("2:05", "--end") == 125
    assert seconds_of(None, "--end") is None
    assert (clock(3723.25), clock(125), clock(0.04)) == ("1:02:03.2", "2:05.0", "0:00.0")
    for nonsense in ("soon", "-1", "1:2:3:4", "nan", "inf", "", "1:"):
        with pytest.raises(UserError, match=r"is no time: give seconds, such as 12\.5, or h:mm:ss"):
            seconds_of(nonsense, "--start")
