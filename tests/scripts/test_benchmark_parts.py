"""The parts that the benchmarks of the avatar are made of do what their numbers will be read as."""

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from avatar_sheet import apart
from benchmark_nerf_cost import exponent
from blended_hash_tables import BlendedHashTables, look_up
from clip_copies import copy_clip, to_and_fro
from kept_results import kept, measure_each
from nerf_curves import seconds_to_reach

from tracking.clip import TrackedClip
from tracking.track import TrackConfig, track_video
from tracking.video import VideoReader
from tracking.video_writer import VideoWriter


@pytest.fixture(scope="session")
def short_clip(tmp_path_factory: pytest.TempPathFactory, carphone: Path) -> TrackedClip:
    """Ten frames of the demo clip, tracked small."""
    folder = tmp_path_factory.mktemp("short")
    reader = VideoReader(carphone)
    with VideoWriter(folder / "talk.mp4", reader.properties, "lossless") as writer:
        for frame in reader:
            if frame.index == 10:
                break
            writer.write(frame.image, frame.timestamp)
    return track_video(folder / "talk.mp4", folder / "clip", TrackConfig(size=88))


def test_compiled_hash_tables_are_the_plain_ones() -> None:
    """Values and gradients of the compiled look-up are those of torch, also at the box's border and beyond it."""
    torch.manual_seed(0)
    tables = BlendedHashTables(3, levels=4, features=2, log2_entries=9, coarsest=4, finest=40)
    torch.nn.init.normal_(tables.tables)
    positions = torch.cat([torch.rand(200, 3), torch.tensor([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [-0.2, 0.5, 1.3]])])
    frame, weights = torch.randint(2, (len(positions),)), torch.rand(2, 3)
    towards = torch.randn(len(positions), tables.out_dim)
    compiled = tables(positions, frame, tables.blend(weights))
    (compiled * towards).sum().backward()
    own = tables.tables.grad
    assert own is not None
    tables.tables.grad = None
    plain_tables = tables.tables.detach().clone().requires_grad_()
    plain = look_up(positions, frame, (weights @ plain_tables).view(-1, *tables.shape), tables.resolutions)
    (plain * towards).sum().backward()
    assert plain_tables.grad is not None
    assert torch.allclose(compiled, plain, atol=1e-5)
    assert torch.allclose(own, plain_tables.grad, atol=1e-5)
    assert compiled.std() > 0.1


def test_a_coarse_table_interpolates_a_linear_ramp() -> None:
    """Where no two corners share an entry, values at the corners are met and lie on a line between them."""
    tables = BlendedHashTables(1, levels=2, features=1, log2_entries=10, coarsest=4, finest=8)
    corners = torch.arange(5)
    ramp = corners[None, None, :].expand(5, 5, 5).reshape(-1).float()
    with torch.no_grad():
        tables.tables.zero_()
        tables.tables.view(1, *tables.shape)[0, 0, : len(ramp), 0] = ramp
    positions = torch.tensor([[0.0, 0.3, 0.9], [0.25, 0.1, 0.1], [0.3, 0.7, 0.2], [1.0, 0.5, 0.5]])
    found = tables(positions, torch.zeros(4, dtype=torch.long), tables.blend(torch.ones(1, 1)))
    assert torch.allclose(found[:, 0], 4 * positions[:, 0], atol=1e-5)


def test_when_a_quality_is_reached() -> None:
    """Between two looks the clock is logarithmic; what is never reached is said to be never reached."""
    curve = [{"seconds": 1.0, "psnr_in_matte": 20.0}, {"seconds": 100.0, "psnr_in_matte": 30.0}]
    assert seconds_to_reach(curve, 25.0) == pytest.approx(10.0)
    assert seconds_to_reach(curve, 30.0) == pytest.approx(100.0)
    assert seconds_to_reach(curve, 15.0) == 1.0
    assert seconds_to_reach(curve, 30.1) is None


@pytest.mark.parametrize("power", [0.0, 1.0, 1.5])
def test_exponent_of_a_power(power: float) -> None:
    """A curve that is a power has its exponent."""
    curve = [{"rays": float(rays), "seconds": 0.2 * rays**power} for rays in (10, 100, 1000)]
    assert exponent(curve, "rays") == pytest.approx(power, abs=1e-3)


def test_frames_apart() -> None:
    """The first frames are taken that are not next to one taken before."""
    assert apart([10, 11, 12, 30, 33, 2], 3) == [10, 30, 2]


def test_to_and_fro() -> None:
    """Fewer frames are spread evenly; more go back the way they came, and no frame stands still."""
    assert to_and_fro([3, 5, 7, 9, 11], 3) == [3, 7, 11]
    assert to_and_fro([3, 5, 7], 8) == [3, 5, 7, 5, 3, 5, 7, 5]


def test_a_copied_clip_is_the_clip_at_another_size(short_clip: TrackedClip, tmp_path: Path) -> None:
    """Poses are kept, and what is measured in pixels grows with the pictures."""
    frames = to_and_fro(short_clip.frames.tolist(), 15)
    copy = copy_clip(short_clip, tmp_path / "copy", frames, 2.0)
    assert copy.frames.tolist() == list(range(15))
    assert copy.image(12).shape == (2 * short_clip.intrinsics.height, 2 * short_clip.intrinsics.width, 3)
    assert copy.intrinsics.focal_length == pytest.approx(2 * short_clip.intrinsics.focal_length)
    assert np.allclose(copy.track.camera_to_head[12], short_clip.track.camera_to_head[frames[12]])
    assert np.allclose(copy.track.landmarks[12], 2 * short_clip.track.landmarks[frames[12]])
    assert (np.diff(copy.times) > 0).all()
    assert set(np.unique(copy.labels(12))) == set(np.unique(short_clip.labels(frames[12])))


DOUBLING = """
import time

def double(settings):
    return {"twice": 2 * settings["number"], "made": time.time_ns()}
"""


def test_what_was_measured_is_not_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A result is kept for the same settings alone, and one missing is measured without those that are there."""
    (tmp_path / "doubling.py").write_text(DOUBLING)
    monkeypatch.syspath_prepend(tmp_path)
    double = importlib.import_module("doubling").double

    def results(wanted: dict[str, Any]) -> dict[str, Any]:
        return measure_each(double, wanted, tmp_path / "kept", processes=1, threads=1)

    first = results({"one": {"number": 1}})
    assert first["one"]["twice"] == 2
    assert results({"one": {"number": 1}}) == first
    second = results({"one": {"number": 1}, "two": {"number": 3}})
    assert second["one"] == first["one"]
    assert second["two"]["twice"] == 6
    assert json.loads((tmp_path / "kept" / "two.json").read_text())["settings"] == {"number": 3, "threads": 1}
    assert kept(tmp_path / "kept", "one", {"number": 2, "threads": 1}) is None
