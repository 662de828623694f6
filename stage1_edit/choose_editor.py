"""Which editor follows the prompts."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
import torch
import tyro

from stage1_edit.consistency import Consistency, ConsistencyName
from stage1_edit.controlnet import ControlNet, ControlNetConfig
from stage1_edit.cross_frame_attention import CrossFrameAttention
from stage1_edit.diffusion_config import DiffusionConfig, WeightsConfig
from stage1_edit.diffusion_editor import DiffusionEditor, EditingMethod
from stage1_edit.diffusion_weights import DiffusionModel, PipelineKind, check_weights, has_weights, load_model
from stage1_edit.editor import FrameEditor
from stage1_edit.expression_guard import ExpressionGuard, ExpressionGuardConfig
from stage1_edit.external_editor import ExternalEditor, ExternalEditorConfig, check_external
from stage1_edit.flux_kontext import FluxKontext, FluxKontextConfig
from stage1_edit.frame_geometry import FrameGeometry, frame_geometry
from stage1_edit.head_crops import HeadCropConfig, HeadCropEditor, clip_crop_side
from stage1_edit.instruct_pix2pix import InstructPix2Pix, InstructPix2PixConfig
from stage1_edit.keyframes import choose_keyframes
from stage1_edit.offline_editor import OfflineEditor, OfflineEditorConfig
from stage1_edit.prompts import EditPrompt
from stage1_edit.sdedit import SDEdit, SDEditConfig
from stage1_edit.starting_noise import IndependentNoise, NoiseName, SharedNoise, StartingNoise
from stage1_edit.token_flow import TokenFlow
from stage1_edit.warped_noise import WarpedNoise
from tracking.clip import TrackedClip
from tracking.errors import UserError

EditorName: TypeAlias = Literal[
    "auto", "offline", "external", "instruct-pix2pix", "controlnet", "sdedit", "flux-kontext"
]

KINDS: dict[EditorName, PipelineKind] = {
    "instruct-pix2pix": "instruction",
    "controlnet": "text",
    "sdedit": "text",
    "flux-kontext": "kontext",
}
"""What kind of weights each editor needs that needs any."""
FEW_FRAMES = 4
"""Given together to editors that take frames one by one: often enough to show progress."""

_logger = logging.getLogger(__name__)


@dataclass
class EditorConfig:
    """Who edits the frames, and how frames are made to agree."""

    # The flag is that of the whole: --pipeline.editor NAME.
    name: Annotated[EditorName, tyro.conf.arg(name="")] = "auto"
    """Who edits the frames; auto takes InstructPix2Pix if CUDA and its weights are here, else the offline editor.
    external reads frames that were edited elsewhere."""
    consistency: ConsistencyName = "none"
    """What ties frames together while a diffusion editor samples them: nothing, attention to anchor frames, or the flow
    of anchors' features along the tracked surface."""
    anchors: int = 2
    """Frames that the others follow where something ties them together; they are sampled along in every batch."""
    noise: NoiseName = "auto"
    """What sampling begins with: noise of every frame's own, the same for all, or one that sticks to the tracked
    surface. auto is the last where consistency ties frames together, for attention cannot undo what unlike noise does,
    and the first elsewhere."""
    seed: int = 0
    """Of shared and warped noise."""
    guard: ExpressionGuardConfig = field(default_factory=ExpressionGuardConfig)
    """Whether edits are checked for having moved the face, and how far they may."""
    head_crop: HeadCropConfig = field(default_factory=HeadCropConfig)
    """Whether diffusion editors see the head by itself, enlarged."""
    offline: OfflineEditorConfig = field(default_factory=OfflineEditorConfig)
    """The offline editor's settings."""
    external: ExternalEditorConfig = field(default_factory=ExternalEditorConfig)
    """Where frames are that were edited elsewhere."""
    instruct_pix2pix: InstructPix2PixConfig = field(default_factory=InstructPix2PixConfig)
    """InstructPix2Pix' settings."""
    controlnet: ControlNetConfig = field(default_factory=ControlNetConfig)
    """Settings of a text-to-image model with ControlNets."""
    sdedit: SDEditConfig = field(default_factory=SDEditConfig)
    """Settings of a text-to-image model that starts from the render."""
    flux_kontext: FluxKontextConfig = field(default_factory=FluxKontextConfig)
    """FLUX.1 Kontext's settings."""

    def frames_at_once(self) -> int:
        """How many frames the editor is best given together."""
        settings = self.settings_of(self.name)
        return settings.frames_at_once if isinstance(settings, DiffusionConfig) else FEW_FRAMES

    def label(self) -> str:
        """What tells this editor's frames from another's."""
        if self.name == "external" and self.external.folder is not None:
            return f"external {self.external.folder.resolve().name}"
        return self.name if self.consistency == "none" else f"{self.name}+{self.consistency}"

    def is_guarded(self, name: EditorName) -> bool:
        """Whether the edits of an editor of this name are tracked again."""
        return name != "offline" if self.guard.mode == "auto" else self.guard.mode == "on"

    def settings_of(self, name: EditorName) -> WeightsConfig | None:
        """The settings of the editor of this name; none of one without weights."""
        known: dict[EditorName, WeightsConfig] = {
            "instruct-pix2pix": self.instruct_pix2pix,
            "controlnet": self.controlnet,
            "sdedit": self.sdedit,
            "flux-kontext": self.flux_kontext,
        }
        return known.get(name)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Runs of earlier versions had no guard, no crops and no pictures from elsewhere."""
        self.__dict__.update({**EditorConfig().__dict__, **state})


def resolve_editor_name(config: EditorConfig, device: torch.device) -> EditorName:
    """What `auto` means here: InstructPix2Pix where it can run at once, else the offline editor, and say why."""
    if config.name != "auto":
        return config.name
    missing = _what_instruct_pix2pix_lacks(config.instruct_pix2pix, device)
    if missing is None:
        return "instruct-pix2pix"
    _logger.warning(
        "Editing with the offline editor, which knows a fixed vocabulary, because InstructPix2Pix %s.", missing
    )
    return "offline"


def resolve_noise_name(config: EditorConfig) -> NoiseName:
    """What `auto` means with this consistency.

    The papers' strategies start from noise that is alike in all frames: Text2Video-Zero from one frame's, moved
    (section 3.3.1), TokenFlow from the source's inversion. With noise of every frame's own, attention to anchors
    takes hardly anything off the flicker (`scripts/probe_attention.py`, `scripts/benchmark_diffusion_editors.py`).
    """
    if config.noise != "auto":
        return config.noise
    return "per-frame" if config.consistency == "none" else "warped"


def check_editor(config: EditorConfig, prompts: Sequence[EditPrompt]) -> None:
    """See whether an editor can do what it is asked to, without loading any weights.

    Raises:
        UserError: it cannot; the message says what to do.
    """
    if config.name in ("offline", "external"):
        if config.consistency != "none" or resolve_noise_name(config) != "per-frame":
            raise UserError(
                f"The {config.name} editor has no use for consistency and noise: leave them out, or choose a diffusion "
                "editor."
            )
        if config.head_crop.mode == "on":
            raise UserError(
                f"The {config.name} editor has no resolution of its own: leave head_crop out, or choose a diffusion "
                "editor."
            )
    if config.name == "offline":
        for prompt in prompts:
            OfflineEditor(config.offline).check(prompt)
    if config.name == "external":
        check_external(config.external, prompts)
    if config.name == "flux-kontext" and (config.consistency != "none" or resolve_noise_name(config) != "per-frame"):
        raise UserError(
            "FLUX.1 Kontext cannot be tied together by attention or noise yet: leave consistency and noise out, or "
            "choose instruct-pix2pix, controlnet or sdedit."
        )
    if config.consistency != "none" and config.anchors < 1:
        raise UserError("Consistency needs at least one anchor frame: set the editor's anchors to 1 or more.")
    if config.name == "controlnet":
        config.controlnet.all_weights()
        config.controlnet.all_strengths()
    settings = config.settings_of(config.name)
    if settings is not None and prompts:
        check_weights(settings, KINDS[config.name])


def choose_editor(config: EditorConfig, device: torch.device, clip: TrackedClip | None = None) -> FrameEditor:
    """The editor of that name, ready to work, with the guard and the crops that are asked for.

    Args:
        clip: whose frames will be edited, where that is known.

    Raises:
        UserError: a diffusion editor was asked for by name and cannot be loaded, or there are no pictures to read.
    """
    name = resolve_editor_name(config, device)
    return build_editor(config, name, load_weights(config, name, device), clip)


def load_weights(config: EditorConfig, name: EditorName, device: torch.device) -> DiffusionModel | None:
    """The weights of the editor of this name; none of one without.

    Raises:
        UserError: they cannot be had, or there is no room for them.
    """
    settings = config.settings_of(name)
    if settings is None:
        return None
    controlnets = config.controlnet.all_weights() if name == "controlnet" else ()
    return load_model(settings, KINDS[name], device, controlnets)


def build_editor(
    config: EditorConfig, name: EditorName, model: DiffusionModel | None, clip: TrackedClip | None = None
) -> FrameEditor:
    """The editor of this name on loaded weights, with the guard and the crops that are asked for."""
    editor = bare_editor(config, name, model, clip)
    if config.head_crop.mode == "on" and model is not None:
        side = None if clip is None else clip_crop_side(clip, config.head_crop.margin)
        editor = HeadCropEditor(config.head_crop, editor, side)
    if config.is_guarded(name):
        # What was painted once does not change by being asked for again.
        guard = replace(config.guard, retries=0) if name == "external" else config.guard
        editor = ExpressionGuard(guard, editor)
    return editor


def bare_editor(
    config: EditorConfig, name: EditorName, model: DiffusionModel | None, clip: TrackedClip | None = None
) -> FrameEditor:
    """The editor of this name alone."""
    if name == "external":
        return ExternalEditor(config.external, clip)
    if model is None:
        return OfflineEditor(config.offline)
    if name == "flux-kontext":
        return FluxKontext(config.flux_kontext, model)
    if name == "controlnet":
        return make_editor(config, config.controlnet, model, ControlNet(config.controlnet, model), clip)
    if name == "sdedit":
        return make_editor(config, config.sdedit, model, SDEdit(config.sdedit, model), clip)
    settings = config.instruct_pix2pix
    return make_editor(config, settings, model, InstructPix2Pix(settings, model), clip)


def make_editor(
    config: EditorConfig,
    settings: DiffusionConfig,
    model: DiffusionModel,
    method: EditingMethod,
    clip: TrackedClip | None = None,
) -> DiffusionEditor:
    """A diffusion editor of any method, with the consistency and the noise that are asked for.

    Args:
        clip: whose frames will be edited, where that is known: its noise then is the same in every run.
    """
    strategies: dict[ConsistencyName, Consistency | None] = {
        "none": None,
        "cross-frame": CrossFrameAttention(),
        "tokenflow": TokenFlow(),
    }
    noises: dict[NoiseName, Callable[[], StartingNoise]] = {
        "per-frame": IndependentNoise,
        "shared": lambda: SharedNoise(config.seed),
        "warped": lambda: WarpedNoise(config.seed, None if clip is None else typical_geometry(clip)),
    }
    noise = noises[resolve_noise_name(config)]()
    anchors = 0 if config.consistency == "none" else config.anchors
    return DiffusionEditor(settings, model, method, strategies[config.consistency], noise, anchors)


def typical_geometry(clip: TrackedClip) -> FrameGeometry:
    """The tracked shape in the clip's most typical frame."""
    track = clip.track
    frames = np.asarray(clip.frames)
    (row,) = choose_keyframes(track.camera_to_head[frames, :3, :3], track.expression[frames], (), 1)
    return frame_geometry(clip, int(frames[row]))


def _what_instruct_pix2pix_lacks(config: InstructPix2PixConfig, device: torch.device) -> str | None:
    """Why InstructPix2Pix cannot start at once, as the end of a sentence; none if it can."""
    if device.type != "cuda":
        return "would take minutes a frame without a CUDA device"
    if find_spec("diffusers") is None or find_spec("transformers") is None:
        return "needs packages that are missing (pip install 'portrait-edit[diffusion]')"
    if not has_weights(config.model):
        return f"has no weights of {config.model} on this machine (choose 'instruct-pix2pix' by name to download them)"
    return None
