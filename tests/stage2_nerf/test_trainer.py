"""Checkpoints that are never half, a lack of memory that is told, and runs that cannot be."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from nerfstudio.engine.trainer import Trainer

from stage2_nerf.trainer import PortraitTrainer, told_what_to_lower
from tracking.errors import UserError

FULL = Path("/dev/full")
"""A disk without room: Linux has one."""


class Bare(torch.nn.Linear):
    """As much of a pipeline as a checkpoint needs."""


@pytest.fixture
def trainer(tmp_path: Path) -> PortraitTrainer:
    """A trainer that has something to save, and no more."""
    trainer = object.__new__(PortraitTrainer)
    trainer.base_dir, trainer.checkpoint_dir = tmp_path, tmp_path / "nerfstudio_models"
    trainer.pipeline = Bare(3, 4)  # pyright: ignore
    trainer.optimizers = type("None yet", (), {"optimizers": {}, "schedulers": {}})()
    trainer.grad_scaler = torch.amp.GradScaler("cpu", enabled=False)  # pyright: ignore
    settings = {"save_only_latest_checkpoint": True, "is_viewer_enabled": lambda self: False}
    trainer.config = type("Settings", (), settings)()
    return trainer


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_the_latest_checkpoint_takes_the_place_of_the_one_before(trainer: PortraitTrainer) -> None:
    for step in (10, 20):
        trainer.save_checkpoint(step)
        assert names(trainer.base_dir) == [f"nerfstudio_models/step-0000000{step}.ckpt"]
    saved = torch.load(trainer.checkpoint_dir / "step-000000020.ckpt")
    assert saved["step"] == 20
    assert torch.equal(saved["pipeline"]["weight"], trainer.pipeline.weight)
    trainer.config.save_only_latest_checkpoint = False
    trainer.save_checkpoint(30)
    assert len(names(trainer.base_dir)) == 2


def full_disk(save: Callable[..., None]) -> Callable[..., None]:
    return lambda state, path: save(state, FULL)


def refusing_system(save: Callable[..., None]) -> Callable[..., None]:
    def refuse(state: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    return refuse


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")
@pytest.mark.parametrize("disk", [full_disk, refusing_system])
def test_a_full_disk_leaves_the_last_checkpoint_whole(
    trainer: PortraitTrainer, monkeypatch: pytest.MonkeyPatch, disk: Callable[..., Any]
) -> None:
    trainer.save_checkpoint(10)
    before = (trainer.checkpoint_dir / "step-000000010.ckpt").read_bytes()
    monkeypatch.setattr(torch, "save", disk(torch.save))
    with pytest.raises(UserError, match=r"no room left .*step-000000010.ckpt, is whole: go on from it with --load-dir"):
        trainer.save_checkpoint(20)
    assert names(trainer.base_dir) == ["nerfstudio_models/step-000000010.ckpt"]
    assert (trainer.checkpoint_dir / "step-000000010.ckpt").read_bytes() == before


def test_a_full_disk_at_the_first_checkpoint(trainer: PortraitTrainer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "save", refusing_system(torch.save))
    with pytest.raises(UserError, match=r"free some; give the same command again"):
        trainer.save_checkpoint(20)
    assert names(trainer.base_dir) == []


def test_what_cannot_be_saved_for_another_reason_stays_a_bug(trainer: PortraitTrainer) -> None:
    trainer.optimizers.optimizers = {"fields": type("Odd", (), {"state_dict": lambda self: (_ for _ in ())})()}
    with pytest.raises(TypeError, match="pickle"):
        trainer.save_checkpoint(20)
    assert names(trainer.base_dir) == []


def lack_host_memory() -> None:
    torch.empty(1 << 60)


def lack_gpu_memory() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def lack_python_memory() -> None:
    raise MemoryError


@pytest.mark.parametrize(
    ("lack", "sentence"),
    [
        (lack_host_memory, "The computer's memory does not suffice: lower --that."),
        (lack_python_memory, "The computer's memory does not suffice: lower --that."),
        (lack_gpu_memory, "The GPU's memory does not suffice: lower --that."),
    ],
)
def test_a_lack_of_memory_names_what_to_lower(lack: Callable[[], None], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence), told_what_to_lower("--that"):
        lack()


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    with pytest.raises(RuntimeError, match="size"), told_what_to_lower("--that"):
        torch.zeros(3) + torch.zeros(4)


def test_training_without_memory_ends_in_one_sentence(
    trainer: PortraitTrainer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Trainer, "train", lambda self: lack_host_memory())
    with pytest.raises(SystemExit) as stop:
        trainer.train()
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith(
        "portrait-edit: The computer's memory does not suffice: lower --pipeline.datamanager.train-"
    )
    assert error.count("\n") == 1
