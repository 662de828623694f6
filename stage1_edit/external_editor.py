"""Frames edited elsewhere: by hand, by another program, or a single painted keyframe, taken from a folder.

Pictures belong to frames by the numbers in their names, which are those of the clip's own `images/`. Any of the frames
will do: those without a picture are not trained on. What lies outside the prompt's region stays as it was filmed.
"""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import UInt8

from stage1_edit.edited_frames import folder_name
from stage1_edit.editor import EditRequest, Image
from stage1_edit.prompts import EditPrompt
from tracking.clip import TrackedClip
from tracking.errors import UserError

_logger = logging.getLogger(__name__)

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
LIKE_SHAPES = 0.01
"""By how much two pictures' ratios of width to height may differ, as a share of them."""
Picture = UInt8[np.ndarray, "height width 3"]


@dataclass
class ExternalEditorConfig:
    """Where the edited pictures are."""

    folder: Path | None = None
    """Pictures named as in the clip's images/, or by the frames' numbers; any of the frames. With several prompts a
    folder for each inside, named by the prompt's words: hair-make-it-silver."""


class ExternalEditor:
    """Reads edits from a folder (a `FrameEditor`)."""

    def __init__(self, config: ExternalEditorConfig, clip: TrackedClip | None = None) -> None:
        """
        Args:
            clip: whose frames were edited: it tells which numbers there are, and what a picture of the whole source
                frame shows of them.

        Raises:
            UserError: there is no such folder.
        """
        self.folder = require_folder(config)
        self.clip = clip
        self._pictures: dict[EditPrompt, dict[int, Path]] = {}
        self._told: set[str] = set()

    def check(self, prompt: EditPrompt) -> None:
        """See whether there are pictures for a prompt, and whether all can be used.

        Raises:
            UserError: there are none, or one cannot be read or has another shape than the frames.
        """
        pictures = self.pictures(prompt)
        if self.clip is None:
            return
        for path in pictures.values():
            self._fitted(path, (self.clip.intrinsics.height, self.clip.intrinsics.width))

    def edit(self, requests: Sequence[EditRequest]) -> list[Image | None]:
        """The pictures of these frames, whatever the noise level; none where there is none."""
        return [self._edit(request) for request in requests]

    def pictures(self, prompt: EditPrompt) -> dict[int, Path]:
        """The pictures of a prompt, by the frames' numbers.

        Raises:
            UserError: there are none, or two for one frame.
        """
        if prompt in self._pictures:
            return self._pictures[prompt]
        own = self.folder / prompt_folder(prompt)
        found = numbered_pictures(own if own.is_dir() else self.folder)
        known = found
        if self.clip is not None:
            frames = set(self.clip.frames.tolist())
            known = {number: path for number, path in found.items() if number in frames}
        if not known:
            names = "by frame numbers" if self.clip is None else f"as in {self.clip.root / 'images'}"
            raise UserError(
                f"No picture in {own if own.is_dir() else self.folder} belongs to a frame: name them {names}, such as "
                "00012.png."
            )
        if len(known) < len(found):
            self._tell(
                f"{len(found) - len(known)} of {len(found)} pictures in {self.folder} belong to no tracked frame, and "
                "are not used."
            )
        self._pictures[prompt] = known
        return known

    def _edit(self, request: EditRequest) -> Image | None:
        if request.frame is None:
            raise UserError("The external editor must be told which frame is edited: use it with a tracked clip.")
        path = self.pictures(request.prompt).get(request.frame)
        if path is None:
            return None
        height, width, _ = request.original.shape
        picture = self._fitted(path, (height, width))
        return (torch.from_numpy(picture).float() / 255).to(request.original)

    def _fitted(self, path: Path, size: tuple[int, int]) -> Picture:
        """A picture in the frames' size."""
        picture = read_picture(path)
        picture = self._cropped(picture, size)
        height, width = size
        rows, columns = picture.shape[:2]
        if (rows, columns) == size:
            return picture
        if abs(columns / rows * height / width - 1) > LIKE_SHAPES:
            raise UserError(
                f"{path} is {columns} x {rows}, and the clip's frames are {width} x {height}: give pictures of the "
                "same shape, edited from those in the clip's images/ folder."
            )
        self._tell(f"The pictures in {self.folder} are resized from {columns} x {rows} to {width} x {height}.")
        shrinks = columns > width
        return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)

    def _cropped(self, picture: Picture, size: tuple[int, int]) -> Picture:
        """Of a picture of the whole source frame what the clip shows of it."""
        if self.clip is None or picture.shape[:2] == size:
            return picture
        source = self.clip.source
        if picture.shape[:2] != (source.height, source.width):
            return picture
        left, top, width, height = source.crop
        return np.ascontiguousarray(picture[top : top + height, left : left + width])

    def _tell(self, sentence: str) -> None:
        if sentence not in self._told:
            self._told.add(sentence)
            _logger.warning("%s", sentence)


def check_external(config: ExternalEditorConfig, prompts: Sequence[EditPrompt]) -> None:
    """See whether there are pictures for every prompt, before any clip is known.

    Raises:
        UserError: there are not; the message says what to do.
    """
    folder = require_folder(config)
    editor = ExternalEditor(config)
    for prompt in prompts:
        if len(prompts) > 1 and not (folder / prompt_folder(prompt)).is_dir():
            raise UserError(
                f"{folder} has no folder {prompt_folder(prompt)}: with several prompts the pictures of each go into a "
                "folder of their own, named by the prompt's words."
            )
        editor.pictures(prompt)


def require_folder(config: ExternalEditorConfig) -> Path:
    """The folder of edited pictures.

    Raises:
        UserError: none was named, or it is not there.
    """
    if config.folder is None:
        raise UserError(
            "The external editor reads pictures that were edited elsewhere: name their folder with "
            "--pipeline.editor.external.folder."
        )
    if not config.folder.is_dir():
        raise UserError(f"There is no folder {config.folder}: name the one that holds the edited pictures.")
    return config.folder


def prompt_folder(prompt: EditPrompt) -> str:
    """The name of a prompt's own folder: its words."""
    return folder_name(prompt, "").rpartition("-")[0]


def numbered_pictures(folder: Path) -> dict[int, Path]:
    """A folder's pictures by the numbers in their names.

    Raises:
        UserError: two have the same number.
    """
    pictures: dict[int, Path] = {}
    for path in sorted(folder.iterdir()):
        number = number_in(path.stem)
        if path.suffix.lower() not in SUFFIXES or path.name.startswith(".") or number is None:
            continue
        if number in pictures:
            raise UserError(
                f"{pictures[number].name} and {path.name} in {folder} are both of frame {number}: leave one of them."
            )
        pictures[number] = path
    return pictures


def number_in(name: str) -> int | None:
    """The number in a file's name: the longest row of digits, of several as long the last; none where there is none."""
    groups = re.findall(r"[0-9]+", name)
    return int(max(reversed(groups), key=len)) if groups else None


def read_picture(path: Path) -> Picture:
    """A picture as RGB; transparency is left out.

    Raises:
        UserError: it cannot be read.
    """
    picture = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR) if path.stat().st_size else None
    if picture is None:
        raise UserError(f"{path} cannot be read as a picture: export it again, as PNG for instance, or remove it.")
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
