"""The command `portrait-render`: the edited video, as long, as large and as loud as its source."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro
from jaxtyping import Float32, UInt8
from nerfstudio.utils.eval_utils import eval_setup
from nerfstudio.utils.rich_utils import CONSOLE
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from stage1_edit.compositing import region_mask
from stage1_edit.prompts import EditPrompt
from stage2_nerf.clip_dataparser import clip_cameras
from stage2_nerf.paste_back import CropSurroundings, RenderedCrop, paste_back
from stage2_nerf.pipeline import PortraitEditPipeline, PortraitEditPipelineConfig
from tracking.background import local_background
from tracking.clip import TrackedClip
from tracking.errors import UserError, one_sentence_for_user_errors
from tracking.video import VideoReader
from tracking.video_writer import Codec, VideoWriter, require_writable_video


@dataclass
class RenderConfig:
    """Render a run's edited video."""

    output: Path
    """The video to write."""
    load_config: Path | None = None
    """The run: its config.yml, or its folder. The newest run below outputs/ if not given."""
    prompt: str = "1"
    """Which edit: the number or the text of one of the run's prompts; 0 is the unedited avatar; all, with
    --side-by-side, is every one of them."""
    side_by_side: bool = False
    """Put the source to the left of the edit."""
    codec: Codec = "h264"
    """How to compress. With lossless, pixels that the edit leaves alone equal the source's bit for bit."""
    detail: Annotated[float, tyro.conf.arg(metavar="0..1")] = 1.0
    """How much of the source's fine brightness to put back on the avatar."""
    overwrite: bool = False
    """Replace the output if it exists."""


class PortraitRenderer:
    """Renders frames of a clip with a run's avatar."""

    def __init__(self, pipeline: PortraitEditPipeline, clip: TrackedClip, detail: float) -> None:
        self.pipeline = pipeline
        self.clip = clip
        self.detail = detail
        self.cameras = clip_cameras(clip, clip.frames).to(pipeline.device)
        self.row_of_frame = {int(frame): row for row, frame in enumerate(clip.frames)}
        self.plate = clip.plate()

    def render(
        self, number: int, frame: UInt8[np.ndarray, "height width 3"], prompt: EditPrompt | None
    ) -> UInt8[np.ndarray, "height width 3"]:
        """A source frame with the person edited; frames that did not track stay as they are.

        Args:
            number: the frame's number in the source.
            frame: the source's RGB picture.
            prompt: the edit; none renders the unedited avatar.
        """
        if number not in self.row_of_frame:
            return frame
        row = self.row_of_frame[number]
        self.pipeline.show(prompt)
        with torch.no_grad():
            outputs = self.pipeline.model.render_frame(self.cameras[row : row + 1])
        names = ("foreground", "original_foreground", "accumulation")
        foreground, original, alpha = (outputs[name].cpu().numpy().astype(np.float32) for name in names)
        matte = self.clip.matte(number)
        image = self.clip.image(number)
        background = local_background(image.astype(np.float32) / 255, matte, self.plate)
        surroundings = CropSurroundings(matte, background, self.editable(number, matte, prompt), image, self.plate)
        rendered = RenderedCrop(foreground, original, alpha[..., 0])
        return paste_back(frame, self.clip.source.crop, rendered, surroundings, self.detail)

    def editable(
        self, number: int, matte: Float32[np.ndarray, "height width"], prompt: EditPrompt | None
    ) -> Float32[np.ndarray, "height width"]:
        """How far each pixel of a frame may change: everything for the whole person, else the prompt's region alone."""
        if prompt is None or prompt.region == "person":
            return np.ones_like(matte)
        labels = torch.from_numpy(self.clip.labels(number))
        mask = region_mask(labels, torch.from_numpy(matte)[..., None], prompt.region)
        return mask[..., 0].numpy().astype(np.float32)


def find_config(given: Path | None) -> Path:
    """The run's config.yml.

    Raises:
        UserError: there is none.
    """
    if given is None:
        found = sorted(Path("outputs").glob("*/portrait-edit/*/config.yml"), key=lambda path: path.stat().st_mtime)
        if not found:
            raise UserError("There is no run below outputs/: train one, or name its config.yml with --load-config.")
        return found[-1]
    config = given / "config.yml" if given.is_dir() else given
    if not config.is_file():
        raise UserError(f"{config} does not exist: give the config.yml of a finished run.")
    return config


def choose_prompts(asked: str, prompts: list[EditPrompt]) -> list[EditPrompt | None]:
    """The prompts that `--prompt` means.

    Raises:
        UserError: the run has no such prompt; the message lists those that it has.
    """
    if asked == "all" and prompts:
        return list(prompts)
    if asked == "0" or (not prompts and asked in ("1", "all")):
        return [None]
    for number, prompt in enumerate(prompts, start=1):
        if asked in (str(number), str(prompt), prompt.text):
            return [prompt]
    known = "; ".join(f"{number}: {prompt}" for number, prompt in enumerate(prompts, start=1)) or "none"
    raise UserError(f"This run has no prompt '{asked}'; it has 0: the unedited avatar; {known}.")


def render_video(config: RenderConfig) -> Path:
    """Render a run's video.

    Raises:
        UserError: there is no such run or prompt, the source has gone, or the output cannot be written.
    """
    if config.output.exists() and not config.overwrite:
        raise UserError(f"{config.output} exists: add --overwrite to replace it, or give another name.")
    if not 0 <= config.detail <= 1:
        raise UserError(f"--detail {config.detail} is not between 0 and 1.")
    require_writable_video(config.output, config.codec)
    run = find_config(config.load_config)
    if PortraitEditPipelineConfig.__name__ not in run.read_text(errors="replace"):
        raise UserError(f"{run} is no run of portrait-edit: give the config.yml of one.")
    _, pipeline, checkpoint, _ = eval_setup(run, test_mode="inference")
    assert isinstance(pipeline, PortraitEditPipeline)
    chosen = choose_prompts(config.prompt, list(pipeline.styles.values()))
    if len(chosen) > 1 and not config.side_by_side:
        raise UserError("--prompt all needs --side-by-side: one video holds one edit.")
    clip: TrackedClip = pipeline.datamanager.train_dataset.metadata["clip"]
    reader = VideoReader(Path(clip.source.path))
    renderer = PortraitRenderer(pipeline, clip, config.detail)
    panels = len(chosen) + config.side_by_side
    size = reader.properties.width * panels, reader.properties.height
    with VideoWriter(config.output, reader.properties, config.codec, size) as writer:
        for number, timestamp, frame in follow_progress(reader, len(clip.track.tracked)):
            pictures = [frame] if config.side_by_side else []
            pictures += [renderer.render(number, frame, prompt) for prompt in chosen]
            writer.write(np.concatenate(pictures, axis=1), timestamp)
    what = " | ".join("unedited" if prompt is None else str(prompt) for prompt in chosen)
    CONSOLE.print(f"Wrote {config.output} ({what}), from {checkpoint}.", soft_wrap=True)
    return config.output


def follow_progress(reader: VideoReader, total: int) -> Iterator[tuple[int, int, UInt8[np.ndarray, "h w 3"]]]:
    """The reader's frames, with a progress bar and the time left."""
    with Progress(
        TextColumn("Rendering"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=CONSOLE
    ) as progress:
        yield from progress.track(reader, total=total)


def main() -> None:
    """Run `portrait-render`."""
    config = tyro.cli(RenderConfig, prog="portrait-render", description=RenderConfig.__doc__)
    with one_sentence_for_user_errors():
        render_video(config)
