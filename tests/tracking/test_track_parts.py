"""Parts of a video are tracked as they are asked for, whoever does the work."""

import logging
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tracking.tracking_stages
from tracking.clip import TrackedClip
from tracking.errors import UserError
from tracking.face_fit import fit_face
from tracking.face_search import STRETCH_FRAMES
from tracking.fitting import HeadFit
from tracking.frame_flags import FrameFlag
from tracking.track import main, track_video
from tracking.track_config import TrackConfig
from tracking.video import VideoReader
from tracking.video_writer import VideoWriter

LANDSCAPE, FACE = 24, 16
"""Frames of the two shots."""


@pytest.fixture(scope="module")
def two_shots(tmp_path_factory: pytest.TempPathFactory, carphone: Path) -> Path:
    """A landscape that drifts by, then somebody talking."""
    path = tmp_path_factory.mktemp("video") / "two.mp4"
    reader = VideoReader(carphone)
    rows, columns = np.mgrid[0 : reader.properties.height, 0 : reader.properties.width]
    with VideoWriter(path, reader.properties, "lossless", with_sound=False) as writer:
        for frame in reader:
            if frame.index == LANDSCAPE + FACE:
                break
            hills = rows > 80 + 30 * np.sin((columns + frame.index) / 25)
            landscape = np.where(hills[..., None], [60, 140, 50], [120, 180, 250]).astype(np.uint8)
            writer.write(landscape if frame.index < LANDSCAPE else frame.image, frame.timestamp)
    return path


def test_the_longest_shot_with_a_face_is_tracked_and_told(
    two_shots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["portrait-track", str(two_shots), str(tmp_path / "clip"), "--size", "64", "--crop", "20,10,120,130"]
    monkeypatch.setattr(sys, "argv", arguments)
    main()
    output, errors = capsys.readouterr()
    assert "2 shots: tracking shot 2 (0:00.8 to 0:01.3); --shot takes another of 1 (0:00.0 to 0:00.8)" in " ".join(
        errors.split()
    )
    assert f"{FACE} of {FACE} frames tracked, from 0:00.8 to 0:01.3 of the video, 60 x 64 pixels" in output
    clip = TrackedClip.load(tmp_path / "clip")
    assert clip.source.crop == (20, 10, 120, 130)
    assert clip.frames.tolist() == list(range(LANDSCAPE, LANDSCAPE + FACE))
    assert clip.track.flags.tolist() == [FrameFlag.OUTSIDE] * LANDSCAPE + [0] * FACE
    assert len(clip.track.presentation_timestamps) == LANDSCAPE + FACE
    assert np.isnan(clip.track.camera_to_head[:LANDSCAPE]).all()
    assert np.isfinite(clip.track.camera_to_torso[LANDSCAPE:]).all()


def test_a_shot_may_be_chosen(two_shots: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No face was found in"):
        track_video(two_shots, tmp_path / "clip", TrackConfig(shot=1))
    with pytest.raises(UserError, match=r"There is no shot 3: the chosen part of .*two\.mp4 has shots 1 to 2"):
        track_video(two_shots, tmp_path / "clip", TrackConfig(shot=3))
    with pytest.raises(UserError, match="Shot 1 has 4 frames, too few"):
        track_video(two_shots, tmp_path / "clip", TrackConfig(shot=1, start=20 / 30))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("crop", "message"),
    [
        ("a,b,c,d", "--crop a,b,c,d is not understood: give auto, full, or four whole numbers"),
        ("1,2,3", "is not understood"),
        ("0,0,177,100", "reaches beyond the picture, which is 176 x 144 pixels"),
        ("-2,0,100,100", "reaches beyond the picture"),
        ("0,0,8,100", "is too small: give 16 pixels or more"),
        ("0,0,30,30", "The face is not inside --crop 0,0,30,30 in most frames"),
    ],
)
def test_crops_that_cannot_be(two_shots: Path, tmp_path: Path, crop: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        track_video(two_shots, tmp_path / "clip", TrackConfig(shot=2, crop=crop))
    assert list(tmp_path.iterdir()) == []


def test_a_photograph_is_told(carphone: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    reader = VideoReader(carphone)
    still = next(iter(reader)).image
    with VideoWriter(tmp_path / "photo.mp4", reader.properties, "h264", with_sound=False) as writer:
        for index in range(12):
            writer.write(still, index * reader.timestamp_step)
    with caplog.at_level(logging.WARNING, "tracking"):
        track_video(tmp_path / "photo.mp4", tmp_path / "clip", TrackConfig(size=64))
    assert "photo.mp4 never moves, as in a photograph" in caplog.text


@pytest.mark.parametrize("left_out", [[], [20]])
def test_the_clip_does_not_depend_on_how_many_work(
    carphone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left_out: list[int]
) -> None:
    """Neither does it where several processes had cut out, ahead of the fit, a frame that the fit then gave up."""

    def fit_and_leave_out(*arguments: Any, **options: Any) -> HeadFit:
        ahead = tmp_path / ".2.tracking" / "stages"
        end = time.monotonic() + 60
        while ahead.is_dir() and len(list(ahead.glob("pictures-*.pickle"))) < 2 and time.monotonic() < end:
            time.sleep(0.1)
        fit = fit_face(*arguments, **options)
        fit.tracked[left_out] = False
        fit.camera_to_head[left_out] = np.nan
        return fit

    monkeypatch.setattr(tracking.tracking_stages, "fit_face", fit_and_leave_out)
    for workers in (1, 2):
        options = TrackConfig(size=64, max_frames=STRETCH_FRAMES + 3, workers=workers)
        track_video(carphone, tmp_path / str(workers), options)
    alone, together = (TrackedClip.load(tmp_path / str(workers)) for workers in (1, 2))
    assert len(alone.frames) == STRETCH_FRAMES + 3 - len(left_out)
    for name in ("tracked", "flags", "camera_to_head", "camera_to_torso", "expression", "landmarks"):
        np.testing.assert_array_equal(getattr(together.track, name), getattr(alone.track, name))
    for frame in alone.frames:
        np.testing.assert_array_equal(together.image(frame), alone.image(frame))
        np.testing.assert_array_equal(together.matte(frame), alone.matte(frame))
        np.testing.assert_array_equal(together.labels(frame), alone.labels(frame))
    for folder in ("images", "masks", "labels"):
        assert len(list((together.root / folder).iterdir())) == len(alone.frames)
