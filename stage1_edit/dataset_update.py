"""Iterative dataset update: render a frame, edit it, put it back among the training frames."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from stage1_edit.compositing import composite, region_mask
from stage1_edit.edit_journal import EditRecord, edit_seed
from stage1_edit.editing_cost import evaluations_so_far
from stage1_edit.editor import EditRequest, FrameEditor, Image
from stage1_edit.expression_guard import guard_counts
from stage1_edit.frame_geometry import FrameGeometry
from stage1_edit.prompts import EditPrompt
from stage1_edit.schedule import DueEdits, EditSchedule


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


class StartingPictures(Protocol):
    """Where edits that are weaker than from pure noise start, if not from the avatar's renders as they are."""

    def begin(self, number: int, done: set[int], is_round: bool) -> None:
        """Get ready for a schedule's order of that number, given the frames edited so far."""
        ...

    def replaced(self, frame: int) -> None:
        """A frame has been edited."""
        ...

    def start(
        self, original: Image, render: Image, matte: Float[Tensor, "height width 1"], geometry: FrameGeometry | None
    ) -> Image:
        """Where a frame's edit is to start."""
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
    seed: int = 0
    """Of the editor's randomness: each edit has its own, whichever were made before."""
    batch_size: int = 4
    """Frames given to the editor together."""
    geometry: Callable[[int], FrameGeometry] | None = None
    """The tracked shape in a frame, for editors that use it."""
    number: Callable[[int], int] | None = None
    """A frame's number in the source video; its own where none is given."""
    edited: set[int] = field(default_factory=set)
    """The frames edited so far: the only ones to train on. Start with those that an earlier run left."""
    on_progress: Callable[[int, int], None] | None = None
    """Told the number of frames done and due, after each batch."""
    starts: StartingPictures | None = None
    """Where weaker edits start; none from the renders."""
    keep_record: Callable[[EditRecord], None] = lambda record: None
    """Told of every batch, when its frames are replaced."""

    def step(self) -> Sequence[int]:
        """Edit what is due; call once before every training step. Returns the frames that were replaced."""
        due = self.schedule.due()
        if due.frames and due.noise_level < 1 and self.starts is not None:
            self.starts.begin(due.number, self.edited, due.is_round)
        for start in range(0, len(due.frames), self.batch_size):
            batch = due.frames[start : start + self.batch_size]
            self._edit(batch, due)
            if self.on_progress is not None:
                self.on_progress(start + len(batch), len(due.frames))
        return due.frames

    def _edit(self, batch: Sequence[int], due: DueEdits) -> None:
        seeds = tuple(edit_seed(self.seed, due.number, frame) for frame in batch)
        requests = [self._request(frame, due, seed) for frame, seed in zip(batch, seeds, strict=True)]
        before, guarded = evaluations_so_far(self.editor), guard_counts(self.editor)
        edits = self.editor.edit(requests)
        cost = evaluations_so_far(self.editor) - before
        for frame, request, edit in zip(batch, requests, edits, strict=True):
            if edit is None:
                # What the frame shows so far, its last edit or nothing to train on, stays.
                continue
            mask = region_mask(request.labels, request.matte, self.prompt.region)
            self.frames.replace(frame, composite(edit, request.original, mask))
            self.edited.add(frame)
            if self.starts is not None:
                self.starts.replaced(frame)
        made = guard_counts(self.editor) - guarded
        kept = [row for row, edit in enumerate(edits) if edit is not None]
        if kept or made.dropped:
            frames, used = tuple(batch[row] for row in kept), tuple(seeds[row] for row in kept)
            counts = cost, made.retried, made.dropped
            self.keep_record(EditRecord(frames, due.noise_level, due.number, used, *counts))

    def _request(self, frame: int, due: DueEdits, seed: int) -> EditRequest:
        original = self.frames.original(frame)
        matte, labels = self.frames.matte(frame), self.frames.labels(frame)
        geometry = None if self.geometry is None else self.geometry(frame)
        # From pure noise nothing of the render is seen, so none is made.
        render = original if due.noise_level >= 1 else self.render(frame).to(original)
        if self.starts is not None and due.noise_level < 1:
            render = self.starts.start(original, render, matte, geometry)
        return EditRequest(
            self.prompt,
            original,
            render,
            matte,
            labels,
            due.noise_level,
            torch.Generator().manual_seed(seed),
            frame=frame if self.number is None else self.number(frame),
            geometry=geometry,
            steps_by_level=due.steps_by_level,
        )
