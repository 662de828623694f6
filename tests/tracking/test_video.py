"""Videos keep their frames, time stamps, sound, colour tags and rotation."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from jaxtyping import UInt8

from tracking.errors import UserError
from tracking.video import VideoReader, find_video
from tracking.video_writer import Codec, VideoWriter, require_writable_video

TIME_BASE = Fraction(1, 15360)


def smooth_frames(count: int, height: int, width: int) -> list[UInt8[np.ndarray, "height width 3"]]:
    """Colour gradients that drift: nothing that a lossy codec would struggle with."""
    rows, columns = np.mgrid[0:height, 0:width]
    return [
        np.stack([rows * 2 + 40 + i, columns * 2 + 20, rows + columns + 2 * i], axis=-1).clip(0, 255).astype(np.uint8)
        for i in range(count)
    ]


def make_video(
    path: Path,
    frames: list[UInt8[np.ndarray, "height width 3"]],
    timestamps: list[int],
    sound_seconds: float = 0,
    rotation: int = 0,
    codec: str = "libx264rgb",
    sound_codec: str = "aac",
    last_duration: int = 614,
) -> Path:
    """A small video, lossless unless told otherwise."""
    with av.open(str(path), "w") as container:
        is_rgb = codec == "libx264rgb"
        video = container.add_stream(codec, rate=25, options={"qp": "0"} if is_rgb else {"crf": "10"})
        video.height, video.width = frames[0].shape[:2]
        video.pix_fmt = "rgb24" if is_rgb else "yuv420p"
        video.codec_context.time_base = video.time_base = TIME_BASE
        if rotation:
            video.set_display_rotation(rotation)
        if sound_seconds:
            sound = container.add_stream(sound_codec, rate=16000, layout="mono")
            wave = np.sin(np.arange(int(16000 * sound_seconds)) * 0.17).astype(np.float32)
            resampler = av.AudioResampler(format=sound.codec_context.format or "fltp", layout="mono", rate=16000)
            frame = av.AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 16000, 0
            for resampled in resampler.resample(frame):
                container.mux(sound.encode(resampled))
            container.mux(sound.encode())
        for image, timestamp in zip(frames, timestamps, strict=True):
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            frame.pts, frame.time_base = timestamp, TIME_BASE
            container.mux(video.encode(frame))
        packets = video.encode()
        packets[-1].duration = last_duration
        container.mux(packets)
    return path


def copy_video(source: Path, target: Path, codec: Codec) -> None:
    reader = VideoReader(source)
    with VideoWriter(target, reader.properties, codec) as writer:
        for frame in reader:
            writer.write(frame.image, frame.timestamp)


def sound_packets(path: Path) -> list[tuple[bytes, float]]:
    with av.open(str(path)) as container:
        return [
            (bytes(packet), float(packet.pts * packet.time_base))
            for packet in container.demux(container.streams.audio[0])
            if packet.pts is not None
        ]


@pytest.mark.parametrize("size", [(48, 64), (35, 51)])
def test_lossless_keeps_every_bit(tmp_path: Path, size: tuple[int, int]) -> None:
    generator = np.random.default_rng(0)
    frames = [generator.integers(0, 256, (*size, 3), dtype=np.uint8) for _ in range(5)]
    source = make_video(tmp_path / "in.mp4", frames, [600 * i for i in range(5)])
    copy_video(source, tmp_path / "out.mp4", "lossless")
    decoded = [frame.image for frame in VideoReader(tmp_path / "out.mp4")]
    np.testing.assert_array_equal(decoded, frames)


@pytest.mark.parametrize("codec", ["h264", "h265", "lossless"])
def test_variable_frame_rate_keeps_its_time_stamps(tmp_path: Path, codec: Codec) -> None:
    timestamps = [507, 1121, 1200, 3000, 3614, 9000, 9614, 10228]
    source = make_video(tmp_path / "in.mp4", smooth_frames(8, 48, 64), timestamps)
    copy_video(source, tmp_path / "out.mp4", codec)
    assert [frame.timestamp for frame in VideoReader(tmp_path / "out.mp4")] == timestamps
    assert VideoReader(tmp_path / "out.mp4").properties.time_base == TIME_BASE


@pytest.mark.parametrize("codec", ["h264", "h265", "lossless"])
@pytest.mark.parametrize("last_duration", [614, 200])
def test_frame_rate_and_duration_equal_the_source(tmp_path: Path, codec: Codec, last_duration: int) -> None:
    timestamps = [614 * i for i in range(25)]
    source = make_video(tmp_path / "in.mp4", smooth_frames(25, 48, 64), timestamps, last_duration=last_duration)
    copy_video(source, tmp_path / "out.mp4", codec)
    with av.open(str(source)) as before, av.open(str(tmp_path / "out.mp4")) as after:
        assert before.streams.video[0].duration == timestamps[-1] + last_duration
        assert after.streams.video[0].duration == before.streams.video[0].duration
        assert after.streams.video[0].average_rate == before.streams.video[0].average_rate


@pytest.mark.parametrize("codec", ["h264", "h265"])
@pytest.mark.parametrize("size", [(48, 64), (35, 51)])
def test_lossy_codecs_change_smooth_colours_little(tmp_path: Path, codec: Codec, size: tuple[int, int]) -> None:
    frames = smooth_frames(6, *size)
    source = make_video(tmp_path / "in.mp4", frames, [600 * i for i in range(6)])
    copy_video(source, tmp_path / "out.mp4", codec)
    decoded = np.stack([frame.image for frame in VideoReader(tmp_path / "out.mp4")])
    assert decoded.shape == (6, *size, 3)
    assert np.abs(decoded.astype(int) - np.stack(frames)).mean() < 3


def test_sound_is_copied_byte_for_byte(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", smooth_frames(20, 48, 64), [614 * i for i in range(20)], sound_seconds=0.9)
    copy_video(source, tmp_path / "out.mp4", "h264")
    assert VideoReader(source).properties.has_sound
    assert len(sound_packets(source)) > 10
    assert sound_packets(tmp_path / "out.mp4") == sound_packets(source)


def test_sound_and_picture_are_interleaved(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", smooth_frames(50, 48, 64), [614 * i for i in range(50)], sound_seconds=2)
    copy_video(source, tmp_path / "out.mp4", "lossless")
    with av.open(str(tmp_path / "out.mp4")) as container:
        kinds = [packet.stream.type for packet in container.demux() if packet.dts is not None]
    first_half = kinds[: len(kinds) // 2]
    assert 0.3 < first_half.count("audio") / kinds.count("audio") < 0.7


def test_rotation_flag_is_applied_and_written_upright(tmp_path: Path) -> None:
    frames = smooth_frames(4, 48, 64)
    source = make_video(tmp_path / "in.mp4", frames, [600 * i for i in range(4)], rotation=90)
    with av.open(str(source)) as container:
        rotation = next(container.decode(video=0)).rotation
    assert abs(rotation) == 90
    properties = VideoReader(source).properties
    assert (properties.width, properties.height) == (48, 64)
    upright = [np.rot90(frame, rotation // 90) for frame in frames]
    np.testing.assert_array_equal([frame.image for frame in VideoReader(source)], upright)
    copy_video(source, tmp_path / "out.mp4", "lossless")
    np.testing.assert_array_equal([frame.image for frame in VideoReader(tmp_path / "out.mp4")], upright)


def test_a_reader_can_be_read_again(tmp_path: Path) -> None:
    reader = VideoReader(make_video(tmp_path / "in.mp4", smooth_frames(4, 48, 64), [0, 600, 1200, 1800]))
    assert [frame.index for frame in reader] == [frame.index for frame in reader] == [0, 1, 2, 3]


def test_cut_off_file_gives_the_frames_before_the_cut(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mkv", smooth_frames(50, 96, 96), [614 * i for i in range(50)])
    whole = source.read_bytes()
    (tmp_path / "cut.mkv").write_bytes(whole[: len(whole) * 6 // 10])
    frames = [frame.image for frame in VideoReader(tmp_path / "cut.mkv")]
    assert 10 < len(frames) < 50
    np.testing.assert_array_equal(frames[:10], [frame.image for frame in VideoReader(source)][:10])


def test_nothing_is_left_behind_when_writing_fails(tmp_path: Path) -> None:
    properties = VideoReader(make_video(tmp_path / "in.mp4", smooth_frames(3, 48, 64), [0, 600, 1200])).properties
    with pytest.raises(KeyboardInterrupt), VideoWriter(tmp_path / "out.mp4", properties) as writer:
        writer.write(smooth_frames(1, 48, 64)[0], 0)
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_sound_that_does_not_fit_is_refused_before_any_work(tmp_path: Path) -> None:
    source = make_video(
        tmp_path / "in.mkv", smooth_frames(3, 48, 64), [0, 600, 1200], sound_seconds=0.5, sound_codec="pcm_s16le"
    )
    with pytest.raises(UserError, match=r"write to a name that ends in \.mkv"):
        VideoWriter(tmp_path / "out.m4v", VideoReader(source).properties)
    assert [path.name for path in tmp_path.iterdir()] == ["in.mkv"]


@pytest.mark.parametrize(
    ("name", "codec", "message"),
    [
        ("out.avi", "h264", r"ends in \.mp4"),
        ("out.webm", "lossless", r"ends in \.mp4"),
        ("missing/out.mp4", "h264", "does not exist"),
        ("folder.mp4", "h264", "is a folder"),
        ("in.mp4", "h264", "source video itself"),
    ],
)
def test_bad_outputs_are_refused_before_any_work(tmp_path: Path, name: str, codec: Codec, message: str) -> None:
    (tmp_path / "folder.mp4").mkdir()
    source = make_video(tmp_path / "in.mp4", smooth_frames(2, 48, 64), [0, 600])
    with pytest.raises(UserError, match=message):
        require_writable_video(tmp_path / name, codec, source=source)


def test_bad_inputs_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        find_video(tmp_path / "missing.mp4")
    with pytest.raises(UserError, match="holds no video"):
        find_video(tmp_path)
    text = tmp_path / "text.mp4"
    text.write_text("This is no video.")
    with pytest.raises(UserError, match="no video that can be read"):
        VideoReader(text)
    assert find_video(tmp_path) == text
    (tmp_path / "other.mov").write_bytes(b"")
    with pytest.raises(UserError, match="holds 2 videos"):
        find_video(tmp_path)
    with pytest.raises(UserError, match="does not exist"):
        VideoReader(tmp_path / "missing.mp4")


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        sound = container.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(sound.encode(frame))
        container.mux(sound.encode())
    with pytest.raises(UserError, match="holds no video stream"):
        VideoReader(tmp_path / "sound.mp4")
