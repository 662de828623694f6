"""Any stretch of a video can be decoded by itself, and is what decoding from the beginning gives."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tracking.video import VideoReader
from tracking.video_index import NO_TIMESTAMP, IndexBuilder, VideoIndex, read_stretch, timestamps_after

FRAMES = 150


def write_video(path: Path, codec: str = "libx264", key_frame_every: int = 48, format_name: str | None = None) -> Path:
    """A video whose frames are told apart by their brightness."""
    options = {"g": str(key_frame_every), "bf": "2"} if codec == "libx264" else {}
    with av.open(str(path), "w", format=format_name) as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 25)
        for number in range(FRAMES):
            picture = np.full((48, 64, 3), 50 + number, dtype=np.uint8)
            picture[: number % 40] += 20
            frame = av.VideoFrame.from_ndarray(picture)
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def index_of(reader: VideoReader) -> VideoIndex:
    builder = IndexBuilder()
    for frame in reader.decode():
        builder.add(frame)
    return builder.index()


def pictures(reader: VideoReader, index: VideoIndex, start: int, stop: int) -> dict[int, np.ndarray]:
    return {frame.index: reader.upright_rgb(frame.picture) for frame in read_stretch(reader, index, start, stop)}


@pytest.mark.parametrize(
    ("name", "codec", "format_name"),
    [("a.mp4", "libx264", None), ("a.mkv", "libx264", None), ("a.ts", "libx264", "mpegts"), ("a.avi", "mpeg4", None)],
)
def test_a_stretch_is_what_the_whole_has_there(tmp_path: Path, name: str, codec: str, format_name: str | None) -> None:
    reader = VideoReader(write_video(tmp_path / name, codec, format_name=format_name))
    index = index_of(reader)
    whole = [frame.image for frame in reader]
    assert len(whole) == FRAMES
    for start, stop in ((0, 3), (60, 64), (96, 130), (FRAMES - 2, FRAMES)):
        got = pictures(reader, index, start, stop)
        assert list(got) == list(range(start, stop))
        for number, picture in got.items():
            np.testing.assert_array_equal(picture, whole[number])


def test_jumping_spares_what_comes_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tracking.video_index

    reader = VideoReader(write_video(tmp_path / "a.mp4"))
    index = index_of(reader)
    decoded = []
    decode = tracking.video_index.decode_stream

    def counting(*arguments: object) -> object:
        for frame in decode(*arguments):
            decoded.append(frame)
            yield frame

    monkeypatch.setattr(tracking.video_index, "decode_stream", counting)
    assert [frame.index for frame in read_stretch(reader, index, 100, 110)] == list(range(100, 110))
    assert len(decoded) < 30


def test_a_jump_that_leads_astray_is_noticed(tmp_path: Path) -> None:
    reader = VideoReader(write_video(tmp_path / "a.mp4"))
    index = index_of(reader)
    whole = [frame.image for frame in reader]
    # As if the file had been wrong about where its frames are: what is at frame 48's time has other pixels.
    shifted = replace(index, stated=index.stated + index.stated[1] - index.stated[0])
    for wrong in (
        shifted,
        replace(index, stated=np.full(FRAMES, NO_TIMESTAMP)),
        replace(index, stated=index.stated // 2),
    ):
        got = pictures(reader, wrong, 100, 103)
        assert list(got) == [100, 101, 102]
        for number, picture in got.items():
            np.testing.assert_array_equal(picture, whole[number])


def test_a_stream_without_time_stamps(tmp_path: Path) -> None:
    reader = VideoReader(write_video(tmp_path / "a.h264", format_name="h264"))
    index = index_of(reader)
    assert len(index.timestamps) == FRAMES
    assert not index.can_jump
    assert (np.diff(index.timestamps) == index.timestamps[1] - index.timestamps[0]).all()
    assert list(pictures(reader, index, 100, 102)) == [100, 101]


def test_time_stamps_of_what_is_not_decoded(tmp_path: Path) -> None:
    reader = VideoReader(write_video(tmp_path / "a.mp4"))
    timestamps = index_of(reader).timestamps
    assert timestamps_after(reader, int(timestamps[60])) == timestamps[61:].tolist()
