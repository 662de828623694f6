"""Trains in two processes as `ns-train` does, and writes down what each of them holds in the end.

    python two_processes.py CONFIG.pickle FOLDER

A script of its own: the second process imports it anew.
"""

import pickle
import sys
from pathlib import Path

import nerfstudio.scripts.train as ns_train
import torch

from stage2_nerf.pipeline import PortraitEditPipeline
from stage2_nerf.trainer import PortraitTrainer


class RecordingTrainer(PortraitTrainer):
    """Writes down its losses and, at the end, its parameters and the frames that it trained on."""

    def train_iteration(self, step: int):
        loss, losses, metrics = super().train_iteration(step)
        self.losses = [*getattr(self, "losses", []), {name: float(value) for name, value in losses.items()}]
        return loss, losses, metrics

    def train(self) -> None:
        super().train()
        pipeline = self.pipeline
        assert isinstance(pipeline, PortraitEditPipeline)
        data = pipeline.datamanager
        held = {
            "model": pipeline.model.state_dict(),
            "edited": data.store.edited,
            "images": torch.stack([data.store.edits[data.place(row)] for row in range(len(data))]),
            "rays": data.train_pixel_sampler.num_rays_per_batch,
            "losses": self.losses,
        }
        torch.save(held, self.config.data.parent / f"rank{self.local_rank}.pt")


if __name__ == "__main__":
    config = pickle.loads(Path(sys.argv[1]).read_bytes())
    config._target = RecordingTrainer
    ns_train.main(config)
