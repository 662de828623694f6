"""A run: reconstruct the portrait, then train one style for each prompt.

The phases follow from how long the avatar and each style have been trained, which the checkpoint holds. So an
interrupted run goes on where it stood, and a finished reconstruction (`--load-dir`) goes straight to its prompts.
"""

import shutil
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
import torch.distributed as dist
import tyro
from nerfstudio.engine.callbacks import TrainingCallback, TrainingCallbackAttributes, TrainingCallbackLocation
from nerfstudio.engine.trainer import TrainerConfig
from nerfstudio.pipelines.base_pipeline import VanillaPipeline, VanillaPipelineConfig
from nerfstudio.utils.rich_utils import CONSOLE

from stage1_edit.choose_editor import EditorConfig, check_editor, choose_editor, resolve_editor_name
from stage1_edit.edited_frames import EditedFrames
from stage1_edit.editor import FrameEditor
from stage1_edit.prompts import EditPrompt
from stage2_nerf.checkpoints import clip_entry, fitting_state
from stage2_nerf.clip_checks import require_enough, require_sound
from stage2_nerf.datamanager import PortraitDataManager, PortraitDataManagerConfig
from stage2_nerf.machine_checks import require_devices, require_writable
from stage2_nerf.portrait_model import PortraitModel, PortraitModelConfig
from stage2_nerf.several_processes import ParallelTraining, is_first, join_processes
from stage2_nerf.sizes import Size, apply_size, resolve_size
from stage2_nerf.style_mix import style_name
from stage2_nerf.style_training import StyleTraining, StyleTrainingConfig
from stage2_nerf.trainer import PortraitTrainer
from tracking.clip import TrackedClip
from tracking.errors import UserError, one_sentence_for_user_errors, writing_failed
from tracking.track import find_or_track

# A checkpoint holds the schedulers' learning rates as numpy numbers, which torch >= 2.6 refuses to load unless told
# that they are harmless. nerfstudio imports this module before it loads any checkpoint of ours.
torch.serialization.add_safe_globals(
    [type(np.dtype("float64")), np.dtype, np.float64(0).__reduce__()[0]]  # pyright: ignore[reportArgumentType]
)

EditPromptArg = Annotated[
    EditPrompt,
    tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="[REGION:]TEXT",
        # Without a check: tyro would put its own words in place of the prompt's. The trainer's config checks.
        instance_from_str=lambda typed: EditPrompt.split(typed[0]),
        is_instance=lambda value: isinstance(value, EditPrompt),
        str_from_instance=lambda prompt: [str(prompt)],
    ),
]


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
    datamanager: PortraitDataManagerConfig = field(default_factory=PortraitDataManagerConfig)  # pyright: ignore
    """The clip and how it is drawn from."""
    model: PortraitModelConfig = field(default_factory=PortraitModelConfig)  # pyright: ignore
    """The avatar."""

    def all_prompts(self) -> tuple[EditPrompt, ...]:
        """The prompts; or the single one of nerfstudio's own `--prompt`."""
        if self.prompts or not self.model.prompt:
            return self.prompts
        return (EditPrompt.split(self.model.prompt),)


@dataclass
class PortraitEditTrainerConfig(TrainerConfig):
    """nerfstudio's training loop, unchanged; but first it is seen whether what is asked can be done."""

    _target: type = field(default_factory=lambda: PortraitTrainer)
    size: Size = "auto"
    """How large an avatar, trained on how much at a time; auto takes the GPU's size if there is CUDA, else the CPU's.
    It changes settings that are still as they come (`stage2_nerf.sizes`), never what you state."""
    takes_prompts: tyro.conf.Suppress[bool] = True
    """Whether the method edits; else it only reconstructs."""
    cpu_processes: tyro.conf.Suppress[int] = 1
    """Filled in: `machine.num_devices` on a CPU, where nerfstudio itself starts no processes."""

    def setup(self, **kwargs: Any) -> PortraitTrainer:
        """The trainer. On a CPU the other processes of the run are started first."""
        if self.cpu_processes > 1 and not dist.is_initialized():
            join_processes(self, self.cpu_processes)
            kwargs["world_size"] = self.cpu_processes
        trainer = super().setup(**kwargs)
        assert isinstance(trainer, PortraitTrainer)
        return trainer

    def save_config(self) -> None:
        """Check the input, tracking it if need be, and only then make the run's folder."""
        with one_sentence_for_user_errors():
            self.check()
        assert isinstance(self.pipeline, PortraitEditPipelineConfig)
        for group in self.optimizers.values():
            # Step sizes have fallen when the reconstruction ends, however long it was asked to be.
            group["scheduler"].max_steps = self.pipeline.reconstruction_steps
        with one_sentence_for_user_errors():
            try:
                super().save_config()
            except OSError as error:
                raise writing_failed(self.get_base_dir(), error) from error
        if self.machine.device_type == "cpu":
            self.cpu_processes, self.machine.num_devices = self.machine.num_devices, 1

    def check(self) -> None:
        """See whether the data can be used and the prompts followed.

        Raises:
            UserError: they cannot; the message says what to do.
        """
        pipeline = self.pipeline
        assert isinstance(pipeline, PortraitEditPipelineConfig)
        prompts = pipeline.all_prompts()
        if prompts and not self.takes_prompts:
            raise UserError(
                f"{self.method_name} only reconstructs: give the prompts to `ns-train portrait-edit`, which goes on "
                "from its run with --load-dir."
            )
        for prompt in prompts:
            prompt.check()
        device = torch.device(self.machine.device_type)
        if prompts:
            # Resolved here, and so told once and recorded in the run's config.yml.
            pipeline.editor.name = resolve_editor_name(pipeline.editor, device)
            check_editor(pipeline.editor, prompts)
        require_devices(self.machine)
        require_writable(self.output_dir)
        data = pipeline.datamanager.data or pipeline.datamanager.dataparser.data
        if data == Path():
            raise UserError("Say which clip: add `--data` with a video or a tracked clip.")
        clip = find_or_track(data)
        require_sound(clip)
        warning = require_enough(clip)
        if warning:
            CONSOLE.print(f"[bold yellow]Warning:[/bold yellow] {warning}", soft_wrap=True)
        pipeline.datamanager.data = clip.root.resolve()
        self.size = resolve_size(self.size, device)
        apply_size(self, self.size)


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
        self.schedule_states: dict[str, dict[str, Any]] = {}

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
        return outputs, losses, metrics

    @cached_property
    def editor(self) -> tuple[str, FrameEditor]:
        """The editor's label and itself, made at the first edit: rendering and evaluation never load its weights.

        It is no part of the module tree, so it is in no checkpoint.
        """
        config, device = self.config.editor, torch.device(self.device)
        config.name = resolve_editor_name(config, device)
        with one_sentence_for_user_errors():
            return config.label(), choose_editor(config, device)

    def get_training_callbacks(
        self, training_callback_attributes: TrainingCallbackAttributes
    ) -> list[TrainingCallback]:
        """Hand the trainer the phases, and how many steps are left in all of them."""
        trainer = training_callback_attributes.trainer
        assert trainer is not None
        self.run_folder = trainer.base_dir
        if is_first():
            self.bring_edited_frames(trainer.config)
        self.save_checkpoint = trainer.save_checkpoint
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
        return [*super().get_training_callbacks(training_callback_attributes), before, after]

    def bring_edited_frames(self, config: TrainerConfig) -> None:
        """Take along the edited frames of the run that is continued: checkpoints do not hold them."""
        checkpoints = config.load_dir or (config.load_checkpoint.parent if config.load_checkpoint else None)
        if checkpoints is None or not self.styles:
            return
        earlier = checkpoints.parent / "edited"
        here = self.run_folder / "edited"
        if earlier.is_dir() and earlier.resolve() != here.resolve():
            shutil.copytree(earlier, here, dirs_exist_ok=True)

    def phases_left(self) -> list[tuple[str | None, int]]:
        """Names of the styles still to train, none standing for the reconstruction, with the steps left in each."""
        done = int(self.model.reconstruction_steps_trained)
        phases: list[tuple[str | None, int]] = [(None, self.config.reconstruction_steps - done)]
        for name in self.styles:
            done = int(self.model.styles[name].steps_trained)  # pyright: ignore[reportArgumentType]
            phases.append((name, self.config.style_training.steps - done))
        return [(name, steps) for name, steps in phases if steps > 0]

    def before_step(self, step: int) -> None:
        """Enter the phase that is due, and edit the frames that are."""
        name = self.phases_left()[0][0]
        if (self.phase.style_name if self.phase else None) != name:
            if step > 0:
                # What was trained so far is safe before the phase's first edits, which may take long.
                self.save_checkpoint(step - 1)
            self.enter(name)
        if self.phase is not None:
            with one_sentence_for_user_errors():
                self.phase.before_step()

    def enter(self, name: str | None) -> None:
        """Begin or take up a style's phase."""
        assert name is not None, "the reconstruction is the first phase"
        prompt = self.styles[name]
        self.datamanager.train_pixel_sampler.forget()
        CONSOLE.print(f"Editing: [bold]{prompt}[/bold]")
        editing: tuple[FrameEditor, EditedFrames] | None = None
        if is_first():
            editor_name, editor = self.editor
            editor.check(prompt)
            editing = editor, EditedFrames(self.run_folder / "edited", prompt, editor_name)
        self.phase = StyleTraining(
            self.config.style_training,
            prompt,
            name,
            self.model,
            self.datamanager,
            editing,
            seed=len(self.schedule_states),
        )
        if name in self.schedule_states:
            self.phase.schedule.load_state_dict(self.schedule_states[name])
        self.phase.begin()
        self.parallel = self.in_parallel()

    def after_step(self, step: int) -> None:
        """Count the step, and move the style that is being trained."""
        del step
        if self.phase is None:
            self.model.reconstruction_steps_trained += 1
            if self.parallel is not None:
                self.parallel.share_densities()
            return
        self.phase.after_step()
        self.schedule_states[self.phase.style_name] = self.phase.schedule.state_dict()

    def show(self, prompt: EditPrompt | None) -> None:
        """Render in a prompt's style from now on; none is the unedited avatar."""
        self.model.style_weights = {} if prompt is None else {style_name(prompt): 1.0}

    def get_extra_state(self) -> dict[str, Any]:
        """The edit schedules, and which clip the avatar is of, for the checkpoint."""
        return {"schedules": self.schedule_states, "clip": clip_entry(self.clip)}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take the edit schedules from a checkpoint."""
        self.schedule_states = dict(state["schedules"])

    def load_pipeline(self, loaded_state: dict[str, Any], step: int) -> None:
        """Load a checkpoint: the avatar whole, and of the styles those that this run asks for.

        Raises:
            UserError: the checkpoint holds another kind of avatar, or one of another clip.
        """
        with one_sentence_for_user_errors():
            state = fitting_state(loaded_state, self.model, self.styles, self.clip)
        super().load_pipeline(state, step)
