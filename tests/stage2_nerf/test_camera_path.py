"""A camera path of nerfstudio's viewer, read, followed, and rendered."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stage2_nerf.camera_path import PathView, degrees_aside, frames_in_order, read_camera_path
from stage2_nerf.frame_renderer import FrameRenderer, Moment, look_of
from stage2_nerf.orbit import orbited
from stage2_nerf.path_motion import PathMotion
from stage2_nerf.render_config import RenderConfig
from stage2_nerf.render_looks import ChosenLooks
from stage2_nerf.render_motion import ExpressionChange
from stage2_nerf.render_output import write_video
from stage2_nerf.rendering import chosen_path
from tracking.clip import TrackedClip
from tracking.errors import UserError
from tracking.video import VideoFrame, VideoReader

NUMBER = 5


@pytest.fixture(scope="module")
def renderer(tiny_preset: Any, tiny_clip: TrackedClip) -> FrameRenderer:
    torch.manual_seed(0)
    config = deepcopy(tiny_preset.pipeline)
    config.datamanager.data = tiny_clip.root
    return FrameRenderer(config.setup(device="cpu", test_mode="inference").model, tiny_clip, detail=0.0)


def filmed_camera(renderer: FrameRenderer, frame: int) -> dict[str, Any]:
    """The film's camera of a tracked frame, as the viewer writes it."""
    row = renderer.row_of_frame[frame]
    pose = np.eye(4)
    pose[:3] = renderer.cameras.camera_to_worlds[row].numpy()
    height, focal_length = renderer.clip.intrinsics.height, renderer.clip.intrinsics.focal_length
    fov = float(np.rad2deg(2 * np.arctan(height / (2 * focal_length))))
    return {"camera_to_world": pose.flatten().tolist(), "fov": fov, "aspect": 1.0}


def write_path(path: Path, cameras: list[dict[str, Any]], **changes: Any) -> Path:
    described = {"camera_type": "perspective", "render_height": 720, "render_width": 1280, "fps": 24.0, "seconds": 1.0}
    path.write_text(json.dumps({**described, "keyframes": [], "camera_path": cameras, **changes}))
    return path


@pytest.fixture
def frames(tiny_clip: TrackedClip) -> list[VideoFrame]:
    return list(VideoReader(Path(tiny_clip.source.path)))


def test_the_films_own_camera_gives_the_filmed_view(renderer: FrameRenderer, tmp_path: Path) -> None:
    path = read_camera_path(write_path(tmp_path / "path.json", [filmed_camera(renderer, NUMBER)]))
    row = renderer.row_of_frame[NUMBER]
    filmed, along = (renderer._outputs(row, [{}], moment) for moment in (Moment(), Moment(view=path.view(0))))
    for name in ("foreground", "accumulation"):
        torch.testing.assert_close(along[name], filmed[name], atol=2e-4, rtol=0)


def test_a_lens_that_nobody_chose_is_the_films(renderer: FrameRenderer, tmp_path: Path, capsys: Any) -> None:
    """The viewer writes 75 degrees whatever it shows."""
    cameras = [{**filmed_camera(renderer, frame), "fov": 75.0} for frame in (NUMBER, NUMBER + 1)]
    file = write_path(tmp_path / "path.json", cameras, default_fov=75.0)
    path = chosen_path(file, "path")
    assert "through the film's lens" in " ".join(capsys.readouterr().out.split())
    row = renderer.row_of_frame[NUMBER]
    for view in (path.view(0), path.at(0.0)):
        filmed, along = (renderer._outputs(row, [{}], moment) for moment in (Moment(), Moment(view=view)))
        torch.testing.assert_close(along["foreground"], filmed["foreground"], atol=2e-4, rtol=0)
    for changed in ({"default_fov": 74.0}, {"camera_path": [cameras[0], {**cameras[1], "fov": 60.0}]}, {}):
        stated = read_camera_path(write_path(tmp_path / "stated.json", cameras, **changed))
        assert stated.focal_lengths is not None
        assert stated.focal_lengths[0] == pytest.approx(0.5 / np.tan(np.deg2rad(37.5)), rel=1e-5)


def test_how_far_a_camera_has_gone_around_the_head(renderer: FrameRenderer, tmp_path: Path) -> None:
    middle = renderer.model.head_field.box.mean(0)
    row = renderer.row_of_frame[NUMBER]
    camera = renderer.cameras[row : row + 1]
    swung = orbited(camera, middle, 15.0).camera_to_worlds[0].numpy()
    path = read_camera_path(write_path(tmp_path / "path.json", [filmed_camera(renderer, NUMBER)]))
    assert degrees_aside(camera, path.view(0), middle) == 0
    assert degrees_aside(camera, PathView(swung.astype(float), 2.0, None), middle) == pytest.approx(15, abs=1.5)


def test_a_narrower_view_shows_the_person_larger(renderer: FrameRenderer, tmp_path: Path) -> None:
    camera = filmed_camera(renderer, NUMBER)
    half = np.deg2rad(camera["fov"] / 2)
    near = {**camera, "fov": float(np.rad2deg(2 * np.arctan(np.tan(half) / 1.5)))}
    path = read_camera_path(write_path(tmp_path / "path.json", [camera, near]))
    row = renderer.row_of_frame[NUMBER]
    areas = [float(renderer._outputs(row, [{}], Moment(view=path.view(i)))["accumulation"].sum()) for i in (0, 1)]
    assert path.focal_lengths is not None
    assert path.focal_lengths[1] == pytest.approx(1.5 * path.focal_lengths[0])
    assert areas[1] > 1.2 * areas[0]


def test_a_path_without_times_is_spread_over_the_clip(
    renderer: FrameRenderer, tiny_clip: TrackedClip, frames: list[VideoFrame], tmp_path: Path, capsys: Any
) -> None:
    cameras = [filmed_camera(renderer, 0), filmed_camera(renderer, 15)]
    cameras[1]["fov"] /= 2
    path = chosen_path(write_path(tmp_path / "path.json", cameras), "path")
    assert "names no times: the path is spread over the whole clip" in " ".join(capsys.readouterr().out.split())
    reader = VideoReader(Path(tiny_clip.source.path))
    motion = PathMotion(tiny_clip, reader, ExpressionChange(), path)
    planned = [entry for frame in motion.frames(reader) for entry in motion.at(frame)]
    assert motion.like.has_sound == reader.properties.has_sound
    assert [timestamp for timestamp, _, _ in planned] == [frame.timestamp for frame in frames]
    views = [moment.view for _, _, moment in planned if moment.view is not None]
    assert len(views) == len(frames)
    focal_lengths = [view.focal_length for view in views if view.focal_length is not None]
    assert len(focal_lengths) == len(views) and path.focal_lengths is not None
    assert focal_lengths[0] == pytest.approx(path.focal_lengths[0])
    assert focal_lengths[-1] == pytest.approx(path.focal_lengths[1])
    assert np.all(np.diff(focal_lengths) > 0)
    for view in views:
        np.testing.assert_allclose(view.camera_to_head[:, :3] @ view.camera_to_head[:, :3].T, np.eye(3), atol=1e-6)


@pytest.mark.parametrize("times", [[0.2] * 5, [0.0, 0.25, 0.5, 0.75, 1.0], [0.1, 0.9, 0.5, 0.0, 0.95]])
def test_a_path_with_times_makes_a_video_of_its_own(
    renderer: FrameRenderer, tiny_clip: TrackedClip, tmp_path: Path, times: list[float]
) -> None:
    cameras = [{**filmed_camera(renderer, NUMBER), "render_time": time} for time in times]
    path = read_camera_path(write_path(tmp_path / "path.json", cameras))
    reader = VideoReader(Path(tiny_clip.source.path))
    motion = PathMotion(tiny_clip, reader, ExpressionChange(), path)
    visited, planned = [], []
    for frame in motion.frames(reader):
        for entry in motion.at(frame):
            visited.append(frame.index)
            planned.append(entry)
    assert motion.frame_count == len(planned) == 5
    nearest = tiny_clip.frames[np.abs(tiny_clip.times[tiny_clip.frames][None] - np.array(times)[:, None]).argmin(1)]
    assert visited == nearest.tolist()
    assert [moment.view.time for _, _, moment in planned] == pytest.approx(times)
    output = tmp_path / "out.mp4"
    motion = PathMotion(tiny_clip, reader, ExpressionChange(), path)
    write_video(output, "h264", renderer, reader, motion, ChosenLooks(lambda seconds: [look_of(None)], ("unedited",)))
    written = VideoReader(output)
    assert (written.properties.frame_rate, written.properties.has_sound) == (24, False)
    assert len(list(written)) == 5


def test_keyframes_times_count_where_cameras_have_none(renderer: FrameRenderer, tmp_path: Path, capsys: Any) -> None:
    cameras = [filmed_camera(renderer, NUMBER)] * 5
    file = write_path(tmp_path / "path.json", cameras, keyframes=[{"render_time": 0.2}, {"render_time": 0.6}])
    times = read_camera_path(file).times
    assert times is not None
    np.testing.assert_allclose(times, [0.2, 0.3, 0.4, 0.5, 0.6])
    assert chosen_path(file, "clip").times is None
    still = write_path(tmp_path / "still.json", [{**camera, "render_time": 0.25} for camera in cameras])
    assert chosen_path(still, "path").is_still
    assert "show the moment 0.25 of the clip" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"camera_path": []}, "holds no cameras: add two keyframes"),
        ({"camera_path": [{"fov": 50}]}, "is no camera path of nerfstudio's viewer"),
        ({"camera_path": [{"camera_to_world": [1.0] * 12, "fov": 50}]}, "is no camera path"),
        ({"camera_path": [{"camera_to_world": [float("nan")] * 16, "fov": 50}]}, "is damaged"),
        ({"camera_type": "equirectangular"}, "is of equirectangular cameras: choose Perspective"),
        ({"fps": "many"}, "is no camera path"),
    ],
)
def test_what_is_no_camera_path_is_told(
    renderer: FrameRenderer, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        read_camera_path(write_path(tmp_path / "path.json", [filmed_camera(renderer, NUMBER)], **changes))


def test_a_path_is_a_file_and_is_followed_alone(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"path.json does not exist: move the camera in the viewer's render tab"):
        read_camera_path(tmp_path / "path.json")
    with pytest.raises(UserError, match="--orbit and --camera-path cannot be had together"):
        RenderConfig(tmp_path / "out.mp4", orbit=10.0, camera_path=tmp_path / "path.json").check()


def test_frames_come_in_any_order_with_few_readings() -> None:
    readings = []

    class Frames:
        def __iter__(self) -> Any:
            readings.append(None)
            return (VideoFrame(index, index, np.zeros((1, 1, 3), np.uint8)) for index in range(60))

    wanted = [*range(0, 60, 2), *range(59, -1, -1), 7, 7, 99]
    assert [frame.index for frame in frames_in_order(Frames(), wanted)] == [*wanted[:-1], 59]
    assert len(readings) <= 6
