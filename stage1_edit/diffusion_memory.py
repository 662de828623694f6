"""How much memory an edit will need, told from files' headers and configurations, before anything is loaded."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stage1_edit.diffusion_config import MemorySaving

GIGABYTE = 1024**3
WORKSPACE = 1.4
"""What libraries and fragmentation take on top of the tensors that are alive."""
TILE = 512
"""Pixels along a side of the tiles that a sliced autoencoder decodes."""
LARGEST_LAYER = 0.05
"""The share of a network's weights in its largest layer."""


@dataclass(frozen=True)
class MemoryNeed:
    """Bytes that must fit at once."""

    weights: int
    network: int
    """What the U-Net works with."""
    autoencoder: int
    """What decoding works with; the U-Net is at rest then."""

    @property
    def total(self) -> int:
        """All that must fit at the worst moment."""
        return self.weights + max(self.network, self.autoencoder)


def estimate_memory(
    parameters: Mapping[str, int],
    unet: Mapping[str, Any],
    autoencoder: Mapping[str, Any],
    size: tuple[int, int],
    frames: int,
    branches: int,
    bytes_per_number: int,
    saving: MemorySaving = "none",
) -> MemoryNeed:
    """Add up weights and the tensors that are alive at the worst moments. Attention is computed in blocks.

    The factors were counted for Stable Diffusion 1.5's shape, by the tensors alive in a pass on torch's meta device:
    65 MB for each picture in the U-Net's batch and 386 MB for decoding one, at 512 pixels in 16 bits.

    Args:
        parameters: how many numbers each part of the pipeline has (`count_parameters`).
        unet: its configuration.
        autoencoder: its configuration.
        size: height and width in pixels of what is edited.
        frames: sampled together.
        branches: predictions that guidance mixes.
    """
    sizes = [count * bytes_per_number for count in parameters.values()]
    weights = {
        "none": sum(sizes),
        "slicing": sum(sizes),
        "offload": max(sizes, default=0),
        "sequential-offload": math.ceil(LARGEST_LAYER * max(sizes, default=0)),
    }[saving]
    height, width = size
    pixels = height * width
    # The autoencoder's last upsampling holds its widest tensor; about three and a half of them are alive at once.
    widths = autoencoder["block_out_channels"]
    widest = widths[min(1, len(widths) - 1)]
    decoded = min(pixels, TILE**2) if saving != "none" else pixels * frames
    decoding = 3.5 * widest * decoded * bytes_per_number
    latent_pixels = pixels / 4 ** (len(widths) - 1)
    channels = unet["block_out_channels"]
    layers = unet.get("layers_per_block", 2)
    deepest = max(layers) if isinstance(layers, list) else layers
    skips = sum((deepest + 1) * count * latent_pixels / 4**level for level, count in enumerate(channels))
    # A transformer block's gated feed-forward is 8 wide, what goes in and out of it and into attention more than that.
    working = 20 * channels[0] * latent_pixels
    network = (skips + working) * frames * branches * bytes_per_number
    return MemoryNeed(weights, math.ceil(WORKSPACE * network), math.ceil(WORKSPACE * decoding))


def count_parameters(file: Path) -> int:
    """The numbers in a safetensors file, from its header: eight bytes of length, then JSON.

    https://huggingface.co/docs/safetensors/index#format
    """
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        header = json.loads(opened.read(length))
    return sum(math.prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")


def pipeline_parameters(folder: Path, parts: Mapping[str, Any]) -> dict[str, int]:
    """The numbers in each part of a pipeline on disk; parts without safetensors files are left out.

    Args:
        folder: in diffusers' layout, one folder a part.
        parts: named as in `model_index.json`.
    """
    counts = {}
    for part in parts:
        files = sorted((folder / part).glob("*.safetensors"))
        # Of one network's files in several precisions only the plain ones count: `name.safetensors` or its shards.
        plain = [file for file in files if not file.name.split(".")[-2].startswith(("fp16", "bf16", "non_ema", "ema"))]
        if files:
            counts[part] = sum(count_parameters(file) for file in plain or files[:1])
    return counts
