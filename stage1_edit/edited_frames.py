"""The edited frames of one prompt on disk, so that a run can be resumed and its edits looked at."""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from stage1_edit.edit_journal import EditJournal
from stage1_edit.editor import Image
from stage1_edit.prompts import EditPrompt
from tracking.clip import read_png, write_png
from tracking.errors import UserError


class EditedFrames:
    """A folder of 8-bit pictures, one for each edited frame. Nothing is held in memory but their numbers.

        edited/
            hair-make-it-silver-1f3a9c/
                prompt.json     the prompt, the editor that followed it, and the settings of editor and schedule
                edits.jsonl     which frames were edited when, how strongly, from which seeds, at what cost
                anchors.pt      the edits that the next ones follow, where an editor ties frames together
                00012.png

    Another prompt, or another editor, has another folder: the hash tells apart what the slug does not.
    """

    def __init__(self, root: Path, prompt: EditPrompt, editor: str, settings: Mapping[str, Any] | None = None) -> None:
        """Open the folder of a prompt, and make it if need be.

        Args:
            root: the folder of all prompts' folders.
            editor: the editor's name; edits of different editors are not mixed.
            settings: what edits depend on otherwise, as JSON could hold it; none in one who only reads them.
        """
        self.folder = root / folder_name(prompt, editor)
        self.folder.mkdir(parents=True, exist_ok=True)
        for partial in self.folder.glob("*.partial.*"):
            # A run was stopped while it wrote this.
            partial.unlink()
        described = self.folder / "prompt.json"
        if settings is not None or not described.is_file():
            description = {"region": prompt.region, "text": prompt.text, "editor": editor, **(settings or {})}
            partial = self.folder / "prompt.partial.json"
            partial.write_text(json.dumps(description, indent=1, default=str), encoding="utf-8")
            partial.replace(described)
        self.journal = EditJournal(self.folder)
        self._frames = {int(path.stem) for path in self.folder.glob("*.png") if path.stem.isdecimal()}

    @property
    def frames(self) -> tuple[int, ...]:
        """The numbers of the frames that have been edited, ascending."""
        return tuple(sorted(self._frames))

    def __contains__(self, frame: int) -> bool:
        return frame in self._frames

    def __len__(self) -> int:
        return len(self._frames)

    def path(self, frame: int) -> Path:
        """Where a frame's picture lies once it is written."""
        return self.folder / f"{frame:05d}.png"

    def write(self, frame: int, image: Image) -> None:
        """Keep an edited frame, whole or not at all; an earlier edit of it is replaced."""
        levels = (image.detach().clamp(0, 1) * 255).round().to("cpu", torch.uint8).numpy()
        write_png(self.path(frame), np.ascontiguousarray(levels))
        self._frames.add(frame)

    def read(self, frame: int) -> Image:
        """The edited frame.

        Raises:
            KeyError: the frame has not been edited.
            UserError: its file has been damaged or removed since.
        """
        if frame not in self._frames:
            raise KeyError(frame)
        try:
            levels = read_png(self.path(frame), cv2.IMREAD_COLOR)
        except UserError as error:
            raise UserError(
                f"{self.path(frame)} is damaged or gone: delete it and run again, and the frame will be edited anew."
            ) from error
        return torch.from_numpy(levels).float() / 255


def folder_name(prompt: EditPrompt, editor: str) -> str:
    """A readable name for a prompt's folder, different for every prompt and editor."""
    slug = re.sub(r"[^a-z0-9]+", "-", str(prompt).lower()).strip("-")[:48].rstrip("-") or "prompt"
    key = json.dumps([prompt.region, prompt.text, editor])
    return f"{slug}-{hashlib.sha256(key.encode()).hexdigest()[:6]}"
