"""Train a small InstructPix2Pix on a CPU, in diffusers' format, to measure the diffusion editors with real behaviour.

    python scripts/train_small_editor.py --drawn-portraits FOLDER --faces FOLDER --clips CLIP... --weights FOLDER

The pictures' terms are those of research, so that what is trained on them is for measuring only: it is not shipped,
and nothing of it belongs into the repository. Everything goes into `--output`, and every call goes on where the last
stopped:

    pairs/    pictures and edits of them by the offline editor, as latents
    model/    the editor, for `--pipeline.editor instruct-pix2pix --pipeline.editor.instruct-pix2pix.model OUTPUT/model`
    training.pt, training.json    what a later call needs, and how far training is

Making pairs takes a second a picture, and may be shared among processes (`--stage pairs --shard 0 2`, `1 2`). Training
takes `--training.minutes` on one thread, whatever the machine.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import tyro
from measuring import circumstances, use_threads, write_measurements
from rich.console import Console
from small_editor_network import NetworkConfig, SmallEditor, small_editor, write_pipeline
from small_editor_pairs import load_pairs, make_pairs
from small_editor_pictures import Labelled, clip_heads, drawn_portraits, faces
from small_editor_training import Training, TrainingConfig
from small_editor_vocabulary import PROMPTS

from tracking.errors import UserError, one_sentence_for_user_errors

CONSOLE = Console()
CHECKPOINT_SECONDS = 90.0
"""Of processor time between checkpoints."""


@dataclass
class Settings:
    """What is trained, and on what."""

    drawn_portraits: Path | None = None
    """CelebAMask-HQ's layout: `images/` and `masks/`."""
    faces: Path | None = None
    """Folder of aligned faces."""
    face_count: int = 160
    """How many of them, spread over the folder."""
    clips: tuple[Path, ...] = ()
    """Tracked clips; not of the people that will be measured on."""
    clip_count: int = 24
    """Frames of each."""
    edits: int = 5
    """Of every picture."""
    weights: Path = Path("../shared/models/weights")
    """Folder of TAESD's two files."""
    output: Path = Path("outputs/small_editor")
    """Where everything goes."""
    stage: Literal["pairs", "train", "both"] = "both"
    """What to do in this call."""
    shard: tuple[int, int] = (0, 1)
    """Which part of the pairs this call makes, of how many."""
    threads: int = 1
    """That torch computes on."""
    network: NetworkConfig = field(default_factory=NetworkConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)


def main(settings: Settings) -> None:
    """Make what is missing of the pairs, then train.

    Raises:
        UserError: there is nothing to learn from.
    """
    use_threads(settings.threads)
    editor = small_editor(settings.network, settings.weights)
    pairs = settings.output / "pairs"
    if settings.stage != "train":
        make_pairs(pictures(settings), editor.vae, pairs, settings.edits, settings.shard, settings.training.seed)
    if settings.stage != "pairs":
        train(settings, editor, pairs)


def pictures(settings: Settings) -> Iterator[Labelled]:
    """All portraits, those of all sources mixed, so that the first shards show some of each."""
    generator = np.random.default_rng(settings.training.seed)
    sources = [clip_heads(clip, settings.clip_count, generator) for clip in settings.clips]
    sources += [drawn_portraits(settings.drawn_portraits, generator)] if settings.drawn_portraits else []
    sources += [faces(settings.faces, settings.face_count)] if settings.faces else []
    while sources:
        for source in tuple(sources):
            picture = next(source, None)
            if picture is None:
                sources.remove(source)
            else:
                yield picture


def train(settings: Settings, editor: SmallEditor, folder: Path) -> None:
    """Train until the time is spent; write a checkpoint and the editor now and then."""
    texts = editor.text_features([*PROMPTS, ""])
    training = Training(settings.training, editor.unet, editor.scheduler, texts)
    checkpoint = settings.output / "training.pt"
    if checkpoint.is_file():
        training.load(checkpoint)
    while training.progress < 1:
        if not any(folder.glob("pairs_[0-9]*.npz")):
            raise UserError(f"There are no pairs in {folder}: name pictures by --drawn-portraits, --faces or --clips.")
        # Pairs that another process has made since are seen from here on.
        pairs = load_pairs(folder)
        training.run(pairs, CHECKPOINT_SECONDS)
        training.save(checkpoint)
        editor.unet = training.averaged
        write_pipeline(editor, settings.output / "model")
        facts = {
            "pictures": len(pairs.originals),
            "edits": pairs.prompts.numel(),
            "steps": training.steps,
            "processor minutes": round(training.seconds / 60, 1),
            "of": settings.training.minutes,
            "U-Net parameters": sum(parameter.numel() for parameter in editor.unet.parameters()),
            "loss every 100 steps": training.losses,
        }
        write_measurements(settings.output / "training.json", {**circumstances(), **facts})
        CONSOLE.print(json.dumps({**facts, "loss every 100 steps": training.losses[-1:]}), soft_wrap=True)


if __name__ == "__main__":
    torch.set_float32_matmul_precision("high")
    with one_sentence_for_user_errors():
        main(tyro.cli(Settings, description=__doc__))
