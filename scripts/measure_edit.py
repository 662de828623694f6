"""Measure an edited video against its source and against editing frame by frame.

    python scripts/measure_edit.py RUN --prompt 1 --output measurements/edit.json

Three videos are compared: the source; "ours", rendered by `portrait-render` without loss and read back; and
"per_frame", the run's own editor applied to every filmed frame by itself, at noise level 1, and laid over it through
the mask of the prompt's region. Frames that did not track are left out. Measured are

    video       frames, frame rate, size, end and every time stamp of ours against the source's
    outside     pixels where both the matte and the avatar's opacity are 0: how many of them ours changed (none may be)
    colour      mean CIELAB of the pixels labelled as the prompt's region, with a matte over one half: before (source),
                after (ours) and target (per_frame)
    flow_warp   mean over frames of the mean squared difference between a frame and its predecessor, warped onto it by
                the optical flow of the source (DIS, medium preset); RGB in [0, 1], over pixels that the
                forward-backward check finds visible (what is followed there and back returns to within a pixel): in
                the region, and in the whole person (matte over one half). The source's own error is the floor
    sharpness   variance of the Laplacian of 8-bit brightness inside the person, mean over frames, as a ratio to the
                source's: flow-warp error alone rewards blur
    sound       whether ours holds the source's audio packets, byte for byte and at the same times

Everything but `video`, `outside` and `sound` is measured at the size of the clip's images. The picture beside the
measurements shows six frames of each video, and one row of pixels over all frames, in which flicker is seen.
"""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import torch
import tyro
from jaxtyping import Bool, Float32, UInt8
from measuring import circumstances, write_measurements
from nerfstudio.utils.eval_utils import eval_setup
from nerfstudio.utils.rich_utils import CONSOLE
from rich.progress import track
from rich.table import Table

from evaluation.optical_flow import backward_flow, warp_difference
from stage1_edit.choose_editor import choose_editor, resolve_editor_name
from stage1_edit.compositing import composite, labelled, region_mask
from stage1_edit.editor import EditRequest, FrameEditor
from stage1_edit.prompts import EditPrompt
from stage2_nerf.clip_dataparser import clip_cameras
from stage2_nerf.pipeline import PortraitEditPipeline
from stage2_nerf.render import RenderConfig, choose_prompts, find_config, render_video
from tracking.clip import TrackedClip, write_png
from tracking.errors import UserError, one_sentence_for_user_errors
from tracking.spread_evenly import spread_evenly
from tracking.video import VideoReader, open_container

VIDEOS = ("source", "per_frame", "ours")
SHEET_FRAMES = 6
"""Frames of each video in the picture."""

Picture = UInt8[np.ndarray, "height width 3"]
Mask = Bool[np.ndarray, "height width"]


@dataclass
class Arguments:
    """Measure an edited video."""

    run: Annotated[Path, tyro.conf.Positional]
    """A finished run: its config.yml, or its folder."""
    prompt: str = "1"
    """Which edit: the number or the text of one of the run's prompts."""
    output: Path = Path("measurements/edit.json")
    """Where to write the measurements. A picture goes beside them, under the same name with .png."""


def main(arguments: Arguments) -> None:
    """Render, measure, write and print."""
    with tempfile.TemporaryDirectory() as folder, one_sentence_for_user_errors():
        config = find_config(arguments.run)
        pipeline = load(config)
        (prompt,) = choose_prompts(arguments.prompt, list(pipeline.styles.values()))
        if prompt is None:
            raise UserError("The unedited avatar is no edit: name one of the run's prompts with --prompt.")
        ours = render_video(RenderConfig(Path(folder) / "ours.mp4", config, arguments.prompt, codec="lossless"))
        clip: TrackedClip = pipeline.datamanager.train_dataset.metadata["clip"]
        source = Path(clip.source.path)
        measured = measure_pictures(pipeline, clip, prompt, ours)
        measurements = {
            "what": "an edit against its source and against editing frame by frame",
            **circumstances(),
            "clip": {"name": clip.root.name, "width": clip.intrinsics.width, "height": clip.intrinsics.height},
            "prompt": str(prompt),
            "steps": {
                "reconstruction": pipeline.config.reconstruction_steps,
                "style": pipeline.config.style_training.steps,
            },
            "video": compare_videos(source, ours),
            **measured.summarised(),
            "sound": compare_sound(source, ours),
        }
    write_measurements(arguments.output, measurements)
    write_png(arguments.output.with_suffix(".png"), measured.picture())
    CONSOLE.print(summary(measurements))
    CONSOLE.print(f"Wrote {arguments.output} and {arguments.output.with_suffix('.png')}.", soft_wrap=True)


def load(config: Path) -> PortraitEditPipeline:
    """A run's pipeline from its last checkpoint."""
    _, pipeline, _, _ = eval_setup(config, test_mode="inference")
    if not isinstance(pipeline, PortraitEditPipeline):
        raise UserError(f"{config} is a run of another method: give one of portrait-edit.")
    return pipeline


def compare_videos(source: Path, ours: Path) -> dict[str, Any]:
    """Length, rate, size and time stamps of two videos; times are compared exactly, as fractions of a second."""
    readers = {"source": VideoReader(source), "ours": VideoReader(ours)}
    times, facts = {}, {}
    for name, reader in readers.items():
        properties = reader.properties
        times[name] = [frame.timestamp * properties.time_base for frame in reader]
        facts[name] = {
            "frames": len(times[name]),
            "frames_per_second": round(float(properties.frame_rate), 4),
            "size": [properties.width, properties.height],
            "end_seconds": None if properties.end is None else round(float(properties.end * properties.time_base), 6),
        }
    return {**facts, "same_time_stamps": times["source"] == times["ours"]}


def compare_sound(source: Path, ours: Path) -> dict[str, Any]:
    """Whether a video holds the audio packets of another: how many, with which bytes, and when, in exact seconds."""
    packets = {"source": sound_packets(source), "ours": sound_packets(ours)}
    payloads, times = ({name: [packet[i] for packet in packets[name]] for name in packets} for i in (1, 2))
    return {
        "source_packets": len(packets["source"]),
        "our_packets": len(packets["ours"]),
        "same_payloads": payloads["source"] == payloads["ours"],
        "same_times": times["source"] == times["ours"],
    }


def sound_packets(video: Path) -> list[tuple[int, bytes, Any]]:
    """Which audio stream, bytes and presentation time in seconds of every audio packet, stream by stream."""
    with open_container(video) as container:
        order = {stream.index: number for number, stream in enumerate(container.streams.audio)}
        if not order:
            return []
        packets = [
            (order[packet.stream.index], bytes(packet), None if packet.pts is None else packet.pts * packet.time_base)
            for packet in container.demux(list(container.streams.audio))
            if packet.size
        ]
    return sorted(packets, key=lambda packet: packet[0])


@dataclass(frozen=True)
class Moment:
    """One tracked frame of all three videos, at the size of the clip's images."""

    pictures: dict[str, Picture]
    person: Mask
    region: Mask


@dataclass
class PictureMeasurements:
    """What is gathered over the frames."""

    outside_pixels: int = 0
    changed_pixels: int = 0
    absolute_change: int = 0
    colours: dict[str, list[Float32[np.ndarray, "3"]]] = field(default_factory=lambda: {name: [] for name in VIDEOS})
    region_sizes: list[int] = field(default_factory=list)
    warp_in_region: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in VIDEOS})
    warp_in_person: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in VIDEOS})
    sharpness: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in VIDEOS})
    kept: list[dict[str, Picture]] = field(default_factory=list)
    """The frames that the picture shows."""
    rows: dict[str, list[UInt8[np.ndarray, "width 3"]]] = field(default_factory=lambda: {name: [] for name in VIDEOS})
    """One row of pixels of every frame."""

    def add_outside(self, source: Picture, ours: Picture, outside: Mask) -> None:
        """Count what changed where nothing may."""
        difference = cv2.absdiff(source, ours)[outside]
        self.outside_pixels += len(difference)
        self.changed_pixels += int(difference.any(axis=-1).sum())
        self.absolute_change += int(difference.sum(dtype=np.int64))

    def add_frame(self, moment: Moment) -> None:
        """Gather what one frame alone says."""
        self.region_sizes.append(int(moment.region.sum()))
        for name, picture in moment.pictures.items():
            if moment.region.any():
                lab = cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
                self.colours[name].append(lab[moment.region].mean(axis=0))
            if moment.person.any():
                grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
                self.sharpness[name].append(float(cv2.Laplacian(grey, cv2.CV_32F)[moment.person].var()))

    def add_pair(self, before: Moment, after: Moment) -> None:
        """Gather the flow-warp errors from one frame to the next."""
        flow, visible = backward_flow(before.pictures["source"], after.pictures["source"])
        for name in VIDEOS:
            squared = warp_difference(before.pictures[name], after.pictures[name], flow)
            for mask, errors in ((after.region, self.warp_in_region), (after.person, self.warp_in_person)):
                counted = visible & mask
                if counted.any():
                    errors[name].append(float(squared[counted].mean()))

    def summarised(self) -> dict[str, Any]:
        """The measurements, as they are written."""
        colours = dict(
            zip(("before", "target", "after"), (colour_description(self.colours[name]) for name in VIDEOS), strict=True)
        )
        return {
            "outside": {
                "pixels": self.outside_pixels,
                "changed_pixels": self.changed_pixels,
                "mean_absolute_change": self.absolute_change / max(3 * self.outside_pixels, 1),
            },
            "colour": {**colours, "pixels_per_frame": round(float(np.mean(self.region_sizes)), 1)},
            "flow_warp": {
                "region": with_ratios(self.warp_in_region),
                "person": with_ratios(self.warp_in_person),
            },
            "sharpness": with_ratios(self.sharpness),
        }

    def picture(self) -> Picture:
        """Rows: six frames of the source, frame by frame and ours. Below: a row of pixels over time, in that order."""
        frames = [np.concatenate([pictures[name] for pictures in self.kept], axis=1) for name in VIDEOS]
        sheet = np.concatenate(frames, axis=0)
        slices = np.concatenate([np.stack(self.rows[name]) for name in VIDEOS], axis=1)
        scale = sheet.shape[1] / slices.shape[1]
        size = (sheet.shape[1], round(scale * slices.shape[0]))
        return np.concatenate([sheet, cv2.resize(slices, size, interpolation=cv2.INTER_NEAREST)], axis=0)


def measure_pictures(
    pipeline: PortraitEditPipeline, clip: TrackedClip, prompt: EditPrompt, ours: Path
) -> PictureMeasurements:
    """Go through the three videos side by side, holding two frames of each in memory."""
    measurements = PictureMeasurements()
    config, device = pipeline.config, torch.device(pipeline.device)
    name = resolve_editor_name(config.editor, config.instruct_pix2pix, device)
    editor = choose_editor(name, config.offline, config.instruct_pix2pix, device)
    shown = set(clip.frames[spread_evenly(len(clip.frames), SHEET_FRAMES)].tolist())
    row = telling_row(clip, prompt.region)
    alphas = opacities(pipeline, clip)
    before = None
    videos = zip_longest(VideoReader(Path(clip.source.path)), VideoReader(ours))
    for source, edited in track(videos, "Measuring", total=len(clip.track.tracked), console=CONSOLE):
        if source is None or edited is None:
            raise RuntimeError("The rendered video is not as long as its source.")
        if not clip.track.tracked[source.index]:
            before = None
            continue
        matte, labels = clip.matte(source.index), clip.labels(source.index)
        measurements.add_outside(source.image, edited.image, untouchable(clip, matte, next(alphas)))
        person = matte > 0.5
        moment = Moment(
            {
                "source": cut_and_shrink(source.image, clip),
                "per_frame": edit_alone(editor, prompt, clip, source.index),
                "ours": cut_and_shrink(edited.image, clip),
            },
            person,
            person & labelled(labels, prompt.region),
        )
        measurements.add_frame(moment)
        if before is not None:
            measurements.add_pair(before, moment)
        for video in VIDEOS:
            measurements.rows[video].append(moment.pictures[video][row])
        if source.index in shown:
            measurements.kept.append(moment.pictures)
        before = moment
    return measurements


def opacities(pipeline: PortraitEditPipeline, clip: TrackedClip) -> Iterator[Float32[np.ndarray, "height width"]]:
    """The avatar's opacity in every tracked frame."""
    cameras = clip_cameras(clip, clip.frames).to(pipeline.device)
    for row in range(len(clip.frames)):
        with torch.no_grad():
            outputs = pipeline.model.render_frame(cameras[row : row + 1])
        yield outputs["accumulation"][..., 0].cpu().numpy()


def untouchable(
    clip: TrackedClip, matte: Float32[np.ndarray, "height width"], alpha: Float32[np.ndarray, "height width"]
) -> Bool[np.ndarray, "source_height source_width"]:
    """The source's pixels that show neither the person nor the avatar, nor anything between pixels that do."""
    left, top, width, height = clip.source.crop
    covered = np.asarray(matte + alpha, np.float32)
    outside = np.ones((clip.source.height, clip.source.width), bool)
    outside[top : top + height, left : left + width] = cv2.resize(covered, (width, height)) == 0
    return outside


def edit_alone(editor: FrameEditor, prompt: EditPrompt, clip: TrackedClip, frame: int) -> Picture:
    """A filmed frame, edited by itself."""
    original = torch.from_numpy(clip.image(frame)).float() / 255
    matte, labels = torch.from_numpy(clip.matte(frame))[..., None], torch.from_numpy(clip.labels(frame))
    generator = torch.Generator().manual_seed(frame)
    request = EditRequest(prompt, original, original, matte, labels, 1.0, generator)
    (edited,) = editor.edit([request])
    image = composite(edited.to(original), original, region_mask(labels, matte, prompt.region))
    return (image.clamp(0, 1) * 255).round().to(torch.uint8).numpy()


def cut_and_shrink(frame: UInt8[np.ndarray, "source_height source_width 3"], clip: TrackedClip) -> Picture:
    """The part of a source frame that the clip's images show, at their size."""
    left, top, width, height = clip.source.crop
    crop = frame[top : top + height, left : left + width]
    size = (clip.intrinsics.width, clip.intrinsics.height)
    return crop if size == (width, height) else cv2.resize(crop, size, interpolation=cv2.INTER_AREA)


def telling_row(clip: TrackedClip, region: str) -> int:
    """The row of pixels with most of the region, in the middle frame."""
    return int(labelled(clip.labels(int(clip.frames[len(clip.frames) // 2])), region).sum(axis=1).argmax())


def colour_description(per_frame: Sequence[Float32[np.ndarray, "3"]]) -> dict[str, float] | None:
    """Mean CIELAB, its hue angle in degrees and its chroma; none where the region was never seen."""
    if not per_frame:
        return None
    lightness, a, b = (float(value) for value in np.mean(per_frame, axis=0))
    return {
        "lightness": round(lightness, 3),
        "a": round(a, 3),
        "b": round(b, 3),
        "hue_degrees": round(float(np.degrees(np.arctan2(b, a))) % 360, 2),
        "chroma": round(float(np.hypot(a, b)), 3),
        "lightness_deviation_over_time": round(float(np.std([colour[0] for colour in per_frame])), 4),
    }


def with_ratios(values: dict[str, list[float]]) -> dict[str, float]:
    """Means over frames, and their ratios."""
    source, per_frame, ours = (float(np.mean(values[name])) if values[name] else float("nan") for name in VIDEOS)
    numbers = {
        "source": source,
        "per_frame": per_frame,
        "ours": ours,
        "per_frame_to_source": per_frame / source,
        "ours_to_source": ours / source,
        "ours_to_per_frame": ours / per_frame,
    }
    return {name: float(f"{number:.5g}") for name, number in numbers.items()}


def summary(measurements: dict[str, Any]) -> Table:
    """What was measured, as a small table."""
    table = Table(title=f"{measurements['clip']['name']}: {measurements['prompt']}")
    table.add_column("")
    for heading in ("source", "frame by frame", "ours"):
        table.add_column(heading, justify="right")
    for name in ("lightness", "a", "b", "hue_degrees", "chroma"):
        colours = [measurements["colour"][which] or {} for which in ("before", "target", "after")]
        table.add_row(name, *(f"{colour.get(name, float('nan')):.1f}" for colour in colours))
    ratios = ("per_frame_to_source", "ours_to_source")
    flow_warp = measurements["flow_warp"]
    for name, values in (
        ("flow-warp error, region", flow_warp["region"]),
        ("flow-warp error, person", flow_warp["person"]),
        ("sharpness", measurements["sharpness"]),
    ):
        table.add_row(f"{name}, to source", "1.00", *(f"{values[ratio]:.2f}" for ratio in ratios))
    video, sound, outside = measurements["video"], measurements["sound"], measurements["outside"]
    table.add_row("frames", str(video["source"]["frames"]), "", str(video["ours"]["frames"]))
    table.add_row("same time stamps", "", "", str(video["same_time_stamps"]))
    table.add_row("changed pixels outside", "", "", f"{outside['changed_pixels']} of {outside['pixels']}")
    same_sound = sound["same_payloads"] and sound["same_times"]
    table.add_row("sound packets", str(sound["source_packets"]), "", f"{sound['our_packets']}, same: {same_sound}")
    return table


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
