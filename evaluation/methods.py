"""Ways of editing a whole video with the same editor, to be measured against each other.

    per_frame     every frame by itself: what a picture editor does to a video
    static_nerf   iterative dataset update on the stock static nerfacto: what Instruct-NeRF2NeRF does to a moving head
    ours          iterative dataset update of a style of the run's avatar

All of them see the same tracked clip, edit through the same region masks, and are put back into the source's frames by
the same function. A further one is a function with an entry in `METHODS`; a way of making a picture editor consistent
is an editor of its own, given to `per_frame` with as many frames at once as it takes.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from rich.progress import track

from evaluation.editing_alone import edit_alone
from evaluation.measurement import Picture
from evaluation.static_nerf import StaticNerf, StaticNerfConfig
from stage1_edit.edited_frames import EditedFrames
from stage1_edit.editing_cost import evaluations_so_far
from stage1_edit.editor import EditRequest, FrameEditor, Image
from stage1_edit.prompts import EditPrompt
from stage2_nerf.finished_run import load_run
from stage2_nerf.frame_renderer import FrameRenderer, look_of
from stage2_nerf.frame_sequence import FrameTask, rendered_sequence
from stage2_nerf.paste_back import CropSurroundings, RenderedCrop, paste_back
from stage2_nerf.pipeline import PortraitEditPipeline, PortraitEditPipelineConfig
from stage2_nerf.style_mix import style_name
from stage2_nerf.style_training import StyleTraining, StyleTrainingConfig
from tracking.background import local_background
from tracking.clip import TrackedClip
from tracking.video import VideoReader
from tracking.video_writer import VideoWriter


@dataclass
class CountingEditor:
    """An editor that counts how many frames it has edited: what an edit costs with an editor that takes seconds."""

    editor: FrameEditor
    evaluations: int = 0

    def edit(self, requests: Sequence[EditRequest]) -> Sequence[Image | None]:
        """Edit, and count."""
        self.evaluations += len(requests)
        return self.editor.edit(requests)

    @property
    def network_evaluations(self) -> int:
        """How often a network was asked for one picture; 0 of an editor without one."""
        return evaluations_so_far(self.editor)

    def check(self, prompt: EditPrompt) -> None:
        """As the editor itself."""
        self.editor.check(prompt)


@dataclass(frozen=True)
class EditingTask:
    """A clip to be edited, and by whom."""

    clip: TrackedClip
    prompt: EditPrompt
    editor: FrameEditor
    reconstruction: Path
    """The config.yml of a run that has reconstructed the clip, for methods that start from it."""
    workshop: Path
    """An empty folder for what a method keeps while it works."""
    style_steps: int = 200
    """Training steps of our style."""
    static: StaticNerfConfig = field(default_factory=StaticNerfConfig)
    """The static baseline's size and steps."""
    batch_size: int = 1
    """How many frames are edited together."""
    training: StyleTrainingConfig | None = None
    """How our style is trained otherwise; as the run's own settings have it, if none is given."""
    seed: int = 0
    """Of our style's first values, its rays and its edits."""


Method = Callable[[EditingTask, Path], None]
"""Edits a clip's source and writes the edited video."""


def edit_per_frame(task: EditingTask, output: Path) -> None:
    """Every frame by itself, or so many together as the task says."""
    frames = [int(frame) for frame in task.clip.frames]
    batches = [frames[start : start + task.batch_size] for start in range(0, len(frames), task.batch_size)]

    def edits() -> Iterator[Picture]:
        for batch in batches:
            yield from edit_alone(task.editor, task.prompt, task.clip, batch)

    edited = edits()
    write_pasted(task.clip, lambda frame: (next(edited), task.clip.image(frame)), output, "Editing every frame")


def edit_with_static_nerf(task: EditingTask, output: Path) -> None:
    """Iterative dataset update of a scene that is taken to stand still in the head's space."""
    pipeline = load_for_editing(task, None)
    scene = StaticNerf(task.static, pipeline.datamanager)
    scene.reconstruct()
    scene.edit(task.editor, task.prompt)
    rows = {frame: row for row, frame in enumerate(pipeline.datamanager.frame_numbers)}
    # The static picture stands for itself: what it differs by from the film is its error, and no detail of the film.
    write_pasted(task.clip, lambda frame: (scene.picture(rows[frame]), None), output, "Rendering the static scene")


def edit_with_avatar(task: EditingTask, output: Path) -> None:
    """Train a style of the run's avatar, and render it as `portrait-render` does."""
    torch.manual_seed(task.seed)
    pipeline = load_for_editing(task, task.prompt)
    pipeline.train()
    training = StyleTraining(
        replace(task.training or pipeline.config.style_training, steps=task.style_steps),
        task.prompt,
        style_name(task.prompt),
        pipeline.model,
        pipeline.datamanager,
        (task.editor, EditedFrames(task.workshop / "edited", task.prompt, "measured")),
        seed=task.seed,
        frames_at_once=task.batch_size,
    )
    training.begin()
    for step in track(range(task.style_steps), "Training the style"):
        training.before_step()
        _, losses, _ = pipeline.get_train_loss_dict(step)
        sum(losses.values()).backward()  # pyright: ignore[reportAttributeAccessIssue]
        training.after_step()
    pipeline.eval()
    render_avatar(pipeline, task.clip, task.prompt, output)


METHODS: dict[str, Method] = {
    "per_frame": edit_per_frame,
    "static_nerf": edit_with_static_nerf,
    "ours": edit_with_avatar,
}
"""What can be measured against each other, by name."""


def render_unedited(task: EditingTask, output: Path, detail: float = 1.0) -> None:
    """The avatar without any style, in the source's frames."""
    render_avatar(load_for_editing(task, None), task.clip, None, output, detail)


def render_avatar(
    pipeline: PortraitEditPipeline, clip: TrackedClip, prompt: EditPrompt | None, output: Path, detail: float = 1.0
) -> None:
    """Write the avatar's video, without loss.

    Args:
        detail: how much of the source's fine brightness is put back, in [0, 1].
    """
    renderer = FrameRenderer(pipeline.model, clip, detail)
    reader = VideoReader(Path(clip.source.path))
    with VideoWriter(output, reader.properties, "lossless", with_sound=False) as writer:
        frames = track(reader, "Rendering the avatar", total=len(clip.track.tracked))
        tasks = (FrameTask(frame, frame.timestamp, [look_of(prompt)]) for frame in frames)
        for task, pictures in rendered_sequence(renderer, tasks):
            writer.write(pictures[0], task.timestamp)


def load_for_editing(task: EditingTask, prompt: EditPrompt | None) -> PortraitEditPipeline:
    """A reconstruction with its training frames, and a new style for the prompt."""

    def with_prompt(config: PortraitEditPipelineConfig) -> None:
        config.prompts = () if prompt is None else (prompt,)
        config.model.prompt = None
        config.datamanager.data = task.clip.root
        config.datamanager.dataparser.held_out_interval = 0

    return load_run(task.reconstruction, "test", with_prompt).pipeline


def write_pasted(
    clip: TrackedClip, look: Callable[[int], tuple[Picture, Picture | None]], output: Path, what: str
) -> None:
    """Put pictures of the clip's size back into the source's frames, as the avatar's are, and write them without loss.

    Args:
        look: gives, for the tracked frames in order, the edited picture and the unedited one that it was made from; the
            film's brightness is put back where it differs from the latter. None where no such picture is.
    """
    reader = VideoReader(Path(clip.source.path))
    plate = clip.plate()
    with VideoWriter(output, reader.properties, "lossless", with_sound=False) as writer:
        for frame in track(reader, what, total=len(clip.track.tracked)):
            image = frame.image
            if clip.track.tracked[frame.index]:
                image = pasted(clip, frame.index, image, look(frame.index), plate)
            writer.write(image, frame.timestamp)


def pasted(
    clip: TrackedClip,
    number: int,
    frame: Picture,
    pictures: tuple[Picture, Picture | None],
    plate: np.ndarray | None,
) -> Picture:
    """A source frame with an edited picture in place of the person."""
    edited, unedited = (None if picture is None else picture.astype(np.float32) / 255 for picture in pictures)
    assert edited is not None
    matte = clip.matte(number)
    image = clip.image(number)
    background = local_background(image.astype(np.float32) / 255, matte, plate)
    opacity = matte[..., None]
    rendered = RenderedCrop(edited * opacity, (edited if unedited is None else unedited) * opacity, matte)
    surroundings = CropSurroundings(matte, background, np.ones_like(matte), image)
    return paste_back(frame, clip.source.crop, rendered, surroundings, 0.0 if unedited is None else 1.0)
