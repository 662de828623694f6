"""Which editor follows the prompts."""

import logging
from importlib.util import find_spec
from typing import Literal, TypeAlias

import torch

from stage1_edit.editor import FrameEditor
from stage1_edit.instruct_pix2pix import InstructPix2Pix, InstructPix2PixConfig, has_weights
from stage1_edit.offline_editor import OfflineEditor, OfflineEditorConfig

EditorName: TypeAlias = Literal["auto", "offline", "instruct-pix2pix"]

_logger = logging.getLogger(__name__)


def resolve_editor_name(
    name: EditorName, instruct_pix2pix: InstructPix2PixConfig, device: torch.device
) -> Literal["offline", "instruct-pix2pix"]:
    """What `auto` means here: InstructPix2Pix where it can run at once, else the offline editor, and say why."""
    if name != "auto":
        return name
    missing = _what_instruct_pix2pix_lacks(instruct_pix2pix, device)
    if missing is None:
        return "instruct-pix2pix"
    _logger.warning(
        "Editing with the offline editor, which knows a fixed vocabulary, because InstructPix2Pix %s.", missing
    )
    return "offline"


def choose_editor(
    name: EditorName,
    offline: OfflineEditorConfig,
    instruct_pix2pix: InstructPix2PixConfig,
    device: torch.device,
) -> FrameEditor:
    """The editor of that name, ready to work.

    Raises:
        UserError: InstructPix2Pix was asked for by name and cannot be loaded.
    """
    if resolve_editor_name(name, instruct_pix2pix, device) == "instruct-pix2pix":
        return InstructPix2Pix.from_pretrained(instruct_pix2pix, device)
    return OfflineEditor(offline)


def _what_instruct_pix2pix_lacks(config: InstructPix2PixConfig, device: torch.device) -> str | None:
    """Why InstructPix2Pix cannot start at once, as the end of a sentence; none if it can."""
    if device.type != "cuda":
        return "would take minutes a frame without a CUDA device"
    if find_spec("diffusers") is None or find_spec("transformers") is None:
        return "needs packages that are missing (pip install 'portrait-edit[diffusion]')"
    if not has_weights(config.model):
        return f"has no weights of {config.model} on this machine (choose 'instruct-pix2pix' by name to download them)"
    return None
