"""Trained networks that some metrics need: where they are looked for, and what to do where they are not.

Nothing is ever downloaded. What is missing is said in one sentence, with the cure.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tracking.errors import UserError


@dataclass(frozen=True)
class KnownWeights:
    """A trained network's files."""

    what: str
    """The network's name, for people."""
    files: tuple[str, ...]
    """Their names, which must lie in one folder."""
    source: str
    """Where to get them, as an instruction."""
    download_name: str = ""
    """The folder of Hugging Face's cache that holds them, if they are published there."""


RAFT_SMALL = KnownWeights(
    "RAFT-small (optical flow)",
    ("raft-small.pth",),
    "take raft-small.pth out of the models.zip that download_models.sh of github.com/princeton-vl/RAFT fetches",
)
ALEXNET = KnownWeights(
    "AlexNet (for LPIPS)",
    ("alexnet-owt-7be5be79.pth",),
    "fetch download.pytorch.org/models/alexnet-owt-7be5be79.pth",
)
FACE_EMBEDDING = KnownWeights(
    "MobileFaceNet (face embedding)",
    ("mobilefacenet.ncnn.param", "mobilefacenet.ncnn.bin"),
    "take the two ncnn files of github.com/liguiyuan/mobilefacenet-ncnn under these names",
)
FACE_LANDMARKER = KnownWeights(
    "MediaPipe's FaceLandmarker",
    ("face_landmarker.task",),
    "fetch face_landmarker.task from MediaPipe's page of models (Face landmark detection guide)",
)
CLIP = KnownWeights(
    "CLIP ViT-L/14",
    ("config.json", "tokenizer_config.json"),
    "fetch it once with `hf download openai/clip-vit-large-patch14`",
    "openai/clip-vit-large-patch14",
)


class MissingWeightsError(UserError):
    """A network's files are not on this machine; the message says where to get them and where to put them."""


def find_weights(weights: KnownWeights, folder: Path | None = None) -> Path:
    """The folder that holds all files of a network.

    Looked for in the given folder and the folders in it; in `$XDG_CACHE_HOME/portrait-edit`; in torch's cache of
    checkpoints; and in Hugging Face's cache.

    Raises:
        UserError: the given folder is none.
        MissingWeightsError: they are in none of these places.
    """
    if folder is not None and not folder.is_dir():
        raise UserError(f"{folder} is no folder of weights: give one that holds {' and '.join(weights.files)}.")
    for place in _places(weights, folder):
        if all((place / name).is_file() for name in weights.files):
            return place
    names = " and ".join(weights.files) if not weights.download_name else f"the folder {weights.download_name}"
    raise MissingWeightsError(
        f"The weights of {weights.what} are not on this machine: {weights.source}, or name the folder that holds "
        f"{names} with --weights-dir."
    )


def _places(weights: KnownWeights, folder: Path | None) -> Iterator[Path]:
    if folder is not None:
        yield folder
        yield from sorted(path for path in folder.iterdir() if path.is_dir())
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    yield cache / "portrait-edit"
    torch_home = Path(os.environ.get("TORCH_HOME") or cache / "torch")
    yield torch_home / "hub" / "checkpoints"
    if weights.download_name:
        home = Path(os.environ.get("HF_HOME") or cache / "huggingface")
        hub = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
        # The layout of that cache: refs/main names the snapshot that was downloaded last.
        repository = hub / f"models--{weights.download_name.replace('/', '--')}"
        newest = repository / "refs" / "main"
        if newest.is_file():
            yield repository / "snapshots" / newest.read_text().strip()
