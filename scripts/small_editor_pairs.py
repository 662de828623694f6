"""The pairs that the small editor learns from: a picture, and what the offline editor makes of it, as latents.

The offline editor is made inconsistent on purpose (`jittered_editor`), so that the network learns what diffusion models
learn: that many edits answer one instruction. Pairs are made once and kept in shards; an interrupted call goes on.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float16, Int64
from jittered_editor import Jitter, JitteredEditor
from rich.progress import track
from small_editor_pictures import Labelled
from small_editor_vocabulary import PROMPTS
from torch import Tensor

from stage1_edit.diffusion_pictures import to_diffusion_range
from stage1_edit.editor import EditRequest, Image
from stage1_edit.offline_editor import OfflineEditor
from stage1_edit.prompts import EditPrompt

PICTURES_A_SHARD = 16
JITTER = Jitter(strength=0.15, hue_degrees=8.0, texture=0.03)
"""How much the edits that answer one instruction differ."""
PRECISION = torch.bfloat16
"""That pictures are encoded in: the encoder takes a third of the time, and errs by less than it does anyway."""


@dataclass(frozen=True)
class Pairs:
    """Pictures and their edits."""

    originals: Float16[Tensor, "pictures channels rows columns"]
    edits: Float16[Tensor, "pictures edits channels rows columns"]
    prompts: Int64[Tensor, "pictures edits"]
    """Which of `PROMPTS` each edit follows."""


def make_pairs(
    pictures: Iterator[Labelled], vae: Any, folder: Path, edits: int, shard: tuple[int, int], seed: int
) -> None:
    """Make the shards that are missing.

    Args:
        edits: of each picture, by prompts drawn for it.
        shard: which part of the shards this process makes, of how many parts.
    """
    folder.mkdir(parents=True, exist_ok=True)
    part, parts = shard
    for number, group in enumerate(groups(pictures, PICTURES_A_SHARD)):
        path = folder / f"pairs_{number:04}.npz"
        if number % parts != part or path.is_file():
            continue
        generator = torch.Generator().manual_seed(seed + number)
        made = [edited(picture, edits, generator) for picture in track(group, description=path.stem)]
        latents = encode(vae, [image for images, _ in made for image in images])
        latents = latents.unflatten(0, (len(group), 1 + edits))
        partial = path.with_suffix(".partial.npz")
        np.savez(
            partial,
            originals=latents[:, 0].numpy(),
            edits=latents[:, 1:].numpy(),
            prompts=np.array([prompts for _, prompts in made]),
        )
        partial.replace(path)


def groups(pictures: Iterator[Labelled], size: int) -> Iterator[list[Labelled]]:
    """The pictures, so many at a time."""
    while group := list(islice(pictures, size)):
        yield group


def edited(picture: Labelled, edits: int, generator: torch.Generator) -> tuple[list[Image], list[int]]:
    """A picture and edits of it by different prompts; every other picture is mirrored, as the generator decides."""
    if torch.rand((), generator=generator) < 0.5:
        picture = picture.flipped()
    image = torch.from_numpy(picture.image).float() / 255
    matte, labels = torch.from_numpy(picture.matte)[..., None], torch.from_numpy(picture.labels)
    prompts = torch.randperm(len(PROMPTS), generator=generator)[:edits].tolist()
    requests = [
        EditRequest(EditPrompt(PROMPTS[prompt]), image, image, matte, labels, 1.0, generator) for prompt in prompts
    ]
    return [image, *JitteredEditor(OfflineEditor(), JITTER).edit(requests)], prompts


@torch.no_grad()
def encode(vae: Any, images: Sequence[Image]) -> Float16[Tensor, "pictures channels rows columns"]:
    """Latents of square pictures, a few at a time."""
    size = images[0].shape[0], images[0].shape[1]
    latents = []
    for first in range(0, len(images), 4):
        pixels = to_diffusion_range(images[first : first + 4], size)
        with torch.autocast("cpu", dtype=PRECISION):
            latents.append(vae.encode(pixels).latents)
    return torch.cat(latents).half()


def load_pairs(folder: Path) -> Pairs:
    """All pairs made so far."""
    shards = [np.load(path) for path in sorted(folder.glob("pairs_[0-9]*.npz")) if "partial" not in path.name]

    def joined(name: str) -> Tensor:
        return torch.from_numpy(np.concatenate([shard[name] for shard in shards]))

    return Pairs(joined("originals"), joined("edits"), joined("prompts").long())


def crop_latents(
    latents: Sequence[Float[Tensor, "batch channels rows columns"]], side: int, generator: torch.Generator
) -> list[Float[Tensor, "batch channels side side"]]:
    """The same square, at a random place, of several batches of latents."""
    rows, columns = latents[0].shape[2:]
    top, left = (int(torch.randint(most - side + 1, (), generator=generator)) for most in (rows, columns))
    return [latent[..., top : top + side, left : left + side] for latent in latents]
