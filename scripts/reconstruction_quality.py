"""How close rendered frames are to the filmed ones: what every measure of reconstruction means.

A rendering is laid over the frame's own background (the filmed pixels where the matte is 0, what was filmed nearby or
at other times under the person) and compared with the frame as it was filmed. Colours are RGB in [0, 1], at the size
of the clip's images:

    psnr_in_matte     -10 log10 of the frame's mean squared error weighted by the matte, over its pixels and channels
    psnr              the same, unweighted, of the whole frame
    psnr_mouth, _eyes the same, unweighted, inside the box around the lips' or both eyes' landmarks of that frame,
                      widened by a quarter of its own width on every side
    ssim              structural similarity of the whole frame (Wang et al. 2004; Gaussian window, deviation 1.5)
    lpips             learned perceptual distance of the whole frame (Zhang et al. 2018; AlexNet), where its weights are

They are the definitions of the evaluation room, on 8-bit pictures. Each is computed for every frame by itself; what is
reported is the mean over frames (of decibels, for the PSNRs). SSIM and PSNR of the whole frame include the background
outside the matte, which is exact wherever the avatar is clear.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras
from torch import Tensor
from torchmetrics.functional.image.lpips import _LPIPS

from evaluation.areas import EYES, MOUTH, face_boxes
from evaluation.image_quality import psnr, ssim_map, weighted_mean
from evaluation.measurement import Picture
from evaluation.perceptual_distance import load_alexnet, perceptual_difference
from evaluation.weights import ALEXNET, MissingWeightsError, find_weights
from stage2_nerf.datamanager import PortraitDataset
from stage2_nerf.losses import over
from tracking.clip import TrackedClip

HELD_OUT_INTERVAL = 8
"""Every so many-th tracked frame is not trained on."""


class Avatar(Protocol):
    """A model that renders a person without a background."""

    @property
    def device(self) -> Any: ...

    def render_frame(self, camera: Cameras) -> dict[str, Tensor]:
        """`foreground` (premultiplied colour) and `accumulation` (opacity), image-shaped."""
        ...


@dataclass(frozen=True)
class FilmedFrame:
    """A frame as it was filmed, and what a rendering of it needs."""

    number: int
    """In the source video."""
    camera: Cameras
    """The one that filmed it."""
    image: Float[Tensor, "height width 3"]
    matte: Float[Tensor, "height width 1"]
    background: Float[Tensor, "height width 3"]
    landmarks: Float[np.ndarray, "478 2"]


@dataclass(frozen=True)
class FrameQuality:
    """How close one rendered frame is to the filmed one."""

    psnr_in_matte: float
    psnr: float
    psnr_mouth: float
    psnr_eyes: float
    ssim: float
    lpips: float | None
    """None where LPIPS' weights are not on this machine."""


@dataclass(frozen=True)
class RenderedFrame:
    """A frame as filmed and as rendered, and what the rendering took."""

    filmed: Picture
    rendered: Picture
    quality: FrameQuality
    seconds: float


def filmed_frames(dataset: PortraitDataset, rows: Sequence[int] | None = None) -> list[FilmedFrame]:
    """Some of a dataset's frames; all of them where none are named."""
    clip: TrackedClip = dataset.metadata["clip"]
    frames = []
    for row in range(len(dataset)) if rows is None else rows:
        data, number = dataset[row], int(dataset.metadata["frames"][row])
        frames.append(
            FilmedFrame(
                number,
                dataset.cameras[row : row + 1],
                in_unit_range(data["image"]),
                in_unit_range(data["matte"]),
                in_unit_range(data["background"]),
                clip.track.landmarks[number],
            )
        )
    return frames


def in_unit_range(values: Tensor) -> Float[Tensor, "height width channels"]:
    """8-bit levels as numbers in [0, 1]; those that already are, as they are."""
    return values if values.is_floating_point() else values.float() / 255


def render_all(avatar: Avatar, frames: Sequence[FilmedFrame]) -> list[RenderedFrame]:
    """Render frames and compare them with what was filmed."""
    avatar.render_frame(frames[0].camera.to(avatar.device))  # The first rendering also allocates.
    return [render(avatar, frame) for frame in frames]


@torch.no_grad()
def render(avatar: Avatar, frame: FilmedFrame) -> RenderedFrame:
    """Render a frame over its own background and compare it with what was filmed."""
    camera = frame.camera.to(avatar.device)
    start = time.perf_counter()
    outputs = avatar.render_frame(camera)
    if torch.device(avatar.device).type == "cuda":
        torch.cuda.synchronize()
    seconds = time.perf_counter() - start
    picture = over(outputs["foreground"].cpu(), outputs["accumulation"].cpu(), frame.background).clamp(0, 1)
    rendered = to_levels(picture)
    return RenderedFrame(to_levels(frame.image), rendered, compare(rendered, frame), seconds)


def compare(rendered: Picture, frame: FilmedFrame) -> FrameQuality:
    """How close a rendered frame is to the filmed one; the module says what each number is."""
    filmed = to_levels(frame.image)
    first, second = (picture.astype(np.float32) / 255 for picture in (rendered, filmed))
    boxes = face_boxes(frame.landmarks, *rendered.shape[:2])
    network = perceptual_network()
    return FrameQuality(
        psnr_in_matte=psnr(first, second, frame.matte[..., 0].numpy()),
        psnr=psnr(first, second),
        psnr_mouth=psnr(first[boxes[MOUTH]], second[boxes[MOUTH]]),
        psnr_eyes=psnr(first[boxes[EYES]], second[boxes[EYES]]),
        ssim=weighted_mean(ssim_map(first, second), None),
        lpips=None if network is None else perceptual_difference(network, rendered, filmed)[0],
    )


@cache
def perceptual_network() -> _LPIPS | None:
    """LPIPS' network, or none where its weights are not on this machine."""
    try:
        return load_alexnet(find_weights(ALEXNET))
    except MissingWeightsError:
        return None


def mean_quality(frames: Sequence[RenderedFrame]) -> dict[str, float | None]:
    """Each measure's mean over frames; none where it was not measured."""
    rows = [asdict(frame.quality) for frame in frames]
    return {
        name: None if rows[0][name] is None else round(float(np.mean([row[name] for row in rows])), 4)
        for name in rows[0]
    }


def what_is_missing() -> dict[str, str]:
    """The measures that have no numbers on this machine, and what to do about it."""
    if perceptual_network() is not None:
        return {}
    return {"lpips": f"The weights of {ALEXNET.what} are not on this machine: {ALEXNET.source}."}


def to_levels(image: Float[Tensor, "height width 3"]) -> Picture:
    """An image in [0, 1] in 8 bits."""
    return (image * 255).round().to(torch.uint8).numpy()


def contact_sheet(frames: Sequence[RenderedFrame]) -> Picture:
    """Filmed frames on the left of rendered ones, two pairs to a row."""
    pairs = [np.concatenate([frame.filmed, frame.rendered], axis=1) for frame in frames]
    if len(pairs) % 2:
        pairs.append(np.full_like(pairs[0], 255))
    rows = [np.concatenate(pairs[i : i + 2], axis=1) for i in range(0, len(pairs), 2)]
    return np.concatenate(rows, axis=0)
