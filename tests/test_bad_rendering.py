"""Whatever is wrong with what rendering or the viewer is asked, one sentence says so, and nothing is left behind."""

import errno
import socket
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import tracking.video_writer
from tracking.errors import UserError
from tracking.video import VideoReader
from tracking.video_writer import VideoWriter, require_writable_video


def test_a_disk_that_fills_up_while_a_video_is_written(
    carphone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = VideoReader(carphone)
    writer = VideoWriter(tmp_path / "out.mp4", reader.properties, "lossless")

    class Full:
        """The output after the disk has become full, as FFmpeg tells it."""

        def __getattr__(self, name: str) -> Any:
            return getattr(output, name)

        def mux(self, packets: Any) -> None:
            raise OSError(errno.ENOSPC, "No space left on device", "out.mp4")

    output = writer._output
    monkeypatch.setattr(writer, "_output", Full())
    with (
        pytest.raises(UserError, match=r"no room left to write .*out.mp4: free some, then give the same command"),
        writer,
    ):
        for frame in reader:
            writer.write(frame.image, frame.timestamp)
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_that_is_not_installed_is_told_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoding = tracking.video_writer._ENCODINGS["h265"]
    missing = {"h265": encoding.__class__("libx999", encoding.suffixes, {})}
    monkeypatch.setattr(tracking.video_writer, "_ENCODINGS", missing)
    with pytest.raises(UserError, match="has no libx999, which makes h265 video: choose another --codec"):
        require_writable_video(tmp_path / "out.mp4", "h265")


@pytest.mark.parametrize("codec", ["h264", "h265", "lossless", "prores4444", "vp9"])
def test_all_offered_encoders_are_installed(codec: Any, tmp_path: Path) -> None:
    require_writable_video(tmp_path / f"out{tracking.video_writer._ENCODINGS[codec].suffixes[0]}", codec)


def test_a_port_that_is_taken_is_told_and_a_free_one_is_not() -> None:
    from nerfstudio.configs.base_config import ViewerConfig

    from stage2_nerf.machine_checks import require_free_port

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        viewer = ViewerConfig(websocket_host="127.0.0.1", websocket_port=port)
        with pytest.raises(UserError, match=rf"cannot listen at 127.0.0.1:{port} .*leave it out to take one that is"):
            require_free_port(viewer)
    require_free_port(viewer)
    require_free_port(ViewerConfig(websocket_host="127.0.0.1"))


def test_the_viewer_listens_on_this_machine_only_unless_told_otherwise() -> None:
    from configs.portrait_edit import portrait_edit, portrait_edit_small, portrait_head

    for method in (portrait_edit, portrait_edit_small, portrait_head):
        assert method.config.viewer.websocket_host == "127.0.0.1"


def test_weights_that_do_not_sum_to_one_are_normalised_and_told(capsys: pytest.CaptureFixture[str]) -> None:
    from stage1_edit.prompts import EditPrompt
    from stage2_nerf.render_looks import choose_looks

    prompts = [EditPrompt("turn him into a bronze statue"), EditPrompt("make it silver", "hair")]

    def told(**asked: Any) -> tuple[Any, str]:
        usual = {"prompt": None, "blend": None, "timeline": (), "fade": 0.5, "mix": None}
        looks = choose_looks(**{**usual, **asked}, prompts=prompts)
        return looks.at(100.0)[0], " ".join(capsys.readouterr().out.split())

    look, said = told(blend="1.4*bronze + 0.6*original")
    assert look.weights == {prompts[0]: pytest.approx(0.7)}
    assert said.startswith("The weights of '1.4*bronze + 0.6*original' sum to 2: shown is 0.7*turn him into a bronze")
    _, said = told(timeline=("2=3*bronze + 1*silver",))
    assert "'3*bronze + 1*silver' sum to 4: shown is 0.75*turn him" in said
    _, said = told(mix="hair=0.5*bronze")
    assert "'0.5*bronze' sum to 0.5" in said
    assert told(blend="0.7*bronze + 0.3*original")[1] == ""
    with pytest.raises(UserError, match="no prompt 'gold'; it has 0: the unedited avatar; 1: turn him"):
        told(blend="0.5*gold + 0.5*bronze")


def test_a_driver_that_is_a_video_is_tracked_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And before the avatar is loaded, which a video of nobody would have been in vain."""
    from stage2_nerf.render_config import RenderConfig
    from stage2_nerf.rendering import render_video

    video = tmp_path / "talk.mp4"
    with av.open(str(video), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for _ in range(12):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((64, 96, 3), 90, np.uint8))))
        container.mux(stream.encode())
    run = tmp_path / "config.yml"
    run.write_text("!!python/object:stage2_nerf.pipeline.PortraitEditPipelineConfig")
    with pytest.raises(UserError, match="No face was found in"):
        render_video(RenderConfig(tmp_path / "out.mp4", run, drive=video))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.yml", "talk.mp4"]
