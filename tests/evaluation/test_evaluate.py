"""`portrait-eval` from videos to numbers: what an identical video, a degraded one and a faceless one give."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

import evaluation.evaluate
from evaluation.evaluate import EvaluateConfig, evaluate
from evaluation.metric_set import MetricsConfig
from evaluation.results import Evaluation, EvaluationSet
from tracking.clip import TrackedClip
from tracking.video import VideoReader
from tracking.video_writer import VideoWriter

QUICK = MetricsConfig(flow_distances=(1, 8), matte_interval=0)
ZERO_WHEN_IDENTICAL = ("landmark_distance", "landmark_distance_lips")
NEARLY_ZERO_WHEN_IDENTICAL = {"expression_error": 0.01, "head_rotation_difference": 0.1}
"""Tracking settles lens and person on the way, the measurement starts with them."""
ONE_WHEN_IDENTICAL = ("flow_warp_ratio", "flow_warp_ratio_in_matte", "sharpness_ratio", "face_found_share")


def rewritten(
    clip: TrackedClip,
    path: Path,
    change: Callable[[int, np.ndarray], np.ndarray | None],
    size: tuple[int, int] | None = None,
) -> Path:
    """The clip's source with every frame changed; a frame of which nothing is left is not written."""
    reader = VideoReader(Path(clip.source.path))
    with VideoWriter(path, reader.properties, "lossless", size) as writer:
        for frame in reader:
            changed = change(frame.index, frame.image)
            if changed is not None:
                writer.write(changed, frame.timestamp)
    return path


def evaluated(clip: TrackedClip, video: Path, output: Path, **options: object) -> tuple[EvaluationSet, Evaluation]:
    config = replace(EvaluateConfig(video=video, clip=clip.root, output=output, metrics=QUICK), **options)
    found = evaluate(config)
    assert (output / "report.html").is_file()
    read = EvaluationSet.load(output)
    assert [entry.name for entry in read.evaluations] == [entry.name for entry in found.evaluations]
    return found, found.evaluations[0]


def test_a_video_is_no_distance_from_itself(tiny_clip: TrackedClip, tmp_path: Path) -> None:
    found, entry = evaluated(tiny_clip, Path(tiny_clip.source.path), tmp_path / "out")
    assert entry.frames.tolist() == list(range(16))
    for name in ZERO_WHEN_IDENTICAL:
        assert entry.value(name) == pytest.approx(0, abs=1e-4), name
    for name, most in NEARLY_ZERO_WHEN_IDENTICAL.items():
        assert entry.value(name) == pytest.approx(0, abs=most), name
    for name in ONE_WHEN_IDENTICAL:
        assert entry.value(name) == pytest.approx(1), name
    assert entry.value("background_identical_share") == 1
    assert entry.remarks == []
    assert found.size == (176, 144)
    identity = entry.measure("identity")
    assert identity is not None
    assert identity.value is not None or "--weights-dir" in identity.missing


def test_flicker_blur_and_unlike_frames_are_found_and_said(tiny_clip: TrackedClip, tmp_path: Path) -> None:
    """Every second frame is 20 levels lighter, all are blurred and twice as wide and high, and the third is missing."""

    def spoil(index: int, image: np.ndarray) -> np.ndarray | None:
        blurred = np.clip(cv2.GaussianBlur(image, (5, 5), 0).astype(int) + 20 * (index % 2), 0, 255).astype(np.uint8)
        return None if index == 2 else cv2.resize(blurred, (352, 288))

    video = rewritten(tiny_clip, tmp_path / "spoiled.mp4", spoil, (352, 288))
    _, entry = evaluated(tiny_clip, video, tmp_path / "out", every=1, size=96)
    assert entry.frames.tolist() == [0, 1, *range(3, 16)]
    assert entry.value("flow_warp_ratio") > 5
    assert entry.value("sharpness_ratio") < 0.8
    assert entry.value("landmark_distance") < 0.1
    told = " ".join(entry.remarks)
    assert "352 x 288 pixels and was brought to the source's 176 x 144" in told
    assert "1 frame of the source had no partner" in told


def test_faceless_frames_are_counted_and_no_error(tiny_clip: TrackedClip, tmp_path: Path) -> None:
    video = rewritten(tiny_clip, tmp_path / "half.mp4", lambda index, image: image if index < 8 else image * 0)
    _, entry = evaluated(tiny_clip, video, tmp_path / "out")
    share = entry.measure("face_found_share")
    assert share is not None and share.curve is not None
    assert share.curve.tolist() == [1] * 8 + [0] * 8
    assert "In 8 of 16 frames no face was found" in " ".join(entry.remarks)
    assert entry.value("landmark_distance") == pytest.approx(0, abs=1e-6)

    video = rewritten(tiny_clip, tmp_path / "none.mp4", lambda index, image: image * 0)
    _, entry = evaluated(tiny_clip, video, tmp_path / "none")
    assert entry.value("face_found_share") == 0
    assert "No face could be followed" in " ".join(entry.remarks)


def test_two_panels_give_the_same_as_two_files(tiny_clip: TrackedClip, tmp_path: Path) -> None:
    video = rewritten(
        tiny_clip, tmp_path / "both.mp4", lambda _, image: np.concatenate([255 - image, image, image], 1), (528, 144)
    )
    config = EvaluateConfig(
        video=video, panels=3, source_panel=3, edit_panel=2, output=tmp_path / "out", metrics=QUICK, max_frames=12
    )
    (entry,) = evaluate(config).evaluations
    assert len(entry.frames) == 12
    assert entry.value("landmark_distance") == pytest.approx(0, abs=1e-6)
    assert entry.value("background_identical_share") == 1


@pytest.fixture
def refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[[list[object], str], None]:
    """Runs the command, which must say what is wrong in one sentence, exit with 2 and write nothing."""

    def run(arguments: list[object], expected: str) -> None:
        before = sorted(tmp_path.rglob("*"))
        monkeypatch.setattr(sys, "argv", ["portrait-eval", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            evaluation.evaluate.main()
        assert stop.value.code == 2
        last = capfd.readouterr().err.splitlines()[-1]
        assert last.startswith("portrait-edit: ")
        assert expected in last
        assert sorted(tmp_path.rglob("*")) == before

    return run


def test_bad_input_is_refused_in_one_sentence(
    tiny_clip: TrackedClip, tmp_path: Path, refused: Callable[[list[object], str], None]
) -> None:
    video, clip = tiny_clip.source.path, tiny_clip.root
    output = ["--output", tmp_path / "out"]
    (tmp_path / "no-video.mp4").write_text("words")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yml").write_text("of another method")
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "metrics.json").write_text("{}")
    for arguments, expected in (
        (["--load-config", tmp_path / "nowhere"], "does not exist"),
        (["--load-config", tmp_path / "run"], "no run of portrait-edit"),
        (["--load-config", tmp_path / "run", "--clip", clip], "--clip describes a video"),
        (["--load-config", tmp_path / "run", "--video", video], "not both"),
        (["--video", video], "either --clip"),
        (["--video", video, "--clip", clip, "--source", video], "either --clip"),
        (["--video", tmp_path / "gone.mp4", "--clip", clip], "does not exist"),
        (["--video", tmp_path / "no-video.mp4", "--clip", clip, *output], "no video that can be read"),
        (["--video", video, "--clip", tmp_path / "run", *output], "not a tracked clip"),
        (["--video", video, "--source", tmp_path / "gone.mp4", *output], "does not exist"),
        (["--video", video, "--panels", 2, "--edit-panel", 1, *output], "are the same"),
        (["--video", video, "--panels", 9, *output], "too narrow"),
        (["--video", video, "--clip", clip, "--offset", 100, *output], "share 0 moments"),
        (["--video", video, "--clip", clip, "--every", 0], "too little"),
        (["--video", video, "--clip", clip, "--prompt", "a statue", "a man"], "single --prompt"),
        (["--video", video, "--clip", clip, "--weights-dir", tmp_path / "gone"], "no folder"),
        (["--video", video, "--clip", clip, "--output", tmp_path / "there"], "--overwrite"),
        (["--video", video, "--clip", clip, "--output", tmp_path / "no-video.mp4"], "is a file"),
        (["--compare", tmp_path / "there"], "two folders"),
        (["--compare", tmp_path / "there", tmp_path / "run"], "has not been evaluated"),
    ):
        refused(arguments, expected)
