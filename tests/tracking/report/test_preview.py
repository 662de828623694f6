"""The preview is the source's crop, frame for frame, with what was tracked drawn onto it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tracking.clip import TrackedClip
from tracking.errors import UserError
from tracking.fitted_face import fitted_face
from tracking.frame_flags import FrameFlag
from tracking.preview import PreviewRenderer, write_preview
from tracking.report import report_page
from tracking.track import track_video
from tracking.video import VideoFrame, VideoReader
from tracking.video_writer import VideoWriter

FRAMES = 14


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory, carphone: Path) -> TrackedClip:
    """The demo clip's first frames, tracked."""
    folder = tmp_path_factory.mktemp("preview")
    reader = VideoReader(carphone)
    with VideoWriter(folder / "talk.mp4", reader.properties, "lossless") as writer:
        for frame in reader:
            if frame.index == FRAMES:
                break
            writer.write(frame.image, frame.timestamp)
    return track_video(folder / "talk.mp4", folder / "clip")


def changed_track(clip: TrackedClip, flags: dict[int, int], untracked: tuple[int, ...]) -> TrackedClip:
    track = clip.track
    tracked = track.tracked & ~np.isin(np.arange(len(track.tracked)), untracked)
    numbers = np.array([flags.get(frame, 0) for frame in range(len(tracked))], np.uint16)
    return replace(clip, track=replace(track, tracked=tracked, flags=numbers))


def test_mesh_of_a_real_face_lies_on_its_landmarks(tracked: TrackedClip) -> None:
    for frame in tracked.frames:
        distance = np.linalg.norm(fitted_face(tracked, frame).points - tracked.track.landmarks[frame], axis=1)
        assert np.median(distance) < 0.6
        assert np.percentile(distance, 95) < 2.5
        assert np.median(distance) == pytest.approx(tracked.track.reprojection_error[frame], abs=0.05)


def test_a_real_clip_has_a_report(tracked: TrackedClip) -> None:
    html = report_page(tracked)
    assert f"{FRAMES} of {FRAMES}" in html
    assert f"{np.median(tracked.track.reprojection_error):.2f} pixels" in html


def test_preview_has_the_sources_frames_and_time_stamps(tracked: TrackedClip) -> None:
    told = []
    path = write_preview(tracked, progress=lambda done, total: told.append((done, total)))
    assert path == tracked.root / "preview.mp4"
    assert told == [(done, FRAMES) for done in range(1, FRAMES + 1)]
    frames, source = list(VideoReader(path)), list(VideoReader(Path(tracked.source.path)))
    assert [frame.timestamp for frame in frames] == [frame.timestamp for frame in source]
    assert frames[0].image.shape[:2] == PreviewRenderer(tracked).size[::-1]
    path.unlink()


def test_frames_left_out_are_plain_and_say_why(tracked: TrackedClip) -> None:
    clip = changed_track(tracked, {3: FrameFlag.NO_FACE, 4: FrameFlag.BLURRED}, (3,))
    renderer = PreviewRenderer(clip)
    source = {frame.index: frame.image for frame in VideoReader(Path(clip.source.path))}
    pictures = [renderer.draw(VideoFrame(index, index, source[3])) for index in (2, 3, 4)]
    width = renderer.size[0] - 212
    plain = pictures[1][: renderer.size[1], :width]
    assert np.abs(pictures[0][:, :width].astype(int) - plain).max() > 60
    # The warning's orange is on the panel of the flagged frames only.
    orange = [((p[:, width:, 0] > 200) & (p[:, width:, 2] < 120)).sum() for p in pictures]
    assert orange[0] == 0
    assert orange[1] > 50
    assert orange[2] > 20


def test_only_the_chosen_part_is_shown(tracked: TrackedClip, tmp_path: Path) -> None:
    outside = {frame: int(FrameFlag.OUTSIDE) for frame in range(FRAMES) if not 4 <= frame < 9}
    clip = changed_track(tracked, outside, tuple(outside))
    frames = list(VideoReader(write_preview(clip, tmp_path / "part.mp4")))
    assert len(frames) == 5
    stamps = clip.track.presentation_timestamps
    assert [frame.timestamp for frame in frames] == (stamps[4:9] - stamps[4]).tolist()


def test_another_video_under_the_same_name_is_noticed(tracked: TrackedClip, tmp_path: Path) -> None:
    source = VideoReader(Path(tracked.source.path))
    other = tmp_path / "other.mp4"
    with VideoWriter(other, source.properties, "lossless") as writer:
        for frame in source:
            if frame.index < 8:
                writer.write(frame.image, frame.timestamp)
    clip = replace(tracked, source=replace(tracked.source, path=str(other)))
    with pytest.raises(UserError, match="no longer the video"):
        write_preview(clip, tmp_path / "preview.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["other.mp4"]
    with pytest.raises(UserError, match=r"gone\.mp4"):
        write_preview(replace(tracked, source=replace(tracked.source, path=str(tmp_path / "gone.mp4"))))
