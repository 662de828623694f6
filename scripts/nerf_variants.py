"""The avatar with one of its ideas taken out: what the ablation table measures."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from baseline_avatar import mean_head_to_torso, whole_person_box
from jaxtyping import Bool, Float, Int
from loss_variants import DistortionLoss, with_structural_loss
from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs
from torch import Tensor

from stage2_nerf.canonical_field import BlendedFrames, CanonicalField
from stage2_nerf.clip_dataparser import (
    SCENE_UNITS_PER_CENTIMETRE,
    PortraitClipDataParser,
    PortraitClipDataParserConfig,
)
from stage2_nerf.deformation import spread_displacements
from stage2_nerf.encodings import BlendedEncoding, BlendedEncodingConfig
from stage2_nerf.pipeline import PortraitEditPipelineConfig
from stage2_nerf.portrait_model import PortraitModel
from stage2_nerf.proxy_grid import ProxyGrid, voxel_centres
from stage2_nerf.proxy_sampler import ProxySampler, RaySegments, intersect_box
from tracking.head_model import HeadModel


@dataclass(frozen=True)
class Variant:
    """One row of the table."""

    what: str
    """What stands in the place of what was taken out."""
    change: Callable[[PortraitEditPipelineConfig], None]
    """Takes it out of a configuration, in place."""


def model(target: type[PortraitModel]) -> Callable[[PortraitEditPipelineConfig], None]:
    """The change that uses another model."""

    def change(config: PortraitEditPipelineConfig) -> None:
        config.model._target = target

    return change


class UniformSampler(ProxySampler):
    """Spreads a ray's samples evenly over its way through the box, whatever is known of the person."""

    @torch.no_grad()
    def forward(
        self,
        origins: Float[Tensor, "rays 3"],
        directions: Float[Tensor, "rays 3"],
        frame: Int[Tensor, "rays"],
        field: CanonicalField,
        blended: BlendedFrames,
        end: Float[Tensor, "rays"] | None = None,
    ) -> RaySegments:
        """As many samples as the guided sampler would have drawn, on every ray that meets the box."""
        del frame, blended, end
        enter, leave = intersect_box(origins, directions, field.box)
        ray = torch.nonzero(leave > enter)[:, 0]
        samples = self.config.samples
        shares = torch.linspace(0, 1, samples + 1, device=origins.device).repeat(len(ray), 1)
        if self.training:
            shares[:, 1:-1] += (torch.rand_like(shares[:, 1:-1]) - 0.5) / samples
        return RaySegments(ray, torch.lerp(enter[ray, None], leave[ray, None], shares))


class UniformSampling(PortraitModel):
    """Samples are spread evenly instead of being guided by the proxy."""

    def populate_modules(self) -> None:
        super().populate_modules()
        for part in ("head", "torso"):
            proxy: ProxyGrid = self.kwargs["metadata"][f"{part}_proxy"]
            setattr(self, f"{part}_sampler", UniformSampler(self.config.sampler, proxy.hull, proxy.density))


@dataclass
class ConcatenatedCodesConfig(BlendedEncodingConfig):
    """An encoding that is not blended; the decoder is told the code instead."""

    def build(self, code_size: int) -> BlendedEncoding:
        """The encoding that would be blended, as all codes share it, with the code behind its features."""
        return ConcatenatedCodes(super().build(0), code_size)


class ConcatenatedCodes(BlendedEncoding):
    """Features that all codes share, and the code of each point's moment."""

    def __init__(self, shared: BlendedEncoding, code_size: int) -> None:
        super().__init__()
        self.shared, self.code_size = shared, code_size
        self.out_dim = shared.out_dim + code_size

    def blend(self, codes: Float[Tensor, "frames code"]) -> Float[Tensor, "frames numbers"]:
        """The codes, and behind them the shared tables as the shared encoding hands them to itself."""
        tables = self.shared.blend(codes[:, :0])
        self.table_shape = tables.shape[1:]
        return torch.cat([codes, tables.flatten(1)], dim=1)

    def forward(
        self, positions: Float[Tensor, "points 3"], frame: Int[Tensor, "points"], blended: Tensor
    ) -> Float[Tensor, "points features"]:
        """The shared features, and each point's moment's code."""
        codes, tables = blended[:, : self.code_size], blended[:, self.code_size :]
        return torch.cat([self.shared(positions, frame, tables.unflatten(1, self.table_shape)), codes[frame]], dim=-1)


def concatenated_codes(config: PortraitEditPipelineConfig) -> None:
    """Tell the decoders the code instead of blending the encodings by it."""
    for part in (config.model.head, config.model.torso):
        values = {name: getattr(part.encoding, name) for name in part.encoding.__dataclass_fields__}
        part.encoding = ConcatenatedCodesConfig(**values)


class NoKnownDisplacement(PortraitModel):
    """The deformation starts from nothing, and has only what it learns."""

    def populate_modules(self) -> None:
        metadata: dict[str, Any] = self.kwargs["metadata"]
        nothing = torch.zeros_like(metadata["expression_displacement"])
        self.kwargs["metadata"] = {**metadata, "expression_displacement": nothing}
        super().populate_modules()


class NoPoseRefinement(PortraitModel):
    """Poses of head and torso stay as they were tracked; the expressions are refined."""

    frozen = ("head", "torso")

    def populate_modules(self) -> None:
        super().populate_modules()
        for name in self.frozen:
            getattr(self.refinement, name).requires_grad_(False)


class NoRefinement(NoPoseRefinement):
    """Poses and expressions stay as they were tracked."""

    frozen = ("head", "torso", "code")


@dataclass
class OneFieldDataParserConfig(PortraitClipDataParserConfig):
    """A tracked clip whose torso belongs to the head."""

    _target: type = field(default_factory=lambda: OneFieldDataParser)


@dataclass
class OneFieldDataParser(PortraitClipDataParser):
    """Makes the head's box and hull hold the torso as well, where it is in the mean, and the torso's own nothing."""

    config: OneFieldDataParserConfig

    def _generate_dataparser_outputs(self, split: str = "train", **kwargs: Any) -> DataparserOutputs:
        outputs = super()._generate_dataparser_outputs(split, **kwargs)
        head, torso = outputs.metadata["head_proxy"], outputs.metadata["torso_proxy"]
        head_to_torso = outputs.metadata["head_to_torso"]
        box = whole_person_box(head, torso, head_to_torso)
        nodes = torch.from_numpy(voxel_centres(box.numpy(), self.config.proxy_resolution)).float()
        transform = mean_head_to_torso(head_to_torso)
        places = ((head, nodes), (torso, nodes @ transform[:3, :3].T + transform[:3, 3]))
        hull = torch.stack([look_up(proxy.hull.float(), proxy.box, positions) for proxy, positions in places]) > 0.5
        density = torch.stack([look_up(proxy.density, proxy.box, positions) for proxy, positions in places])
        shape = (self.config.proxy_resolution,) * 3
        whole = ProxyGrid(box, hull.any(0).view(shape), (density * hull).amax(0).view(shape))
        nothing = ProxyGrid(torso.box, torch.zeros_like(torso.hull), torso.density)
        heads, scale = HeadModel.load(), SCENE_UNITS_PER_CENTIMETRE
        displacement = spread_displacements(
            heads.neutral(self.clip.track.identity) * scale,
            heads.expression_deltas * scale,
            box.numpy(),
            self.config.displacement_resolution,
            reach=1.5 * scale,
        )
        outputs.metadata = {
            **outputs.metadata,
            "head_proxy": whole,
            "torso_proxy": nothing,
            "expression_displacement": torch.from_numpy(displacement),
        }
        return outputs


def look_up(
    grid: Float[Tensor, "depth height width"], box: Float[Tensor, "2 3"], positions: Float[Tensor, "points 3"]
) -> Float[Tensor, "points"]:
    """A grid's values at positions in its space; 0 outside of its box."""
    inside: Bool[Tensor, "points"] = ((positions >= box[0]) & (positions <= box[1])).all(-1)
    places = (positions - box[0]) / (box[1] - box[0]) * 2 - 1
    found = F.grid_sample(grid[None, None], places[None, :, None, None], align_corners=True)
    return found.flatten() * inside


def one_field(config: PortraitEditPipelineConfig) -> None:
    """Leave the torso to the head's field."""
    parser = config.datamanager.dataparser
    values = {name: getattr(parser, name) for name in parser.__dataclass_fields__ if name != "_target"}
    config.datamanager.dataparser = OneFieldDataParserConfig(**values)


def unchanged(config: PortraitEditPipelineConfig) -> None:
    """The method as registered."""


def setting(path: str, value: Any) -> Callable[[PortraitEditPipelineConfig], None]:
    """The change that sets one value of the configuration, such as `model.matte_weight`."""

    def change(config: PortraitEditPipelineConfig) -> None:
        *parents, name = path.split(".")
        owner: Any = config
        for parent in parents:
            owner = getattr(owner, parent)
        assert hasattr(owner, name), path
        setattr(owner, name, value)

    return change


def all_of(*changes: Callable[[PortraitEditPipelineConfig], None]) -> Callable[[PortraitEditPipelineConfig], None]:
    """Several changes as one."""

    def change(config: PortraitEditPipelineConfig) -> None:
        for each in changes:
            each(config)

    return change


VARIANTS = {
    "full": Variant("the method as registered", unchanged),
    "guided sampling": Variant("as many samples, spread evenly over the box", model(UniformSampling)),
    "blended encodings": Variant("the code is handed to the decoder beside shared features", concatenated_codes),
    "deformation basis": Variant("the deformation is learned from nothing", model(NoKnownDisplacement)),
    "pose refinement": Variant("poses stay as they were tracked", model(NoPoseRefinement)),
    "pose and expression refinement": Variant("both stay as they were tracked", model(NoRefinement)),
    "torso field": Variant("the head's field holds the torso too", one_field),
    "matte loss": Variant("weight 0", setting("model.matte_weight", 0.0)),
    "deformation's regulariser": Variant("weight 0", setting("model.deformation_weight", 0.0)),
    "refinement's regularisers": Variant(
        "weights 0", all_of(setting("model.refinement_weight", 0.0), setting("model.refinement_smoothness", 0.0))
    ),
    "more rays on eyes and mouth": Variant(
        "as many as on skin", setting("datamanager.pixel_sampler.eyes_and_mouth_weight", 1.0)
    ),
    "more rays on the matte's edge": Variant(
        "as many as on skin", setting("datamanager.pixel_sampler.edge_weight", 1.0)
    ),
    "more rays on errors": Variant("errors are not looked at", setting("datamanager.pixel_sampler.error_share", 0.0)),
    "more rays on rare expressions": Variant(
        "all frames alike", setting("datamanager.pixel_sampler.rare_expression_weight", 1.0)
    ),
    "frames that wear others' expressions": Variant(
        "every frame wears its own", setting("datamanager.pixel_sampler.exchanged_frames", 0)
    ),
    "rays swung aside": Variant("none: what no camera filmed is left as it comes", setting("model.side_weight", 0.0)),
    "distortion loss, put in": Variant("Mip-NeRF 360's, on the head", model(DistortionLoss)),
    "structural loss, put in": Variant("DSSIM of patches, a quarter of the rays", with_structural_loss),
}
"""What is taken out, or put in, by the name of its row. The first is whole. A new idea gets a row here."""
