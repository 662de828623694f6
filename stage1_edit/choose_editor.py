"""Which editor follows the prompts."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Annotated, Literal, TypeAlias

import torch
import tyro

from stage1_edit.consistency import Consistency, ConsistencyName
from stage1_edit.controlnet import ControlNet, ControlNetConfig
from stage1_edit.cross_frame_attention import CrossFrameAttention
from stage1_edit.diffusion_config import DiffusionConfig, WeightsConfig
from stage1_edit.diffusion_editor import DiffusionEditor, EditingMethod
from stage1_edit.diffusion_weights import DiffusionModel, PipelineKind, check_weights, has_weights, load_model
from stage1_edit.editor import FrameEditor
from stage1_edit.flux_kontext import FluxKontext, FluxKontextConfig
from stage1_edit.instruct_pix2pix import InstructPix2Pix, InstructPix2PixConfig
from stage1_edit.offline_editor import OfflineEditor, OfflineEditorConfig
from stage1_edit.prompts import EditPrompt
from stage1_edit.sdedit import SDEdit, SDEditConfig
from stage1_edit.starting_noise import IndependentNoise, NoiseName, SharedNoise, StartingNoise
from stage1_edit.token_flow import TokenFlow
from stage1_edit.warped_noise import WarpedNoise
from tracking.errors import UserError

DiffusionName: TypeAlias = Literal["instruct-pix2pix", "controlnet", "sdedit", "flux-kontext"]
EditorName: TypeAlias = Literal["auto", "offline", "instruct-pix2pix", "controlnet", "sdedit", "flux-kontext"]

_logger = logging.getLogger(__name__)


@dataclass
class EditorConfig:
    """Who edits the frames, and how frames are made to agree."""

    # The flag is that of the whole: --pipeline.editor NAME.
    name: Annotated[EditorName, tyro.conf.arg(name="")] = "auto"
    """Who edits the frames; auto takes InstructPix2Pix if CUDA and its weights are here, else the offline editor."""
    consistency: ConsistencyName = "none"
    """What ties frames together while a diffusion editor samples them: nothing, attention to anchor frames, or the flow
    of anchors' features along the tracked surface."""
    anchors: int = 2
    """Frames that the others follow where something ties them together; they are sampled along in every batch."""
    noise: NoiseName = "per-frame"
    """What sampling begins with: noise of every frame's own, the same for all, or one that sticks to the tracked
    surface."""
    seed: int = 0
    """Of shared and warped noise."""
    offline: OfflineEditorConfig = field(default_factory=OfflineEditorConfig)
    """The offline editor's settings."""
    instruct_pix2pix: InstructPix2PixConfig = field(default_factory=InstructPix2PixConfig)
    """InstructPix2Pix' settings."""
    controlnet: ControlNetConfig = field(default_factory=ControlNetConfig)
    """Settings of a text-to-image model with ControlNets."""
    sdedit: SDEditConfig = field(default_factory=SDEditConfig)
    """Settings of a text-to-image model that starts from the render."""
    flux_kontext: FluxKontextConfig = field(default_factory=FluxKontextConfig)
    """FLUX.1 Kontext's settings."""

    def label(self) -> str:
        """What tells this editor's frames from another's."""
        return self.name if self.consistency == "none" else f"{self.name}+{self.consistency}"


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


def check_editor(config: EditorConfig, prompts: Sequence[EditPrompt]) -> None:
    """See whether an editor can do what it is asked to, without loading any weights.

    Raises:
        UserError: it cannot; the message says what to do.
    """
    if config.name == "offline":
        if config.consistency != "none" or config.noise != "per-frame":
            raise UserError(
                "The offline editor has no use for consistency and noise, for it is consistent by itself: leave them "
                "out, or choose a diffusion editor."
            )
        for prompt in prompts:
            OfflineEditor(config.offline).check(prompt)
    if config.name == "flux-kontext" and (config.consistency != "none" or config.noise != "per-frame"):
        raise UserError(
            "FLUX.1 Kontext cannot be tied together by attention or noise yet: leave consistency and noise out, or "
            "choose instruct-pix2pix, controlnet or sdedit."
        )
    if config.consistency != "none" and config.anchors < 1:
        raise UserError("Consistency needs at least one anchor frame: set the editor's anchors to 1 or more.")
    if config.name == "controlnet":
        config.controlnet.all_weights()
        config.controlnet.all_strengths()
    weights: dict[EditorName, tuple[WeightsConfig, PipelineKind]] = {
        "instruct-pix2pix": (config.instruct_pix2pix, "instruction"),
        "controlnet": (config.controlnet, "text"),
        "sdedit": (config.sdedit, "text"),
        "flux-kontext": (config.flux_kontext, "kontext"),
    }
    if config.name in weights and prompts:
        check_weights(*weights[config.name])


def choose_editor(config: EditorConfig, device: torch.device) -> FrameEditor:
    """The editor of that name, ready to work.

    Raises:
        UserError: a diffusion editor was asked for by name and cannot be loaded.
    """
    name = resolve_editor_name(config, device)
    if name == "instruct-pix2pix":
        settings = config.instruct_pix2pix
        model = load_model(settings, "instruction", device)
        return make_editor(config, settings, model, InstructPix2Pix(settings, model))
    if name == "sdedit":
        model = load_model(config.sdedit, "text", device)
        return make_editor(config, config.sdedit, model, SDEdit(config.sdedit, model))
    if name == "controlnet":
        model = load_model(config.controlnet, "text", device, config.controlnet.all_weights())
        return make_editor(config, config.controlnet, model, ControlNet(config.controlnet, model))
    if name == "flux-kontext":
        return FluxKontext(config.flux_kontext, load_model(config.flux_kontext, "kontext", device))
    return OfflineEditor(config.offline)


def make_editor(
    config: EditorConfig, settings: DiffusionConfig, model: DiffusionModel, method: EditingMethod
) -> DiffusionEditor:
    """A diffusion editor of any method, with the consistency and the noise that are asked for."""
    strategies: dict[ConsistencyName, Consistency | None] = {
        "none": None,
        "cross-frame": CrossFrameAttention(),
        "tokenflow": TokenFlow(),
    }
    noises: dict[NoiseName, StartingNoise] = {
        "per-frame": IndependentNoise(),
        "shared": SharedNoise(config.seed),
        "warped": WarpedNoise(config.seed),
    }
    anchors = 0 if config.consistency == "none" else config.anchors
    return DiffusionEditor(settings, model, method, strategies[config.consistency], noises[config.noise], anchors)


def _what_instruct_pix2pix_lacks(config: InstructPix2PixConfig, device: torch.device) -> str | None:
    """Why InstructPix2Pix cannot start at once, as the end of a sentence; none if it can."""
    if device.type != "cuda":
        return "would take minutes a frame without a CUDA device"
    if find_spec("diffusers") is None or find_spec("transformers") is None:
        return "needs packages that are missing (pip install 'portrait-edit[diffusion]')"
    if not has_weights(config.model):
        return f"has no weights of {config.model} on this machine (choose 'instruct-pix2pix' by name to download them)"
    return None
