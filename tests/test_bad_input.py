"""Whatever is wrong with the input, the commands say so in one sentence, exit with 2, and leave nothing behind."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

import tracking.track
from stage1_edit.prompts import EditPrompt
from tracking.clip import FORMAT_VERSION, HeadTrack, Intrinsics, SourceVideo, TrackedClip, write_png
from tracking.head_model import HeadModel

FRAMES = 12
COMMANDS = Path(sys.executable).parent


def write_video(path: Path, frames: int) -> Path:
    """A video of slowly moving grey noise, in which nobody is seen."""
    noise = np.random.default_rng(0).integers(96, 160, (64, 96, 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for index in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.roll(noise, index, axis=1))))
        container.mux(stream.encode())
    return path


def write_clip(root: Path) -> TrackedClip:
    """A tracked clip of nobody, as whole as a real one."""
    model = HeadModel.load()
    transform = np.eye(4)
    transform[2, 3] = 60
    poses = np.tile(transform, (FRAMES, 1, 1))
    clip = TrackedClip(
        root=root,
        source=SourceVideo(str(root.parent / "talk.mp4"), 96, 64, "25", "1/25", (0, 0, 96, 64)),
        intrinsics=Intrinsics(120, 48, 32, 96, 64),
        track=HeadTrack(
            tracked=np.ones(FRAMES, dtype=bool),
            presentation_timestamps=np.arange(FRAMES),
            camera_to_head=poses,
            camera_to_torso=poses,
            expression=np.zeros((FRAMES, len(model.expression_names))),
            identity=np.zeros(model.identity_basis.shape[0]),
            landmarks=np.zeros((FRAMES, 478, 2)),
            reprojection_error=np.zeros(FRAMES),
            expression_names=tuple(model.expression_names),
            flags=np.zeros(FRAMES, dtype=np.uint16),
        ),
        background_kind="plate",
    )
    for path in clip.picture_paths(0):
        path.parent.mkdir(parents=True)
    for frame in range(FRAMES):
        write_png(clip.image_path(frame), np.full((64, 96, 3), 128, dtype=np.uint8))
        write_png(clip.matte_path(frame), np.full((64, 96), 255, dtype=np.uint8))
        write_png(clip.label_path(frame), np.ones((64, 96), dtype=np.uint8))
    write_png(clip.background_path, np.zeros((64, 96, 3), dtype=np.uint8))
    clip.save_description()
    return TrackedClip.load(root)


def change_description(clip: TrackedClip, **changes: Any) -> None:
    path = clip.root / "transforms.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def tree(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


def assert_one_sentence(text: str, expected: str) -> None:
    assert text.startswith("portrait-edit: ")
    assert text.endswith("\n")
    assert text.count("\n") == 1
    assert "Traceback" not in text
    assert expected in text


Refused = Callable[[Callable[[], object], str], None]


@pytest.fixture
def refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Refused:
    """Runs what must be refused: exit code 2, one sentence that holds the expected words, and nothing written."""

    def run(command: Callable[[], object], expected: str) -> None:
        before = tree(tmp_path)
        capfd.readouterr()
        with pytest.raises(SystemExit) as stop:
            command()
        assert stop.value.code == 2
        # MediaPipe logs, and progress is shown, before a video turns out to be of no use.
        last_line = capfd.readouterr().err.splitlines(keepends=True)[-1]
        assert_one_sentence(last_line, expected)
        assert tree(tmp_path) == before

    return run


@pytest.fixture
def track(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Callable[[], None]]:
    """`portrait-track` with these arguments, in this process."""

    def command(*arguments: object) -> Callable[[], None]:
        monkeypatch.setattr(sys, "argv", ["portrait-track", *map(str, arguments)])
        return tracking.track.main

    return command


def test_videos_that_cannot_be_tracked(tmp_path: Path, track: Callable[..., Any], refused: Refused) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("not a video")
    empty = tmp_path / "empty.mp4"
    empty.touch()
    (tmp_path / "folder").mkdir()
    clip = tmp_path / "clip"
    refused(track(tmp_path / "missing.mp4", clip), "missing.mp4 does not exist: give the path of a video")
    refused(track(text, clip), "text.mp4 is no video that can be read")
    refused(track(empty, clip), "empty.mp4 is no video that can be read")
    refused(track(tmp_path / "folder", clip), "holds no video: give the path of one")
    refused(track(write_video(tmp_path / "nobody.mp4", FRAMES), clip), "No face was found in")
    refused(
        track(write_video(tmp_path / "short.mp4", 9), clip), "has 9 frames, too few to learn a head: give at least 10"
    )


def test_a_video_cut_off_in_the_middle_is_refused(tmp_path: Path, track: Callable[..., Any], refused: Refused) -> None:
    video = write_video(tmp_path / "whole.mp4", FRAMES).read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(video[: len(video) // 2])
    refused(track(cut, tmp_path / "clip"), "cut.mp4 is no video that can be read")


def test_clips_that_cannot_be_written(tmp_path: Path, track: Callable[..., Any], refused: Refused) -> None:
    video = write_video(tmp_path / "talk.mp4", FRAMES)
    other = tmp_path / "other"
    other.mkdir()
    (other / "letter.txt").write_text("Dear")
    refused(track(video, tmp_path / "missing" / "clip"), "does not exist: create it")
    refused(track(video, video / "clip"), "does not exist: create it")
    refused(track(video, video), "is a file: give the name of a folder")
    refused(track(video, other), "no tracked clip: give the name of a new folder")


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(tmp_path: Path, track: Callable[..., Any], refused: Refused) -> None:
    video = write_video(tmp_path / "talk.mp4", FRAMES)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    refused(track(video, closed / "clip"), "is not writable: choose another, or change its permissions")


@pytest.fixture
def train(tmp_path: Path) -> Callable[..., Callable[[], None]]:
    """The first thing that `ns-train portrait-edit` does with these settings, in this process."""
    # Importing nerfstudio takes as long as all tests that need none of it together.
    from configs.portrait_edit import portrait_edit

    def command(data: Path | None = None, prompts: tuple[EditPrompt, ...] = (), **changes: Any) -> Callable[[], None]:
        config: Any = deepcopy(portrait_edit.config)
        changes = {"output_dir": tmp_path / "outputs", "experiment_name": "test", "timestamp": "now", **changes}
        machine = {name: changes.pop(name) for name in ("device_type", "num_machines") if name in changes}
        config = replace(config, **changes)
        config.machine = replace(config.machine, **{"device_type": "cpu", **machine})
        config.pipeline.prompts = prompts
        config.pipeline.datamanager.data = data
        return config.save_config

    return command


def test_data_that_cannot_be_trained_on(tmp_path: Path, train: Callable[..., Any], refused: Refused) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("not a video")
    refused(train(), "Say which clip: add `--data`")
    refused(train(tmp_path / "missing"), "missing does not exist")
    refused(train(text), "text.mp4 is no video that can be read")
    refused(train(write_video(tmp_path / "nobody.mp4", FRAMES)), "No face was found in")


def test_clips_that_cannot_be_trained_on(tmp_path: Path, train: Callable[..., Any], refused: Refused) -> None:
    clips = [write_clip(tmp_path / str(i)) for i in range(6)]
    other_version, other_program, damaged, imageless, trackless, undecided = clips
    change_description(other_version, format_version=FORMAT_VERSION + 1)
    change_description(other_program, format=None)
    (damaged.root / "transforms.json").write_text("{")
    imageless.image_path(3).unlink()
    (trackless.root / "tracking.npz").unlink()
    version = (
        f"has clip format {FORMAT_VERSION + 1}, and this version reads format {FORMAT_VERSION}: track the video again"
    )
    refused(train(other_version.root), version)
    refused(train(other_program.root), "was not written by portrait-track")
    change_description(undecided, background_kind=None)
    refused(train(undecided.root), "does not say which background the clip has: track the video again")
    refused(train(damaged.root), "transforms.json is damaged")
    refused(train(imageless.root), "00003.png is missing (1 of 37 files are): track the video again")
    refused(train(trackless.root), "tracking.npz is missing")


def change_track(clip: TrackedClip, **arrays: Any) -> Path:
    replace(clip, track=replace(clip.track, **arrays)).save_description()
    return clip.root


def test_tracks_that_make_no_avatar(tmp_path: Path, train: Callable[..., Any], refused: Refused) -> None:
    clips = [write_clip(tmp_path / str(i)) for i in range(4)]
    poses = clips[0].track.camera_to_head.copy()
    poses[7, 1, 3] = np.nan
    broken = change_track(clips[0], camera_to_head=poses)
    refused(train(broken), "damaged (frame 7 is said to be tracked, but its camera_to_head is not a number): track the")
    nobody = change_track(clips[1], tracked=np.zeros(FRAMES, bool), flags=np.full(FRAMES, 2, np.uint16))
    refused(train(nobody), "None of the 12 frames of")
    refused(
        train(change_track(clips[2], tracked=np.arange(FRAMES) == 3)),
        "has only 1 of the 12 tracked frames that an avatar needs",
    )
    refused(train(change_track(clips[3], tracked=np.arange(FRAMES) > 0)), "film ten seconds or more")


def test_a_head_that_never_turns_is_told_but_trained_on(
    tmp_path: Path, train: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    train(write_clip(tmp_path / "clip").root)()
    output = " ".join(capsys.readouterr().out.split())
    assert "Warning: The head turns by only 0 degrees and nods by 0 in this clip" in output
    assert (tmp_path / "outputs" / "test" / "portrait-edit" / "now" / "config.yml").is_file()


def test_prompts_that_are_not_understood(tmp_path: Path, train: Callable[..., Any], refused: Refused) -> None:
    clip = write_clip(tmp_path / "clip").root
    refused(train(clip, (EditPrompt("make it sing"),)), "does not know 'sing' in 'make it sing'")
    refused(train(clip, (EditPrompt("make it silver", "hair"), EditPrompt("quantum"))), "It knows colours: black,")


def test_runs_that_cannot_be_written(tmp_path: Path, train: Callable[..., Any], refused: Refused) -> None:
    clip = write_clip(tmp_path / "clip").root
    (tmp_path / "file").write_text("")
    refused(train(clip, output_dir=tmp_path / "file" / "outputs"), str(tmp_path / "file"))
    refused(train(clip, experiment_name="file/x", output_dir=tmp_path), "Cannot write")


def test_machines_that_are_not_here(tmp_path: Path, train: Callable[..., Any], refused: Refused) -> None:
    clip = write_clip(tmp_path / "clip").root
    refused(train(clip, num_machines=2), "leave out --machine.num-machines")
    if not torch.cuda.is_available():
        refused(train(clip, device_type="cuda"), "There is no CUDA device here: add `--machine.")


@pytest.fixture
def render(train: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Callable[[], None]]:
    """`portrait-render` with these arguments, in this process."""
    import stage2_nerf.render

    def command(*arguments: object) -> Callable[[], None]:
        monkeypatch.setattr(sys, "argv", ["portrait-render", *map(str, arguments)])
        return stage2_nerf.render.main

    return command


def test_renderings_that_cannot_be_made(tmp_path: Path, render: Callable[..., Any], refused: Refused) -> None:
    run = tmp_path / "config.yml"
    there = tmp_path / "there.mp4"
    there.write_text("")
    new = tmp_path / "new.mp4"
    refused(render("--load-config", run, "--output", new), "config.yml does not exist: give the config.yml of")
    run.write_text("")
    refused(render("--load-config", run, "--output", there), "there.mp4 exists: add --overwrite to replace it")
    refused(render("--load-config", run, "--output", tmp_path / "new.txt"), "give a name that ends in .mp4")
    refused(render("--load-config", run, "--output", tmp_path / "nowhere" / "new.mp4"), "does not exist: create it")
    refused(render("--load-config", run, "--output", new), "config.yml")


def run_command(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """A command as a person runs it, in a process and folder of its own."""
    command = [str(COMMANDS / str(arguments[0])), *map(str, arguments[1:])]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)


def test_portrait_track_as_a_command(tmp_path: Path) -> None:
    result = run_command(tmp_path, "portrait-track", "talk.mp4", "clip")
    assert (result.returncode, result.stdout) == (2, "")
    assert_one_sentence(result.stderr, "talk.mp4 does not exist")
    assert tree(tmp_path) == []


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("make it sing", "does not know 'sing' in 'make it sing' (did you mean 'skin'?). It knows colours: black,"),
        (
            "elbow: make it silver",
            "There is no region 'elbow' in the prompt 'elbow: make it silver': choose one of person,",
        ),
    ],
    ids=["unknown instruction", "unknown region"],
)
def test_ns_train_as_a_command(tmp_path: Path, prompt: str, expected: str) -> None:
    write_clip(tmp_path / "clip")
    before = tree(tmp_path)
    arguments = ["--data", "clip", "--machine.device-type", "cpu", "--vis", "tensorboard", "--pipeline.prompts", prompt]
    result = run_command(tmp_path, "ns-train", "portrait-edit", *arguments)
    assert result.returncode == 2
    assert "Traceback" not in result.stdout + result.stderr
    # A mistake found while the command line is read is told in a frame, and broken into lines.
    assert expected in " ".join(result.stderr.replace("│", " ").split())
    assert tree(tmp_path) == before
