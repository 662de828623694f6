"""Iterative dataset update: render a frame, edit it, put it back among the training frames."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from stage1_edit.compositing import composite, training_mask
from stage1_edit.editor import EditRequest, FrameEditor, Image
from stage1_edit.frame_geometry import FrameGeometry
from stage1_edit.prompts import EditPrompt
from stage1_edit.schedule import EditSchedule


class FrameStore(Protocol):
    """The training frames of one prompt, which edits replace. Frames are numbered from 0."""

    def __len__(self) -> int: ...

    def original(self, frame: int) -> Image:
        """The frame as it was filmed, whatever has replaced it."""
        ...

    def matte(self, frame: int) -> Float[Tensor, "height width 1"]:
        """How much of each pixel is the person."""
        ...

    def labels(self, frame: int) -> UInt8[Tensor, "height width"]:
        """The region that each pixel shows."""
        ...

    def replace(self, frame: int, image: Image) -> None:
        """Train on this picture of the frame from now on."""
        ...


@dataclass
class DatasetUpdater:
    """Edits the training frames of one prompt, a few at a time, between training steps.

    A prompt is a style of its own: its edits start from the frames as filmed, never from another prompt's. What lies
    outside the prompt's region keeps the original's value exactly.
    """

    editor: FrameEditor
    schedule: EditSchedule
    frames: FrameStore
    render: Callable[[int], Image]
    """The avatar's current picture of a frame, in the prompt's style."""
    prompt: EditPrompt
    generator: torch.Generator
    """The editor's randomness."""
    batch_size: int = 4
    """Frames given to the editor together."""
    geometry: Callable[[int], FrameGeometry] | None = None
    """The tracked shape in a frame, for editors that use it."""
    edited: set[int] = field(default_factory=set)
    """The frames edited so far: the only ones to train on. Start with those that an earlier run left."""
    on_progress: Callable[[int, int], None] | None = None
    """Told the number of frames done and due, after each batch."""
    edits_made: int = 0
    """Frames that the editor has edited so far, the same frame again counted again."""

    def step(self) -> Sequence[int]:
        """Edit what is due; call once before every training step. Returns the frames that were replaced."""
        due = self.schedule.due()
        for start in range(0, len(due.frames), self.batch_size):
            batch = due.frames[start : start + self.batch_size]
            self._edit(batch, due.noise_level)
            if self.on_progress is not None:
                self.on_progress(start + len(batch), len(due.frames))
        return due.frames

    def _edit(self, batch: Sequence[int], noise_level: float) -> None:
        requests = [self._request(frame, noise_level) for frame in batch]
        edits = self.editor.edit(requests)
        self.edits_made += len(requests)
        for frame, request, edit in zip(batch, requests, edits, strict=True):
            mask = training_mask(request.labels, request.matte, self.prompt.region)
            self.frames.replace(frame, composite(edit, request.original, mask))
            self.edited.add(frame)

    def _request(self, frame: int, noise_level: float) -> EditRequest:
        original = self.frames.original(frame)
        # From pure noise nothing of the render is seen, so none is made.
        render = original if noise_level >= 1 else self.render(frame).to(original)
        matte, labels = self.frames.matte(frame), self.frames.labels(frame)
        geometry = None if self.geometry is None else self.geometry(frame)
        return EditRequest(
            self.prompt, original, render, matte, labels, noise_level, self.generator, frame=frame, geometry=geometry
        )
