"""The anchors of a prompt's edits on disk, so that a run that goes on ties its edits to the frames that it began with.

Without them the first frames edited after an interruption would become the anchors, and what was edited before and
after would follow unlike looks.
"""

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch

from stage1_edit.consistency import Anchor
from stage1_edit.editor import EditRequest

ANCHORS_NAME = "anchors.pt"


def save_anchors(folder: Path, anchors: Sequence[Anchor]) -> None:
    """Write them beside the edited frames, whole or not at all."""
    partial = (folder / ANCHORS_NAME).with_suffix(".partial.pt")
    torch.save([(_as_fields(anchor.request), anchor.generator_state) for anchor in anchors], partial)
    partial.replace(folder / ANCHORS_NAME)


def load_anchors(folder: Path) -> list[Anchor]:
    """Those that lie beside the edited frames; nothing where none were written."""
    path = folder / ANCHORS_NAME
    if not path.is_file():
        return []
    kept = torch.load(path, map_location="cpu", weights_only=False)
    return [Anchor(EditRequest(**request, generator=torch.Generator()), state) for request, state in kept]


def _as_fields(request: EditRequest) -> dict[str, Any]:
    """A request's fields but for its generator, which cannot be written, and what its geometry can find out anew."""
    named = {field.name: getattr(request, field.name) for field in fields(request) if field.name != "generator"}
    if request.geometry is not None:
        named["geometry"] = replace(request.geometry, _seen={})
    # Of a view torch would write all that it is a part of.
    return {name: value.clone() if isinstance(value, torch.Tensor) else value for name, value in named.items()}
