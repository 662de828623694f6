"""A run: reconstruct the portrait, then train one style for each prompt.

The phases follow from how long the avatar and each style have been trained, which the checkpoint holds. So an
interrupted run goes on where it stood, and a finished reconstruction (`--load-dir`) goes straight to its prompts.
"""

import shutil
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from nerfstudio.engine.callbacks import TrainingCallback, TrainingCallbackAttributes, TrainingCallbackLocation
from nerfstudio.engine.trainer import TrainerConfig
from nerfstudio.pipelines.base_pipeline import VanillaPipeline, VanillaPipelineConfig
from nerfstudio.utils.rich_utils import CONSOLE

from stage1_edit.choose_editor import EditorConfig, choose_editor, resolve_editor_name
from stage1_edit.edited_frames import EditedFrames
from stage1_edit.editor import FrameEditor
from stage1_edit.prompts import EditPrompt, EditPromptArg
from stage2_nerf.checkpoints import clip_entry, fitting_state
from stage2_nerf.datamanager import PortraitDataManager, PortraitDataManagerConfig
from stage2_nerf.live_editing import LiveEditing, is_live, record_prompts
from stage2_nerf.portrait_model import PortraitModel, PortraitModelConfig
from stage2_nerf.run_diary import RunDiary
from stage2_nerf.run_page import RunFacts, write_run_page
from stage2_nerf.several_processes import ParallelTraining, is_first
from stage2_nerf.style_mix import style_name
from stage2_nerf.style_training import StyleTraining, StyleTrainingConfig
from tracking.clip import TrackedClip
from tracking.console import say
from tracking.errors import UserError, one_sentence_for_user_errors

# A checkpoint holds the schedulers' learning rates as numpy numbers, which torch >= 2.6 refuses to load unless told
# that they are harmless. nerfstudio imports this module before it loads any checkpoint of ours.
torch.serialization.add_safe_globals(
    [type(np.dtype("float64")), np.dtype, np.float64(0).__reduce__()[0]]  # pyright: ignore[reportArgumentType]
)


@dataclass
class PortraitEditPipelineConfig(VanillaPipelineConfig):
    """What to do with the clip."""

    _target: type = field(default_factory=lambda: PortraitEditPipeline)
    prompts: tuple[EditPromptArg, ...] = ()
    """The edits, each a style of its own; `REGION: TEXT` keeps one to a region. Without any, only reconstruct."""
    editor: EditorConfig = field(default_factory=EditorConfig)
    """Who edits the frames, and how frames are made to agree."""
    reconstruction_steps: int = 2000
    """Training steps of the unedited avatar."""
    style_training: StyleTrainingConfig = field(default_factory=StyleTrainingConfig)
    """How each prompt's style is trained."""
    render_when_done: bool = True
    """Render the video of every prompt into the run's folder at the end; of the unedited avatar, if there are none."""
    datamanager: PortraitDataManagerConfig = field(default_factory=PortraitDataManagerConfig)  # pyright: ignore
    """The clip and how it is drawn from."""
    model: PortraitModelConfig = field(default_factory=PortraitModelConfig)  # pyright: ignore
    """The avatar."""

    def all_prompts(self) -> tuple[EditPrompt, ...]:
        """The prompts; or the single one of nerfstudio's own `--prompt`."""
        if self.prompts or not self.model.prompt:
            return self.prompts
        return (EditPrompt.split(self.model.prompt),)


class PortraitEditPipeline(VanillaPipeline):
    """Trains the avatar and its styles, each in its phase."""

    config: PortraitEditPipelineConfig
    datamanager: PortraitDataManager

    def __init__(
        self,
        config: PortraitEditPipelineConfig,
        device: str,
        test_mode: Literal["test", "val", "inference"] = "val",
        world_size: int = 1,
        local_rank: int = 0,
        grad_scaler: Any = None,
    ) -> None:
        self.styles = {style_name(prompt): prompt for prompt in config.all_prompts()}
        config.model.style_names = tuple(self.styles)
        with one_sentence_for_user_errors():
            # As if alone: nerfstudio's own wrapper for several processes sees neither losses nor styles.
            super().__init__(config, device, test_mode, grad_scaler=grad_scaler)
        self.world_size = world_size
        self.local_rank = local_rank
        self.datamanager.share_rays(world_size)
        self.parallel = self.in_parallel()
        self.run_folder = Path()
        self.phase: StyleTraining | None = None
        self.diary: RunDiary | None = None
        self.latest_psnr = torch.tensor(torch.nan)
        self.schedule_states: dict[str, dict[str, Any]] = {}
        self.training_state: dict[str, Any] = {}
        self.live = LiveEditing(lambda prompt: self.editor[1].check(prompt), lambda: list(self.styles.values()))
        dataset = self.datamanager.eval_dataset or self.datamanager.train_dataset
        self.portrait = self.live.controls(
            self.restore,
            self.clip.track.expression_names,
            dataset.cameras[:1],
            config.editor.instruct_pix2pix,
            self.show_in_viewer,
        )
        self.portrait.look.offer(list(self.styles.values()), None)

    @property
    def model(self) -> PortraitModel:
        """The avatar."""
        model = super().model
        assert isinstance(model, PortraitModel)
        return model

    @property
    def clip(self) -> TrackedClip:
        """The clip that the avatar is made from."""
        return self.datamanager.train_dataset.metadata["clip"]

    def in_parallel(self) -> ParallelTraining | None:
        """The avatar as several processes train it, if there are several: what learns now is kept alike in all."""
        if self.world_size == 1:
            return None
        return ParallelTraining(self.model, (self.model.head_sampler.density, self.model.torso_sampler.density))

    def get_train_loss_dict(self, step: int) -> tuple[Any, dict[str, Any], dict[str, Any]]:
        """Outputs, losses and metrics of a step's rays, of this process' share of them where there are several.

        The sampler is told where the avatar is still wrong.
        """
        if self.parallel is None:
            outputs, losses, metrics = super().get_train_loss_dict(step)
        else:
            outputs, losses, metrics = self.parallel.losses(*self.datamanager.next_train(step))
        if self.phase is None:
            self.datamanager.train_pixel_sampler.observe(outputs["colour_error"][:, 0])
        self.latest_psnr = metrics["psnr_in_matte"].detach()
        return outputs, losses, metrics

    @cached_property
    def editor(self) -> tuple[str, FrameEditor]:
        """The editor's label and itself, made at the first edit: rendering and evaluation never load its weights.

        It is no part of the module tree, so it is in no checkpoint.
        """
        config, device = self.config.editor, torch.device(self.device)
        config.name = resolve_editor_name(config, device)
        with one_sentence_for_user_errors():
            return config.label(), choose_editor(config, device, self.clip)

    def get_training_callbacks(
        self, training_callback_attributes: TrainingCallbackAttributes
    ) -> list[TrainingCallback]:
        """Hand the trainer the phases, and how many steps are left in all of them."""
        trainer = training_callback_attributes.trainer
        assert trainer is not None
        self.run_folder = trainer.base_dir
        if is_first():
            self.bring_edited_frames(trainer.config)
            self.diary = RunDiary(self.run_folder, earlier_run(trainer.config))
        self.save_checkpoint = trainer.save_checkpoint
        self.live.trainer = trainer
        left = sum(steps for _, steps in self.phases_left())
        with one_sentence_for_user_errors():
            if left == 0:
                raise UserError(
                    "Nothing is left to train, the run that was loaded has finished: give another prompt, or more "
                    "steps with --pipeline.style-training.steps, or render it with portrait-render."
                )
        trainer.config.max_num_iterations = min(trainer.config.max_num_iterations, left)
        before = TrainingCallback([TrainingCallbackLocation.BEFORE_TRAIN_ITERATION], func=self.before_step)
        after = TrainingCallback([TrainingCallbackLocation.AFTER_TRAIN_ITERATION], func=self.after_step)
        end = TrainingCallback([TrainingCallbackLocation.AFTER_TRAIN], func=self.finish)
        return [*super().get_training_callbacks(training_callback_attributes), before, after, end]

    def bring_edited_frames(self, config: TrainerConfig) -> None:
        """Take along the edited frames of the run that is continued: checkpoints do not hold them."""
        run = earlier_run(config)
        if run is None or not self.styles:
            return
        earlier, here = run / "edited", self.run_folder / "edited"
        if earlier.is_dir() and earlier.resolve() != here.resolve():
            shutil.copytree(earlier, here, dirs_exist_ok=True)

    def phases_left(self) -> list[tuple[str | None, int]]:
        """Names of the styles still to train, none standing for the reconstruction, with the steps left in each."""
        done = int(self.model.reconstruction_steps_trained)
        phases: list[tuple[str | None, int]] = [(None, self.config.reconstruction_steps - done)]
        for name in self.styles:
            done = int(self.model.styles[name].steps_trained)  # pyright: ignore[reportArgumentType]
            phases.append((name, self.config.style_training.steps - done))
        return [(name, steps) for name, steps in phases if steps > 0 and name not in self.live.given_up]

    def before_step(self, step: int) -> None:
        """Enter the phase that is due, and edit the frames that are."""
        self.take_requests()
        left = self.phases_left()
        if not left:
            # Somebody pressed the viewer's own button to go on: there is nothing to go on with.
            self.live.rest()
            return
        name = left[0][0]
        if (self.phase.style_name if self.phase else None) != name:
            if step > 0:
                # What was trained so far is safe before the phase's first edits, which may take long.
                self.save_checkpoint(step - 1)
            self.enter(name)
        elif self.phase is not None and self.phase.is_round_next:
            self.save_checkpoint(step - 1)
        if self.phase is not None:
            with one_sentence_for_user_errors():
                self.phase.before_step()

    def enter(self, name: str | None) -> None:
        """Begin or take up a style's phase."""
        assert name is not None, "the reconstruction is the first phase"
        prompt = self.styles[name]
        self.datamanager.train_pixel_sampler.forget()
        self.datamanager.exchange_no_expressions()
        say(CONSOLE, f"Editing: {prompt}", "bold")
        editing: tuple[FrameEditor, EditedFrames] | None = None
        if is_first():
            editor_name, editor = self.editor
            editor.check(prompt)
            settings = {"editor_settings": asdict(self.config.editor), "training": asdict(self.config.style_training)}
            editing = editor, EditedFrames(self.run_folder / "edited", prompt, editor_name, settings)
        self.phase = StyleTraining(
            self.config.style_training,
            prompt,
            name,
            self.model,
            self.datamanager,
            editing,
            seed=list(self.styles).index(name),
            frames_at_once=self.config.editor.frames_at_once(),
        )
        if not self.phase.go_on_with(self.schedule_states.get(name, {})):
            say(CONSOLE, "The run before had another schedule: this one begins anew, with its edited frames.")
        if is_first():
            say(CONSOLE, self.phase.plan)
        self.phase.go_on_training(self.training_state)
        self.phase.begin()
        self.parallel = self.in_parallel()
        self.portrait.look.offer(list(self.styles.values()), prompt)
        self.portrait.edit.notices.show("Being trained", f"'{prompt}'")

    def take_requests(self) -> None:
        """Make styles of the prompts that were given in the viewer."""
        for prompt in self.live.requested:
            name = style_name(prompt)
            self.model.add_style(name)
            self.styles[name] = prompt
            self.config.prompts = (*self.config.all_prompts(), prompt)
            self.config.model.style_names = tuple(self.styles)
        if self.live.requested and self.live.trainer is not None:
            record_prompts(self.live.trainer.config, self.run_folder)
        self.live.requested.clear()

    def restore(self) -> None:
        """Give up the edit that is being trained, and show the original."""
        if self.phase is not None:
            self.live.given_up.add(self.phase.style_name)
        self.portrait.look.offer(list(self.styles.values()), None)

    def show_in_viewer(self) -> None:
        """Let the viewer's elements say what stock rendering shows: there is a viewer."""
        self.model.shown = lambda camera: self.live.wanted(camera, self.model.track, self.clip.track.expression_names)

    def after_step(self, step: int) -> None:
        """Count the step, and move the style that is being trained."""
        del step
        if self.phase is None:
            self.model.reconstruction_steps_trained += 1
            if self.parallel is not None:
                self.parallel.share_densities()
            self.note("", int(self.model.reconstruction_steps_trained), self.config.reconstruction_steps)
            self.rest_if_done()
            return
        phase = self.phase
        phase.after_step()
        self.schedule_states[phase.style_name] = phase.schedule_state()
        steps = int(phase.style.steps_trained)
        self.note(str(phase.prompt), steps, self.config.style_training.steps, phase)
        if steps == self.config.style_training.steps and is_first():
            say(
                CONSOLE,
                f"{phase.prompt}: {phase.edits:,} frames edited, {phase.network_evaluations:,} network evaluations."
                + (f" Expression guard: {phase.guarded}." if phase.guarded.retried else ""),
            )
        self.rest_if_done()

    def rest_if_done(self) -> None:
        """In a live run, save and render when nothing is left to train, and wait for the next prompt."""
        trainer = self.live.trainer
        if trainer is None or not is_live(trainer.config) or self.phases_left():
            return
        self.save_checkpoint(trainer.step)
        if self.diary is not None:
            self.diary.rest()
        self.portrait.edit.notices.show("Done", "Choose among the looks under Style, or give another prompt.")
        with self.live.lock_left():
            self.finish(trainer.step)
        self.live.rest()

    def note(self, name: str, step: int, steps: int, phase: StyleTraining | None = None) -> None:
        """Write a step of a phase of so many into the run's diary."""
        if self.diary is None:
            return
        last = step >= steps
        if phase is None:
            self.diary.note(name, step, self.latest_psnr, 0, last)
        else:
            costs = phase.edits, last, phase.network_evaluations, phase.guarded
            self.diary.note(name, step, self.latest_psnr, *costs)

    def finish(self, step: int) -> None:
        """Render what the run was made for, and explain the run in its folder."""
        del step
        if self.diary is None:
            return
        prompts = tuple(self.styles.values())
        written = []
        if self.config.render_when_done and not self.phases_left():
            self.live.put_at_rest(self.model)
            written = self.diary.render(self.model, self.clip, prompts)
        config = self.config
        settings = [
            ("Reconstruction steps", str(config.reconstruction_steps)),
            ("Steps of each style", str(config.style_training.steps)),
            ("Rays in a step", str(config.datamanager.train_num_rays_per_batch)),
            ("Pictures", f"{self.clip.intrinsics.width} x {self.clip.intrinsics.height}"),
            ("Device", str(self.device)),
        ]
        source, editor = Path(self.clip.source.path), config.editor.label() if prompts else ""
        page = write_run_page(RunFacts(self.run_folder, self.clip.root, source, prompts, editor, tuple(settings)))
        for path in (*written, page):
            say(CONSOLE, f"Wrote {path}")

    def show(self, prompt: EditPrompt | None) -> None:
        """Render in a prompt's style from now on; none is the unedited avatar."""
        self.model.style_weights = {} if prompt is None else {style_name(prompt): 1.0}

    def get_extra_state(self) -> dict[str, Any]:
        """The edit schedules, the style's training, and which clip the avatar is of, for the checkpoint."""
        training = {} if self.phase is None else self.phase.training_state()
        return {"schedules": self.schedule_states, "training": training, "clip": clip_entry(self.clip)}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take the edit schedules and the style's training from a checkpoint."""
        self.schedule_states = dict(state["schedules"])
        self.training_state = dict(state.get("training", {}))

    def load_pipeline(self, loaded_state: dict[str, Any], step: int) -> None:
        """Load a checkpoint: the avatar whole, and of the styles those that this run asks for.

        Raises:
            UserError: the checkpoint holds another kind of avatar, or one of another clip.
        """
        with one_sentence_for_user_errors():
            state = fitting_state(loaded_state, self.model, self.styles, self.clip)
        super().load_pipeline(state, step)


def earlier_run(config: TrainerConfig) -> Path | None:
    """The folder of the run that is continued, if one is."""
    checkpoints = config.load_dir or (config.load_checkpoint.parent if config.load_checkpoint else None)
    return None if checkpoints is None else checkpoints.parent
