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

Each is computed for every frame by itself; what is reported is the mean over frames (of decibels, for the PSNRs). SSIM
and PSNR of the whole frame include the background outside the matte, which is exact wherever the avatar is clear.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Float, UInt8
from nerfstudio.cameras.cameras import Cameras
from torch import Tensor, nn
from torchmetrics.functional.image import structural_similarity_index_measure

from stage2_nerf.datamanager import PortraitDataset
from stage2_nerf.losses import over
from stage2_nerf.portrait_model import psnr
from tracking.clip import TrackedClip
from tracking.face_regions import LEFT_EYE, OUTER_LIPS, RIGHT_EYE

HELD_OUT_INTERVAL = 8
"""Every so many-th tracked frame is not trained on."""
BOX_MARGIN = 0.25
"""What is added to the boxes around mouth and eyes on every side, as a fraction of their width."""
LPIPS_BACKBONE = "alexnet-owt-7be5be79.pth"
"""torchvision's file of AlexNet's weights, below `hub/checkpoints/` of torch's folder."""

Picture = UInt8[np.ndarray, "height width 3"]


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
    rendered = over(outputs["foreground"].cpu(), outputs["accumulation"].cpu(), frame.background).clamp(0, 1)
    return RenderedFrame(to_levels(frame.image), to_levels(rendered), compare(rendered, frame), seconds)


def compare(rendered: Float[Tensor, "height width 3"], frame: FilmedFrame) -> FrameQuality:
    """How close a rendered frame is to the filmed one; the module says what each number is."""
    height, width = frame.matte.shape[:2]
    everywhere = torch.ones_like(frame.matte)
    mouth, eyes = (
        landmark_box(frame.landmarks[list(points)], height, width) for points in (OUTER_LIPS, (*LEFT_EYE, *RIGHT_EYE))
    )
    pair = (rendered.permute(2, 0, 1)[None], frame.image.permute(2, 0, 1)[None])
    ssim = structural_similarity_index_measure(*pair, data_range=1.0)
    assert isinstance(ssim, Tensor)
    perceptual = perceptual_distance()
    return FrameQuality(
        psnr_in_matte=float(psnr(rendered, frame.image, frame.matte)),
        psnr=float(psnr(rendered, frame.image, everywhere)),
        psnr_mouth=float(psnr(rendered[mouth], frame.image[mouth], everywhere[mouth])),
        psnr_eyes=float(psnr(rendered[eyes], frame.image[eyes], everywhere[eyes])),
        ssim=float(ssim),
        lpips=None if perceptual is None else float(perceptual(*pair)),
    )


def landmark_box(points: Float[np.ndarray, "points 2"], height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of the widened box around landmarks, as far as the picture goes."""
    low, high = points.min(axis=0), points.max(axis=0)
    margin = BOX_MARGIN * (high[0] - low[0])
    left, top = np.floor(low - margin).clip(0).astype(int)
    right, bottom = np.ceil(high + margin).clip(max=(width, height)).astype(int)
    return slice(top, bottom), slice(left, right)


def lpips_backbone() -> Path:
    """Where AlexNet's weights are looked for."""
    return Path(torch.hub.get_dir()) / "checkpoints" / LPIPS_BACKBONE


@cache
def perceptual_distance() -> nn.Module | None:
    """LPIPS of pictures in [0, 1], or none where its weights are not on this machine: nothing is downloaded."""
    if not lpips_backbone().is_file():
        return None
    # Building it reads the weights, so nothing is imported where they are not.
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    return LearnedPerceptualImagePatchSimilarity(net_type="alex", normalize=True).eval()


def mean_quality(frames: Sequence[RenderedFrame]) -> dict[str, float | None]:
    """Each measure's mean over frames; none where it was not measured."""
    rows = [asdict(frame.quality) for frame in frames]
    return {
        name: None if rows[0][name] is None else round(float(np.mean([row[name] for row in rows])), 4)
        for name in rows[0]
    }


def what_is_missing() -> dict[str, str]:
    """The measures that have no numbers on this machine, and what to do about it."""
    if perceptual_distance() is not None:
        return {}
    return {
        "lpips": f"AlexNet's weights are not here: put torchvision's {LPIPS_BACKBONE} into torch's hub/checkpoints."
    }


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
