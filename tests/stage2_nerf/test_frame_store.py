"""Frames in memory and in a file: the same pixels, decoded once, edits beside them, and a file that is never half."""

import errno
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch.testing import assert_close

import stage2_nerf.frame_cache as frame_cache
from stage2_nerf.frame_cache import open_frames
from stage2_nerf.frame_columns import FrameColumn
from stage2_nerf.frame_store import POOL_FRAMES, FileFrames, FrameStore, MemoryFrames
from tracking.background import local_background
from tracking.clip import TrackedClip, write_png
from tracking.errors import UserError

CACHE = ".frames.portrait-edit"


@pytest.fixture
def clip(tiny_clip: TrackedClip, tmp_path: Path) -> TrackedClip:
    """A clip of one's own."""
    shutil.copytree(tiny_clip.root, tmp_path / "clip")
    return TrackedClip.load(tmp_path / "clip")


@pytest.fixture(params=["memory", "file"])
def store(clip: TrackedClip, request: pytest.FixtureRequest) -> FrameStore:
    return open_frames(clip, 1.0 if request.param == "memory" else 0.0, None)


@pytest.fixture
def never_decode(monkeypatch: pytest.MonkeyPatch) -> None:
    def decode(*arguments: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr(frame_cache, "decode", decode)


def random_pixels(store: FrameStore, count: int = 2000) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    sizes = len(store), store.layout.height, store.layout.width
    torch.manual_seed(0)
    frame, y, x = (torch.randint(size, (count,)) for size in sizes)
    return frame, y, x


def test_pixels_are_the_clips(store: FrameStore, clip: TrackedClip) -> None:
    frame, y, x = random_pixels(store)
    images = np.stack([clip.image(int(number)) for number in clip.frames])
    mattes = np.stack([clip.matte(int(number)) for number in clip.frames])
    assert_close(store.pixels("image", frame, y, x), torch.from_numpy(images[frame, y, x]))
    assert_close(store.pixels("matte", frame, y, x)[:, 0] / 255, torch.from_numpy(mattes[frame, y, x]))
    assert_close(store.whole(7, "labels")[..., 0].numpy(), clip.labels(int(clip.frames[7])))


@pytest.mark.parametrize("kind", ["plate", "per-frame"])
def test_backgrounds_are_what_tracking_says_lies_behind_the_person(clip: TrackedClip, kind: str) -> None:
    description = clip.root / "transforms.json"
    description.write_text(description.read_text().replace(f'"{clip.background_kind}"', f'"{kind}"'))
    clip = TrackedClip.load(clip.root)
    store = open_frames(clip, 1.0, None)
    for row in (0, 9):
        image, matte = clip.image(row).astype(np.float32) / 255, clip.matte(row)
        expected = local_background(image, matte, clip.plate()) * 255
        found = store.whole_background(row).numpy()
        assert np.array_equal(found[matte == 0], clip.image(row)[matte == 0])
        assert np.abs(found - expected).max() < 2


@pytest.mark.parametrize("size", [(640, 512), (1024, 1024)])
def test_a_quarter_of_a_large_picture_tells_its_background(
    clip: TrackedClip, tmp_path: Path, size: tuple[int, int]
) -> None:
    """Hardly a level is lost on the average, a few at most where the person's edge is in front of something."""
    large = replace(
        clip,
        root=tmp_path / "large",
        intrinsics=replace(clip.intrinsics, width=size[0], height=size[1]),
        track=replace(clip.track, tracked=np.arange(len(clip.track.tracked)) == 3),
    )
    for path in large.picture_paths(3):
        path.parent.mkdir(parents=True)
    image, matte, plate = (
        cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC)
        for picture in (clip.image(3), (255 * clip.matte(3)).astype(np.uint8), clip.background())
    )
    write_png(large.image_path(3), image)
    write_png(large.matte_path(3), matte)
    write_png(large.label_path(3), np.ones_like(matte))
    write_png(large.background_path, plate)
    store = open_frames(large, 1.0, None)
    assert store.layout.size == size[0] * size[1] * 5.25
    found = store.whole_background(0).numpy().astype(float)
    expected = local_background(image.astype(np.float32) / 255, large.matte(3), large.plate()) * 255
    assert np.abs(found - expected)[matte > 0].mean() < 1
    assert np.percentile(np.abs(found - expected), 99.9) < 8


def test_more_frames_than_the_pool_holds_can_be_asked_for_at_once(
    clip: TrackedClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stage2_nerf.frame_store.POOL_FRAMES", 3)
    in_file, in_memory = open_frames(clip, 0.0, None), open_frames(clip, 1.0, None)
    assert len(in_file) > 3 > 0 < POOL_FRAMES
    for store in (in_file, in_memory):
        store.replace(4, torch.full((store.layout.height, store.layout.width, 3), 9, dtype=torch.uint8))
    pixels = random_pixels(in_file)
    assert_close(in_file.training_images(*pixels), in_memory.training_images(*pixels))
    assert_close(in_file.backgrounds(*pixels), in_memory.backgrounds(*pixels))


def test_edits_are_trained_on_until_the_filmed_frames_are_restored(store: FrameStore) -> None:
    frame, y, x = random_pixels(store)
    filmed = store.training_images(frame, y, x)
    grey = torch.full((store.layout.height, store.layout.width, 3), 128, dtype=torch.uint8)
    store.replace(2, grey)
    store.replace(5, grey + 1)
    store.replace(2, grey + 2)
    changed = store.training_images(frame, y, x)
    assert (changed[frame == 2] == 130).all()
    assert (changed[frame == 5] == 129).all()
    others = (frame != 2) & (frame != 5)
    assert_close(changed[others], filmed[others])
    assert_close(store.pixels("image", frame, y, x), filmed)
    store.restore()
    assert_close(store.training_images(frame, y, x), filmed)


def test_a_column_indexes_as_the_tensor_it_stands_for(store: FrameStore) -> None:
    rows = torch.tensor([3, 8, 11])
    column = FrameColumn(lambda *at: store.pixels("image", *at), rows, store.layout.height, store.layout.width, 3)
    whole = torch.stack([store.whole(int(row), "image") for row in rows])
    assert column.shape == whole.shape
    row, y, x = torch.tensor([2, 0, 1]), torch.tensor([5, 6, 7]), torch.tensor([1, 2, 3])
    assert_close(column[row, y, x], whole[row, y, x])
    assert_close(column[row, y, x, 1], whole[row, y, x, 1])
    patches = row[:, None, None], y[:, None, None] + torch.arange(4)[:, None], x[:, None, None] + torch.arange(4)
    assert_close(column[patches], whole[patches])


def test_frames_are_decoded_into_the_file_once(clip: TrackedClip, request: pytest.FixtureRequest) -> None:
    first = open_frames(clip, 0.0, None)
    assert isinstance(first, FileFrames)
    assert (clip.root / CACHE).stat().st_size == 4096 + len(clip.frames) * first.layout.size
    request.getfixturevalue("never_decode")
    again = open_frames(TrackedClip.load(clip.root), 0.0, None)
    assert_close(again.whole(3, "image"), first.whole(3, "image"))


def test_a_clip_below_the_bound_leaves_no_file(clip: TrackedClip) -> None:
    assert isinstance(open_frames(clip, 1.0, None), MemoryFrames)
    assert not list(clip.root.glob(".*"))


def test_a_changed_picture_is_decoded_again(clip: TrackedClip) -> None:
    open_frames(clip, 0.0, None)
    path = clip.matte_path(int(clip.frames[3]))
    shutil.copyfile(clip.matte_path(int(clip.frames[12])), path)
    os.utime(path, ns=(1, 1))
    again = open_frames(TrackedClip.load(clip.root), 0.0, None)
    assert_close(again.whole(3, "matte"), again.whole(12, "matte"))


def test_the_file_may_lie_in_another_folder(clip: TrackedClip, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    open_frames(clip, 0.0, tmp_path / "elsewhere")
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == [f".clip{CACHE}"]
    assert not (clip.root / CACHE).exists()


def test_a_disk_without_room_is_told_before_anything_is_decoded(
    clip: TrackedClip, monkeypatch: pytest.MonkeyPatch, never_decode: None
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 9, 1))  # type: ignore
    with pytest.raises(UserError, match=r"need 0.0 GB in .*, which has 0.0 GB left: free some, or name another place"):
        open_frames(clip, 0.0, None)
    assert not list(clip.root.glob(".*"))


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (errno.ENOSPC, "There is no room left to write"),
        (
            errno.EACCES,
            r"clip, where .* are to be kept \(0.0 GB\): name another place with --pipeline.datamanager.frame-",
        ),
        (errno.EROFS, "name another place with --pipeline.datamanager.frame-folder"),
    ],
)
def test_a_file_that_cannot_be_written_is_told_and_never_half(
    clip: TrackedClip, monkeypatch: pytest.MonkeyPatch, error: int, sentence: str
) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with pytest.raises(UserError, match=sentence):
        open_frames(clip, 0.0, None)
    assert not list(clip.root.glob(".*"))


def test_ctrl_c_while_decoding_leaves_no_half_file(clip: TrackedClip, monkeypatch: pytest.MonkeyPatch) -> None:
    write_record = frame_cache.write_record

    def interrupted(clip: TrackedClip, frame: int, *others: Any) -> None:
        if frame == 7:
            raise KeyboardInterrupt
        write_record(clip, frame, *others)

    monkeypatch.setattr(frame_cache, "write_record", interrupted)
    with pytest.raises(KeyboardInterrupt):
        open_frames(clip, 0.0, None)
    assert not list(clip.root.glob(".*"))
