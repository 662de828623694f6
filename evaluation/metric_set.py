"""All metrics of an evaluation, each ready to be handed frames; those that lack something say what."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from evaluation import clip_similarity, identity, perceptual_distance, published_faces
from evaluation.background import BackgroundKept
from evaluation.clip_model import load_clip
from evaluation.clip_similarity import ClipSimilarity
from evaluation.curves import Missing
from evaluation.expressions import ExpressionsKept
from evaluation.face_embedding import MobileFaceNet
from evaluation.face_reader import LandmarkerReader
from evaluation.flow_warp import FlowWarpError
from evaluation.head_rotation import HeadRotation
from evaluation.identity import IdentityKept
from evaluation.landmark_distance import LandmarkDistance
from evaluation.lip_sync import LipSync
from evaluation.matte_overlap import MatteOverlap
from evaluation.measurement import Measure, Metric
from evaluation.optical_flow import DenseInverseSearch, FlowEstimator
from evaluation.perceptual_distance import PerceptualDistance, load_alexnet
from evaluation.published_faces import PublishedFaces
from evaluation.raft import RaftSmall
from evaluation.reconstruction import ReconstructionQuality
from evaluation.sharpness import Sharpness
from evaluation.target_fit import TargetFit
from evaluation.weights import (
    ALEXNET,
    CLIP,
    FACE_EMBEDDING,
    FACE_LANDMARKER,
    RAFT_SMALL,
    MissingWeightsError,
    find_weights,
)


@dataclass
class MetricsConfig:
    """What is measured, and with which networks."""

    weights_dir: Path | None = None
    """A folder with weights of trained networks, or with folders of them; the usual caches are searched after it."""
    flow: Literal["dis", "raft-small"] = "dis"
    """Optical flow of the flow-warp error: OpenCV's DIS, or RAFT-small, which needs its weights and is far slower on a
    CPU."""
    flow_distances: tuple[int, ...] = (1, 8, 30)
    """How many frames lie between those that the flow-warp error compares."""
    matte_interval: int = 4
    """The edit is cut out anew in every so many-th frame, to compare outlines; 0 leaves it out."""
    clip_interval: int = 1
    """CLIP looks at every so many-th frame; on a CPU its largest model takes a second for each."""


@dataclass(frozen=True)
class EditQuestion:
    """What is to be found out about an edit."""

    region: str = "person"
    """The part of the person that was to be edited, of `tracking.regions.REGIONS`."""
    source_caption: str = ""
    """What the source shows, for CLIP, such as "a photo of a man"; empty leaves out what needs it."""
    edited_caption: str = ""
    """What the edit should show, for CLIP, such as "a bronze statue of a man"; empty leaves out what needs it."""
    expression_names: tuple[str, ...] = ()
    """Of the expressions in `FaceMeasurement`, in their order."""
    is_reconstruction: bool = False
    """Whether the video is the avatar without an edit, and should equal the source."""


def build_metrics(
    config: MetricsConfig, question: EditQuestion, device: torch.device | str | None = None
) -> list[Metric]:
    """The metrics that answer the question.

    Args:
        device: of the networks; CUDA if there is any, and otherwise the CPU.

    Raises:
        UserError: the optical flow that was asked for has no weights, or weights are not what they should be.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    regions = ("hair",) if question.region in ("person", "hair") else ("hair", question.region)
    metrics: list[Metric] = [
        FlowWarpError(config.flow_distances, regions, build_flow(config, device)),
        Sharpness(),
        LandmarkDistance(),
        ExpressionsKept(question.expression_names),
        HeadRotation(),
        LipSync(),
        _published_faces(config),
        _identity(config, device),
        BackgroundKept(),
    ]
    if config.matte_interval:
        metrics.append(MatteOverlap(config.matte_interval))
    if question.is_reconstruction:
        return [ReconstructionQuality(), _perceptual(config, device), *metrics]
    return [*metrics, TargetFit(question.region), _clip(config, question, device)]


def build_flow(config: MetricsConfig, device: torch.device | str = "cpu") -> FlowEstimator:
    """The optical flow that the configuration asks for.

    Raises:
        MissingWeightsError: it has no weights. It was asked for by name, so another would be a surprise.
    """
    if config.flow == "dis":
        return DenseInverseSearch()
    return RaftSmall(find_weights(RAFT_SMALL, config.weights_dir) / RAFT_SMALL.files[0], device)


def _published_faces(config: MetricsConfig) -> Metric:
    def build() -> Metric:
        task = find_weights(FACE_LANDMARKER, config.weights_dir) / FACE_LANDMARKER.files[0]
        return PublishedFaces(lambda: LandmarkerReader(task))

    return _or_missing(
        build,
        [
            Measure(name, None, meaning, better=published_faces.better_of(name))
            for name, meaning in published_faces.MEANINGS.items()
        ],
    )


def _identity(config: MetricsConfig, device: torch.device | str) -> Metric:
    return _or_missing(
        lambda: IdentityKept(MobileFaceNet(find_weights(FACE_EMBEDDING, config.weights_dir), device)),
        [Measure(name, None, meaning, better="higher") for name, meaning in identity.MEANINGS.items()],
    )


def _perceptual(config: MetricsConfig, device: torch.device | str) -> Metric:
    return _or_missing(
        lambda: PerceptualDistance(load_alexnet(find_weights(ALEXNET, config.weights_dir), device)),
        [Measure(name, None, meaning, better="lower") for name, meaning in perceptual_distance.MEANINGS.items()],
    )


def _clip(config: MetricsConfig, question: EditQuestion, device: torch.device | str) -> Metric:
    return _or_missing(
        lambda: ClipSimilarity(
            load_clip(find_weights(CLIP, config.weights_dir), device),
            question.source_caption,
            question.edited_caption,
            config.clip_interval,
        ),
        [
            Measure(name, None, meaning, better=clip_similarity.better_of(name))
            for name, meaning in clip_similarity.MEANINGS.items()
        ],
    )


def _or_missing(build: Callable[[], Metric], measures: Sequence[Measure]) -> Metric:
    """The metric, or what it would have said where its weights or their package are not on this machine."""
    try:
        return build()
    except (MissingWeightsError, ImportError) as error:
        return Missing(measures, str(error))
