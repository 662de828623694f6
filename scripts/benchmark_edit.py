"""Measure ways of editing a portrait video against each other: a fixed suite of clips, prompts and methods.

    python scripts/benchmark_edit.py --clips demo/clip OTHER_CLIP... --workers 2

Prompts come in the kinds of the TGVE 2023 benchmark: an attribute of a part of the person, a style, one whose
background must be kept, and several at once; every clip is edited with two of them. The editor is the offline one, made
inconsistent from frame to frame on purpose (`jittered_editor.py`), the way diffusion is; with `--jitter.strength 0
--jitter.hue-degrees 0 --jitter.texture 0` it is left as it is. The methods are those of `evaluation/methods.py`.

Measured too, for no edit can do without what these are off by: every clip's unedited avatar, put into the frames as
edits are (`unedited`) and without the film's fine detail (`avatar_alone`: its reconstruction); and the editor without
its jitter, frame by frame (`target`), in which the detector may see another face though no pixel of it was moved.

Every clip is reconstructed first (or give a finished run of it with `--reconstructions`), of at most so many frames.
What is finished lies in the work folder, and is not done again: an interrupted suite goes on where it stopped. The
static baseline is slow, and is measured on the first clip with its first prompt alone, unless `--static-everywhere`.
"""

import hashlib
import json
import multiprocessing
import re
import shutil
import subprocess
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import tyro
from jittered_editor import Jitter, JitteredEditor
from measuring import circumstances, forget_peak_memory, peak_memory, use_threads, write_measurements
from nerfstudio.utils.rich_utils import CONSOLE
from suite_clips import beginning, clip_name, edited_span
from suite_pictures import write_sheet
from suite_summary import AVATAR_ALONE, TARGET, UNEDITED, as_table, in_region, rounded, summarised

from evaluation import published_faces
from evaluation.editing_alone import editor_target
from evaluation.measuring import EditedVideo, MeasuringConfig, measure
from evaluation.methods import METHODS, CountingEditor, EditingTask, render_unedited
from evaluation.metric_set import EditQuestion, MetricsConfig, build_metrics
from evaluation.results import Evaluation, EvaluationSet
from evaluation.run_videos import FinishedRun
from evaluation.video_pairs import Window
from stage1_edit.offline_editor import OfflineEditor
from stage1_edit.prompts import EditPrompt
from tracking.clip import TrackedClip
from tracking.console import say
from tracking.errors import UserError, one_sentence_for_user_errors

PROMPTS = {
    "attribute": EditPrompt.split("hair: make it silver"),
    "background kept": EditPrompt.split("turn the person into a bronze statue"),
    "style": EditPrompt.split("make it an oil painting"),
    "multiple": EditPrompt.split("blond hair, red lipstick and golden hour light"),
}
"""What is asked for, by its kind. The first clip is edited with the first two, the second with the last two, and so on
in turns."""
PROMPTS_PER_CLIP = 2
VIDEO = "video.mp4"
REPORTED = (
    "flow_warp_ratio", "flow_warp_ratio_8_frames", "flow_warp_error", "sharpness_ratio", "target_color_difference",
    "target_mean_color_difference", "target_reached", "landmark_distance", "landmark_distance_lips",
    "expression_error", "head_rotation_difference", "lip_aperture_correlation", "background_psnr",
    "face_found_share",
)  # fmt: skip
"""The measures that are written."""
PUBLISHED = (*published_faces.MEANINGS, "flow_warp_ratio", "sharpness_ratio")
"""The measures that another system's published results are known by, over the whole picture."""
IN_REGION = ("flow_warp_ratio", "flow_warp_ratio_8_frames", "flow_warp_error", "sharpness_ratio")
"""Those of them that are taken inside the prompt's region, where there is such a one, else inside the person."""


@dataclass
class Arguments:
    """Measure ways of editing against each other."""

    clips: tuple[Path, ...] = (Path("demo/clip"),)
    """Tracked clips."""
    kinds: tuple[str, ...] = ()
    """The kinds of prompts that every clip is edited with; two in turns if none are named."""
    methods: tuple[str, ...] = tuple(METHODS)
    """Which methods: of per_frame, static_nerf and ours."""
    reconstructions: tuple[Path, ...] = ()
    """Finished runs: those of these clips are not reconstructed again, and edited whole."""
    frames: int = 120
    """Of a longer clip only the first so many frames are used."""
    reconstruction_steps: int = 1000
    """Training steps of an avatar."""
    style_steps: int = 200
    """Training steps of a style."""
    static_everywhere: bool = False
    """Measure the static baseline with every clip and prompt."""
    jitter: Jitter = field(default_factory=Jitter)
    """How inconsistent the editor is."""
    size: int = 320
    """Pictures are measured with a longer side of at most so many pixels."""
    weights_dir: Path | None = None
    """A folder with face_landmarker.task, by which the published results of another system were measured."""
    workers: int = 1
    """How many clips are worked on at the same time."""
    work: Path = Path("outputs/edit_suite")
    """Where runs, videos and results are kept."""
    output: Path = Path("measurements/edit_suite.json")
    """Where to write the measurements."""


def main(arguments: Arguments) -> None:
    """Do what is not done, and write what was found."""
    with one_sentence_for_user_errors():
        check(arguments)
        if arguments.workers > 1 and len(arguments.clips) > 1:
            work_in_parallel(arguments)
        results = [
            result
            for number, clip in enumerate(arguments.clips)
            for result in ClipSuite(arguments, number, clip).results()
        ]
        for number, clip in enumerate(arguments.clips):
            ClipSuite(arguments, number, clip).write_sheets()
    measurements = {
        "what": "ways of editing portrait videos with one inconsistent editor, against each other",
        **circumstances(),
        "settings": settings(arguments),
        "results": results,
        "summary": summarised(results),
    }
    write_measurements(arguments.output, measurements)
    CONSOLE.print(as_table(results))
    CONSOLE.print(json.dumps(measurements["summary"], indent=1))
    CONSOLE.print(f"Wrote {arguments.output}.", soft_wrap=True)


def check(arguments: Arguments) -> None:
    """See whether all clips, runs and methods are there.

    Raises:
        UserError: one is not.
    """
    unknown = set(arguments.methods) - set(METHODS)
    if unknown:
        raise UserError(f"There is no method {min(unknown)}: choose of {', '.join(METHODS)}.")
    if set(arguments.kinds) - set(PROMPTS):
        raise UserError(f"There is no such kind of prompt: choose of {', '.join(PROMPTS)}.")
    for clip in arguments.clips:
        TrackedClip.load(clip)
    for run in arguments.reconstructions:
        if not (run / "config.yml").is_file():
            raise UserError(f"{run} is no finished run: give the folder that holds its config.yml.")


def work_in_parallel(arguments: Arguments) -> None:
    """Work on every clip in a process of its own, as many at once as asked for; their results are then there."""
    clips = [(arguments, number, clip) for number, clip in enumerate(arguments.clips)]
    with multiprocessing.get_context("spawn").Pool(arguments.workers, maxtasksperchild=1) as pool:
        pool.starmap(finish, clips, chunksize=1)


def finish(arguments: Arguments, number: int, clip: Path) -> None:
    """Make everything that is measured of a clip, on one thread."""
    use_threads(1)
    ClipSuite(arguments, number, clip).results()


def settings(arguments: Arguments) -> dict[str, Any]:
    """What the results depend on."""
    return {
        "frames": arguments.frames,
        "reconstruction_steps": arguments.reconstruction_steps,
        "style_steps": arguments.style_steps,
        "jitter": asdict(arguments.jitter),
        "size": arguments.size,
    }


@dataclass
class ClipSuite:
    """Everything that is measured of one clip."""

    arguments: Arguments
    number: int
    """Its place among the clips, which decides its prompts."""
    given: Path

    def results(self) -> list[dict[str, Any]]:
        """The results of the unedited avatar and of every method and prompt, made if they are not there."""
        run = self.reconstruction()
        clip = self.clip
        found = [self.result(clip, run, "none", None, method) for method in (AVATAR_ALONE, UNEDITED)]
        for kind in self.kinds:
            found += [self.result(clip, run, kind, PROMPTS[kind], one) for one in (TARGET, *self.methods(kind))]
        return found

    def write_sheets(self) -> None:
        """A picture of every prompt, beside the measurements."""
        run = self.reconstruction()
        for kind in self.kinds:
            videos = [self.folder_of(run, kind, PROMPTS[kind], method) / VIDEO for method in self.methods(kind)]
            name = f"{self.arguments.output.stem}_{self.name}_{slug(kind)}.png"
            write_sheet(self.clip, videos, PROMPTS[kind].region, self.arguments.output.with_name(name))

    @property
    def kinds(self) -> list[str]:
        """The kinds of prompts that the clip is edited with."""
        if self.arguments.kinds:
            return list(self.arguments.kinds)
        kinds = list(PROMPTS)
        return [kinds[(PROMPTS_PER_CLIP * self.number + place) % len(kinds)] for place in range(PROMPTS_PER_CLIP)]

    def methods(self, kind: str) -> list[str]:
        """The methods that a prompt is measured with."""
        everywhere = self.arguments.static_everywhere or (self.number == 0 and kind == self.kinds[0])
        return [method for method in self.arguments.methods if method != "static_nerf" or everywhere]

    @property
    def name(self) -> str:
        """The clip's."""
        return clip_name(self.given)

    @property
    def folder(self) -> Path:
        return self.arguments.work / self.name

    @property
    def clip(self) -> TrackedClip:
        """The part of the clip that is used."""
        whole = TrackedClip.load(self.given)
        return whole if self.finished_run() else beginning(whole, self.arguments.frames, self.folder / "clip")

    def finished_run(self) -> Path | None:
        """The config.yml of a run of this very clip that was given."""
        for run in self.arguments.reconstructions:
            finished = FinishedRun.open(run / "config.yml")
            if finished.clip.root.resolve() == self.given.resolve():
                return finished.config_path
        return None

    def reconstruction(self) -> Path:
        """The config.yml of a run that has reconstructed the clip."""
        if (given := self.finished_run()) is not None:
            return given
        steps = self.arguments.reconstruction_steps
        run = self.folder / "runs" / "clip" / "portrait-edit" / f"steps-{steps}"
        if not (run / "finished").is_file():
            command = [
                "ns-train", "portrait-edit", "--data", self.clip.root, "--output-dir", self.folder / "runs",
                "--experiment-name", "clip", "--timestamp", run.name, "--vis", "tensorboard",
                "--logging.local-writer.max-log-size", "0", "--pipeline.reconstruction-steps", steps,
                "--pipeline.render-when-done", "False",
            ]  # fmt: skip
            if subprocess.run([*map(str, command)], check=False).returncode:
                raise UserError(f"{self.given} could not be reconstructed: see above.")
            (run / "finished").touch()
        return run / "config.yml"

    def result(self, clip: TrackedClip, run: Path, kind: str, prompt: EditPrompt | None, method: str) -> dict[str, Any]:
        """One video's measures and costs: kept ones, if they were made with the same settings."""
        folder = self.folder_of(run, kind, prompt, method)
        kept = folder / "result.json"
        if kept.is_file():
            return json.loads(kept.read_text())
        # What an interrupted command edited would not be counted.
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        say(CONSOLE, f"{self.name}, {prompt or UNEDITED}: {method}", "bold")
        found = {
            "clip": self.name,
            "kind": kind,
            "prompt": None if prompt is None else str(prompt),
            "method": method,
            **self.edited_and_measured(clip, run, prompt, method, folder),
        }
        kept.write_text(json.dumps(found, indent=1))
        return found

    def folder_of(self, run: Path, kind: str, prompt: EditPrompt | None, method: str) -> Path:
        """Where a video and its measures are kept; other settings have another place."""
        key = {**settings(self.arguments), "prompt": None if prompt is None else str(prompt), "run": str(run)}
        if prompt is None:
            del key["jitter"], key["style_steps"]
        digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:8]
        return self.folder / f"{slug(kind)}-{method}-{digest}"

    def edited_and_measured(
        self, clip: TrackedClip, run: Path, prompt: EditPrompt | None, method: str, folder: Path
    ) -> dict[str, Any]:
        """Make the video, and measure it."""
        clean = OfflineEditor()
        counting = CountingEditor(JitteredEditor(clean, self.arguments.jitter))
        asked = prompt or EditPrompt("")
        task = EditingTask(clip, asked, counting, run, folder, self.arguments.style_steps)
        video = folder / VIDEO
        forget_peak_memory()
        begun = time.process_time()
        if prompt is None:
            render_unedited(task, video, 0.0 if method == AVATAR_ALONE else 1.0)
        elif method == TARGET:
            METHODS["per_frame"](replace(task, editor=clean), video)
        else:
            METHODS[method](task, video)
        seconds, memory = time.process_time() - begun, peak_memory()
        edited = EditedVideo(video, method, prompt is not None, editor_target(clean, asked, clip) if prompt else None)
        question = EditQuestion(
            asked.region, expression_names=clip.track.expression_names, is_reconstruction=prompt is None
        )
        chosen = MetricsConfig(weights_dir=self.arguments.weights_dir, flow_distances=(1, 8), matte_interval=0)
        metrics = build_metrics(chosen, question)
        measuring = MeasuringConfig(self.arguments.size, span=edited_span(clip))
        evaluation = measure(clip, edited, metrics, measuring)
        size = Window.of_clip(clip, self.arguments.size).size
        EvaluationSet(clip.source.path, clip.source.frames_per_second, size, [evaluation], []).save(folder)
        return {
            "measures": {
                name: rounded(evaluation.value(in_region(name, asked.region) if name in IN_REGION else name))
                for name in REPORTED
            },
            "published_measures": {name: rounded(evaluation.value(name)) for name in PUBLISHED},
            "cost": {
                "editor_evaluations": counting.evaluations,
                "processor_seconds": round(seconds, 1),
                "peak_memory_megabytes": memory,
            },
            "flow_warp_errors": curve(evaluation, in_region("flow_warp_error", asked.region)),
        }


def slug(kind: str) -> str:
    """A kind of prompt, in a file's name."""
    return re.sub("[^a-z]+", "-", kind)


def curve(evaluation: Evaluation, name: str) -> list[float | None]:
    """A measure's number of every frame."""
    measure = evaluation.measure(name)
    return [] if measure is None or measure.curve is None else [rounded(value) for value in measure.curve.tolist()]


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
