"""Training of the small editor on cached latents: velocities, guidance dropout, an average of the weights."""

import copy
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int64
from small_editor_pairs import Pairs, crop_latents
from torch import Tensor
from torch.nn import functional as F

DROPOUT = 0.05
"""Share of samples without the text, as many without the picture, as many without both (Brooks et al. 2023, 3.2.1)."""


@dataclass
class TrainingConfig:
    """How the network is trained."""

    minutes: float = 40.0
    """Of processor time; over all calls together."""
    crop_share: float = 0.4
    """Share of the time, from the start, in which it sees squares of the pictures: what an edit does to colours and
    texture is learned from them four times as fast."""
    crop: int = 16
    """Latents along a side of these squares."""
    crop_batch: int = 16
    """Squares in a batch."""
    batch: int = 8
    """Whole pictures in a batch."""
    learning_rate: float = 4e-4
    """Of AdamW, after 100 steps; it falls to nothing along a cosine."""
    average: float = 0.998
    """Decay of the weights' moving average, a step."""
    half_precision: bool = True
    """Whether the network computes in bfloat16."""
    seed: int = 0
    """Of batches and noise."""


class Training:
    """A network in training, and all that a later call needs to go on."""

    def __init__(
        self, config: TrainingConfig, unet: Any, scheduler: Any, texts: Float[Tensor, "prompts tokens width"]
    ) -> None:
        """Take an untrained network.

        Args:
            texts: features of the prompts, and last of no text.
        """
        self.config = config
        self.unet = unet.to(memory_format=torch.channels_last).train()
        self.averaged = copy.deepcopy(unet).eval().requires_grad_(False)
        self.scheduler = scheduler
        self.texts = texts
        self.optimizer = torch.optim.AdamW(unet.parameters(), lr=config.learning_rate, weight_decay=1e-2, foreach=True)
        self.generator = torch.Generator().manual_seed(config.seed)
        self.steps = 0
        self.seconds = 0.0
        self.losses: list[float] = []
        """A moving mean of the loss, every hundredth step."""
        self._recent = math.nan

    @property
    def progress(self) -> float:
        """The share of the time that is spent."""
        return min(1.0, self.seconds / (60 * self.config.minutes))

    def run(self, pairs: Pairs, seconds: float) -> None:
        """Train for so much more processor time, or to the end."""
        started, before = time.process_time(), self.seconds
        while self.progress < 1 and self.seconds - before < seconds:
            loss = self.step(pairs)
            self._recent = loss if math.isnan(self._recent) else 0.99 * self._recent + 0.01 * loss
            if self.steps % 100 == 0:
                self.losses.append(round(self._recent, 5))
            self.seconds = before + time.process_time() - started

    def step(self, pairs: Pairs) -> float:
        """One step; returns the loss."""
        config = self.config
        small = self.progress < config.crop_share
        original, edit, prompts = self._batch(pairs, config.crop_batch if small else config.batch)
        if small:
            original, edit = crop_latents((original, edit), config.crop, self.generator)
        noise = torch.randn(edit.shape, generator=self.generator)
        timesteps = torch.randint(self.scheduler.config.num_train_timesteps, (len(edit),), generator=self.generator)
        noisy = self.scheduler.add_noise(edit, noise, timesteps)
        target = self.scheduler.get_velocity(edit, noise, timesteps)
        original, texts = dropped(original, self.texts, prompts, DROPOUT, self.generator)
        inputs = torch.cat([noisy, original], dim=1).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=config.half_precision):
            found = self.unet(inputs, timesteps, texts).sample
        loss = F.mse_loss(found.float(), target)
        for group in self.optimizer.param_groups:
            warm = min(1.0, (self.steps + 1) / 100)
            group["lr"] = config.learning_rate * warm * (0.01 + 0.99 * (1 + math.cos(math.pi * self.progress)) / 2)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.unet.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.steps += 1
        self._average()
        return float(loss.detach())

    def _batch(self, pairs: Pairs, size: int) -> tuple[Tensor, Tensor, Int64[Tensor, "batch"]]:
        pictures = torch.randint(len(pairs.originals), (size,), generator=self.generator)
        which = torch.randint(pairs.edits.shape[1], (size,), generator=self.generator)
        return pairs.originals[pictures].float(), pairs.edits[pictures, which].float(), pairs.prompts[pictures, which]

    @torch.no_grad()
    def _average(self) -> None:
        # Early weights are far from the later ones, so that the average looks back less far at first.
        decay = min(self.config.average, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(list(self.averaged.parameters()), list(self.unet.parameters()), 1 - decay)

    def save(self, path: Path) -> None:
        """Write all that a later call needs."""
        partial = path.with_suffix(".partial")
        state = {
            "unet": self.unet.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "steps": self.steps,
            "seconds": self.seconds,
            "losses": self.losses,
            "recent": self._recent,
        }
        torch.save(state, partial)
        partial.replace(path)

    def load(self, path: Path) -> None:
        """Go on where an earlier call stopped."""
        state = torch.load(path, weights_only=True)
        self.unet.load_state_dict(state["unet"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        self.steps, self.seconds = state["steps"], state["seconds"]
        self.losses, self._recent = state["losses"], state["recent"]


def dropped(
    originals: Float[Tensor, "batch channels rows columns"],
    texts: Float[Tensor, "prompts tokens width"],
    prompts: Int64[Tensor, "batch"],
    share: float,
    generator: torch.Generator,
) -> tuple[Float[Tensor, "batch channels rows columns"], Float[Tensor, "batch tokens width"]]:
    """Conditions of which some are left out, so that guidance can ask what the network does without them.

    Args:
        texts: the last is that of no text.
        share: of samples that lose the text, of those that lose the picture, and of those that lose both.
    """
    chance = torch.rand(len(originals), generator=generator)
    without_text = (chance < share) | (chance >= 2 * share) & (chance < 3 * share)
    without_picture = (chance >= share) & (chance < 3 * share)
    chosen = torch.where(without_text, len(texts) - 1, prompts)
    return originals * ~without_picture[:, None, None, None], texts[chosen]
