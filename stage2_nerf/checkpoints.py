"""What of a checkpoint a run takes, and whether the two fit."""

from collections.abc import Collection
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from stage2_nerf.clip_checks import ClipFingerprint
from stage2_nerf.portrait_model import PortraitModel
from stage2_nerf.refit import fit_other_encodings
from tracking.clip import TrackedClip
from tracking.errors import UserError

MODEL = "_model."
"""What nerfstudio puts before the names of a model's parameters and buffers."""
STYLES = f"{MODEL}styles."


def clip_entry(clip: TrackedClip) -> dict[str, str]:
    """What a checkpoint says of its clip."""
    return asdict(ClipFingerprint.of(clip))


def fitting_state(
    loaded_state: dict[str, Any], model: PortraitModel, styles: Collection[str], clip: TrackedClip
) -> dict[str, Any]:
    """The avatar whole, and of the styles those that a run asks for.

    Args:
        loaded_state: a pipeline's state from a checkpoint.
        model: the run's avatar.
        styles: names of the run's styles.
        clip: the run's clip.

    Raises:
        UserError: the checkpoint holds another kind of avatar, or one of another clip.
    """
    require_same_clip(loaded_state.get("_extra_state", {}).get("clip"), clip)
    loaded_state = fit_other_encodings(model, loaded_state)
    found = {key for key in loaded_state if key.startswith(MODEL)}
    own = {f"{MODEL}{key}": value for key, value in model.state_dict().items()}
    loaded_state = {
        key: widened(value, own[key]) if key in own and is_of_style_network(key) else value
        for key, value in loaded_state.items()
    }
    own_styles = tuple(f"{STYLES}{name}." for name in styles)
    wanted = {key for key in own if not key.startswith(STYLES)}
    kept = {key for key in found if not key.startswith(STYLES) or (own_styles and key.startswith(own_styles))}
    unlike = [key for key in kept & set(own) if own[key].shape != loaded_state[key].shape]
    if wanted - kept or kept - set(own) or unlike:
        name = min([*(wanted - kept), *(kept - set(own)), *unlike])
        raise UserError(
            f"The checkpoint does not fit this run (it differs in {name.removeprefix(MODEL)}): it was made from another"
            " clip or with other settings of the model, so give the same ones, or leave out --load-dir to start anew."
        )
    return {key: value for key, value in loaded_state.items() if key not in found or key in kept}


def is_of_style_network(key: str) -> bool:
    """Whether this is a weight or bias of a style's network."""
    return key.startswith(STYLES) and ".network." in key


def widened(theirs: Tensor, own: Tensor) -> Tensor:
    """A smaller layer's weights within a larger one's, the rest 0.

    Styles of earlier versions had fewer neurons, and only added to the colour: among zeros their networks give what
    they gave, and no map of the original's colour. A layer that is larger anywhere is returned as it is.
    """
    if theirs.dim() != own.dim() or any(here < there for there, here in zip(theirs.shape, own.shape, strict=True)):
        return theirs
    wide = torch.zeros_like(own, device=theirs.device)
    wide[tuple(slice(size) for size in theirs.shape)] = theirs
    return wide


def require_same_clip(theirs: dict[str, str] | None, clip: TrackedClip) -> None:
    """Check that a checkpoint is of this clip. Those of earlier versions do not say which they are of.

    Args:
        theirs: what the checkpoint says of its clip.

    Raises:
        UserError: it is of another clip, or of the same video tracked anew.
    """
    if theirs is not None and theirs["digest"] != ClipFingerprint.of(clip).digest:
        raise UserError(
            f"The checkpoint does not fit this run: it is the avatar of another clip ({theirs['name']}, or an earlier "
            f"tracking of it), and this one's is {clip.root}; name that clip with --data, or leave out --load-dir to "
            "start anew."
        )
