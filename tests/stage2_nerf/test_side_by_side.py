"""Frames made side by side are those made one by one; what goes wrong is told in its turn; nothing goes on after it."""

import threading
import time
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tracking.clip import TrackedClip
from tracking.errors import UserError
from tracking.video import VideoReader


@pytest.fixture
def four_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def test_results_come_in_order_and_few_wait(four_threads: None) -> None:
    from stage2_nerf.side_by_side import side_by_side

    asked: list[int] = []

    def items() -> Iterator[int]:
        for number in range(20):
            asked.append(number)
            yield number

    def work(number: int) -> tuple[int, int, str]:
        # The later, the sooner it is done.
        time.sleep(0.002 * (20 - number))
        return number, torch.get_num_threads(), threading.current_thread().name

    results = []
    for result in side_by_side(work, items(), 2):
        results.append(result)
        assert len(asked) <= len(results) + 3
    assert [number for number, *_ in results] == list(range(20))
    assert {threads for _, threads, _ in results} == {2}
    assert len({name for *_, name in results}) == 2
    assert torch.get_num_threads() == 4


def test_work_is_done_at_the_same_time(four_threads: None) -> None:
    from stage2_nerf.side_by_side import side_by_side

    meeting = threading.Barrier(3, timeout=20)
    assert len(list(side_by_side(lambda _: meeting.wait(), range(3), 3))) == 3


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_a_failure_is_told_in_its_turn_and_ends_the_work(workers: int) -> None:
    from stage2_nerf.side_by_side import side_by_side

    begun, done = [], []

    def work(number: int) -> int:
        begun.append(number)
        if number == 5:
            raise UserError("frame 5 cannot be made")
        return number

    before = threading.active_count()
    with pytest.raises(UserError, match="frame 5"):
        done += side_by_side(work, iter(range(10**9)), workers)
    assert max(begun) <= 5 + workers and threading.active_count() == before


def test_whoever_stops_early_leaves_nothing_running() -> None:
    """As Ctrl-C does, wherever it strikes."""
    from stage2_nerf.side_by_side import side_by_side

    begun = []
    before = threading.active_count()

    def interrupted(number: int) -> int:
        begun.append(number)
        return number

    with pytest.raises(KeyboardInterrupt):
        for number in side_by_side(interrupted, iter(range(10**9)), 2):
            if number == 3:
                raise KeyboardInterrupt
    stopped = len(begun)
    time.sleep(0.05)
    assert len(begun) == stopped <= 7 and threading.active_count() == before


def test_large_frames_and_gpus_get_one_worker(four_threads: None) -> None:
    from stage2_nerf.side_by_side import frames_at_once

    cpu = torch.device("cpu")
    assert [frames_at_once(cpu, side * side) for side in (128, 512, 600, 1024, 4096)] == [4, 4, 2, 1, 1]
    assert frames_at_once(torch.device("cuda"), 128 * 128) == 1


def test_a_video_is_the_same_with_any_number_of_workers(tiny_preset, tiny_clip: TrackedClip, tmp_path: Path) -> None:
    from stage1_edit.prompts import EditPrompt
    from stage2_nerf.frame_renderer import FrameRenderer, look_of
    from stage2_nerf.orbit import Swing
    from stage2_nerf.render_looks import ChosenLooks
    from stage2_nerf.render_motion import ExpressionChange, OwnMotion
    from stage2_nerf.render_output import write_video

    torch.manual_seed(0)
    config = deepcopy(tiny_preset.pipeline)
    config.datamanager.data = tiny_clip.root
    statue = EditPrompt("turn him into a bronze statue")
    config.prompts = (statue,)
    model = config.setup(device="cpu", test_mode="inference").model
    for style in model.styles.values():
        torch.nn.init.normal_(style.head.network[-1].weight, std=2.0)
    # A frame without the person is passed through in its place.
    tracked = tiny_clip.track.tracked.copy()
    tracked[4] = False
    clip = replace(tiny_clip, track=replace(tiny_clip.track, tracked=tracked))
    looks = [look_of(None), look_of(statue)]
    before = torch.get_num_threads()
    videos = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        # It is found in training, and left so.
        model.train()
        reader = VideoReader(Path(clip.source.path))
        motion = OwnMotion(clip, reader, ExpressionChange(scale=1.2), Swing(10, 1))
        output = tmp_path / f"{threads}.mkv"
        chosen = ChosenLooks(lambda seconds: looks[: 1 + (seconds > 0.2)][-1:], ("both",))
        write_video(output, "lossless", FrameRenderer(model, clip), reader, motion, chosen)
        assert model.training
        videos.append([frame.image for frame in VideoReader(output)])
    torch.set_num_threads(before)
    assert len(videos[0]) == len(clip.track.tracked)
    np.testing.assert_array_equal(videos[1], videos[0])
    np.testing.assert_array_equal(videos[2], videos[0])
    assert (videos[0][3] != videos[0][6]).mean() > 0.01


def test_an_error_in_a_frame_leaves_no_video(tiny_clip: TrackedClip, tmp_path: Path, four_threads: None) -> None:
    from stage2_nerf.backdrop import ORIGINAL
    from stage2_nerf.frame_renderer import FrameRenderer, look_of
    from stage2_nerf.render_looks import ChosenLooks
    from stage2_nerf.render_motion import ExpressionChange, OwnMotion
    from stage2_nerf.render_output import write_video

    class Failing(FrameRenderer):
        def __init__(self) -> None:
            self.model = torch.nn.Module()  # pyright: ignore[reportAttributeAccessIssue]
            self.model.device = torch.device("cpu")  # pyright: ignore[reportArgumentType, reportAttributeAccessIssue]
            self.clip, self.backdrop = tiny_clip, ORIGINAL

        def scene_of_looks(self, number, looks, moment=None):  # pyright: ignore[reportIncompatibleMethodOverride]
            if number == 6:
                raise UserError("the matte of frame 6 cannot be read")

        def pasted(self, number, frame, looks, moment, scene):
            return [frame]

    reader = VideoReader(Path(tiny_clip.source.path))
    motion = OwnMotion(tiny_clip, reader, ExpressionChange())
    chosen = ChosenLooks(lambda seconds: [look_of(None)], ("unedited",))
    with pytest.raises(UserError, match="frame 6"):
        write_video(tmp_path / "never.mp4", "h264", Failing(), reader, motion, chosen)
    assert list(tmp_path.iterdir()) == []
