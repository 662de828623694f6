"""Videos that are not as most are: each is read right, or told of in one sentence."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from jaxtyping import Float, UInt8

from tracking.errors import UserError
from tracking.high_dynamic_range import Transfer, to_standard_range
from tracking.skin_motion import SkinMotionConfig
from tracking.track_config import TrackConfig
from tracking.tracking_stages import worker_count
from tracking.video import VideoReader, find_video
from tracking.video_survey import survey_video
from tracking.video_writer import VideoWriter

HEIGHT, WIDTH = 48, 64
NITS = np.array([0.0, 1, 20, 60, 100, 203, 500, 1000])
"""Luminances of eight grey stripes, in cd/m2."""


def gradients(count: int = 3) -> list[UInt8[np.ndarray, "height width 3"]]:
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    return [np.stack([4 * rows + i, 3 * columns, rows + columns + 40], axis=-1).astype(np.uint8) for i in range(count)]


def write(
    path: Path,
    images: Sequence[np.ndarray],
    codec: str,
    pixels: str,
    layout: str = "rgb24",
    options: dict[str, str] | None = None,
    **conversion: Any,
) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = pixels
        for image in images:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format=layout)
            container.mux(stream.encode(frame.reformat(format=pixels, **conversion)))
        container.mux(stream.encode())
    return path


def perceptual_quantizer(nits: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """SMPTE ST 2084: luminance in cd/m2 to code in [0, 1]."""
    root = (nits / 10000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * root) / (1 + 18.6875 * root)) ** 78.84375


def hybrid_log_gamma(nits: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """BT.2100: luminance of a grey on a screen of 1,000 cd/m2 to code in [0, 1]."""
    scene = (nits / 1000) ** (1 / 1.2)
    return np.where(
        scene <= 1 / 12,
        np.sqrt(3 * scene),
        0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-6)) + 0.55991073,
    )


@pytest.mark.parametrize(("transfer", "code"), [("PQ", perceptual_quantizer), ("HLG", hybrid_log_gamma)])
def test_greys_up_to_white_keep_their_light_and_highlights_are_kept_apart(transfer: Transfer, code: Any) -> None:
    image = np.rint(65535 * code(NITS)).astype(np.uint16)[None, :, None].repeat(3, axis=2)
    greys = to_standard_range(image, transfer)[0].astype(int)
    assert np.ptp(greys, axis=1).max() <= 1
    light = (greys[:, 0] / 255) ** 2.4
    # 20, 60 and 100 cd/m2 over a white of 203, for which a code has a precision of about one in a hundred.
    np.testing.assert_allclose(light[2:5], NITS[2:5] / 203, rtol=0.03)
    assert greys[0, 0] == 0
    assert (np.diff(greys[:, 0]) > 5).all()
    assert greys[-1, 0] <= 255


def test_colours_of_hdr_keep_their_hue() -> None:
    # BT.709's red of 100 cd/m2, in the light of BT.2020: the first column of BT.2087's matrix.
    red = np.array([0.6274, 0.0691, 0.0164]) * 100
    image = np.rint(65535 * perceptual_quantizer(red)).astype(np.uint16)[None, None]
    picture = to_standard_range(image, "PQ")[0, 0].astype(int)
    assert abs(picture[0] - 255 * (100 / 203) ** (1 / 2.4)) < 4
    assert picture[1:].max() < 30


def test_hdr_video_is_read_in_standard_range_and_written_as_such(tmp_path: Path) -> None:
    stripes = np.rint(65535 * perceptual_quantizer(np.repeat(NITS, 8))).astype(np.uint16)
    image = np.broadcast_to(stripes[None, :, None], (HEIGHT, WIDTH, 3))
    options = {
        "crf": "4",
        "x265-params": "log-level=error:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc",
    }
    source = write(tmp_path / "hdr.mp4", [image] * 3, "libx265", "yuv420p10le", "rgb48le", options, dst_colorspace=9)
    reader = VideoReader(source)
    assert reader.properties.remarks == [f"{source} is HDR (PQ): it is brought to standard range."]
    middle = next(iter(reader)).image[HEIGHT // 2, 4::8]
    np.testing.assert_allclose((middle[2:5, 0] / 255.0) ** 2.4, NITS[2:5] / 203, rtol=0.1)
    with VideoWriter(tmp_path / "out.mp4", reader.properties, "h264") as writer:
        for frame in reader:
            writer.write(frame.image, frame.timestamp)
    written = VideoReader(tmp_path / "out.mp4")
    assert written.properties.high_dynamic_range is None
    assert np.abs(next(iter(written)).image[HEIGHT // 2, 4::8].astype(int) - middle).max() < 8


def test_ten_bits_become_eight(tmp_path: Path) -> None:
    options = {"crf": "4", "x265-params": "log-level=error"}
    source = write(tmp_path / "ten.mp4", gradients(), "libx265", "yuv420p10le", options=options)
    reader = VideoReader(source)
    assert reader.properties.remarks == []
    for frame, expected in zip(reader, gradients(), strict=True):
        assert np.abs(frame.image.astype(int) - expected).mean() < 4


def test_transparency_is_shown_over_black_and_told(tmp_path: Path) -> None:
    alpha = np.full((HEIGHT, WIDTH, 1), 255, dtype=np.uint8)
    alpha[:, : WIDTH // 2] = 0
    images = [np.concatenate([image, alpha], axis=-1) for image in gradients()]
    reader = VideoReader(write(tmp_path / "alpha.mov", images, "qtrle", "argb", "rgba"))
    assert "is transparent in parts: it is shown over black" in reader.properties.remarks[0]
    for frame, expected in zip(reader, gradients(), strict=True):
        assert (frame.image[:, : WIDTH // 2] == 0).all()
        np.testing.assert_array_equal(frame.image[:, WIDTH // 2 :], expected[:, WIDTH // 2 :])


def test_an_opaque_format_with_alpha_is_an_ordinary_video(tmp_path: Path) -> None:
    images = [np.dstack([image, np.full((HEIGHT, WIDTH), 255, np.uint8)]) for image in gradients()]
    reader = VideoReader(write(tmp_path / "opaque.mov", images, "qtrle", "argb", "rgba"))
    assert reader.properties.remarks == []
    np.testing.assert_array_equal([frame.image for frame in reader], gradients())


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tiff", ".webp"])
def test_a_picture_is_no_video(tmp_path: Path, suffix: str) -> None:
    cv2.imwrite(str(tmp_path / f"face{suffix}"), gradients()[0])
    with pytest.raises(UserError, match="is a picture, and a portrait must move: give a video"):
        VideoReader(tmp_path / f"face{suffix}")


def test_a_folder_of_pictures_says_how_to_make_a_video(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "00000.png"), gradients()[0])
    with pytest.raises(UserError, match=r"holds pictures but no video: make a video of them first.*ffmpeg"):
        find_video(tmp_path)


def test_huge_pictures_are_read_reduced_by_few_workers(tmp_path: Path) -> None:
    image = cv2.resize(gradients()[0], (7680, 4320), interpolation=cv2.INTER_NEAREST)
    options = {"preset": "ultrafast", "crf": "30"}
    reader = VideoReader(write(tmp_path / "8k.mp4", [image] * 2, "libx264", "yuv420p", options=options))
    for frame in reader.decode():
        small = reader.upright_rgb(frame.picture, 1920)
        assert small.shape == (1080, 1920, 3)
        assert np.abs(cv2.resize(small, (WIDTH, HEIGHT)).astype(int) - gradients()[0]).mean() < 12
    assert worker_count(TrackConfig(workers=64), reader.properties) == 1


def survey(path: Path, **options: Any) -> Any:
    return survey_video(VideoReader(path), TrackConfig(**options), lambda count: None)


@pytest.fixture(scope="module")
def minute(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty frames, of 25 in a second."""
    path = tmp_path_factory.mktemp("video") / "minute.mkv"
    return write(path, gradients(40), "libx264", "yuv420p")


@pytest.mark.parametrize(
    ("options", "span"),
    [
        ({}, (0, 40)),
        ({"start": 0.4}, (10, 40)),
        ({"start": "0:00.4", "end": 1.2}, (10, 30)),
        ({"max_frames": 12}, (0, 12)),
        ({"start": "0.4", "max_frames": 12}, (10, 22)),
        ({"end": 99, "max_frames": 99}, (0, 40)),
    ],
)
def test_a_span_keeps_the_sources_numbers(minute: Path, options: dict[str, Any], span: tuple[int, int]) -> None:
    found = survey(minute, **options)
    assert (found.start, found.stop) == span
    assert len(found.index.timestamps) == 40
    assert found.index.timestamps.tolist() == survey(minute).index.timestamps.tolist()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": 5}, "There is no frame of .* from --start 5 on, for the video ends at 0:01.6: give an earlier time"),
        ({"start": 1, "end": 1}, "--end 1 is not after --start 1: give a later time"),
        ({"end": 0.2}, "The chosen part has 5 frames, too few to learn a head: give at least 10"),
        ({"max_frames": 1}, "The chosen part has 1 frame, too few"),
        ({"start": "noon"}, "--start noon is no time: give seconds"),
    ],
)
def test_spans_that_cannot_be_tracked(minute: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        survey(minute, **options)


def test_a_cut_off_file_is_tracked_as_far_as_it_goes_and_told(
    tmp_path: Path, minute: Path, caplog: pytest.LogCaptureFixture
) -> None:
    generator = np.random.default_rng(0)
    noise = [generator.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8) for _ in range(40)]
    whole = write(tmp_path / "whole.mkv", noise, "libx264", "yuv420p").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(whole[: len(whole) * 7 // 10])
    found = survey(tmp_path / "cut.mkv")
    assert 10 < found.stop < 36
    assert f"cut.mkv ends after {found.stop} of about 40 frames: it may be cut off" in caplog.text


def test_options_that_cannot_be() -> None:
    for config, message in (
        (TrackConfig(max_frames=0), "--max-frames 0 is too small: give 1 or more"),
        (TrackConfig(shot=0), "--shot 0 is too small: give 1 or more"),
        (TrackConfig(size=8), "--size 8 is too small: give 64 or more"),
        (TrackConfig(workers=0), "--workers 0 is too small: give 1 or more"),
        (TrackConfig(skin=SkinMotionConfig(rounds=-1)), "--skin.rounds -1 is too small: give 0 or more"),
        (TrackConfig(skin=SkinMotionConfig(texture_frames=0)), "--skin.texture-frames 0 is too small: give 1 or more"),
        (TrackConfig(skin=SkinMotionConfig(slow_trust=1.5)), "--skin.slow-trust 1.5 is no share"),
    ):
        with pytest.raises(UserError, match=message):
            config.check()


def test_time_stamps_of_variable_frame_rate_count_for_spans(tmp_path: Path) -> None:
    stamps = [0, 10, 500, 510, 520, 900, *range(1000, 1400, 10)]
    with av.open(str(tmp_path / "vfr.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"bf": "0"})
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for stamp, image in zip(stamps, gradients(len(stamps)), strict=True):
            frame = av.VideoFrame.from_ndarray(image)
            frame.pts, frame.time_base = stamp, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    found = survey(tmp_path / "vfr.mkv", start=0.505)
    assert found.start == 3
    assert found.index.timestamps.tolist() == stamps
