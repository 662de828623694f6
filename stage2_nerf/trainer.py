"""nerfstudio's trainer, whose loop is unchanged: checkpoints are written whole or not at all, and trouble is told."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import torch
from nerfstudio.engine.trainer import Trainer
from nerfstudio.utils.decorators import check_main_thread

from stage2_nerf.optimizer import FittingOptimizers
from tracking.errors import ResumableError, UserError, one_sentence_for_user_errors, writing_failed

LOWER_WHEN_TRAINING = (
    "--pipeline.datamanager.train-num-rays-per-batch, --pipeline.model.eval-num-rays-per-chunk (the rays rendered at "
    "once when frames are edited), or the pictures' size (`portrait-track --size`)"
)
LOWER_WHEN_LOADING = "--pipeline.datamanager.most-in-memory, or the pictures' size (`portrait-track --size`)"
TORCH_CANNOT_WRITE = ("inline_container", "iostream error")
"""What torch's writer says, in C++, when the system refuses to write."""


class PortraitTrainer(Trainer):
    """Trains as nerfstudio does. A full disk costs the checkpoint that is being written, never the one before."""

    def setup(self, test_mode: Literal["test", "val", "inference"] = "val") -> None:
        """Set up, and say in one sentence what is wrong if the user can put it right."""
        with one_sentence_for_user_errors(), told_what_to_lower(LOWER_WHEN_LOADING):
            super().setup(test_mode)

    def train(self) -> None:
        """Train, and say in one sentence what is wrong if the user can put it right."""
        with one_sentence_for_user_errors(), told_what_to_lower(LOWER_WHEN_TRAINING):
            super().train()

    def setup_optimizers(self) -> FittingOptimizers:
        """The optimizers, which take from a checkpoint what fits them."""
        return FittingOptimizers(self.config.optimizers.copy(), self.pipeline.get_param_groups())

    @check_main_thread
    def save_checkpoint(self, step: int) -> None:
        """Write a checkpoint under another name beside the checkpoints' folder, and only then in place of the last one.

        Raises:
            UserError: it cannot be written; the last one is still there.
        """
        folder, workshop = self.checkpoint_dir, self.base_dir / ".checkpoint.partial"
        self.checkpoint_dir = workshop
        try:
            super().save_checkpoint(step)
            folder.mkdir(exist_ok=True)
            (written,) = workshop.glob("*.ckpt")
            whole = written.replace(folder / written.name)
        except (OSError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and not any(word in str(error) for word in TORCH_CANNOT_WRITE):
                raise
            raise checkpoint_failed(folder, error) from error
        finally:
            self.checkpoint_dir = folder
            remove_checkpoints(workshop)
        if self.config.save_only_latest_checkpoint:
            for other in folder.glob("*.ckpt"):
                if other != whole:
                    other.unlink()


def remove_checkpoints(folder: Path) -> None:
    """Remove a folder of checkpoints, if it is there."""
    for path in folder.glob("*"):
        path.unlink()
    if folder.is_dir():
        folder.rmdir()


def checkpoint_failed(folder: Path, error: OSError | RuntimeError) -> UserError:
    """What to say when a checkpoint cannot be written; why not, torch's own writer does not tell."""
    if isinstance(error, OSError) and error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return writing_failed(folder, error)
    kept = sorted(folder.glob("*.ckpt"))
    go_on = (
        f"the last checkpoint, {kept[-1].name}, is whole: go on from it with --load-dir {folder}"
        if kept
        else "give the same command again"
    )
    return ResumableError(f"There is no room left to write a checkpoint into {folder}: free some; {go_on}.")


@contextmanager
def told_what_to_lower(settings: str) -> Iterator[None]:
    """Turn a lack of memory into a sentence.

    Args:
        settings: what to lower.

    Raises:
        UserError: memory did not suffice.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        where = lacking_memory(error)
        if where is None:
            raise
        raise UserError(f"The {where} memory does not suffice: lower {settings}.") from error


def lacking_memory(error: BaseException) -> Literal["GPU's", "computer's"] | None:
    """Whose memory an error is about; none if it is about something else."""
    if isinstance(error, torch.OutOfMemoryError):
        return "GPU's"
    is_host = isinstance(error, MemoryError) or "DefaultCPUAllocator" in str(error)
    return "computer's" if is_host else None
