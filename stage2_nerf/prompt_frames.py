"""The training frames of one prompt, which its edits replace."""

from collections.abc import Callable

from jaxtyping import Float, UInt8
from torch import Tensor

from stage1_edit.edit_journal import EditRecord
from stage1_edit.edited_frames import EditedFrames
from stage1_edit.editor import Image
from stage2_nerf.datamanager import PortraitDataManager

EditedFrame = tuple[int, Image]
"""A training frame's row, and its edited picture."""


class PromptFrames:
    """The training frames of one prompt: edits go to the trainer, to disk for a resumed run, and to other processes."""

    def __init__(self, datamanager: PortraitDataManager, kept: EditedFrames) -> None:
        self.datamanager = datamanager
        self.kept = kept
        self.tell: Callable[[EditedFrame], None] = lambda edited: None
        """Told of every frame that is replaced."""

    def __len__(self) -> int:
        return len(self.datamanager)

    def original(self, frame: int) -> Image:
        """The frame as it was filmed."""
        return self.datamanager.original(frame)

    def matte(self, frame: int) -> Float[Tensor, "height width 1"]:
        """How much of each pixel is the person."""
        return self.datamanager.matte(frame)

    def labels(self, frame: int) -> UInt8[Tensor, "height width"]:
        """The region that each pixel shows."""
        return self.datamanager.labels(frame)

    def replace(self, frame: int, image: Image) -> None:
        """Train on this picture from now on, and keep it under the source's frame number."""
        self.kept.write(self.datamanager.frame_numbers[frame], image)
        self.train_on(frame, image)

    def train_on(self, frame: int, image: Image) -> None:
        """Train on this picture from now on, here and in other processes."""
        self.datamanager.replace(frame, image)
        self.tell((frame, image.cpu()))

    def edited_picture(self, frame: int) -> Image:
        """The picture that an edited frame has now."""
        return self.kept.read(self.datamanager.frame_numbers[frame])

    def keep_record(self, record: EditRecord) -> None:
        """Note a batch of edits under the source's frame numbers."""
        numbers = self.datamanager.frame_numbers
        self.kept.journal.add(record.renumbered(lambda row: numbers[row]))

    def edited_in(self) -> dict[int, int]:
        """For each frame that an earlier run edited, the number of the last order that did."""
        last, numbers = self.kept.journal.last_numbers(), self.datamanager.frame_numbers
        return {row: last.get(numbers[row], 0) for row in self.kept_rows()}

    def kept_rows(self) -> set[int]:
        """The frames that an earlier run edited."""
        return {row for row, number in enumerate(self.datamanager.frame_numbers) if number in self.kept}

    def take_up_kept(self) -> None:
        """Train on what an earlier run edited."""
        for row in self.kept_rows():
            self.train_on(row, self.edited_picture(row))
