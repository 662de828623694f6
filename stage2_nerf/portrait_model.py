"""The avatar: a head and a torso field, posed by the clip's motion, rendered along one ray.

Spaces: rays arrive in head space (the dataparser's cameras are camera-to-head), in scene units of ten centimetres. The
torso field sees the same rays carried to torso space. Samples of both are put in order of distance and composited by
density, so there is no seam at the neck.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.data.scene_box import OrientedBox
from nerfstudio.models.base_model import Model, ModelConfig
from torch import Tensor, nn
from torch.nn import Parameter
from torch.profiler import record_function

from stage2_nerf.camera_rays import picture_rays
from stage2_nerf.canonical_field import BlendedFrames, CanonicalField, CanonicalFieldConfig
from stage2_nerf.expression_track import ExpressionTrack, FrameStates, pose_vectors
from stage2_nerf.frame_quality import frame_quality, psnr
from stage2_nerf.frame_refinement import Corrections, FrameRefinement, carry, move
from stage2_nerf.kernels import on_all_threads
from stage2_nerf.losses import colour_loss, matte_loss, over, style_loss, undecided_loss
from stage2_nerf.near_side import near_side_end
from stage2_nerf.proxy_sampler import ProxySampler, ProxySamplerConfig
from stage2_nerf.side_by_side import at_rest
from stage2_nerf.side_rays import with_rays_aside
from stage2_nerf.styles import Style, StyleConfig, blend_residuals
from stage2_nerf.volume_rendering import FieldSamples, alone_weights, composite, used_up

POINTS_AT_ONCE = 1 << 13
"""Points of a picture that a CPU decodes at once."""
LEAST_STYLED_WEIGHT = 2e-3
"""Share of a ray's colour below which a sample is passed over where a style is trained."""


@dataclass
class PortraitModelConfig(ModelConfig):
    """The avatar's size and what it is trained for."""

    _target: type = field(default_factory=lambda: PortraitModel)
    head: CanonicalFieldConfig = field(default_factory=CanonicalFieldConfig)
    """The field of head and hair, conditioned on the expression."""
    torso: CanonicalFieldConfig = field(
        default_factory=lambda: CanonicalFieldConfig(code_size=4, deformation_resolution=8)
    )
    """The field of neck and shoulders, conditioned on the head's pose on them."""
    enable_collider: bool = False
    """Off: the proxies bound the rays."""
    sampler: ProxySamplerConfig = field(default_factory=ProxySamplerConfig)
    """How rays are sampled, in both fields."""
    style: StyleConfig = field(default_factory=StyleConfig)
    """Size of each prompt's style."""
    style_names: tuple[str, ...] = ()
    """The prompts' keys, filled in by the pipeline."""
    matte_weight: float = 0.1
    """Weight of the rendered opacity's squared error."""
    deformation_weight: float = 0.01
    """Weight of the learned deformations' roughness and size."""
    refinement_weight: float = 0.001
    """Weight of the corrections' size."""
    refinement_smoothness: float = 0.01
    """Weight of the corrections' roughness in time."""
    side_weight: float = 0.01
    """Weight of how undecided the opacity is that rays find which are swung aside; 0 swings none."""
    side_share: float = 0.0625
    """How many such rays there are besides a step's own, as a share of these."""
    side_degrees: float = 30.0
    """How far they are swung to either side at most."""
    background: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Colour behind the person where the scene's own background is not at hand (the viewer, novel views)."""
    rendering_precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """What numbers the fields calculate with when pictures are rendered; auto takes bfloat16 on CUDA."""
    eval_num_rays_per_chunk: int = 1 << 15
    """Rays rendered at once where rays are given rather than cameras; whole pictures are rendered in one go."""


class PortraitModel(Model):
    """An expression-conditioned dynamic NeRF with one style for every prompt."""

    config: PortraitModelConfig
    reconstruction_steps_trained: Tensor

    def populate_modules(self) -> None:
        """Build the fields from what the dataparser hands over in `metadata`."""
        super().populate_modules()
        metadata: dict[str, Any] = self.kwargs["metadata"]
        self.track = ExpressionTrack.of(metadata)
        head_poses = pose_vectors(self.track.head_to_torso, self.track.mean_head_to_torso)
        training_times = torch.from_numpy(metadata["clip"].times[metadata["frames"]]).float()
        self.refinement = FrameRefinement(training_times, self.config.head.code_size)
        head, torso = metadata["head_proxy"], metadata["torso_proxy"]
        expressions, moved = self.track.expression_codes, metadata["expression_displacement"]
        self.head_field = CanonicalField(self.config.head, head.box, expressions, moved, self.track.face_parts)
        self.torso_field = CanonicalField(self.config.torso, torso.box, head_poses, None)
        self.head_sampler = ProxySampler(self.config.sampler, head.hull, head.density)
        self.torso_sampler = ProxySampler(self.config.sampler, torso.hull, torso.density)
        self.head_colour = nn.Linear(self.config.head.feature_size, 3)
        self.torso_colour = nn.Linear(self.config.torso.feature_size, 3)
        self.styles = nn.ModuleDict(
            {name: Style(self.config.style, self.config.head.feature_size) for name in self.config.style_names}
        )
        self.style_weights: dict[str, float] = {}
        """Which styles are shown, and how much of each; the rest is the original."""
        self.register_buffer("reconstruction_steps_trained", torch.zeros((), dtype=torch.long))
        self.shown: Callable[[Cameras], dict[str, Any]] | None = None
        """Says what the viewer wants `render_frame` to show; none where there is no viewer."""

    def get_param_groups(self) -> dict[str, list[Parameter]]:
        """The shared avatar's parameters. Styles have optimizers of their own (`style_training`)."""
        groups: dict[str, list[Parameter]] = {"fields": [], "refinement": []}
        for name, parameter in self.named_parameters():
            if not name.startswith("styles."):
                groups["refinement" if name.startswith("refinement.") else "fields"].append(parameter)
        return groups

    def shared_parameters(self) -> list[Parameter]:
        """Everything but the styles."""
        return [parameter for group in self.get_param_groups().values() for parameter in group]

    def freeze_shared(self, frozen: bool) -> None:
        """Keep the avatar as it is, or let it learn: styles are trained over a finished reconstruction."""
        for parameter in self.shared_parameters():
            parameter.requires_grad_(not frozen)

    @torch.no_grad()
    def render_frame(
        self,
        camera: Cameras,
        expression: Float[Tensor, "expressions"] | None = None,
        head_to_torso: Float[Tensor, "4 4"] | None = None,
        looks: Sequence[Mapping[str, float]] | None = None,
        margin: float | None = None,
    ) -> dict[str, Tensor]:
        """Render a whole picture in the styles that are shown, without disturbing a training that is under way.

        Args:
            camera: one camera. Its time says which moment of the clip it shows; without one it shows the clip's mean.
            expression: shown instead of the clip's own, in the order of the clip's expression names. Values beyond
                [0, 1] exaggerate.
            head_to_torso: how the head sits on the torso, in scene units, instead of as the clip has it.
            looks: mixes of styles that are shown side by side at the cost of one; see `render_frames`.
            margin: of `near_side`, for views that nobody filmed; everything is shown where none is given.

        Returns:
            What `get_outputs` gives, each height x width x channels.
        """
        expressions = None if expression is None else expression[None]
        poses = None if head_to_torso is None else head_to_torso[None]
        return {name: value[0] for name, value in self.render_frames(camera, expressions, poses, looks, margin).items()}

    @torch.no_grad()
    def render_frames(
        self,
        cameras: Cameras,
        expressions: Float[Tensor, "cameras expressions"] | None = None,
        head_to_torso: Float[Tensor, "cameras 4 4"] | None = None,
        looks: Sequence[Mapping[str, float]] | None = None,
        margin: float | None = None,
    ) -> dict[str, Tensor]:
        """As `render_frame`, for several cameras of one size in one go: it pays where small pictures leave a GPU idle.

        Every output is cameras x height x width x channels.

        Args:
            looks: the weight of each style in each mix that is shown, instead of `style_weights`. The mixes'
                foregrounds follow each other in the output `foregrounds`; what stands behind them has no style.
        """
        with at_rest(self):
            cameras = cameras.to(self.device)
            if expressions is None and cameras.metadata is not None:
                expressions = cameras.metadata.get("expression")
            origins, directions = picture_rays(cameras)
            size = origins.shape[:-1]
            pixels = size[1] * size[2]
            times = None if cameras.times is None else cameras.times.reshape(-1)
            states = self.track.resolve_pictures(times, expressions, len(cameras), pixels)
            if head_to_torso is not None:
                states = replace(states, head_to_torso=head_to_torso.to(self.device), is_posed=True)
            outputs = self.trace(origins.flatten(0, 2), directions.flatten(0, 2), states, looks, margin)
            return {name: value.view(*size, -1) for name, value in outputs.items()}

    @torch.no_grad()
    def get_outputs_for_camera(self, camera: Cameras, obb_box: OrientedBox | None = None) -> dict[str, Tensor]:
        """A whole picture, for nerfstudio's commands and viewer; the box that these crop to is not heeded."""
        del obb_box
        camera = camera if camera.shape else camera.reshape((1,))
        return self.render_frame(camera, **({} if self.shown is None else self.shown(camera)))

    def add_style(self, name: str) -> None:
        """Make room for another style, which begins as the original."""
        self.styles[name] = Style(self.config.style, self.config.head.feature_size).to(self.device)

    def get_outputs(self, ray_bundle: RayBundle) -> dict[str, Tensor]:
        """Render rays.

        Returns:
            `foreground` (premultiplied colour) and `accumulation` (opacity), which the losses and the compositing use;
            `rgb`, the same over the configured background; `depth` in scene units; outside of training also
            `original_foreground`, the foreground without any style.
        """
        if self.training and not self.style_weights and self.config.side_weight > 0:
            return self.trace_from_aside(ray_bundle)
        told = ray_bundle.metadata
        states = self.track.resolve(ray_bundle.times, told.get("expression"), len(ray_bundle), told.get("worn"))
        return self.trace(ray_bundle.origins, ray_bundle.directions, states)

    def trace_from_aside(self, ray_bundle: RayBundle) -> dict[str, Tensor]:
        """Render training rays and, in one go with them, some swung aside, whose opacity is `accumulation_aside`."""
        pivot, config = self.head_field.box.mean(0), self.config
        rays = with_rays_aside(ray_bundle, pivot, config.side_share, config.side_degrees)
        states = self.track.resolve(rays.times, rays.expression, len(rays.margin), rays.worn)
        outputs = self.trace(rays.origins, rays.directions, states, margin=rays.margin)
        seen = {name: values[: len(ray_bundle)] for name, values in outputs.items()}
        return {**seen, "accumulation_aside": outputs["accumulation"][len(ray_bundle) :]}

    def trace(
        self,
        origins: Float[Tensor, "rays 3"],
        directions: Float[Tensor, "rays 3"],
        states: FrameStates,
        looks: Sequence[Mapping[str, float]] | None = None,
        margin: float | Float[Tensor, "rays"] | None = None,
    ) -> dict[str, Tensor]:
        """Render rays that look at known moments; see `get_outputs` and `render_frames`."""
        looks = (self.style_weights,) if looks is None else looks
        corrections = self.corrections(states)
        origins, directions = move(origins, directions, corrections.head, states.frame)
        seen = self.track.expression_codes if states.is_driven else None
        head_blend = self.head_field.blend(states.expression, corrections.code, seen)
        end = None if margin is None else near_side_end(origins, directions, "head", margin)
        head = self.look(origins, directions, states, "head", head_blend, looks, end)
        # What the head hides is not looked at, but where it is being learned what hides what.
        end = torch.full_like(origins[:, 0], torch.inf) if head.density.requires_grad else used_up(len(origins), head)
        poses = pose_vectors(states.head_to_torso, self.track.mean_head_to_torso)
        # A head on its torso as it never was: without this somebody else's nods broke the torso into shards.
        usual = pose_vectors(self.track.head_to_torso, self.track.mean_head_to_torso) if states.is_posed else None
        torso_blend = self.torso_field.blend(poses, seen=usual)
        origins, directions = carry(origins, directions, states.head_to_torso, states.frame)
        origins, directions = move(origins, directions, corrections.torso, states.frame)
        if margin is not None:
            end = torch.minimum(end, near_side_end(origins, directions, "torso", margin))
        torso = self.look(origins, directions, states, "torso", torso_blend, looks, end)
        return self.composite(len(origins), (head, torso))

    def corrections(self, states: FrameStates) -> Corrections:
        """The corrections of some moments: what the clip does not show takes their mean over the clip."""
        mean = self.refinement.mean(len(states.times))
        if not states.has_time or states.is_posed:
            return mean
        own = self.refinement.at(states.times)
        return replace(own, code=mean.code) if states.is_driven else own

    def look(
        self,
        origins: Float[Tensor, "rays 3"],
        directions: Float[Tensor, "rays 3"],
        states: FrameStates,
        part: str,
        blended: BlendedFrames,
        looks: Sequence[Mapping[str, float]],
        end: Float[Tensor, "rays"] | None = None,
    ) -> FieldSamples:
        """Sample one field along the rays that meet its proxy before their end."""
        field: CanonicalField = getattr(self, f"{part}_field")
        sampler: ProxySampler = getattr(self, f"{part}_sampler")
        with record_function("walk"):
            segments = sampler(origins, directions, states.frame, field, blended, end)
        hits, samples = segments.middles.shape
        ray = segments.ray
        positions = (origins[ray, None] + segments.middles[..., None] * directions[ray, None]).flatten(0, 1)
        frame: Int[Tensor, "points"] = states.frame[ray].repeat_interleave(samples)
        canonical = field.to_canonical(positions, frame, blended)
        if self.training:
            density, colours = self.evaluate(canonical, frame, part, blended, looks, segments.lengths)
            if density.requires_grad:
                sampler.learn(canonical.detach(), density.detach())
        else:
            # What a layer of the network takes and gives should stay in the processor's cache.
            size = POINTS_AT_ONCE if canonical.device.type == "cpu" else len(canonical)
            pieces = list(zip(canonical.split(max(size, 1)), frame.split(max(size, 1)), strict=True))
            with record_function("fields"):
                seen = on_all_threads(lambda piece: self.evaluate(*piece, part, blended, looks), pieces)
            density, colours = (torch.cat(values) for values in zip(*seen, strict=True))
        return FieldSamples(segments, density.view(hits, samples), colours.view(hits, samples, colours.shape[-1]))

    def evaluate(
        self,
        canonical: Float[Tensor, "points 3"],
        frame: Int[Tensor, "points"],
        part: str,
        blended: BlendedFrames,
        looks: Sequence[Mapping[str, float]],
        lengths: Float[Tensor, "hits samples"] | None = None,
    ) -> tuple[Float[Tensor, "points"], Float[Tensor, "points channels"]]:
        """Density and colours of one field in all looks; the unstyled one follows where it is needed.

        Args:
            lengths: of the stretches that the points stand for, where those that are hardly seen need no style: a
                style learns as well without them, and sooner.
        """
        field: CanonicalField = getattr(self, f"{part}_field")
        precision = self.config.rendering_precision
        is_half = precision == "bfloat16" or (precision == "auto" and canonical.device.type == "cuda")
        with torch.autocast(canonical.device.type, torch.bfloat16, enabled=is_half and not self.training):
            density, features = field(canonical, frame, blended)
            original = getattr(self, f"{part}_colour")(features)
            names = list(dict.fromkeys(name for look in looks for name in look))
            points = (canonical, features, original)
            if names and lengths is not None:
                seen = alone_weights(density.view(lengths.shape), lengths).flatten() > LEAST_STYLED_WEIGHT
                points = tuple(values[seen] for values in points)
                residuals = {
                    name: torch.zeros_like(original).masked_scatter(
                        seen[:, None], getattr(self.styles[name], part)(*points)
                    )
                    for name in names
                }
            else:
                residuals = {name: getattr(self.styles[name], part)(*points) for name in names}
        mixes = [blend_residuals([(look[name], residuals[name]) for name in look], original) for look in looks]
        if residuals and not self.training:
            mixes.append(blend_residuals([], original))
        return density.float(), torch.cat(mixes, dim=-1).float()

    def composite(self, rays: int, parts: Sequence[FieldSamples]) -> dict[str, Tensor]:
        """The outputs of `get_outputs`, of all fields' samples."""
        with record_function("accumulation"):
            seen = composite(rays, parts)
        # Without a style there is one look, which is both.
        foreground, original_foreground = seen.foreground[:, :3], seen.foreground[:, -3:]
        background = torch.tensor(self.config.background, device=foreground.device)
        outputs = {
            "rgb": over(foreground, seen.accumulation, background),
            "foreground": foreground,
            "accumulation": seen.accumulation,
            "depth": seen.depth,
        }
        if self.training:
            return outputs
        return {**outputs, "foregrounds": seen.foreground, "original_foreground": original_foreground}

    def get_loss_dict(
        self, outputs: dict[str, Tensor], batch: dict[str, Tensor], metrics_dict: dict[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Losses of a bundle of training rays."""
        del metrics_dict
        predicted, target, matte = self.compare(outputs, batch)
        outputs["colour_error"] = (predicted - target).detach().abs().mean(dim=-1, keepdim=True)
        if self.style_weights:
            return {"colour": style_loss(predicted, target)}
        losses = {"colour": colour_loss(predicted, target)}
        losses["matte"] = self.config.matte_weight * matte_loss(outputs["accumulation"], matte)
        if "accumulation_aside" in outputs:
            losses["aside"] = self.config.side_weight * undecided_loss(outputs["accumulation_aside"])
        deformations = self.head_field.deformation.cost() + self.torso_field.deformation.cost()
        losses["deformation"] = self.config.deformation_weight * deformations
        losses["refinement"] = (
            self.config.refinement_weight * self.refinement.size()
            + self.config.refinement_smoothness * self.refinement.roughness()
        )
        return losses

    def get_metrics_dict(self, outputs: dict[str, Tensor], batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """PSNR inside the matte of a bundle of rays."""
        predicted, target, matte = self.compare(outputs, batch)
        return {"psnr_in_matte": psnr(predicted, target, matte)}

    def compare(
        self, outputs: dict[str, Tensor], batch: dict[str, Tensor]
    ) -> tuple[Float[Tensor, "*rays 3"], Float[Tensor, "*rays 3"], Float[Tensor, "*rays 1"]]:
        """The prediction over the frame's own background, the target, and the matte, all in [0, 1]."""
        device = outputs["accumulation"].device
        background = batch["background"].to(device).float() / 255
        predicted = over(outputs["foreground"], outputs["accumulation"], background)
        return predicted, batch["image"].to(device).float(), batch["matte"].to(device).float() / 255

    def get_image_metrics_and_images(
        self, outputs: dict[str, Tensor], batch: dict[str, Tensor]
    ) -> tuple[dict[str, float], dict[str, Tensor]]:
        """Compare a whole rendered frame, over its own background, with the filmed one.

        Returns:
            PSNR inside the matte and of the whole frame, SSIM; and pictures of both and of the opacity.
        """
        predicted, target, matte = self.compare(outputs, batch)
        images = {
            "img": torch.cat([target, predicted], dim=1),
            "accumulation": outputs["accumulation"].expand(-1, -1, 3),
        }
        return frame_quality(predicted, target, matte), images
