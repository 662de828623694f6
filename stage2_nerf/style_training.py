"""One prompt's phase of a run: its frames are edited, and its style is trained on them over the frozen avatar."""

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn, track
from torch import Tensor

from stage1_edit.choose_schedule import ScheduleConfig, in_words, make_schedule, resolve_schedule_name
from stage1_edit.common_tone import CommonTone
from stage1_edit.compositing import labelled, region_mask, training_mask
from stage1_edit.consistency import follower_in
from stage1_edit.dataset_update import DatasetUpdater
from stage1_edit.edit_journal import EditRecord
from stage1_edit.edited_frames import EditedFrames
from stage1_edit.editor import FrameEditor, Image
from stage1_edit.expression_guard import GuardCounts
from stage1_edit.frame_geometry import FrameGeometry, frame_geometry
from stage1_edit.kept_anchors import load_anchors, save_anchors
from stage1_edit.keyframes import choose_keyframes
from stage1_edit.prompts import EditPrompt
from stage1_edit.schedule import EditSchedule, IterativeDatasetUpdateConfig
from stage1_edit.surface_aggregation import SurfaceStarts
from stage2_nerf.datamanager import PortraitDataManager
from stage2_nerf.pixel_sampler import FrameTurns
from stage2_nerf.portrait_model import PortraitModel
from stage2_nerf.prompt_frames import EditedFrame, PromptFrames
from stage2_nerf.several_processes import follow_first, processes
from stage2_nerf.styles import Style
from tracking.errors import UserError
from tracking.regions import Label


@dataclass
class StyleTrainingConfig:
    """How each prompt's style is trained."""

    steps: int = 1000
    """Training steps of each prompt."""
    learning_rate: float = 5e-3
    """Adam's step size for the network at the phase's start; it falls to its end, as half a cosine does."""
    plane_learning_rate: float = 5e-2
    """The same for the feature planes."""
    smoothness: float = 0.04
    """Weight of the feature planes' roughness beside the colour's squared error. Where texels differ that no edit told
    apart, the look changes with every fraction of a pixel that a pose is off by, and flickers."""
    keyframes: int = 4
    """Frames that span the clip's poses and expressions, edited before all others: editors that tie frames together
    take their anchors from them."""
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    """Which frames are edited when, and how strongly."""
    start: Literal["render", "surface"] = "render"
    """Where edits weaker than from pure noise start, if the schedule has any: from the avatar's render, or from the
    frame with the change that the edited frames agree on, gathered on the tracked surface."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Runs of earlier versions recorded iterative dataset update's settings where now a schedule is chosen."""
        self.__dict__.update({"start": "render", "plane_learning_rate": 5e-2, "smoothness": 0.0, **state})
        if isinstance(self.schedule, IterativeDatasetUpdateConfig):
            self.schedule = ScheduleConfig("iterative", iterative=self.schedule)


LAST_STEP_SIZE = 0.02
"""What is left of the step size at a phase's end."""
MOST_SPREAD = 400
"""Frames that are put in order by how they span the clip; the others follow in any order."""


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
        network = [*style.head.network.parameters(), *style.torso.network.parameters()]
        self.optimizer = torch.optim.Adam(
            [
                {"params": network, "initial_lr": config.learning_rate},
                {"params": style.planes(), "initial_lr": config.plane_learning_rate},
            ],
            lr=config.learning_rate,
            eps=1e-15,
        )
        self.turns = FrameTurns(len(datamanager), seed)
        self.edited: set[int] = set()
        """The training frames that have been edited."""
        self.schedule: EditSchedule | None = None
        self.updater: DatasetUpdater | None = None
        self.tone: CommonTone | None = None
        if editing is None:
            return
        editor, kept = editing
        self.frames = PromptFrames(datamanager, kept)
        self.edited |= self.frames.kept_rows()
        self.follower = follower_in(editor)
        """Who ties later edits to earlier ones, if anybody does."""
        if self.follower is not None:
            self.follower.follow(load_anchors(kept.folder))
        self.schedule_name = resolve_schedule_name(config.schedule, editor)
        order = self.telling_order()
        if self.schedule_name == "edit-then-fit" and config.schedule.edit_then_fit.common_tone:
            self.tone = CommonTone(lambda: self.surface_starts(order), self.gives_tone, self.training_mask)
        self.schedule = make_schedule(
            config.schedule,
            editor,
            order,
            config.keyframes,
            config.steps,
            torch.Generator().manual_seed(seed),
            self.frames.edited_in(),
        )
        self.plan = in_words(self.schedule, editor)
        """What the schedule is going to do, in one line."""
        self.updater = DatasetUpdater(
            editor,
            self.schedule,
            self.frames,
            self.render,
            prompt,
            seed,
            edited=self.edited,
            batch_size=frames_at_once,
            geometry=self.geometry,
            starts=self.surface_starts(order) if config.start == "surface" else None,
            keep_record=self.keep_record,
            number=lambda row: int(datamanager.frame_numbers[row]),
        )

    def begin(self) -> None:
        """Show this style alone, freeze the shared avatar, and train on the prompt's frames."""
        self.model.style_weights = {self.style_name: 1.0}
        self.model.freeze_shared(True)
        self.datamanager.restore()
        self.datamanager.favour(self.prompt.region)
        self.datamanager.draw_in_turns(self.turns)
        follow_first(self.take_up_kept, self.take)
        self.train_on_edited()

    def take_up_kept(self, tell: Callable[[EditedFrame], None]) -> None:
        """Train on what an earlier run edited."""
        self.frames.tell = tell
        self.frames.take_up_kept()
        self.give_tone()

    def give_tone(self) -> None:
        """Train on the edited frames in the tone that they have in common, if the schedule asks for it."""
        if self.tone is None or not self.edited:
            return
        rows = sorted(self.edited)
        for row, image in track(self.tone.toned(rows), "Bringing edits to one tone", len(rows), transient=True):
            self.frames.train_on(row, image)

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
                    text = TextColumn("{task.description}", markup=False)
                    columns = text, BarColumn(), MofNCompleteColumn()
                    bars.append(shown.enter_context(Progress(*columns, TimeRemainingColumn(), transient=True)))
                    bars[0].add_task(f"Editing frames: {self.prompt}", total=due)
                for bar in bars:
                    bar.update(bar.task_ids[0], completed=done)

            self.updater.on_progress = show
            is_round = self.is_round_next
            due = self.updater.step()
        if is_round:
            self.give_tone()
        if due and not self.edited and not self.config.schedule.train_on_unedited:
            raise UserError(
                f"None of the {len(due)} training frames that were to be edited first has an edit of '{self.prompt}': "
                "edit frames of the clip's images/ folder that are not held out for evaluation, and those of the "
                "schedule's first round."
            )

    def keep_record(self, record: EditRecord) -> None:
        """Note a batch of edits, and what the next will follow."""
        if self.follower is not None:
            anchors = self.follower.followed(self.prompt)
            if anchors:
                save_anchors(self.frames.kept.folder, anchors)
        self.frames.keep_record(record)

    @property
    def is_round_next(self) -> bool:
        """Whether many frames may be edited before the next step."""
        return self.schedule is not None and self.schedule.is_round_next

    @property
    def edits(self) -> int:
        """How many frames the editor was asked for, earlier runs' included."""
        return 0 if self.updater is None else self.frames.kept.journal.edits

    @property
    def network_evaluations(self) -> int:
        """How often a network was asked for one picture, earlier runs' edits included."""
        return 0 if self.updater is None else self.frames.kept.journal.network_evaluations

    @property
    def guarded(self) -> GuardCounts:
        """What the expression guard has done to this prompt's edits, earlier runs' included."""
        return GuardCounts() if self.updater is None else self.frames.kept.journal.guarded

    def schedule_state(self) -> dict[str, Any]:
        """Where the schedule stands, for the checkpoint; nothing in a process that does not edit."""
        return {} if self.schedule is None else {"name": self.schedule_name, **self.schedule.state_dict()}

    def go_on_with(self, state: dict[str, Any]) -> bool:
        """Go on where a checkpoint's schedule stood; tells whether that was the same kind of schedule."""
        if self.schedule is None or not state:
            return True
        # Earlier versions knew one schedule, and did not name it.
        if state.get("name", "iterative") != self.schedule_name:
            return False
        self.schedule.load_state_dict(state)
        return True

    def training_state(self) -> dict[str, Any]:
        """What the next steps depend on beside the model, for the checkpoint: Adam's means, the frames' turns, and
        torch's randomness."""
        return {
            "name": self.style_name,
            "optimizer": self.optimizer.state_dict(),
            "turns": self.turns.credit,
            "random": torch.get_rng_state(),
        }

    def go_on_training(self, state: dict[str, Any]) -> None:
        """Go on where a checkpoint's training stood, if it was this style that was trained."""
        if state.get("name") != self.style_name:
            return
        # Earlier versions had one group of parameters, and knew no turns.
        if len(state["optimizer"]["param_groups"]) == len(self.optimizer.param_groups):
            self.optimizer.load_state_dict(state["optimizer"])
        self.turns.credit = state.get("turns", self.turns.credit).cpu()
        # Of several processes each draws rays of its own.
        if processes() == 1:
            torch.set_rng_state(state["random"].cpu())

    def train_on_edited(self) -> None:
        """Draw rays from edited frames alone, unless the schedule wants otherwise: the others would hold the style near
        the original."""
        if self.config.schedule.train_on_unedited:
            self.datamanager.train_only_on(None)
        elif self.edited:
            self.datamanager.train_only_on(sorted(self.edited))

    def after_step(self) -> None:
        """Move the style by its gradients."""
        progress = int(self.style.steps_trained) / max(self.config.steps, 1)
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * falling(progress)
        self.smooth()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.style.steps_trained += 1

    def smooth(self) -> None:
        """Add the gradient of the style's roughness: the same in every process, so after theirs were averaged."""
        planes = self.style.planes()
        rough = self.config.smoothness * self.style.roughness()
        for plane, gradient in zip(planes, torch.autograd.grad(rough, planes), strict=True):
            plane.grad = gradient if plane.grad is None else plane.grad + gradient

    def telling_order(self) -> list[int]:
        """All training frames: first those that span the clip's poses and expressions, the most telling first."""
        count = len(self.datamanager)
        first = self.keyframes(min(count, MOST_SPREAD))
        others = np.setdiff1d(np.arange(count), first)
        return [*first, *np.random.default_rng(0).permutation(others).tolist()]

    def surface_starts(self, order: Sequence[int]) -> SurfaceStarts:
        """What the edited frames agree on, on the tracked surface."""
        frames, region = self.frames, self.prompt.region
        return SurfaceStarts(
            order,
            frames.original,
            frames.edited_picture,
            lambda row: region_mask(frames.labels(row), frames.matte(row), region),
            self.geometry,
            frames.kept.folder / "surface.npz",
        )

    def gives_tone(self, row: int) -> Float[Tensor, "height width 1"]:
        """How much of each pixel of a frame tells its edit's tone: what the prompt edits and the tracked mesh follows.

        Hair does not lie on the mesh; and what surrounds the region is edited through its soft border alone.
        """
        matte, labels = self.frames.matte(row), self.frames.labels(row).cpu().numpy()
        told = labelled(labels, self.prompt.region) & (labels != Label.HAIR)
        return matte * torch.from_numpy(told)[..., None].to(matte)

    def training_mask(self, row: int) -> Float[Tensor, "height width 1"]:
        """How much of each pixel of a frame's edit is trained on."""
        return training_mask(self.frames.labels(row), self.frames.matte(row), self.prompt.region)

    def keyframes(self, count: int) -> list[int]:
        """The training frames that span the clip's poses and expressions."""
        found, numbers = self.datamanager.train_dataset.metadata["clip"].track, self.datamanager.frame_numbers
        return choose_keyframes(
            found.camera_to_head[numbers, :3, :3],
            found.expression[numbers],
            found.expression_names,
            count,
            found.flags[numbers] == 0,
        )

    def geometry(self, row: int) -> FrameGeometry:
        """The tracked shape in a training frame."""
        return frame_geometry(self.datamanager.train_dataset.metadata["clip"], self.datamanager.frame_numbers[row])

    def render(self, row: int) -> Image:
        """The avatar's picture of a training frame, over that frame's own background."""
        return self.datamanager.over_background(row, self.model.render_frame(self.datamanager.camera(row)))


def falling(progress: float) -> float:
    """What is left of the step size: from 1 to `LAST_STEP_SIZE` along half a cosine (SGDR, Loshchilov and Hutter 2017,
    arXiv 1608.03983, without restarts). It stays near 1 while the look is still found, and near the end for longer than
    an exponential's would."""
    return LAST_STEP_SIZE + (1 - LAST_STEP_SIZE) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
