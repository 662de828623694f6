"""One video of several panels, as several videos."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from evaluation.panels import panel_bounds, split_panels
from tracking.errors import UserError
from tracking.video import VideoReader


@pytest.fixture
def three_panels(tmp_path: Path) -> Path:
    """A lossless video of 3 panels of 64 x 48 pixels and two columns of remainder, each of its own brightness."""
    path = tmp_path / "panels.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264rgb", rate=25, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = 194, 48, "rgb24"
        for index in range(5):
            picture = np.full((48, 194, 3), 255, np.uint8)
            for panel in range(3):
                picture[:, 64 * panel : 64 * (panel + 1)] = 60 * panel + 10 * index
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode())
    return path


def test_each_panel_becomes_a_video_with_its_pixels_and_times(three_panels: Path, tmp_path: Path) -> None:
    chosen = {1: tmp_path / "first.mp4", 3: tmp_path / "third.mp4"}
    split_panels(three_panels, 3, chosen)
    for panel, path in chosen.items():
        reader = VideoReader(path)
        frames = list(reader)
        seconds = [frame.timestamp * reader.properties.time_base for frame in frames]
        assert seconds == [Fraction(index, 25) for index in range(5)]
        for index, frame in enumerate(frames):
            assert frame.image.shape == (48, 64, 3)
            assert (frame.image == 60 * (panel - 1) + 10 * index).all()


def test_panels_that_are_there_are_kept(three_panels: Path, tmp_path: Path) -> None:
    output = tmp_path / "second.mp4"
    split_panels(three_panels, 3, {2: output})
    written = output.stat().st_mtime_ns
    split_panels(three_panels, 3, {2: output})
    assert output.stat().st_mtime_ns == written


@pytest.mark.parametrize(
    ("width", "panels", "panel", "expected"),
    [(512, 1, 1, "too few"), (512, 2, 3, "no panel 3"), (512, 2, 0, "no panel 0"), (512, 16, 1, "too narrow")],
)
def test_panels_that_cannot_be_are_refused(width: int, panels: int, panel: int, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        panel_bounds(width, panels, panel)
