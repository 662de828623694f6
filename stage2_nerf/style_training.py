"""One prompt's phase of a run: its frames are edited, and its style is trained on them over the frozen avatar."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, UInt8
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from stage1_edit.dataset_update import DatasetUpdater
from stage1_edit.edited_frames import EditedFrames
from stage1_edit.editor import FrameEditor, Image
from stage1_edit.frame_geometry import FrameGeometry, frame_geometry
from stage1_edit.keyframes import choose_keyframes
from stage1_edit.prompts import EditPrompt
from stage1_edit.schedule import IterativeDatasetUpdate, IterativeDatasetUpdateConfig
from stage2_nerf.datamanager import PortraitDataManager
from stage2_nerf.portrait_model import PortraitModel
from stage2_nerf.several_processes import follow_first
from stage2_nerf.styles import Style


@dataclass
class StyleTrainingConfig:
    """How each prompt's style is trained."""

    steps: int = 500
    """Training steps of each prompt."""
    learning_rate: float = 1e-2
    """Adam's step size at the phase's start; it falls tenfold, exponentially, to its end."""
    keyframes: int = 4
    """Frames that span the clip's poses and expressions, edited before all others: editors that tie frames together
    take their anchors from them."""
    schedule: IterativeDatasetUpdateConfig = field(
        default_factory=lambda: IterativeDatasetUpdateConfig(last_max_noise_level=0.3)
    )
    """Which frames are edited when, and how strongly."""


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
        self.datamanager.replace(frame, image)
        self.kept.write(self.datamanager.frame_numbers[frame], image)
        self.tell((frame, image.cpu()))

    def kept_rows(self) -> set[int]:
        """The frames that an earlier run edited."""
        return {row for row, number in enumerate(self.datamanager.frame_numbers) if number in self.kept}

    def take_up_kept(self) -> None:
        """Train on what an earlier run edited."""
        numbers = self.datamanager.frame_numbers
        for row in self.kept_rows():
            image = self.kept.read(numbers[row])
            self.datamanager.replace(row, image)
            self.tell((row, image))


class StyleTraining:
    """Trains one style. Its optimizer is its own, so prompts may come and go between runs of one avatar.

    Of several processes that train together the first edits, and tells the others of every edited frame.
    """

    def __init__(
        self,
        config: StyleTrainingConfig,
        prompt: EditPrompt,
        style_name: str,
        model: PortraitModel,
        datamanager: PortraitDataManager,
        editing: tuple[FrameEditor, EditedFrames] | None,
        seed: int,
        frames_at_once: int = DatasetUpdater.batch_size,
    ) -> None:
        """Set a phase up.

        Args:
            editing: who edits, and where edited frames are kept; none in a process that is told of them.
            frames_at_once: how many frames the editor is given together.
        """
        self.config = config
        self.prompt = prompt
        self.style_name = style_name
        self.model = model
        self.datamanager = datamanager
        style = model.styles[style_name]
        assert isinstance(style, Style)
        self.style = style
        self.optimizer = torch.optim.Adam(style.parameters(), lr=config.learning_rate, eps=1e-15)
        generator = torch.Generator().manual_seed(seed)
        self.edited: set[int] = set()
        """The training frames that have been edited: the only ones to draw from."""
        self.updater: DatasetUpdater | None = None
        if editing is not None:
            editor, kept = editing
            self.frames = PromptFrames(datamanager, kept)
            self.edited |= self.frames.kept_rows()
        self.schedule = IterativeDatasetUpdate(
            config.schedule,
            len(datamanager),
            config.steps,
            generator,
            self.edited,
            self.keyframes(config.keyframes),
        )
        if editing is not None:
            self.updater = DatasetUpdater(
                editor,
                self.schedule,
                self.frames,
                self.render,
                prompt,
                generator,
                edited=self.edited,
                batch_size=frames_at_once,
                geometry=self.geometry,
            )

    def begin(self) -> None:
        """Show this style alone, freeze the shared avatar, and train on the prompt's frames."""
        self.model.style_weights = {self.style_name: 1.0}
        self.model.freeze_shared(True)
        self.datamanager.restore()
        self.datamanager.favour(self.prompt.region)
        follow_first(self.take_up_kept, self.take)
        self.train_on_edited()

    def take_up_kept(self, tell: Callable[[EditedFrame], None]) -> None:
        """Train on what an earlier run edited."""
        self.frames.tell = tell
        self.frames.take_up_kept()

    def take(self, edited: EditedFrame) -> None:
        """Train on a frame that another process edited."""
        row, image = edited
        self.datamanager.replace(row, image)
        self.edited.add(row)

    def before_step(self) -> None:
        """Edit what is due."""
        follow_first(self.edit, self.take)
        self.train_on_edited()

    def edit(self, tell: Callable[[EditedFrame], None]) -> None:
        """Edit what is due, and tell of every frame that is done."""
        assert self.updater is not None
        self.frames.tell = tell
        with ExitStack() as shown:
            bars: list[Progress] = []

            def show(done: int, due: int) -> None:
                # Most steps edit nothing or one frame, and are not worth a bar.
                if due > 1 and not bars:
                    columns = TextColumn(f"Editing frames: {self.prompt}"), BarColumn(), MofNCompleteColumn()
                    bars.append(shown.enter_context(Progress(*columns, TimeRemainingColumn(), transient=True)))
                    bars[0].add_task("edit", total=due)
                for bar in bars:
                    bar.update(bar.task_ids[0], completed=done)

            self.updater.on_progress = show
            self.updater.step()

    @property
    def edits(self) -> int:
        """How many frames the editor was asked for in this run."""
        return 0 if self.updater is None else self.updater.edits_made

    def train_on_edited(self) -> None:
        """Draw rays from edited frames alone: the others would hold the style near the original."""
        if self.edited:
            self.datamanager.train_only_on(sorted(self.edited))

    def after_step(self) -> None:
        """Move the style by its gradients."""
        progress = int(self.style.steps_trained) / max(self.config.steps, 1)
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * 0.1**progress
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.style.steps_trained += 1

    def keyframes(self, count: int) -> list[int]:
        """The training frames that span the clip's poses and expressions."""
        track, numbers = self.datamanager.train_dataset.metadata["clip"].track, self.datamanager.frame_numbers
        return choose_keyframes(
            track.camera_to_head[numbers, :3, :3],
            track.expression[numbers],
            track.expression_names,
            count,
            track.flags[numbers] == 0,
        )

    def geometry(self, row: int) -> FrameGeometry:
        """The tracked shape in a training frame."""
        return frame_geometry(self.datamanager.train_dataset.metadata["clip"], self.datamanager.frame_numbers[row])

    def render(self, row: int) -> Image:
        """The avatar's picture of a training frame, over that frame's own background."""
        return self.datamanager.over_background(row, self.model.render_frame(self.datamanager.camera(row)))
