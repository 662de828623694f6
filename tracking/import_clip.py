"""The command `portrait-import`: a clip tracked elsewhere becomes a tracked clip of ours.

Pictures, mattes, camera and head poses are the other program's; the poses are taken into our head space by one
similarity (`pose_alignment`), in which they keep their motion. Identity and ARKit's expressions are fitted to landmarks
under these poses; region labels and the background plate are made as for a video. The pictures are also written into
the clip as a video without loss, which is what edits are pasted back into.

A Live Link Face CSV is imported too: it replaces the expressions of a clip that is tracked already.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro
from jaxtyping import Int64
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from tracking.arkit_csv import read_arkit_csv
from tracking.cameras import rigid_inverse
from tracking.choose_detector import DetectorConfig, make_detector
from tracking.clip import HeadTrack, SourceVideo, TrackedClip
from tracking.console import say
from tracking.errors import UserError, one_sentence_for_user_errors
from tracking.face_linking import FaceLinkingConfig, FaceTrack, link_longest_face
from tracking.foreign_clip import ForeignClip, read_description
from tracking.frame_flags import why_left_out
from tracking.frame_quality import FrameQualityConfig, quality_flags
from tracking.head_model import HeadModel
from tracking.import_insta import read_insta
from tracking.import_nerface import read_nerface
from tracking.import_nerfblendshape import read_nerfblendshape
from tracking.import_pictures import PictureFindings, write_pictures, write_source
from tracking.import_vhap import read_flame_parameters, read_vhap
from tracking.pose_alignment import AlignedHead, AlignmentConfig, align_poses
from tracking.report import write_report
from tracking.segmentation import SegmentationConfig
from tracking.termination import ended_in_order
from tracking.torso_motion import TorsoConfig, measured_torso_poses
from tracking.video import VideoReader
from tracking.whole_or_nothing import require_room_for_clip, whole_folder

Kind = Literal["auto", "insta", "nerfblendshape", "nerface", "vhap", "flame", "arkit"]
LEAST_FRAMES = 10
"""Fewer frames with a face than this say too little about a head."""
SOURCE_NAME = "source.mp4"
SOURCE_HELP = (
    "A data set of INSTA, NeRFBlendShape, NeRFace or VHAP, an .npz of FLAME parameters, or a Live Link Face CSV."
)
CLIP_HELP = "The folder to write; for a CSV, the tracked clip whose expressions it replaces."


@dataclass
class ImportConfig:
    """How a clip tracked elsewhere is read."""

    kind: Kind = "auto"
    """insta, nerfblendshape, nerface: folders with transforms.json; vhap: an export with FLAME parameters (also
    GaussianAvatars' data); flame: an .npz of FLAME parameters beside images/; arkit: a Live Link Face CSV, whose
    expressions replace those of the existing CLIP; auto: by what SOURCE holds."""
    frame_rate: float = 25.0
    """Frames per second of the other program's video, which its files do not tell."""
    camera: int | None = None
    """Of several cameras (vhap), the one to read."""
    focal_length: float | None = None
    """In multiples of the images' longer side, where the files do not say (flame)."""
    offset: float = 0.0
    """Seconds into the clip at which the table begins (arkit)."""
    table_frame_rate: float | None = None
    """Frames per second that the table's time codes count, if its values do not show (arkit)."""
    overwrite: bool = False
    """Replace an already tracked clip."""
    detector: DetectorConfig = field(default_factory=DetectorConfig)
    linking: FaceLinkingConfig = field(default_factory=FaceLinkingConfig)
    alignment: AlignmentConfig = field(default_factory=AlignmentConfig)
    segmentation: SegmentationConfig = field(default_factory=SegmentationConfig)
    torso: TorsoConfig = field(default_factory=TorsoConfig)
    quality: FrameQualityConfig = field(default_factory=FrameQualityConfig)


def import_clip(source: Path, clip: Path, config: ImportConfig | None = None) -> TrackedClip:
    """Make a tracked clip of a data set; it appears under its name only when it is whole.

    Raises:
        UserError: the data set is not of a known format, is damaged, shows no face that can be followed, or its poses
            do not fit its pictures; or the clip cannot be written.
    """
    config = config or ImportConfig()
    kind = recognize(source) if config.kind == "auto" else config.kind
    if kind == "arkit":
        return import_expressions(source, clip, config.offset, config.table_frame_rate)
    if not 1 <= config.frame_rate <= 1000:
        raise UserError(f"--frame-rate {config.frame_rate} is no number of frames per second: give one of 1 to 1000.")
    require_room_for_clip(clip, config.overwrite)
    foreign = read_foreign(source, kind, config)
    with _progress() as progress, whole_folder(clip) as partial:
        timestamps = write_source(partial / SOURCE_NAME, foreign, config.frame_rate, progress)
        face = _follow_face(foreign, config, progress)
        task = progress.add_task("Fitting expressions", total=None)
        head = align_poses(
            foreign.poses,
            face.landmarks,
            face.tracked,
            foreign.intrinsics,
            config.alignment,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
        tracked = _describe(foreign, head, face, timestamps, partial, clip, config.frame_rate)
        findings = write_pictures(tracked, foreign, face, config.segmentation, config.torso.flow, progress)
        _add_findings(tracked, findings, config).save_description()
    imported = TrackedClip.load(clip)
    write_report(imported)
    return imported


def recognize(source: Path) -> Kind:
    """Which format a file or folder has.

    Raises:
        UserError: none that is known.
    """
    if source.is_file() and source.suffix.lower() == ".csv":
        return "arkit"
    if source.is_file() and source.suffix.lower() == ".npz":
        return "flame"
    if not source.is_dir():
        raise UserError(
            f"{source} does not exist, or is neither a folder, an .npz nor a .csv: give a tracked data set."
        )
    if not any(source.glob("transforms*.json")):
        if any(source.glob("*.npz")):
            return "flame"
        raise UserError(f"{source} holds neither transforms.json nor FLAME parameters: give a tracked data set.")
    _, frames = read_description(source)
    keys = {key for frame in frames for key in frame}
    signs: tuple[tuple[str, Kind], ...] = (
        ("flame_param_path", "vhap"),
        ("exp_ori", "nerfblendshape"),
        ("expression", "nerface"),
    )
    for key, kind in signs:
        if key in keys:
            return kind
    if "timestep_index" in keys:
        raise UserError(f"{source} was exported without FLAME parameters: export with them, not with meshes.")
    if {"exp_path", "mesh_path"} & keys:
        return "insta"
    raise UserError(f"The frames of {source} are of no format that is known: name it with --kind.")


def read_foreign(source: Path, kind: Kind, config: ImportConfig) -> ForeignClip:
    """The data set, by the reader of its format."""
    if not source.exists():
        raise UserError(f"{source} does not exist: give a tracked data set.")
    if kind == "vhap":
        return read_vhap(source, config.camera)
    if kind == "flame":
        return read_flame_parameters(source, config.focal_length)
    readers: dict[str, Callable[[Path], ForeignClip]] = {
        "insta": read_insta,
        "nerfblendshape": read_nerfblendshape,
        "nerface": read_nerface,
    }
    return readers[kind](source)


def import_expressions(
    table: Path, clip: Path, offset: float = 0.0, frames_per_second: float | None = None
) -> TrackedClip:
    """Replace a tracked clip's expressions by those of a Live Link Face CSV, by time.

    Frames that the table says nothing of keep the expressions that were fitted.

    Args:
        offset: seconds into the clip at which the table begins.
        frames_per_second: that the table's time codes count.

    Raises:
        UserError: the clip or the table is not sound, or they do not overlap in time.
    """
    tracked = TrackedClip.load(clip)
    names = tracked.track.expression_names
    read = read_arkit_csv(table, frames_per_second)
    if set(names) != set(read.expression_names):
        raise UserError(f"{clip} was tracked with a head model of other expressions: track it with the default one.")
    values = read.resampled(tracked.seconds, names, offset)
    known = np.isfinite(values).all(1) & tracked.track.tracked
    if not known.any():
        length = read.times[-1]
        raise UserError(
            f"{table} ({length:.2f} s from {offset:.2f} s on) covers no tracked frame of {clip}: give --offset, the "
            "time in the clip at which the table begins."
        )
    expression = np.where(known[:, None], values, tracked.track.expression)
    replace(tracked, track=replace(tracked.track, expression=expression)).save_description()
    return TrackedClip.load(clip)


def _follow_face(foreign: ForeignClip, config: ImportConfig, progress: Progress) -> FaceTrack:
    task = progress.add_task("Finding the face", total=len(foreign.numbers))
    detector = make_detector(config.detector)
    detections = []
    for position in range(len(foreign.numbers)):
        detections.append(detector.detect(foreign.image(position)))
        progress.advance(task)
    face = link_longest_face(detections, config.linking)
    if face.tracked.sum() < LEAST_FRAMES:
        raise UserError(
            f"A face was found in {int(face.tracked.sum())} of the {len(detections)} pictures of {foreign.source}: "
            f"give at least {LEAST_FRAMES} that show it."
        )
    return face


def _describe(
    foreign: ForeignClip,
    head: AlignedHead,
    face: FaceTrack,
    timestamps: Int64[np.ndarray, "frames"],
    root: Path,
    clip: Path,
    frame_rate: float,
) -> TrackedClip:
    tracked = np.isfinite(head.reprojection_error)
    properties = VideoReader(root / SOURCE_NAME).properties
    size = foreign.intrinsics.width, foreign.intrinsics.height
    return TrackedClip(
        root,
        SourceVideo(
            path=str(clip.resolve() / SOURCE_NAME),
            width=size[0],
            height=size[1],
            frame_rate=str(Fraction(frame_rate).limit_denominator(1001)),
            time_base=str(properties.time_base),
            crop=(0, 0, *size),
        ),
        foreign.intrinsics,
        HeadTrack(
            tracked=tracked,
            presentation_timestamps=timestamps,
            camera_to_head=head.camera_to_head,
            camera_to_torso=np.full_like(head.camera_to_head, np.nan),
            expression=head.expression,
            identity=head.identity,
            landmarks=np.where(tracked[:, None, None], face.landmarks[..., :2], np.nan).astype(np.float32),
            reprojection_error=head.reprojection_error,
            expression_names=HeadModel.load().expression_names,
            flags=why_left_out(face.found, face.tracked, tracked),
        ),
        background_kind="plate",
    )


def _add_findings(clip: TrackedClip, findings: PictureFindings, config: ImportConfig) -> TrackedClip:
    """The clip with what its pictures tell: how the shoulders move, and which frames show the face less well."""
    track, frames = clip.track, clip.frames
    track.camera_to_torso[frames] = measured_torso_poses(
        findings.torso,
        rigid_inverse(track.camera_to_head[frames]),
        frames,
        len(track.tracked),
        clip.intrinsics,
        config.frame_rate,
        config.torso,
    )
    quality = quality_flags(findings.looks, track.camera_to_head[frames], track.expression[frames], config.quality)
    track.flags[frames] |= quality
    return replace(clip, background_kind=findings.background_kind)


def _progress() -> Progress:
    """Bars on standard error, with the time left."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True))


def main() -> None:
    """Run `portrait-import`."""
    with one_sentence_for_user_errors(), ended_in_order():
        tyro.cli(_run, prog="portrait-import", description="Make a tracked clip of one that was tracked elsewhere.")


def _run(
    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="SOURCE", help=SOURCE_HELP)],
    clip: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="CLIP", help=CLIP_HELP)],
    config: Annotated[ImportConfig, tyro.conf.arg(name="")],
) -> None:
    imported = import_clip(source, clip, config)
    error = np.nanmedian(imported.track.reprojection_error)
    say(
        Console(),
        f"Wrote {clip}: {len(imported.frames)} of {len(imported.track.tracked)} frames, {imported.intrinsics.width} x "
        f"{imported.intrinsics.height} pixels, median reprojection error {error:.2f} pixels.",
    )


if __name__ == "__main__":
    main()
