"""LPIPS: how different two pictures look to a network that has learned to see (Zhang et al., CVPR 2018).

Features of AlexNet, normalised over their channels, squared differences weighted as the authors learned it, averaged
over places and summed over five layers. The number of the whole frame is exactly torchmetrics'; parts of the frame take
the average of the differences, enlarged to the frame's size, over their pixels: a crop of a mouth would be too small
for the network. AlexNet's weights are not shipped with torchmetrics and must be on the machine; the learned weighting
is.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float32
from torch import Tensor

from evaluation.areas import AREAS, area_weights
from evaluation.curves import Curves, mean_measure
from evaluation.image_quality import weighted_mean
from evaluation.measurement import FramePair, Measure, Picture
from evaluation.shrinking import shrink
from evaluation.weights import ALEXNET
from tracking.errors import UserError

if TYPE_CHECKING:
    from torchmetrics.functional.image.lpips import _LPIPS

WORKING_SIZE = 512
"""Longer side, in pixels, of the pictures that are compared; larger ones are shrunk."""


MEANINGS = {
    f"lpips{area}": f"LPIPS with AlexNet (Zhang et al. 2018), {where}, at most {WORKING_SIZE} pixels."
    for area, where in AREAS.items()
}


class PerceptualDistance:
    """LPIPS of the edited frames against the source's, whole and in parts."""

    def __init__(self, network: "_LPIPS") -> None:
        self._network = network
        self._curves = Curves(MEANINGS)

    def update(self, pair: FramePair) -> None:
        """Compare the two pictures in every area that is known."""
        pair = shrink(pair, WORKING_SIZE)
        whole, places = perceptual_difference(self._network, pair.source, pair.edited)
        numbers = {f"lpips{area}": weighted_mean(places, weight) for area, weight in area_weights(pair).items()}
        self._curves.add({**numbers, "lpips": whole})

    def measures(self) -> list[Measure]:
        """LPIPS in every area."""
        missing = "No frame's matte or landmarks are known, so this part of it cannot be told."
        return [
            mean_measure(name, self._curves[name], meaning, better="lower", missing=missing)
            for name, meaning in MEANINGS.items()
        ]


def perceptual_difference(
    network: "_LPIPS", first: Picture, second: Picture
) -> tuple[float, Float32[np.ndarray, "height width"]]:
    """LPIPS of two pictures, and where it comes from."""
    shape = first.shape[:2]
    with torch.inference_mode():
        features = [network.net(network.scaling_layer(_to_range(picture, network))) for picture in (first, second)]
        whole, places = torch.zeros(()), torch.zeros(shape)
        for layer, (one, other) in enumerate(zip(*features, strict=True)):
            difference = network.lins[layer]((F.normalize(one, dim=1) - F.normalize(other, dim=1)) ** 2)
            whole += difference.mean().cpu()
            places += F.interpolate(difference, shape, mode="bilinear", align_corners=False)[0, 0].cpu()
    return float(whole), places.numpy()


def load_alexnet(folder: Path, device: torch.device | str = "cpu") -> "_LPIPS":
    """LPIPS's network with AlexNet's trained features.

    Args:
        folder: where `alexnet-owt-7be5be79.pth` lies, torchvision's file.

    Raises:
        UserError: the file does not hold AlexNet's features.
    """
    # Importing torchmetrics takes seconds, and few have the weights.
    from torchmetrics.functional.image.lpips import _LPIPS

    path = folder / ALEXNET.files[0]
    state = torch.load(path, map_location="cpu", weights_only=True)
    # Without `pnet_rand` torchmetrics would download what we have.
    network = _LPIPS(pretrained=True, net="alex", pnet_rand=True)
    # Its slices keep the numbers that the layers have in torchvision: slice2.3 is features.3.
    own = {name: f"features.{name.split('.', 1)[1]}" for name in network.net.state_dict()}
    try:
        network.net.load_state_dict({name: state[theirs] for name, theirs in own.items()})
    except (KeyError, RuntimeError) as error:
        raise UserError(f"{path} does not hold AlexNet's weights: {ALEXNET.source}.") from error
    return network.to(device)


def _to_range(picture: Picture, network: "_LPIPS") -> Tensor:
    """The network's own range, [-1, 1]."""
    device = next(network.parameters()).device
    return torch.from_numpy(picture).to(device).permute(2, 0, 1)[None].float() / 127.5 - 1
