"""The clip's frames at hand for training: decoded once, 8 bits a number, in memory or in a file.

Drawing a pixel must cost next to nothing however long the clip is. A clip that is small enough lies in memory whole;
of a longer one the records of the few frames that a step draws from are read into a pool, from a file that the system
keeps in whatever memory is free. Edited frames lie beside the filmed ones, never instead of them.
"""

import os
import tempfile
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from stage2_nerf.frame_record import FrameLayout, Part
from tracking.errors import writing_failed

POOL_FRAMES = 24
"""Records kept in memory of a clip that is in a file: three steps' worth of frames."""


class FrameStore(ABC):
    """All tracked frames of a clip, numbered from 0, with their edits.

    `pool` holds records side by side, and `edits` the edited images of the same places.
    """

    def __init__(self, layout: FrameLayout, frames: int, plate: Float[np.ndarray, "height width 3"] | None) -> None:
        self.layout = layout
        self.plate = None if plate is None else torch.from_numpy(plate).float()
        self.edited: Bool[Tensor, "frames"] = torch.zeros(frames, dtype=torch.bool)
        """The frames whose edit is to be trained on."""

    def __len__(self) -> int:
        return len(self.edited)

    @property
    @abstractmethod
    def pool(self) -> UInt8[Tensor, "places bytes"]:
        """Records in memory."""

    @property
    @abstractmethod
    def edits(self) -> UInt8[Tensor, "places image_bytes"]:
        """Edited images of the frames whose records are in memory; anything where a frame is not edited."""

    @abstractmethod
    def places(self, frame: Int[Tensor, "frames"]) -> Int[Tensor, "frames"]:
        """Where in the pool frames lie; they are brought there if need be. At most `POOL_FRAMES`, all different."""

    @abstractmethod
    def write_edit(self, frame: int, image: UInt8[np.ndarray, "height width 3"]) -> None:
        """Keep a frame's edited image."""

    def replace(self, frame: int, image: UInt8[Tensor, "height width 3"]) -> None:
        """Train on this picture of a frame from now on."""
        self.write_edit(frame, np.ascontiguousarray(image.cpu().numpy()))
        self.edited[frame] = True

    def restore(self) -> None:
        """Train on the filmed frames again."""
        self.edited.zero_()

    def whole(self, frame: int, part: Part) -> UInt8[Tensor, "height width channels"]:
        """A part of a frame as it was filmed."""
        shape, start = self.layout.shapes[part], self.layout.starts[part]
        place = int(self.places(torch.tensor([frame])))
        return self.pool[place, start : start + int(np.prod(shape))].view(shape).clone()

    def pixels(
        self, part: Part, frame: Int[Tensor, "*pixels"], y: Int[Tensor, "*pixels"], x: Int[Tensor, "*pixels"]
    ) -> UInt8[Tensor, "*pixels channels"]:
        """Filmed pixels of any frames."""
        frame, y, x = torch.broadcast_tensors(frame, y, x)
        _, width, channels = self.layout.shapes[part]
        offset = self.layout.starts[part] + (y * width + x) * channels
        flat = offset.flatten()[:, None] + torch.arange(channels)
        found = torch.empty(flat.shape, dtype=torch.uint8)
        for chosen, place in self._groups(frame.flatten()):
            found[chosen] = self.pool.view(-1)[place[:, None] * self.layout.size + flat[chosen]]
        return found.view(*frame.shape, channels)

    def training_images(
        self, frame: Int[Tensor, "*pixels"], y: Int[Tensor, "*pixels"], x: Int[Tensor, "*pixels"]
    ) -> UInt8[Tensor, "*pixels 3"]:
        """Pixels of the pictures to train on: the edited ones where there are, else the filmed ones."""
        frame, y, x = torch.broadcast_tensors(frame, y, x)
        images = self.pixels("image", frame, y, x)
        edited = self.edited[frame]
        if not edited.any():
            return images
        flat = ((y * self.layout.width + x) * 3)[edited][:, None] + torch.arange(3)
        found = torch.empty(flat.shape, dtype=torch.uint8)
        for chosen, place in self._groups(frame[edited]):
            found[chosen] = self.edits.view(-1)[place[:, None] * self.layout.image_size + flat[chosen]]
        images[edited] = found
        return images

    def backgrounds(
        self, frame: Int[Tensor, "*pixels"], y: Int[Tensor, "*pixels"], x: Int[Tensor, "*pixels"]
    ) -> UInt8[Tensor, "*pixels 3"]:
        """What pixels would show without the person: `tracking.background.local_background` at these pixels alone."""
        frame, y, x = torch.broadcast_tensors(frame, y, x)
        height, width = self.layout.blend_size
        row = ((y + 0.5) * (height / self.layout.height) - 0.5).clamp(0, height - 1)
        column = ((x + 0.5) * (width / self.layout.width) - 0.5).clamp(0, width - 1)
        top, left = row.floor().long(), column.floor().long()
        blend = torch.zeros(*frame.shape, 4)
        for bottom in (0, 1):
            for right in (0, 1):
                weight = (1 - bottom + (2 * bottom - 1) * (row - top)) * (1 - right + (2 * right - 1) * (column - left))
                corner = (top + bottom).clamp(max=height - 1), (left + right).clamp(max=width - 1)
                blend += weight[..., None] * self.pixels("blend", frame, *corner)
        background = blend[..., :3]
        if self.plate is not None:
            background = background + blend[..., 3:] * self.plate[y, x]
        background = background.round().clamp(0, 255).to(torch.uint8)
        clear = self.pixels("matte", frame, y, x) == 0
        return torch.where(clear, self.pixels("image", frame, y, x), background)

    def whole_background(self, frame: int) -> UInt8[Tensor, "height width 3"]:
        """What a whole frame would show without the person."""
        y, x = torch.meshgrid(torch.arange(self.layout.height), torch.arange(self.layout.width), indexing="ij")
        return self.backgrounds(torch.tensor(frame), y, x)

    def _groups(
        self, frame: Int[Tensor, "pixels"]
    ) -> Iterator[tuple[slice | Int[Tensor, "chosen"], Int[Tensor, "chosen"]]]:
        """Pixels in portions whose frames fit into the pool together, each with where its frames lie there."""
        distinct, which = torch.unique(frame, return_inverse=True)
        for start in range(0, len(distinct), POOL_FRAMES):
            fits = len(distinct) <= POOL_FRAMES
            chosen = slice(None) if fits else torch.nonzero(which // POOL_FRAMES == start // POOL_FRAMES)[:, 0]
            yield chosen, self.places(distinct[start : start + POOL_FRAMES])[which[chosen] - start]


class MemoryFrames(FrameStore):
    """Every frame in memory."""

    def __init__(
        self,
        layout: FrameLayout,
        records: UInt8[np.ndarray, "frames bytes"],
        plate: Float[np.ndarray, "height width 3"] | None,
    ) -> None:
        super().__init__(layout, len(records), plate)
        self._records = torch.from_numpy(records)
        self._edits: Tensor | None = None

    @property
    def pool(self) -> UInt8[Tensor, "frames bytes"]:
        return self._records

    @property
    def edits(self) -> UInt8[Tensor, "frames image_bytes"]:
        if self._edits is None:
            # Not filled: the system gives memory only to the frames that are edited.
            self._edits = torch.empty(len(self), self.layout.image_size, dtype=torch.uint8)
        return self._edits

    def places(self, frame: Int[Tensor, "frames"]) -> Int[Tensor, "frames"]:
        return frame

    def _groups(self, frame: Int[Tensor, "pixels"]) -> Iterator[tuple[slice, Int[Tensor, "pixels"]]]:
        yield slice(None), frame

    def write_edit(self, frame: int, image: UInt8[np.ndarray, "height width 3"]) -> None:
        self.edits[frame] = torch.from_numpy(image).flatten()


class FileFrames(FrameStore):
    """Frames in a file, of which those last asked for are in memory. Edits go to a file that has no name."""

    def __init__(
        self,
        layout: FrameLayout,
        file: Path,
        first_byte: int,
        frames: int,
        plate: Float[np.ndarray, "height width 3"] | None,
    ) -> None:
        """Open a file of records that lie one behind the other from some byte on."""
        super().__init__(layout, frames, plate)
        self.folder = file.parent
        self._file = file.open("rb", buffering=0)
        self._first_byte = first_byte
        self._pool = torch.empty(POOL_FRAMES, layout.size, dtype=torch.uint8)
        self._edits = torch.empty(POOL_FRAMES, layout.image_size, dtype=torch.uint8)
        self._edits_file: FileIO | None = None
        self._place_of: OrderedDict[int, int] = OrderedDict()

    @property
    def pool(self) -> UInt8[Tensor, "places bytes"]:
        return self._pool

    @property
    def edits(self) -> UInt8[Tensor, "places image_bytes"]:
        return self._edits

    def places(self, frame: Int[Tensor, "frames"]) -> Int[Tensor, "frames"]:
        wanted: list[int] = frame.tolist()
        assert len(wanted) <= POOL_FRAMES
        for number in wanted:
            if number in self._place_of:
                self._place_of.move_to_end(number)
        for number in wanted:
            if number not in self._place_of:
                full = len(self._place_of) == POOL_FRAMES
                place = self._place_of.popitem(last=False)[1] if full else len(self._place_of)
                self._read(number, place)
                self._place_of[number] = place
        return torch.tensor([self._place_of[number] for number in wanted])

    def write_edit(self, frame: int, image: UInt8[np.ndarray, "height width 3"]) -> None:
        try:
            if self._edits_file is None:
                self._edits_file = tempfile.TemporaryFile(dir=self.folder, buffering=0)  # noqa: SIM115 (kept)
            os.pwrite(self._edits_file.fileno(), image.data, frame * self.layout.image_size)
        except OSError as error:
            raise writing_failed(self.folder, error) from error
        if frame in self._place_of:
            self._edits[self._place_of[frame]] = torch.from_numpy(image).flatten()

    def _read(self, frame: int, place: int) -> None:
        start = self._first_byte + frame * self.layout.size
        os.preadv(self._file.fileno(), [self._pool[place].numpy().data], start)
        if self._edits_file is not None and self.edited[frame]:
            start = frame * self.layout.image_size
            os.preadv(self._edits_file.fileno(), [self._edits[place].numpy().data], start)
