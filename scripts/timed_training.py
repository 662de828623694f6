"""Train a method of nerfstudio's for as long as one wants, with a clock that stops whenever something is looked at.

The trainer is nerfstudio's own. How many steps fit into a budget of time is not known beforehand, but step sizes (and
whatever else follows the length of a run) fall towards its end. So the length is estimated anew after every step, from
the pace so far: at half of the budget every method is half way down its schedule, however fast it is.
"""

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from baseline_avatar import BaselineAvatar
from nerfstudio.engine.callbacks import TrainingCallbackLocation
from nerfstudio.engine.trainer import Trainer, TrainerConfig
from nerfstudio.utils import writer
from nerfstudio.utils.rich_utils import CONSOLE
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from stage2_nerf.datamanager import PortraitDataManager
from stage2_nerf.pipeline import PortraitEditPipelineConfig
from stage2_nerf.portrait_model import PortraitModel

AvatarModel = PortraitModel | BaselineAvatar
"""Models that render a person without a background."""

WALL_CLOCK = time.perf_counter
COLUMNS = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())


class TimedTraining:
    """A training that goes on by the clock or by steps."""

    def __init__(
        self, config: TrainerConfig, *, budget_seconds: float | None = None, clock: Callable[[], float] = WALL_CLOCK
    ) -> None:
        """Set everything up: the clock does not run yet.

        Args:
            config: the method; its data, and where its run goes, filled in.
            budget_seconds: how long training will take in all; none if its length is a number of steps.
            clock: what tells the seconds; `time.process_time` where other programs compute on the same cores.
        """
        self.config = config
        self.budget_seconds = budget_seconds
        self.clock = clock
        np.random.seed(config.machine.seed)
        torch.manual_seed(config.machine.seed)
        start = clock()
        config.set_timestamp()
        config.save_config()
        self.trainer: Trainer = config.setup(local_rank=0, world_size=1)
        self.trainer.setup()
        stop_writing()
        self.set_up_seconds = clock() - start
        self.seconds = 0.0
        """Time spent on training steps."""
        self.step_seconds: list[float] = []
        """What each step took."""

    @property
    def model(self) -> AvatarModel:
        """What is trained."""
        model = self.trainer.pipeline.model
        assert isinstance(model, AvatarModel)
        return model

    @property
    def datamanager(self) -> PortraitDataManager:
        """The frames that it is trained on and evaluated with."""
        datamanager = self.trainer.pipeline.datamanager
        assert isinstance(datamanager, PortraitDataManager)
        return datamanager

    @property
    def steps(self) -> int:
        """How many have been made."""
        return len(self.step_seconds)

    def train_for(self, seconds: float) -> None:
        """Go on until the clock shows so much, counted from the start of training; the last step may end after it."""
        with Progress(*COLUMNS, console=CONSOLE, transient=True) as progress:
            task = progress.add_task("Training", total=seconds)
            while self.seconds < seconds:
                self.step()
                progress.update(task, completed=self.seconds)

    def train_steps(self, steps: int) -> None:
        """Go on until so many steps have been made."""
        with Progress(*COLUMNS, console=CONSOLE, transient=True) as progress:
            task = progress.add_task("Training", total=steps)
            while self.steps < steps:
                self.step()
                progress.update(task, completed=self.steps)

    def step(self) -> None:
        """One training step, as nerfstudio's trainer makes it."""
        if self.budget_seconds is not None and self.steps:
            self.expect(max(self.steps + 1, round(self.steps * self.budget_seconds / self.seconds)))
        step = self.trainer.step = self.steps
        start = self.clock()
        self.trainer.pipeline.train()
        self.run_callbacks(TrainingCallbackLocation.BEFORE_TRAIN_ITERATION, step)
        self.trainer.train_iteration(step)
        self.run_callbacks(TrainingCallbackLocation.AFTER_TRAIN_ITERATION, step)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.step_seconds.append(self.clock() - start)
        self.seconds += self.step_seconds[-1]

    def run_callbacks(self, location: TrainingCallbackLocation, step: int) -> None:
        """What is to be done before or after a step."""
        for callback in self.trainer.callbacks:
            callback.run_callback_at_location(step, location=location)

    def expect(self, steps: int) -> None:
        """Take it that the whole training will have so many steps."""
        for group in self.config.optimizers.values():
            if group["scheduler"] is not None:
                group["scheduler"].max_steps = steps
        if isinstance(self.config.pipeline, PortraitEditPipelineConfig):
            self.config.pipeline.reconstruction_steps = steps

    def save(self) -> None:
        """Keep the run: its configuration, with the steps that it took, and a checkpoint."""
        if isinstance(self.config.pipeline, PortraitEditPipelineConfig):
            self.config.pipeline.reconstruction_steps = self.steps
        self.config.save_config()
        self.trainer.save_checkpoint(self.trainer.step)


def stop_writing() -> None:
    """Stop the threads that log into the run's folder: nothing is logged, and the folder may be removed."""
    for event_writer in writer.EVENT_WRITERS:
        if isinstance(event_writer, writer.TensorboardWriter):
            event_writer.tb_writer.close()


def marks(first: float, last: float, ratio: float = 1.4) -> Sequence[float]:
    """Moments at which to look, each so many times the one before, from `first` to `last` inclusive."""
    count = max(1, round(np.log(last / first) / np.log(ratio)))
    return [float(mark) for mark in np.geomspace(first, last, count + 1)]
