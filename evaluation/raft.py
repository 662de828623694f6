"""Optical flow by RAFT-small (Teed and Deng, ECCV 2020), from the authors' own file of weights.

torchvision has the same network with other names for its layers. Slower than DIS by far on a CPU, and surer of smooth
surfaces: 0.4 pixels is what the two differ by on a talking head.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.models.optical_flow import raft_small

from evaluation.optical_flow import Flow, Picture
from tracking.errors import UserError

UPDATES = 12
"""How often the flow is refined; as in training."""
LEAST_SIZE = 128
"""Pixels a side that the network's pyramid needs; smaller pictures are extended by their border."""
STRIDE = 8

RENAMED = (
    (r"^module\.", ""),
    (r"^fnet\.", "feature_encoder."),
    (r"^cnet\.", "context_encoder."),
    (r"^(\w+_encoder)\.conv1\.", r"\1.convnormrelu.0."),
    (r"^(\w+_encoder)\.conv2\.", r"\1.conv."),
    (r"(layer\d\.\d)\.conv(\d)\.", r"\1.convnormrelu\2.0."),
    (r"^update_block\.encoder\.convc1\.", "update_block.motion_encoder.convcorr1.0."),
    (r"^update_block\.encoder\.convf(\d)\.", r"update_block.motion_encoder.convflow\1.0."),
    (r"^update_block\.encoder\.conv\.", "update_block.motion_encoder.conv.0."),
    (r"^update_block\.gru\.", "update_block.recurrent_block.convgru1."),
)
"""From the authors' names to torchvision's; applied one after the other."""


class RaftSmall:
    """Flow by a trained RAFT-small."""

    def __init__(self, weights: Path, device: torch.device | str = "cpu") -> None:
        """Load `raft-small.pth`.

        Raises:
            UserError: the file is not RAFT-small's.
        """
        self._device = torch.device(device)
        # weights_only: the file may come from anywhere, and must not run code.
        state = torch.load(weights, map_location="cpu", weights_only=True)
        self._network = raft_small(weights=None, progress=False).eval().to(self._device)
        try:
            self._network.load_state_dict(with_torchvision_names(state))
        except RuntimeError as error:
            raise UserError(
                f"{weights} does not hold RAFT-small's weights: take raft-small.pth of github.com/princeton-vl/RAFT."
            ) from error

    def flow(self, origin: Picture, destination: Picture) -> Flow:
        """Where each pixel of the first picture lies in the second, in pixels."""
        height, width = origin.shape[:2]
        first, second = (self._prepare(picture) for picture in (origin, destination))
        with torch.inference_mode():
            flow = self._network(first, second, num_flow_updates=UPDATES)[-1]
        return np.ascontiguousarray(flow[0, :, :height, :width].permute(1, 2, 0).cpu().numpy())

    def _prepare(self, picture: Picture) -> Tensor:
        image = torch.from_numpy(picture).to(self._device).permute(2, 0, 1)[None].float() / 127.5 - 1
        right, below = (_padding(size) for size in (picture.shape[1], picture.shape[0]))
        return F.pad(image, (0, right, 0, below), mode="replicate")


def _padding(size: int) -> int:
    """How many pixels must be added for the network to take the picture."""
    return max(-(-size // STRIDE) * STRIDE, LEAST_SIZE) - size


def with_torchvision_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The authors' weights under the names of torchvision's `raft_small`."""
    renamed = {}
    for name, value in state.items():
        for pattern, replacement in RENAMED:
            name = re.sub(pattern, replacement, name)
        renamed[name] = value
    return renamed
