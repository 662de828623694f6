"""Edits asked for in the viewer while a run goes on: the run does not end with its prompts, but waits for the next.

A run is live if it has a viewer that stays (`--viewer.quit-on-train-completion False`). When nothing is left to train
it saves, renders, and pauses; a prompt given in the viewer becomes one more style, and the run goes on. While it
renders the viewer goes on as well.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.engine.trainer import Trainer, TrainerConfig
from nerfstudio.utils.rich_utils import CONSOLE
from torch import nn

from stage1_edit.prompts import EditPrompt
from stage2_nerf.expression_track import ExpressionTrack
from stage2_nerf.style_mix import style_name
from stage2_nerf.viewer_controls import EditControls, ShownLook, ViewerControls
from tracking.console import say
from tracking.errors import UserError

LIVE_STEPS = 10**9
"""So many steps a live run may take: it ends when it is told to."""


def is_live(config: TrainerConfig) -> bool:
    """Whether a run waits for prompts when it has done what it was started for."""
    return config.is_viewer_enabled() and not config.viewer.quit_on_train_completion


@dataclass
class LiveEditing:
    """Holds what was asked for in the viewer until training is ready for it."""

    check: Callable[[EditPrompt], None]
    """See whether the run's editor can follow a prompt; raises `UserError`."""
    known: Callable[[], list[EditPrompt]]
    """The prompts that the run has."""
    requested: list[EditPrompt] = field(default_factory=list)
    given_up: set[str] = field(default_factory=set)
    """Names of the styles that are not trained any further."""
    look: ShownLook = field(default_factory=ShownLook)
    trainer: Trainer | None = None
    """None outside of training."""

    def request(self, prompt: EditPrompt) -> None:
        """Ask for an edit.

        Raises:
            UserError: it cannot be followed, or the run does not wait for edits.
        """
        if self.trainer is None or not is_live(self.trainer.config):
            raise UserError(
                "This run ends with its prompts: start `ns-train portrait-edit` with "
                "`--viewer.quit-on-train-completion False` to go on editing from here."
            )
        if self.trainer.world_size > 1:
            raise UserError("Several processes cannot take edits from the viewer: train in one.")
        if prompt in self.known() or prompt in self.requested:
            raise UserError(f"'{prompt}' is there already: choose it under Style.")
        self.check(prompt)
        self.requested.append(prompt)
        if self.trainer.training_state == "paused":
            self.trainer.training_state = "training"

    @contextmanager
    def lock_left(self) -> Iterator[None]:
        """Within the block viewers may look and ask. To be called while the trainer holds its lock, as it does in a
        step; it is held again afterwards."""
        assert self.trainer is not None
        self.trainer.train_lock.release()
        try:
            yield
        finally:
            self.trainer.train_lock.acquire()

    def put_at_rest(self, model: nn.Module) -> None:
        """Have a model rendered, not trained, from now on. To be called while nobody holds the trainer's lock.

        A viewer's thread leaves the model as it found it: one that found it training amid a video's frames would turn
        their samples' places back to random ones.
        """
        with self.trainer.train_lock if self.trainer is not None else nullcontext():
            model.eval()

    def rest(self) -> None:
        """Wait for the next prompt, unless one was given meanwhile."""
        assert self.trainer is not None
        if self.requested:
            return
        say(CONSOLE, "Waiting for prompts in the viewer; press Ctrl-C to end.")
        self.trainer.training_state = "paused"

    def wanted(self, camera: Cameras, track: ExpressionTrack, names: tuple[str, ...]) -> dict[str, Any]:
        """What `PortraitModel.render_frame` is to show to the viewer."""
        prompt = self.look.prompt
        shown: dict[str, Any] = {"looks": [{} if prompt is None else {style_name(prompt): self.look.amount}]}
        if self.look.expression_offsets:
            times = camera.times
            moment = torch.full((1,), 0.5) if times is None else times.reshape(-1)
            own = track.at(moment.to(track.frame_times.device))[0][0]
            shown["expression"] = own + self.look.offsets(names).to(own.device)
        return shown

    def controls(
        self,
        restore: Callable[[], None],
        names: tuple[str, ...],
        camera: Cameras,
        guidance: Any,
        on_open: Callable[[], None],
    ) -> ViewerControls:
        """The viewer's elements.

        Args:
            restore: gives up the edit that is being trained.
            guidance: a configuration with `guidance_scale` and `image_guidance_scale`, which the sliders set.
        """

        def set_guidance(text: float, image: float) -> None:
            guidance.guidance_scale, guidance.image_guidance_scale = text, image

        scales = guidance.guidance_scale, guidance.image_guidance_scale
        edit = EditControls(self.request, restore, set_guidance, scales)
        return ViewerControls(edit, self.look, names, camera, on_open)


def record_prompts(config: TrainerConfig, folder: Path) -> None:
    """Write the run's config.yml again, with the prompts that it has by now."""
    partial = folder / "config.partial.yml"
    partial.write_text(yaml.dump(config), encoding="utf-8")
    partial.replace(folder / "config.yml")
