"""tiny-cuda-nn's hash grids and fused networks, and the same in torch, parameter for parameter.

The parameters lie in one flat array, in tiny-cuda-nn's order, whoever computes with them: on a CUDA device with
tinycudann its kernels do, elsewhere torch does, slowly. So a checkpoint of the one is a checkpoint of the other. The
order is read from tiny-cuda-nn's source (2026-04: `grid_index`, `grid_scale`, `pos_fract` in `common_device.h`,
`params_in_level` in `encodings/grid.h`, the padding in `encodings/identity.h`, `initialize_params` in
`src/fully_fused_mlp.cu`); the tests that hold the two against each other run where CUDA and tinycudann are. Because an
order that was misread would render nonsense, encodings carry a few known values and compare them when they are loaded
(`encodings.BlendedHashGrids`).
"""

from functools import lru_cache
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from tracking.errors import UserError

Implementation = Literal["auto", "tcnn", "torch"]
"""Who computes on a CUDA device; auto takes tiny-cuda-nn where it is. Elsewhere torch always does."""

PRIMES = (1, 2654435761, 805459861)
"""The spatial hash's factors (Mueller et al. 2022, eq. 4)."""

FUSED_WIDTHS = (16, 32, 64, 128)
"""Neurons in a hidden layer that tiny-cuda-nn's fused networks can have."""


def has_tiny_cuda() -> bool:
    """Whether this machine can compute with tiny-cuda-nn."""
    return torch.cuda.is_available() and find_spec("tinycudann") is not None


@lru_cache(maxsize=1)
def load_tinycudann() -> Any:
    """Import tinycudann.

    Raises:
        UserError: it is not here, or no CUDA device is; the message names the cure.
    """
    if not torch.cuda.is_available():
        raise UserError("tiny-cuda-nn needs a CUDA device: leave the encodings' hash_implementation at auto.")
    try:
        import tinycudann  # pyright: ignore[reportMissingImports]
    except (ImportError, OSError) as error:  # Built for another GPU, it raises OSError.
        raise UserError(
            "tiny-cuda-nn cannot be imported: pip install --no-build-isolation "
            "git+https://github.com/NVlabs/tiny-cuda-nn/#subdirectory=bindings/torch, or take encodings of kind planes."
        ) from error
    return tinycudann


class HashGrid(nn.Module):
    """A multi-resolution hash grid (Mueller et al. 2022)."""

    def __init__(
        self,
        levels: int,
        coarsest: int,
        finest: int,
        log2_entries: int,
        features: int,
        implementation: Implementation,
    ) -> None:
        """Start within 1e-4 of zero.

        Args:
            levels: how many grids of growing resolution.
            coarsest, finest: vertices along a side of the first and of the last.
            log2_entries: logarithm of the most entries that a level may have.
            features: of each level; 1, 2, 4 or 8.
            implementation: who looks up on a CUDA device.
        """
        super().__init__()
        growth = float(np.exp(np.log(finest / coarsest) / max(levels - 1, 1)))
        # In single precision, as tiny-cuda-nn computes it: ceil of a rounded number decides a level's size.
        log2_growth = np.log2(np.float32(growth))
        self.scales = [
            float(np.exp2(np.float32(level) * log2_growth) * np.float32(coarsest) - np.float32(1))
            for level in range(levels)
        ]
        self.resolutions = [int(np.ceil(np.float32(scale))) + 1 for scale in self.scales]
        self.entries = [min(-(-(side**3) // 8) * 8, 1 << log2_entries) for side in self.resolutions]
        self.features = features
        self.out_dim = levels * features
        self.native: tuple[Any, ...] = ()
        if implementation == "tcnn" or (implementation == "auto" and has_tiny_cuda()):
            settings = {
                "otype": "HashGrid",
                "n_levels": levels,
                "n_features_per_level": features,
                "log2_hashmap_size": log2_entries,
                "base_resolution": coarsest,
                "per_level_scale": growth,
            }
            # In a tuple, so that it is no submodule: its one parameter is registered here, under one name for both.
            self.native = (load_tinycudann().Encoding(3, settings),)
            self.params: nn.Parameter = self.native[0].params
            assert self.params.numel() == sum(self.entries) * features, "tiny-cuda-nn lays its tables out otherwise"
        else:
            self.params = nn.Parameter(1e-4 * (2 * torch.rand(sum(self.entries) * features) - 1))

    def forward(self, unit: Float[Tensor, "points 3"]) -> Float[Tensor, "points features"]:
        """Features at positions in [0, 1], level by level."""
        if self.native and unit.is_cuda:
            return self.native[0](unit).float()
        table = self.params.view(-1, self.features)
        found = []
        start = 0
        for scale, side, entries in zip(self.scales, self.resolutions, self.entries, strict=True):
            found.append(self.look_up(table[start : start + entries], unit, scale, side))
            start += entries
        return torch.cat(found, dim=1)

    def look_up(
        self, table: Float[Tensor, "entries features"], unit: Float[Tensor, "points 3"], scale: float, side: int
    ) -> Float[Tensor, "points features"]:
        """One level's features. Dense levels count x, y, z; where the table is smaller than that, places are hashed."""
        steps = unit * scale + 0.5
        low = steps.detach().floor()
        between = steps - low
        corner = low.long()
        found = torch.zeros(len(unit), self.features, device=unit.device)
        for number in range(8):
            offset = torch.tensor([number & 1, number >> 1 & 1, number >> 2], device=unit.device)
            x, y, z = (corner + offset).unbind(1)
            if side**3 <= len(table):
                index = x + y * side + z * side**2
            else:
                index = (x * PRIMES[0]) ^ (y * PRIMES[1]) ^ (z * PRIMES[2])
            share = torch.where(offset.bool(), between, 1 - between).prod(dim=1, keepdim=True)
            found = found + share * table[(index & 0xFFFFFFFF) % len(table)]
        return found


class FusedNetwork(nn.Module):
    """A network of one hidden layer of rectified units, without biases but for inputs that are always 1."""

    def __init__(self, inputs: int, hidden: int, outputs: int, implementation: Implementation) -> None:
        """Start with Glorot's uniform weights.

        Args:
            inputs: numbers that come in. Ones are appended: tiny-cuda-nn pads to a multiple of 16 with them.
            hidden: neurons of the hidden layer.
            outputs: numbers that come out.
            implementation: who computes on a CUDA device.

        Raises:
            UserError: tiny-cuda-nn has no fused network of this width.
        """
        super().__init__()
        self.inputs, self.hidden, self.outputs = inputs, hidden, outputs
        self.register_buffer("sizes", torch.tensor([inputs, hidden, outputs]))
        # One more, so that there is always at least one that is 1.
        self.padded_inputs = -(-(inputs + 1) // 16) * 16
        padded_outputs = -(-outputs // 16) * 16
        count = hidden * (self.padded_inputs + padded_outputs)
        self.native: tuple[Any, ...] = ()
        if implementation == "tcnn" or (implementation == "auto" and has_tiny_cuda()):
            if hidden not in FUSED_WIDTHS:
                raise UserError(f"tiny-cuda-nn's networks have 16, 32, 64 or 128 hidden neurons, not {hidden}.")
            settings = {
                "otype": "FullyFusedMLP",
                "activation": "ReLU",
                "output_activation": "None",
                "n_neurons": hidden,
                "n_hidden_layers": 1,
            }
            self.native = (load_tinycudann().Network(inputs + 1, outputs, settings),)
            self.params: nn.Parameter = self.native[0].params
            assert self.params.numel() == count, "tiny-cuda-nn lays its networks out otherwise"
        else:
            self.params = nn.Parameter(torch.empty(count))
            with torch.no_grad():
                for weights in self.weights():
                    nn.init.xavier_uniform_(weights)

    def weights(self) -> tuple[Float[Tensor, "hidden padded_inputs"], Float[Tensor, "padded_outputs hidden"]]:
        """Views of the parameters as the two layers' matrices."""
        split = self.hidden * self.padded_inputs
        return self.params[:split].view(self.hidden, self.padded_inputs), self.params[split:].view(-1, self.hidden)

    def forward(self, values: Float[Tensor, "points inputs"]) -> Float[Tensor, "points outputs"]:
        """The network's output."""
        if self.native and values.is_cuda:
            return self.native[0](F.pad(values, (0, 1), value=1.0)).float()
        first, second = self.weights()
        # The columns of ones all add the same: a bias.
        hidden = torch.relu(F.linear(values, first[:, : self.inputs], first[:, self.inputs :].sum(1)))
        return F.linear(hidden, second[: self.outputs])
