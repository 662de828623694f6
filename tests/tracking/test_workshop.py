"""Finished stages survive an interruption, and only that; work is shared out, and its errors come home."""

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_info

import tracking
from tracking.clip import write_png
from tracking.errors import ResumableError, UserError
from tracking.workers import Workers
from tracking.workshop import code_mark, open_workshop, work_identity

LETTERS = """
import os
from tracking.errors import UserError

def count_letters(advance, word):
    advance(1)
    if word == "mistake":
        raise UserError("This is a mistake: make none.")
    if word == "crash":
        os._exit(3)
    return len(word)
"""

IDENTITY = {"video": "talk.mp4", "size": 1}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def interrupt(clip: Path, error: BaseException) -> None:
    with pytest.raises(type(error)), open_workshop(clip, IDENTITY) as workshop:
        workshop.once("answer", lambda: 42)
        (workshop.clip / "picture").write_text("half of the clip")
        raise error


def test_an_interrupted_stage_is_taken_up(tmp_path: Path) -> None:
    interrupt(tmp_path / "clip", KeyboardInterrupt())
    assert names(tmp_path) == [".clip.tracking"]
    assert (tmp_path / ".clip.tracking").stat().st_mode & 0o077 == 0
    with open_workshop(tmp_path / "clip", IDENTITY) as workshop:
        assert workshop.once("answer", lambda: 0) == 42
        assert names(workshop.clip) == ["picture"]
    assert names(tmp_path) == ["clip"]
    assert names(tmp_path / "clip") == ["picture"]


def test_another_video_or_other_options_start_over(tmp_path: Path) -> None:
    interrupt(tmp_path / "clip", RuntimeError())
    with open_workshop(tmp_path / "clip", {**IDENTITY, "size": 2}) as workshop:
        assert workshop.once("answer", lambda: 0) == 0
        assert names(workshop.clip) == []


def test_a_useless_input_leaves_nothing_and_a_full_disk_everything(tmp_path: Path) -> None:
    interrupt(tmp_path / "clip", UserError("no face"))
    assert names(tmp_path) == []
    interrupt(tmp_path / "clip", ResumableError("no room"))
    assert names(tmp_path) == [".clip.tracking"]


def test_an_interruption_before_anything_is_done_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), open_workshop(tmp_path / "clip", IDENTITY):
        raise KeyboardInterrupt
    assert names(tmp_path) == []


def test_what_others_may_write_to_is_not_trusted(tmp_path: Path) -> None:
    interrupt(tmp_path / "clip", KeyboardInterrupt())
    (tmp_path / ".clip.tracking").chmod(0o777)
    with open_workshop(tmp_path / "clip", IDENTITY) as workshop:
        assert workshop.once("answer", lambda: 0) == 0


def test_two_commands_do_not_write_the_same_clip(tmp_path: Path) -> None:
    with open_workshop(tmp_path / "clip", IDENTITY) as workshop:
        workshop.once("answer", lambda: 42)
        with (
            pytest.raises(UserError, match=r"Another portrait-track is writing .*clip: wait until it has ended"),
            open_workshop(tmp_path / "clip", IDENTITY),
        ):
            pass
        assert workshop.kept("answer") == 42
    assert names(tmp_path) == ["clip"]


def test_a_clip_is_replaced_only_by_a_whole_one(tmp_path: Path) -> None:
    clip = tmp_path / "clip"
    clip.mkdir()
    (clip / "old").write_text("")
    interrupt(clip, KeyboardInterrupt())
    assert names(clip) == ["old"]
    with open_workshop(clip, IDENTITY):
        pass
    assert names(clip) == ["picture"]
    assert names(tmp_path) == ["clip"]


def test_identity_tells_a_changed_file(tmp_path: Path) -> None:
    video = tmp_path / "talk.mp4"
    video.write_text("one")
    before = work_identity(video, {"size": 512})
    assert work_identity(video, {"size": 512}) == before
    assert work_identity(video, {"size": 256}) != before
    os.utime(video, ns=(0, before["modified"] + 1))
    assert work_identity(video, {"size": 512}) != before


def test_identity_tells_other_code(tmp_path: Path) -> None:
    (tmp_path / "stage.py").write_text("ANSWER = 42")
    before = code_mark(tmp_path)
    (tmp_path / "notes.txt").write_text("no code")
    assert code_mark(tmp_path) == before
    (tmp_path / "stage.py").write_text("ANSWER = 43")
    assert code_mark(tmp_path) != before
    assert work_identity(tmp_path / "stage.py", {})["code"] == code_mark(Path(tracking.__file__).parent)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's full device")
def test_a_full_disk_is_told_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "full.partial.png").symlink_to("/dev/full")
    with pytest.raises(
        ResumableError, match=r"There is no room left to write .*full.png: free some, then give the same"
    ):
        write_png(tmp_path / "full.png", np.zeros((4, 4), dtype=np.uint8))
    assert names(tmp_path) == []


@pytest.fixture
def count_letters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """A function in a module of its own, which new processes can import."""
    (tmp_path / "letters.py").write_text(LETTERS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "letters", raising=False)
    return importlib.import_module("letters").count_letters


@pytest.mark.parametrize("count", [1, 2])
def test_workers_give_every_result_and_tell_of_progress(count: int, count_letters: Callable[..., int]) -> None:
    told = []
    words = ["a", "bc", "def", "ghij", "klmno"]
    with Workers(count) as workers:
        later = workers.start(count_letters, "later")
        results = dict(workers.run(count_letters, {word: (word,) for word in words}, told.append))
        assert later() == 5
    assert results == {word: len(word) for word in words}
    assert sum(told) in (len(words), len(words) + 1)


@pytest.mark.parametrize("count", [1, 2])
def test_a_mistake_in_a_worker_is_the_users(count: int, count_letters: Callable[..., int]) -> None:
    with pytest.raises(UserError, match="This is a mistake: make none"), Workers(count) as workers:
        list(workers.run(count_letters, {0: ("mistake",)}, lambda done: None))


def test_a_worker_that_is_killed_is_noticed(count_letters: Callable[..., int]) -> None:
    with pytest.raises(ResumableError, match="--workers 1; it goes on where it stopped"), Workers(2) as workers:
        list(workers.run(count_letters, {0: ("crash",), 1: ("word",)}, lambda done: None))


def test_workers_leave_the_process_as_it_was(
    count_letters: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def blas_threads() -> list[int]:
        return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]

    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    before = blas_threads()
    with Workers(2) as workers:
        assert set(blas_threads()) == {1}
        assert workers.start(count_letters, "threads")() == 7
    assert blas_threads() == before
    assert "OPENBLAS_NUM_THREADS" not in os.environ
