"""Training in several processes at once, each with its share of the rays (`--machine.num-devices`).

Gradients are averaged by torch's DistributedDataParallel. What else a process learns or makes is shared here: edited
frames, which the first process makes, and the proxies' densities. With CUDA nerfstudio starts the processes itself; on
a CPU, where it refuses to, `join_processes` does, with gloo between them.
"""

import atexit
import os
import signal
import tempfile
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing
from jaxtyping import Float
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.engine.trainer import TrainerConfig
from nerfstudio.models.base_model import Model
from nerfstudio.utils import comms
from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

News = TypeVar("News")

PATIENCE = timedelta(minutes=30)
"""How long a process waits for the others; what takes longer, as editing does, is told of piece by piece."""


def join_processes(config: TrainerConfig, processes: int) -> None:
    """Start the other CPU processes of a run and make this one the first of them.

    They end with this one. Each loads the clip by itself; all cores are divided among them.
    """
    meeting_point = Path(tempfile.mkdtemp()) / "processes"
    context = multiprocessing.get_context("spawn")
    for rank in range(1, processes):
        arguments = (rank, processes, meeting_point, config)
        context.Process(target=_train_beside, args=arguments, name=f"training {rank}", daemon=True).start()
    _meet(0, processes, meeting_point)
    atexit.register(part_processes)


def _train_beside(rank: int, processes: int, meeting_point: Path, config: TrainerConfig) -> None:
    from nerfstudio.scripts.train import train_loop

    # Ctrl-C goes to all processes of a terminal; the first one ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    CONSOLE.quiet = True
    _meet(rank, processes, meeting_point)
    train_loop(rank, processes, config, global_rank=rank)
    part_processes()


def _meet(rank: int, processes: int, meeting_point: Path) -> None:
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // processes))
    dist.init_process_group(
        "gloo", init_method=f"file://{meeting_point}", rank=rank, world_size=processes, timeout=PATIENCE
    )
    comms.LOCAL_PROCESS_GROUP = dist.group.WORLD


def part_processes() -> None:
    """Leave the other processes of the run."""
    if dist.is_initialized():
        dist.destroy_process_group()
        comms.LOCAL_PROCESS_GROUP = None


def processes() -> int:
    """How many processes train."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_first() -> bool:
    """Whether this is the only process, or the first of several."""
    return comms.is_main_process()


def follow_first(work: Callable[[Callable[[News], None]], None], take: Callable[[News], None]) -> None:
    """Have the first process do some work, and the others take what it tells of it, as it comes.

    Args:
        work: is given a function that tells the others; run by the first process alone.
        take: run by the others with all that they are told, in order.
    """
    if processes() == 1:
        work(lambda news: None)
        return
    if is_first():
        work(lambda news: dist.broadcast_object_list([[news]], src=0))
        dist.broadcast_object_list([None], src=0)
        return
    while True:
        told: list[Any] = [None]
        dist.broadcast_object_list(told, src=0)
        if told[0] is None:
            return
        take(told[0][0])


class _Losses(nn.Module):
    """A model's training step as a module: DistributedDataParallel must see all that losses are made of."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, ray_bundle: RayBundle, batch: dict[str, Any]) -> tuple[dict[str, Any], ...]:
        outputs = self.model(ray_bundle)
        metrics = self.model.get_metrics_dict(outputs, batch)
        return outputs, self.model.get_loss_dict(outputs, batch, metrics), metrics


class ParallelTraining:
    """A model that is trained by several processes. No module: checkpoints do not tell how many there were."""

    def __init__(self, model: Model, learned_densities: Iterable[Float[Tensor, "..."]]) -> None:
        """Give every process the first one's parameters, and average gradients of those that learn from now on.

        Args:
            model: the model; the other processes call this at the same point of their training.
            learned_densities: what the model's samplers learn in every process for itself.
        """
        self._losses = DistributedDataParallel(_Losses(model), broadcast_buffers=False, find_unused_parameters=True)
        self._densities = tuple(learned_densities)
        for density in self._densities:
            dist.broadcast(density, src=0)
        self._before = [density.clone() for density in self._densities]

    def losses(self, ray_bundle: RayBundle, batch: dict[str, Any]) -> tuple[dict[str, Any], ...]:
        """Outputs, losses and metrics of this process's rays; the losses' gradients will be averaged."""
        return self._losses(ray_bundle, batch)

    def share_densities(self) -> None:
        """Merge what the samplers learned in this step: as if one process had seen all rays."""
        for density, before in zip(self._densities, self._before, strict=True):
            extremes = torch.stack([density, -density])
            dist.all_reduce(extremes, op=dist.ReduceOp.MAX)
            before.copy_(merge_densities(before, highest=extremes[0], lowest=-extremes[1]))
            density.copy_(before)


def merge_densities(
    before: Float[Tensor, "*cells"], highest: Float[Tensor, "*cells"], lowest: Float[Tensor, "*cells"]
) -> Float[Tensor, "*cells"]:
    """Densities that several samplers, starting from the same ones, have learned: risen where any rose, else sunk where
    any sank.

    Args:
        before: what all started from.
        highest: the highest of what they came to.
        lowest: the lowest of it.
    """
    return torch.where(highest > before, highest, lowest)
