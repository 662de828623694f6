"""Edits steadied along the film's motion, and the frames of a video in order."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
import torch

from stage1_edit.prompts import EditPrompt
from tracking.clip import TrackedClip
from tracking.video import VideoReader

if TYPE_CHECKING:
    from stage2_nerf.frame_renderer import FrameRenderer, Scene
    from stage2_nerf.frame_sequence import FrameTask

SIZE = 64
STATUE = EditPrompt("turn him into a bronze statue")


def texture(seed: int, channels: int = 3) -> np.ndarray:
    """A soft random picture, larger than a frame, in [0.2, 0.8]."""
    noise = np.random.default_rng(seed).random((SIZE + 32, SIZE + 32, channels), dtype=np.float32)
    return 0.2 + 0.6 * cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), np.empty(0), 0, 1, cv2.NORM_MINMAX)


def scene(film: np.ndarray, *changes: np.ndarray, is_on_film: bool = True) -> "Scene":
    """A frame of a film, with an unedited avatar that is grey, and looks that change it so."""
    from stage2_nerf.frame_renderer import Scene
    from stage2_nerf.paste_back import CropSurroundings

    original, whole = np.full((SIZE, SIZE, 3), 0.5, np.float32), np.ones((SIZE, SIZE), np.float32)
    around = CropSurroundings(whole, original, whole, (255 * film).astype(np.uint8))
    return Scene([original + change for change in changes], original, whole, around, is_on_film)


def cut(picture: np.ndarray, x: int) -> np.ndarray:
    """A frame's part of a picture, seen by a camera that has moved x pixels."""
    return np.ascontiguousarray(picture[16 : 16 + SIZE, 16 + x : 16 + x + SIZE])


def test_on_a_film_that_stands_still_changes_are_averaged() -> None:
    from stage2_nerf.steady_edits import steadied

    film = cut(texture(0), 0)
    flicker = np.random.default_rng(1).uniform(-0.1, 0.1, (3, 2, SIZE, SIZE, 3)).astype(np.float32)
    before, now, after = (scene(film, *changes) for changes in flicker)
    steady = steadied(now, [before, after])
    for look in range(2):
        expected = 0.5 + flicker[:, look].mean(axis=0)
        np.testing.assert_allclose(steady.foregrounds[look][4:-4, 4:-4], expected[4:-4, 4:-4], atol=0.01)
    np.testing.assert_array_equal(steady.original, now.original)


def test_every_shot_comes_with_those_around_it_up_to_the_ends_and_to_gaps() -> None:
    from stage2_nerf.frame_sequence import FrameTask, Shot, among_neighbours
    from tracking.video import VideoFrame

    picture = np.zeros((2, 2, 3), np.uint8)
    shots = [Shot(FrameTask(VideoFrame(index, index, picture), index, []), None) for index in (0, 1, 2, 3, 5, 6)]
    found = {
        shot.task.frame.index: [one.task.frame.index for one in beside]
        for shot, beside in among_neighbours(iter(shots), reach=2)
    }
    assert found == {0: [1, 2], 1: [0, 2, 3], 2: [0, 1, 3], 3: [1, 2], 5: [6], 6: [5]}
    assert [len(beside) for _, beside in among_neighbours(shots[:1], reach=2)] == [0]
    assert list(among_neighbours([], reach=2)) == []


def test_what_moves_with_the_film_leaves_no_trail() -> None:
    from stage2_nerf.steady_edits import steadied

    film, change = texture(2), 0.4 * (texture(3) - 0.5)
    before, now, after = (scene(cut(film, x), cut(change, x)) for x in (-3, 0, 3))
    inside = np.s_[8:-8, 8:-8]
    wrong = np.abs(np.mean([one.foregrounds[0] for one in (before, now, after)], axis=0) - now.foregrounds[0])
    steady = np.abs(steadied(now, [before, after]).foregrounds[0] - now.foregrounds[0])
    assert steady[inside].mean() < 0.2 * wrong[inside].mean()


def test_where_the_film_shows_something_else_nothing_is_taken_over() -> None:
    from stage2_nerf.steady_edits import steadied

    now = scene(np.full((SIZE, SIZE, 3), 0.2, np.float32), cut(texture(4), 0) - 0.5)
    other = scene(np.full((SIZE, SIZE, 3), 0.8, np.float32), cut(texture(5), 0) - 0.5)
    steady = steadied(now, [other])
    np.testing.assert_allclose(steady.foregrounds[0], now.foregrounds[0], atol=1e-3)


def test_who_does_not_do_what_was_filmed_is_left_alone() -> None:
    from stage2_nerf.steady_edits import steadied

    film, change = cut(texture(6), 0), cut(texture(7), 0) - 0.5
    now, elsewhere = scene(film, change), scene(film, -change, is_on_film=False)
    assert steadied(now, [elsewhere]) is now
    assert steadied(elsewhere, [now]) is elsewhere
    assert steadied(now, [scene(film, -change, change)]) is now


def test_the_original_stays_what_it_is() -> None:
    from stage2_nerf.steady_edits import steadied

    film = cut(texture(8), 0)
    none = np.zeros((SIZE, SIZE, 3), np.float32)
    now = scene(film, none)
    assert steadied(now, [scene(film, none)]) is now


@pytest.fixture(scope="module")
def renderer(tiny_preset, tiny_clip: TrackedClip) -> "FrameRenderer":
    """An untrained avatar with a style that changes every colour."""
    from stage2_nerf.frame_renderer import FrameRenderer

    torch.manual_seed(0)
    config = deepcopy(tiny_preset.pipeline)
    config.datamanager.data = tiny_clip.root
    config.prompts = (STATUE,)
    model = config.setup(device="cpu", test_mode="inference").model
    for style in model.styles.values():
        for part in (style.head, style.torso):
            torch.nn.init.normal_(part.network[-1].weight, std=2.0)
    return FrameRenderer(model, tiny_clip)


def tasks_of(clip: TrackedClip) -> "list[FrameTask]":
    from stage2_nerf.frame_renderer import look_of
    from stage2_nerf.frame_sequence import FrameTask

    frames = list(VideoReader(Path(clip.source.path)))[:6]
    return [FrameTask(frame, frame.timestamp, [look_of(None), look_of(STATUE)]) for frame in frames]


def test_frames_come_in_order_and_alike_however_many_are_rendered_at_once(renderer, tiny_clip) -> None:
    from stage2_nerf.frame_sequence import rendered_sequence

    tasks = tasks_of(tiny_clip)
    alone, together = (list(rendered_sequence(renderer, tasks, workers)) for workers in (1, 2))
    assert [task for task, _ in alone] == [task for task, _ in together] == tasks
    for (_, one), (_, other) in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_edits_are_steadied_and_the_unedited_avatar_is_not(renderer, tiny_clip) -> None:
    from stage2_nerf.frame_sequence import rendered_sequence

    tasks = tasks_of(tiny_clip)
    for task, (unedited, edited) in rendered_sequence(renderer, tasks):
        by_itself = renderer.render(task.frame.index, task.frame.image, task.looks)
        np.testing.assert_array_equal(unedited, by_itself[0])
        assert (edited != by_itself[1]).any()


def test_nothing_is_carried_over_a_gap(renderer, tiny_clip) -> None:
    """Frames that do not follow each other, as where some were left out, have nothing to steady each other by."""
    from stage2_nerf.frame_sequence import rendered_sequence

    tasks = tasks_of(tiny_clip)[::2]
    for task, pictures in rendered_sequence(renderer, tasks):
        np.testing.assert_array_equal(pictures, renderer.render(task.frame.index, task.frame.image, task.looks))


def test_a_frame_that_did_not_track_stays_as_filmed(renderer, tiny_clip) -> None:
    from stage2_nerf.frame_sequence import rendered_sequence

    tasks = tasks_of(tiny_clip)
    lost = tasks[2].frame.index
    without = replace(tiny_clip.track, tracked=np.arange(len(tiny_clip.track.tracked)) != lost)
    renderer = type(renderer)(renderer.model, replace(tiny_clip, track=without))
    made = {task.frame.index: pictures for task, pictures in rendered_sequence(renderer, tasks)}
    np.testing.assert_array_equal(made[lost], [tasks[2].frame.image] * 2)
    beside = tasks[1]
    assert (made[beside.frame.index][1] != beside.frame.image).any()
