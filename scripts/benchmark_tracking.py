"""Benchmark the tracking: on rendered heads with known parameters, and on real clips.

    python scripts/benchmark_tracking.py            # the rendered heads
    python scripts/benchmark_tracking.py --no-heads --clips    # the real clips
    python scripts/benchmark_tracking.py --sequences talk nod --fit.camera.focal-length 1.75
    python scripts/benchmark_tracking.py --photometric.enabled    # and with the photometric refinement
    python scripts/benchmark_tracking.py --task face_landmarker.task    # and with a detector that scores expressions
    python scripts/benchmark_tracking.py --oracle    # and with the true faces, lenses and expressions' displacements

ICT-FaceKit's heads are rendered with known identity, expression, pose and focal length, textured, lit, over pictures.
Frames and MediaPipe's detections are kept in a cache and made again only when what they depend on changes, so that
running the fit again takes seconds. Reported are, in degrees and over the frames in which the head moves freely:

    rotation      angle between the head's fitted and true orientation, median and 95th percentile. Their head frames
                  are made one by aligning the fitted and the true neutral face once per sequence: `tracking_truth.py`
    direction     angle between the fitted and true directions from the camera to the head's origin
    focal         error of the focal length in percent
    correlation   of fitted with true coefficients, mean over the sequences that exercise the expression
    still         standard deviation of the rotation of a head that does not move, in noisy pictures
    nod           amplitude left of a nod at 4 Hz, and its lag in frames by cross-correlation

The baseline is the pose of the mean face in every frame by itself (PnP), at an assumed focal length.
"""

import json
import sys
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tyro
from benchmark_clips import report_clips
from benchmark_synthetic import KEY_EXPRESSIONS, Fitter, SequenceReport, report_sequence, summarize
from jaxtyping import UInt8
from measuring import circumstances, write_measurements
from oracle_heads import oracle
from rich.console import Console
from rich.table import Table
from synthetic_sequences import SEQUENCES, BenchmarkData, Sequence
from tracking_truth import find_correspondence

from tracking.choose_detector import DetectorConfig
from tracking.clip import write_png
from tracking.errors import UserError, one_sentence_for_user_errors
from tracking.eyelids import EyelidConfig
from tracking.face_fit import FaceFitConfig, fit_face
from tracking.face_linking import FaceTrack
from tracking.fitting import FitConfig, HeadFit
from tracking.photometric import PhotometricConfig, refine_fit
from tracking.skin_motion import SkinMotionConfig
from tracking.spread_evenly import spread_evenly

SHEET_COLUMNS = 6
ORACLE = "synthetic_oracle"
"""What the fit that knows the truth is called in the measurements."""
CONSOLE = Console(width=None if sys.stdout.isatty() else 140)


@dataclass
class Arguments:
    """Benchmark the tracking."""

    shared: Path = Path("../shared")
    """The folder with models/ict_facekit_packed.npz and clips/."""
    cache: Path = Path("outputs/benchmark_tracking")
    """Where frames and detections are kept."""
    output: Path = Path("scripts/measurements/tracking.json")
    """Where to write the measurements; what another part of the benchmark measured before stays in it."""
    sequences: tuple[str, ...] = ()
    """Run only the sequences whose names begin with one of these; nothing is written then."""
    exact_landmarks: bool = False
    """Fit to the true surface's points instead of detections, to tell the fit's own error from the detector's: skin and
    lids are not looked at, and nothing is written."""
    task: Path | None = None
    """MediaPipe's face_landmarker.task: also fit the rendered heads to what it finds, and to its scores."""
    oracle: bool = False
    """Also fit the rendered heads with each person's true face, the true lens and ICT-FaceKit's own displacements: what
    then remains is not the head model's."""
    heads: bool = True
    """Measure the rendered heads."""
    clips: bool = False
    """Also measure the real clips."""
    real_videos: tuple[Path, ...] = ()
    """Real clips besides those in the shared folder."""
    sheet: Path | None = None
    """Also write a contact sheet of the rendered frames, with landmarks drawn into every second row."""
    fit: FitConfig = field(default_factory=FitConfig)
    skin: SkinMotionConfig = field(default_factory=SkinMotionConfig)
    eyelids: EyelidConfig = field(default_factory=EyelidConfig)
    photometric: PhotometricConfig = field(default_factory=PhotometricConfig)


def main(arguments: Arguments) -> None:
    """Measure what is asked for, print and write."""
    with one_sentence_for_user_errors():
        if arguments.heads:
            measure_heads(arguments)
        if arguments.clips:
            videos = [*sorted((arguments.shared / "clips").glob("*.mp4")), *arguments.real_videos]
            clips = report_clips(videos, arguments.cache, arguments.fit, arguments.skin, arguments.photometric)
            CONSOLE.print(clip_table(clips))
            merge_measurements(arguments.output, "clips", {**circumstances(), "clips": clips})


def measure_heads(arguments: Arguments) -> None:
    """Render or load, fit, compare: in all the ways that are asked for."""
    data = BenchmarkData(arguments.shared, arguments.cache)
    chosen = choose(arguments.sequences)
    if arguments.sheet is not None:
        write_png(arguments.sheet, contact_sheet(data, chosen))
    same_points = find_correspondence(data.heads)
    fits: dict[str, HeadFit] = {}

    def fit_landmarks(clip: Sequence, face: FaceTrack) -> HeadFit:
        how = FaceFitConfig(arguments.fit, replace(arguments.skin, rounds=0), arguments.eyelids)
        return fit_face(face, clip.width, clip.height, how)

    def fit_all(clip: Sequence, face: FaceTrack) -> HeadFit:
        how = FaceFitConfig(arguments.fit, arguments.skin, arguments.eyelids)
        return fit_face(face, clip.width, clip.height, how)

    def fit_skin(clip: Sequence, face: FaceTrack) -> HeadFit:
        if clip.name not in fits:
            fits[clip.name] = fit_all(clip, face)
        return fits[clip.name]

    def fit_frames(clip: Sequence, face: FaceTrack) -> HeadFit:
        frames = data.frames(clip)
        return refine_fit(fit_skin(clip, face), lambda frame: np.array(frames[frame]), arguments.photometric)

    def fit_with_lens(clip: Sequence, face: FaceTrack) -> HeadFit:
        lens = replace(arguments.fit.camera, focal_length=clip.focal_length)
        how = FaceFitConfig(replace(arguments.fit, camera=lens), arguments.skin, arguments.eyelids)
        return fit_face(face, clip.width, clip.height, how)

    parts: dict[str, tuple[BenchmarkData, Fitter]] = {"synthetic_landmarks": (data, fit_landmarks)}
    if not arguments.exact_landmarks:
        parts["synthetic"] = (data, fit_skin)
    if arguments.photometric.enabled:
        parts["synthetic_photometric"] = (data, fit_frames)
    if arguments.task is not None and not arguments.exact_landmarks:
        scoring = replace(data, detector=DetectorConfig("landmarker-task", arguments.task))
        parts["synthetic_scores"] = (scoring, fit_all)
    if arguments.oracle:
        parts[ORACLE] = (data, fit_with_lens)
    for part, (seen, fit_clip) in parts.items():
        reports = {}
        for clip in chosen:
            with oracle(data.heads, same_points, data.neutral(clip)) if part == ORACLE else nullcontext():
                reports[clip.name] = report_sequence(seen, clip, same_points, fit_clip, arguments.exact_landmarks)
        together = summarize(reports, chosen)
        CONSOLE.print(f"\n{part}", sequence_table(reports))
        print_together(together)
        if not (arguments.sequences or arguments.exact_landmarks):
            sequences = {name: report.summary for name, report in reports.items()}
            measured = {**circumstances(), "together": together, "sequences": sequences}
            merge_measurements(arguments.output, part, measured)
            CONSOLE.print(f"Wrote {arguments.output}.")


def choose(beginnings: tuple[str, ...]) -> list[Sequence]:
    """The sequences whose names begin so; all of them if nothing is said.

    Raises:
        UserError: no sequence's name does.
    """
    chosen = [clip for clip in SEQUENCES if not beginnings or clip.name.startswith(beginnings)]
    if not chosen:
        names = ", ".join(clip.name for clip in SEQUENCES)
        raise UserError(f"No sequence begins with {' or '.join(beginnings)}: there are {names}.")
    return chosen


def merge_measurements(path: Path, part: str, measurements: dict[str, Any]) -> None:
    """Write one part of the measurements, and keep the others."""
    before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    write_measurements(path, {"what": "tracking: rendered heads and real clips", **before, part: measurements})


def sequence_table(reports: dict[str, SequenceReport]) -> Table:
    """One row for each sequence."""
    table = Table("sequence", title="Rendered heads: degrees, percent; (baseline)", title_justify="left")
    for name in ("rotation median", "95 %", "about mean", "pitch, yaw, roll", "direction", "focal", "correlation"):
        table.add_column(name, justify="right")
    for name, report in reports.items():
        row = report.summary
        table.add_row(
            name,
            f"{row['rotation_median']:.2f} ({row['baseline_rotation_median']:.2f})",
            f"{row['rotation_95']:.2f} ({row['baseline_rotation_95']:.2f})",
            f"{row['rotation_about_mean_median']:.2f}, {row['rotation_about_mean_95']:.2f}",
            " ".join(f"{value:+.1f}" for value in row["offset_pitch_yaw_roll"]),
            f"{row['direction_median']:.2f} ({row['baseline_direction_median']:.2f})",
            f"{row['focal_error_percent']:+.0f} %",
            f"{row['correlation_mean']:.2f}" if "correlation_mean" in row else "",
        )
    return table


def clip_table(clips: dict[str, dict[str, Any]]) -> Table:
    """One row for each real clip."""
    columns = {
        "frames": "frames",
        "tracked": "tracked of found",
        "error": "reprojection, % of iris distance",
        "baseline_error": "(frame by frame)",
        "rotation_noise": "rotation noise, degrees",
        "baseline_rotation_noise": "(frame by frame)",
        "focal_length": "focal",
    }
    table = Table("clip", *columns.values(), title="Real clips", title_justify="left")
    for name, row in clips.items():
        table.add_row(name, *(str(row[key]) for key in columns))
    return table


def print_together(together: dict[str, Any]) -> None:
    """All sequences' numbers, a line each."""
    for name, value in together.items():
        if name in ("correlation", "correlation_of_all"):
            ordered = sorted(value.items(), key=lambda item: (item[0] not in KEY_EXPRESSIONS, item[0]))
            value = "  ".join(f"{key} {number:.2f}" for key, number in ordered)
        if name != "left_out_of_the_mean":
            CONSOLE.print(f"{name}: {value}", highlight=False, soft_wrap=True)


def contact_sheet(data: BenchmarkData, clips: list[Sequence]) -> UInt8[np.ndarray, "height width 3"]:
    """Frames of every sequence, and below them the same with MediaPipe's landmarks."""
    rows = []
    for clip in clips:
        frames, face = data.frames(clip), data.face(clip)
        chosen = spread_evenly(clip.frames, SHEET_COLUMNS)
        plain = [np.array(frames[frame]) for frame in chosen]
        drawn = [picture.copy() for picture in plain]
        for picture, frame in zip(drawn, chosen, strict=True):
            for x, y in face.landmarks[frame, :, :2][np.isfinite(face.landmarks[frame, :, 0])]:
                cv2.circle(picture, (round(x * 16), round(y * 16)), 14, (0, 255, 0), -1, cv2.LINE_AA, 4)
        for pictures in (plain, drawn):
            row = [cv2.resize(picture, (320, 320 * clip.height // clip.width)) for picture in pictures]
            rows.append(np.concatenate(row, axis=1))
    return np.concatenate(rows, axis=0)


if __name__ == "__main__":
    main(tyro.cli(Arguments))
