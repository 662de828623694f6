"""A video becomes a whole tracked clip or none, and bad input is told in one sentence."""

import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tracking.cutting_out
import tracking.track
import tracking.tracking_stages
from tracking.clip import TrackedClip
from tracking.crop import CropConfig, choose_crop
from tracking.errors import UserError
from tracking.frame_flags import FrameFlag
from tracking.landmarks import LANDMARK_COUNT
from tracking.regions import Label
from tracking.track import TrackConfig, find_or_track, main, track_video
from tracking.video import VideoReader
from tracking.video_writer import VideoWriter

FRAMES = 24


def write_video(path: Path, carphone: Path, with_face: int, without_face: int = 0, with_face_again: int = 0) -> Path:
    """The demo clip's first frames, then grey ones, then the demo clip's again."""
    reader = VideoReader(carphone)
    with VideoWriter(path, reader.properties, "lossless") as writer:
        for frame in reader:
            if frame.index == with_face + without_face + with_face_again:
                break
            is_face = not with_face <= frame.index < with_face + without_face
            writer.write(frame.image if is_face else np.full_like(frame.image, 128), frame.timestamp)
    return path


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory, carphone: Path) -> Path:
    """A short video of a face."""
    return write_video(tmp_path_factory.mktemp("video") / "talk.mp4", carphone, FRAMES)


@pytest.fixture(scope="module")
def tracked(talk: Path) -> TrackedClip:
    """The clip of `talk`, made the way the trainer makes it."""
    return find_or_track(talk)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_every_frame_of_a_clear_face_is_tracked(tracked: TrackedClip, talk: Path) -> None:
    reader = VideoReader(talk)
    assert tracked.frames.tolist() == list(range(FRAMES))
    assert not tracked.track.flags.any()
    assert tracked.source.path == str(talk.resolve())
    assert tracked.source.crop == (0, 0, 176, 144)
    assert tracked.track.presentation_timestamps.tolist() == [frame.timestamp for frame in reader]
    assert np.median(tracked.track.reprojection_error) < 1
    assert np.isfinite(tracked.track.camera_to_head).all()


def test_images_are_the_sources_own_pixels(tracked: TrackedClip, talk: Path) -> None:
    for frame in VideoReader(talk):
        np.testing.assert_array_equal(tracked.image(frame.index), frame.image)


def test_matte_and_labels_agree_with_the_landmarks(tracked: TrackedClip) -> None:
    for frame in tracked.frames:
        matte, labels = tracked.matte(frame), tracked.labels(frame)
        np.testing.assert_array_equal(labels == Label.BACKGROUND, matte == 0)
        x, y = tracked.track.landmarks[frame, 4].astype(int)
        assert matte[y, x] == 1
        assert labels[y, x] == Label.FACE_SKIN
        assert (labels == Label.HAIR).mean() > 0.02


def test_the_shoulders_are_measured_and_the_car_is_a_plate(tracked: TrackedClip) -> None:
    torso = tracked.track.camera_to_torso
    assert np.isfinite(torso).all()
    # The guess from the head never turns the torso; what is seen of the jacket does.
    assert np.ptp(torso[:, 1, 0]) > 1e-3
    assert np.abs(torso[:, 1, 0]).max() < 0.2
    assert tracked.background_kind == "plate"
    plate = tracked.plate()
    assert plate is not None
    assert replace(tracked, background_kind="per-frame").plate() is None


def test_nothing_but_the_clip_is_left(tracked: TrackedClip, talk: Path) -> None:
    assert names(talk.parent) == ["talk.mp4", "talk_clip"]
    assert names(tracked.root) == [
        "background.png",
        "images",
        "labels",
        "masks",
        "report.html",
        "tracking.npz",
        "transforms.json",
    ]
    assert len(names(tracked.root / "labels")) == FRAMES


def test_a_tracked_video_is_not_tracked_again(
    tracked: TrackedClip, talk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("tracked again")

    monkeypatch.setattr(tracking.track, "track_video", refuse)
    assert find_or_track(talk).root == tracked.root
    assert find_or_track(tracked.root).root == tracked.root
    assert find_or_track(talk.parent).root == tracked.root


def test_a_changed_video_is_tracked_again(tracked: TrackedClip, talk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(tracking.track, "track_video", lambda *arguments: calls.append(arguments))
    before = talk.stat()
    os.utime(talk, (before.st_atime, (tracked.root / "transforms.json").stat().st_mtime + 10))
    try:
        find_or_track(talk)
    finally:
        os.utime(talk, (before.st_atime, before.st_mtime))
    ((video, clip, config),) = calls
    assert (video, clip, config.overwrite) == (talk, tracked.root, True)


def test_a_finished_clip_is_not_overwritten_unasked(tracked: TrackedClip, talk: Path) -> None:
    with pytest.raises(UserError, match=r"already the tracked clip of .*talk\.mp4: use it as it is.*--overwrite"):
        track_video(talk, tracked.root)


def test_an_interrupted_command_leaves_no_clip_and_the_next_goes_on(
    tmp_path: Path, talk: Path, tracked: TrackedClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patches:
        patches.setattr(tracking.cutting_out, "make_pictures", interrupt)
        with pytest.raises(KeyboardInterrupt):
            track_video(talk, tmp_path / "clip")
    assert names(tmp_path) == [".clip.tracking"]
    for finished in ("survey_video", "find_faces", "fit_face"):
        monkeypatch.setattr(tracking.tracking_stages, finished, interrupt)
    monkeypatch.setattr(tracking.cutting_out, "learn_from", interrupt)
    clip = track_video(talk, tmp_path / "clip")
    assert names(tmp_path) == ["clip"]
    np.testing.assert_array_equal(clip.track.camera_to_head, tracked.track.camera_to_head)
    np.testing.assert_array_equal(clip.matte(7), tracked.matte(7))


def test_a_failed_overwrite_keeps_the_old_clip(
    tmp_path: Path, tracked: TrackedClip, talk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = tmp_path / "clip"
    shutil.copytree(tracked.root, clip)

    def fail(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tracking.tracking_stages, "fit_face", fail)
    with pytest.raises(KeyboardInterrupt):
        track_video(talk, clip, TrackConfig(overwrite=True))
    assert names(tmp_path) == [".clip.tracking", "clip"]
    assert len(TrackedClip.load(clip).frames) == FRAMES


def test_a_folder_of_something_else_is_never_overwritten(tmp_path: Path, talk: Path) -> None:
    (tmp_path / "letters.txt").write_text("dear")
    with pytest.raises(UserError, match="no tracked clip: give the name of a new folder"):
        track_video(talk, tmp_path, TrackConfig(overwrite=True))
    assert names(tmp_path) == ["letters.txt"]


def test_bad_videos_say_what_to_do_and_leave_nothing(tmp_path: Path, carphone: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    short = write_video(videos / "short.mp4", carphone, 6)
    empty = write_video(videos / "empty.mp4", carphone, 0, 12)
    mostly_empty = write_video(videos / "mostly.mp4", carphone, 6, 16, 6)
    text = videos / "text.mp4"
    text.write_text("no video")
    for video, message in (
        (videos / "missing.mp4", "does not exist: give the path of a video"),
        (videos, "holds 4 videos"),
        (text, "no video that can be read"),
        (short, "has 6 frames, too few"),
        (empty, "No face was found in"),
        (mostly_empty, "in only 12 of the 28 frames"),
    ):
        with pytest.raises(UserError, match=message):
            track_video(video, tmp_path / "clip")
        assert names(tmp_path) == ["videos"]


def test_bad_outputs_say_what_to_do(tmp_path: Path, talk: Path) -> None:
    with pytest.raises(UserError, match="does not exist: create it"):
        track_video(talk, tmp_path / "missing" / "clip")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file"):
        track_video(talk, tmp_path / "file")


@pytest.mark.skipif(os.name == "posix" and os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_not_ones_own(tmp_path: Path, talk: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="is not writable"):
        track_video(talk, tmp_path / "clip")


def run_command(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["portrait-track", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


def test_command_tells_a_mistake_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(monkeypatch, tmp_path / "missing.mp4", tmp_path / "clip") == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err == f"portrait-edit: {tmp_path / 'missing.mp4'} does not exist: give the path of a video.\n"


def test_command_refuses_unknown_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(monkeypatch, tmp_path / "in.mp4", tmp_path / "clip", "--max-sise", "256") == 2
    assert "--max-sise" in "".join(capsys.readouterr())


def test_command_says_what_it_wrote(
    tmp_path: Path, talk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["portrait-track", str(talk), str(tmp_path / "clip"), "--size", "96", "--preview"])
    main()
    output = capsys.readouterr().out
    assert f"{FRAMES} of {FRAMES} frames tracked, 96 x 78 pixels, median reprojection error" in output
    assert f"{tmp_path}/clip/report.html" in output
    assert len(list(VideoReader(tmp_path / "clip" / "preview.mp4"))) == FRAMES
    # The page names the clip by its final place.
    assert f"ns-train portrait-edit --data {tmp_path}/clip" in (tmp_path / "clip" / "report.html").read_text()
    clip = TrackedClip.load(tmp_path / "clip")
    assert clip.image(0).shape == (78, 96, 3)
    assert (clip.intrinsics.width, clip.intrinsics.height) == (96, 78)
    x, y = clip.track.landmarks[0].mean(axis=0)
    assert 0 < x < 96
    assert 0 < y < 78


def test_frames_without_a_face_say_so(tmp_path: Path, carphone: Path) -> None:
    talk = write_video(tmp_path / "talk.mp4", carphone, 16, 4, 4)
    clip = track_video(talk, tmp_path / "clip")
    assert clip.frames.tolist() == [*range(16), *range(20, 24)]
    assert clip.track.flags.tolist() == [0] * 16 + [FrameFlag.NO_FACE] * 4 + [0] * 4


def still_face(x: float, y: float, size: float, frames: int = 5) -> np.ndarray:
    """Landmarks of a face that does not move: an ellipse, its forehead and chin in their places."""
    angles = np.linspace(0, 2 * np.pi, LANDMARK_COUNT)
    face = np.stack([x + size / 2.6 * np.sin(angles), y - size / 2 * np.cos(angles), 0 * angles], axis=-1)
    face[10], face[152] = [x, y - size / 2, 0], [x, y + size / 2, 0]
    return np.tile(face, (frames, 1, 1))


def test_crop_holds_head_and_shoulders_and_maps_landmarks_into_the_image() -> None:
    face = still_face(1200, 500, 200)
    crop = choose_crop(face, 1920, 1080, 256, CropConfig())
    assert crop.left <= 1200 - 300
    assert crop.left + crop.width >= 1200 + 300
    assert crop.top <= 500 - 220
    assert crop.top + crop.height >= 500 + 360
    assert max(crop.image_width, crop.image_height) == 256
    assert crop.width % 2 == crop.height % 2 == crop.image_width % 2 == crop.image_height % 2 == 0
    corners = np.array([[crop.left, crop.top, 0.0], [crop.left + crop.width, crop.top + crop.height, 0.0]])
    np.testing.assert_allclose(crop.to_image(corners)[:, :2], [[0, 0], [crop.image_width, crop.image_height]])


def test_crop_follows_the_face_wherever_it_goes() -> None:
    faces = np.concatenate([still_face(600, 500, 150), still_face(1300, 520, 150)])
    crop = choose_crop(faces, 1920, 1080, 512, CropConfig())
    assert crop.left <= 600 - 200
    assert crop.left + crop.width >= 1300 + 200


def test_a_large_face_gets_the_whole_frame_never_enlarged() -> None:
    crop = choose_crop(still_face(90, 60, 60), 177, 145, 512, CropConfig())
    assert (crop.rectangle, crop.image_width, crop.image_height) == ((0, 0, 176, 144), 176, 144)
    frame = np.random.default_rng(0).integers(0, 255, (145, 177, 3), dtype=np.uint8)
    np.testing.assert_array_equal(crop.cut(frame), frame[:144, :176])
