"""What a run leaves behind beside its checkpoints: how training went, and the videos that it was made for."""

import time
from pathlib import Path

import torch
from jaxtyping import Float
from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor

from stage1_edit.edited_frames import folder_name
from stage1_edit.expression_guard import GuardCounts
from stage1_edit.prompts import EditPrompt
from stage2_nerf.frame_renderer import FrameRenderer, look_of
from stage2_nerf.portrait_model import PortraitModel
from stage2_nerf.render_looks import ChosenLooks
from stage2_nerf.render_motion import ExpressionChange, OwnMotion
from stage2_nerf.render_output import Delivery, write_videos
from stage2_nerf.training_record import TrainingMoment, TrainingRecord
from tracking.clip import TrackedClip
from tracking.console import say
from tracking.errors import UserError
from tracking.video import VideoReader

STEPS_BETWEEN_MOMENTS = 20


class RunDiary:
    """Writes down how a run goes, and at its end what came of it."""

    def __init__(self, folder: Path, earlier: Path | None) -> None:
        """
        Args:
            folder: the run's.
            earlier: the folder of the run that this one goes on from.
        """
        self.folder = folder
        self._record = TrainingRecord(folder, earlier)
        self._begin = time.monotonic()
        self._resting_since: float | None = None
        self._rendered: set[EditPrompt | None] = set()
        # Tensors: to ask a GPU for a number at every step would make training wait for it.
        self._latest: list[Tensor] = []

    def rest(self) -> None:
        """Training pauses until the next note: the time until then is nobody's."""
        self._resting_since = time.monotonic()

    def note(
        self,
        phase: str,
        step: int,
        psnr_in_matte: Float[Tensor, ""],
        edited_frames: int,
        is_last: bool,
        network_evaluations: int = 0,
        guarded: GuardCounts | None = None,
    ) -> None:
        """Note a training step; every so many are written down as one moment, and the last of a phase in any case."""
        if self._resting_since is not None:
            self._begin += time.monotonic() - self._resting_since
            self._resting_since = None
        self._latest.append(psnr_in_matte)
        if step % STEPS_BETWEEN_MOMENTS and not is_last:
            return
        seconds = self._record.seconds_before + time.monotonic() - self._begin
        mean = float(torch.stack(self._latest).mean())
        guarded = guarded or GuardCounts()
        moment = TrainingMoment(
            *(phase, step, round(seconds, 2), round(mean, 3), edited_frames, network_evaluations),
            *(guarded.retried, guarded.dropped),
        )
        self._record.add(moment)
        self._latest.clear()

    def render(self, model: PortraitModel, clip: TrackedClip, prompts: tuple[EditPrompt, ...]) -> list[Path]:
        """Write the video of every prompt, or of the unedited avatar where there are none, as `portrait-render` does,
        in one pass: looks differ in colour alone. What this diary has rendered before is not rendered again, for a
        style that was trained stays as it is.

        A source that has gone, or sound that a video cannot hold, costs the videos and not the run: it is told.
        """
        named = {
            prompt: "unedited" if prompt is None else f"{number}-{folder_name(prompt, '')[:-7]}"
            for number, prompt in enumerate(prompts or (None,), start=1)
            if prompt not in self._rendered
        }
        if not named:
            return []
        shown, names = tuple(named), tuple(named.values())
        looks = [look_of(prompt) for prompt in shown]
        chosen = ChosenLooks(lambda seconds: looks, tuple(str(prompt) for prompt in shown))
        deliveries = [Delivery(self.folder / f"{name}.mp4", (index,)) for index, name in enumerate(names)]
        try:
            reader = VideoReader(Path(clip.source.path))
            motion = OwnMotion(clip, reader, ExpressionChange())
            write_videos(deliveries, "h264", FrameRenderer(model, clip), reader, motion, chosen)
        except UserError as error:
            say(CONSOLE, f"{' and '.join(names)} were not rendered: {error}")
            return []
        self._rendered.update(shown)
        return [delivery.output for delivery in deliveries]
