"""nerfstudio's trainer, whose loop is unchanged: checkpoints are written whole or not at all, and trouble is told."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
import torch.distributed as dist
import tyro
from nerfstudio.engine.trainer import Trainer, TrainerConfig
from nerfstudio.utils.decorators import check_main_thread
from nerfstudio.utils.rich_utils import CONSOLE

from stage1_edit.choose_editor import check_editor, resolve_editor_name
from stage1_edit.external_editor import ExternalEditor
from stage2_nerf.clip_checks import require_enough, require_sound
from stage2_nerf.effort import EFFORTS, apply_effort, chosen_effort, unstated
from stage2_nerf.live_editing import LIVE_STEPS, is_live
from stage2_nerf.machine_checks import require_devices, require_free_port, require_writable
from stage2_nerf.optimizer import FittingOptimizers
from stage2_nerf.pipeline import PortraitEditPipelineConfig
from stage2_nerf.several_processes import join_processes
from stage2_nerf.sizes import Size, apply_size, resolve_size
from tracking.console import say
from tracking.errors import ResumableError, UserError, one_sentence_for_user_errors, writing_failed
from tracking.termination import ended_in_order
from tracking.track import find_or_track

LOWER_WHEN_TRAINING = (
    "--pipeline.datamanager.train-num-rays-per-batch, --pipeline.model.eval-num-rays-per-chunk (the rays rendered at "
    "once when frames are edited), or the pictures' size (`portrait-track --size`)"
)
LOWER_WHEN_LOADING = "--pipeline.datamanager.most-in-memory, or the pictures' size (`portrait-track --size`)"
TORCH_CANNOT_WRITE = ("inline_container", "iostream error")
"""What torch's writer says, in C++, when the system refuses to write."""


@dataclass
class PortraitEditTrainerConfig(TrainerConfig):
    """nerfstudio's training loop, unchanged; but first it is seen whether what is asked can be done."""

    _target: type = field(default_factory=lambda: PortraitTrainer)
    size: Size = "auto"
    """How large an avatar, trained on how much at a time; auto takes the GPU's size if there is CUDA, else the CPU's.
    It changes settings that are still as they come (`stage2_nerf.sizes`), never what you state."""
    fast: tyro.conf.UseCounterAction[int] = 0
    """In a hurry: four tenths of the steps, and a video that has not been tracked yet is at 256 pixels."""
    quality: tyro.conf.UseCounterAction[int] = 0
    """In no hurry: three times the steps of reconstruction, twice each style's, and a video that has not been tracked
    yet is with `--photometric.enabled`. Like --fast it changes settings that are still as they come, of either size."""
    takes_prompts: tyro.conf.Suppress[bool] = True
    """Whether the method edits; else it only reconstructs."""
    cpu_processes: tyro.conf.Suppress[int] = 1
    """Filled in: `machine.num_devices` on a CPU, where nerfstudio itself starts no processes."""

    def setup(self, **kwargs: Any) -> "PortraitTrainer":
        """The trainer. On a CPU the other processes of the run are started first."""
        if self.cpu_processes > 1 and not dist.is_initialized():
            join_processes(self, self.cpu_processes)
            kwargs["world_size"] = self.cpu_processes
        if self.machine.device_type == "cuda" and kwargs.get("world_size", 1) > 1:
            # nerfstudio leaves all processes on the first GPU, which is where torch would exchange what they tell.
            torch.cuda.set_device(kwargs["local_rank"])
        trainer = super().setup(**kwargs)
        assert isinstance(trainer, PortraitTrainer)
        return trainer

    def save_config(self) -> None:
        """Check the input, tracking it if need be, and only then make the run's folder."""
        with one_sentence_for_user_errors():
            self.check()
        assert isinstance(self.pipeline, PortraitEditPipelineConfig)
        for group in self.optimizers.values():
            # Step sizes have fallen when the reconstruction ends, however long it was asked to be.
            group["scheduler"].max_steps = self.pipeline.reconstruction_steps
        with one_sentence_for_user_errors():
            try:
                super().save_config()
            except OSError as error:
                raise writing_failed(self.get_base_dir(), error) from error
        if self.machine.device_type == "cpu":
            self.cpu_processes, self.machine.num_devices = self.machine.num_devices, 1

    def check(self) -> None:
        """See whether the data can be used and the prompts followed.

        Raises:
            UserError: they cannot; the message says what to do.
        """
        pipeline = self.pipeline
        assert isinstance(pipeline, PortraitEditPipelineConfig)
        effort = chosen_effort(self.fast, self.quality)
        prompts = pipeline.all_prompts()
        if prompts and not self.takes_prompts:
            raise UserError(
                f"{self.method_name} only reconstructs: give the prompts to `ns-train portrait-edit`, which goes on "
                "from its run with --load-dir."
            )
        for prompt in prompts:
            prompt.check()
        device = torch.device(self.machine.device_type)
        if pipeline.editor.name == "external" and not prompts:
            raise UserError("Say what the edited pictures show: add --pipeline.prompts, such as 'as a bronze statue'.")
        if prompts:
            # Resolved here, and so told once and recorded in the run's config.yml.
            pipeline.editor.name = resolve_editor_name(pipeline.editor, device)
            check_editor(pipeline.editor, prompts)
            pipeline.style_training.schedule.check()
        require_devices(self.machine)
        require_writable(self.output_dir)
        if self.is_viewer_enabled():
            require_free_port(self.viewer)
        data = pipeline.datamanager.data or pipeline.datamanager.dataparser.data
        if data == Path():
            raise UserError("Say which clip: add `--data` with a video or a tracked clip.")
        clip = find_or_track(data, EFFORTS[effort].tracking)
        require_sound(clip)
        if pipeline.editor.name == "external":
            # Only now is it known which frames there are, and how large.
            for prompt in prompts:
                ExternalEditor(pipeline.editor.external, clip).check(prompt)
        warning = require_enough(clip)
        if warning:
            say(CONSOLE, f"Warning: {warning}", "yellow")
        pipeline.datamanager.data = clip.root.resolve()
        self.size = resolve_size(self.size, device)
        hurried = unstated(self, effort)
        apply_size(self, self.size)
        apply_effort(self, effort, hurried)


class PortraitTrainer(Trainer):
    """Trains as nerfstudio does. A full disk costs the checkpoint that is being written, never the one before."""

    def setup(self, test_mode: Literal["test", "val", "inference"] = "val") -> None:
        """Set up, and say in one sentence what is wrong if the user can put it right."""
        with one_sentence_for_user_errors(), told_what_to_lower(LOWER_WHEN_LOADING):
            super().setup(test_mode)

    def train(self) -> None:
        """Train, and say in one sentence what is wrong if the user can put it right."""
        if is_live(self.config):
            self.config.max_num_iterations = LIVE_STEPS
        with one_sentence_for_user_errors(), ended_in_order(), told_what_to_lower(LOWER_WHEN_TRAINING):
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
