"""Two CPU processes train one avatar: the same parameters, the same edited frames, the same sampling grids."""

import os
import pickle
import shutil
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from stage1_edit.prompts import EditPrompt
from tracking.clip import TrackedClip

HAIR = EditPrompt("make it silver", "hair")


@pytest.fixture(scope="module")
def ranks(tiny_clip: TrackedClip, tiny_preset: Any, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two processes held at the end of a run with a prompt."""
    folder = tmp_path_factory.mktemp("two")
    shutil.copytree(tiny_clip.root, folder / "clip")
    config = deepcopy(tiny_preset)
    config.output_dir, config.timestamp, config.data = folder / "outputs", "now", folder / "clip"
    config.pipeline.prompts = (HAIR,)
    config.machine.num_devices = 2
    (folder / "config.pickle").write_bytes(pickle.dumps(config))
    command = [sys.executable, str(Path(__file__).with_name("two_processes.py")), str(folder / "config.pickle")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Traceback" not in result.stderr, result.stderr
    return [torch.load(folder / f"rank{rank}.pt") for rank in (0, 1)]


def test_both_processes_end_with_the_same_avatar_and_style(ranks: list[dict[str, Any]]) -> None:
    first, second = (rank["model"] for rank in ranks)
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name
    assert first["reconstruction_steps_trained"] == 12
    style = next(value for name, value in first.items() if name.endswith("head.network.2.weight"))
    assert style.abs().max() > 0


def test_each_process_drew_half_of_the_rays_and_others_than_the_other(ranks: list[dict[str, Any]]) -> None:
    assert [rank["rays"] for rank in ranks] == [128, 128]
    first, second = (rank["losses"] for rank in ranks)
    assert len(first) == len(second) == 12 + 6
    assert all(one["colour"] != other["colour"] for one, other in zip(first, second, strict=True))


def test_frames_edited_by_the_first_process_are_trained_on_by_both(
    ranks: list[dict[str, Any]], tiny_clip: TrackedClip
) -> None:
    first, second = ranks
    assert first["edited"].all()
    assert second["edited"].all()
    assert torch.equal(first["images"], second["images"])
    assert not torch.equal(first["images"][5], torch.from_numpy(tiny_clip.image(5)).flatten())


def test_densities_learned_apart_are_merged_as_if_learned_together() -> None:
    from stage2_nerf.several_processes import merge_densities

    torch.manual_seed(0)
    before, seen = torch.rand(50), torch.rand(4, 50)
    touched = torch.rand(4, 50) < 0.4

    def learned(seen: torch.Tensor, touched: torch.Tensor) -> torch.Tensor:
        return torch.where(touched, torch.maximum(0.98 * before, seen), before)

    apart = torch.stack([learned(seen[rank], touched[rank]) for rank in range(4)])
    together = learned(torch.where(touched, seen, torch.zeros(())).amax(0), touched.any(0))
    assert_close(merge_densities(before, apart.amax(0), apart.amin(0)), together)
