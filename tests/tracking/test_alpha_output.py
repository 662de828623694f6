"""Video and pictures with opacity."""

from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from tracking.errors import UserError
from tracking.picture_writer import PictureWriter, require_writable_pictures
from tracking.video import VideoReader
from tracking.video_writer import ALPHA_CODECS, Codec, VideoWriter


@pytest.fixture
def source(carphone: Path) -> VideoReader:
    return VideoReader(carphone)


def disc(height: int, width: int, shift: int) -> np.ndarray:
    """A soft orange disc over nothing."""
    y, x = np.mgrid[:height, :width]
    distance = np.hypot(y - height / 2, x - width / 2 - shift)
    alpha = np.clip((height / 3 - distance) / 6 + 0.5, 0, 1)
    picture = np.full((height, width, 4), (230, 140, 40, 0), np.uint8)
    picture[..., 3] = (alpha * 255).round()
    return picture


def decoded_with_opacity(path: Path) -> list[np.ndarray]:
    # FFmpeg's own VP9 decoder passes opacity over; libvpx' does not.
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        if stream.codec_context.name != "vp9":
            return [frame.to_ndarray(format="rgba") for frame in container.decode(stream)]
        decoder = av.CodecContext.create("libvpx-vp9", "r")
        frames = [
            frame for packet in container.demux(stream) for frame in decoder.decode(packet if packet.size else None)
        ]
        return [frame.to_ndarray(format="rgba") for frame in frames]


@pytest.mark.parametrize(("codec", "suffix"), [("prores4444", ".mov"), ("vp9", ".mkv")])
@pytest.mark.parametrize("size", [(64, 80), (65, 81)])
def test_opacity_and_colour_arrive(
    tmp_path: Path, source: VideoReader, codec: Codec, suffix: str, size: tuple[int, int]
) -> None:
    written = [disc(*size, shift) for shift in range(4)]
    with VideoWriter(tmp_path / f"out{suffix}", source.properties, codec, size=size[::-1]) as writer:
        for index, picture in enumerate(written):
            writer.write(picture, index * 1000)
    read = decoded_with_opacity(tmp_path / f"out{suffix}")
    assert len(read) == len(written)
    for before, after in zip(written, read, strict=True):
        assert np.abs(before[..., 3].astype(int) - after[..., 3]).mean() < 2
        seen = before[..., 3] == 255
        assert np.abs(before[seen].astype(int) - after[seen]).mean() < 6


def test_every_codec_with_opacity_is_tried_here() -> None:
    assert set(ALPHA_CODECS) == {"prores4444", "vp9"}


def test_pictures_are_numbered_and_exact(tmp_path: Path) -> None:
    with PictureWriter(tmp_path / "frames") as writer:
        for shift in range(3):
            writer.write(disc(20, 30, shift), shift)
        assert not (tmp_path / "frames").exists()
    assert [path.name for path in sorted((tmp_path / "frames").iterdir())] == [f"frame_0000{i}.png" for i in range(3)]
    picture = cv2.imread(str(tmp_path / "frames/frame_00002.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(cv2.cvtColor(picture, cv2.COLOR_BGRA2RGBA), disc(20, 30, 2))


def test_nothing_is_left_of_an_interrupted_sequence(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), PictureWriter(tmp_path / "frames") as writer:
        writer.write(disc(20, 30, 0), 0)
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_other_peoples_folders_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/letter.txt").write_text("Dear all")
    for folder, said in (
        (tmp_path / "mine", "no picture sequence"),
        (tmp_path / "a.mp4", "without .mp4"),
        (tmp_path / "gone/frames", "does not exist"),
    ):
        with pytest.raises(UserError, match=said):
            require_writable_pictures(folder)
