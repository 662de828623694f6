"""The stages from a video to a tracked clip, in their order. Each keeps its result, and is not done twice."""

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np

from tracking.background import BackgroundKind
from tracking.cameras import rigid_inverse
from tracking.clip import HeadTrack, SourceVideo, TrackedClip, write_png
from tracking.clip_pictures import PictureRecord, PictureSource
from tracking.crop import Crop, choose_crop, stated_crop
from tracking.cutting_out import CuttingOut
from tracking.errors import UserError
from tracking.face_completion import completed
from tracking.face_fit import FaceFitConfig, fit_face, frames_to_do
from tracking.face_linking import FaceTrack, link_longest_face
from tracking.face_look import FaceLook
from tracking.face_search import (
    STRETCH_FRAMES,
    find_faces,
    load_models,
    never_moves,
    require_enough_frames,
    require_followed,
    stretches,
)
from tracking.fitting import HeadFit
from tracking.frame_flags import FrameFlag, why_left_out
from tracking.frame_quality import quality_flags
from tracking.frame_selection import NumberedShot
from tracking.frames_in_order import FramesInOrder, NumberedFrames
from tracking.over_frames import over_frames
from tracking.photometric import refine_fit
from tracking.piecewise import NewBar, PiecewiseStage
from tracking.torso_flow import TorsoPicture, follow_torso
from tracking.torso_motion import measured_torso_poses
from tracking.track_config import TrackConfig
from tracking.video import VideoProperties, VideoReader
from tracking.video_survey import Survey, choose_shot, describe_shots, survey_video
from tracking.workers import Workers, usable_cores
from tracking.workshop import Workshop

logger = logging.getLogger(__name__)

DECODING_MEMORY = 1_000_000_000
"""Bytes that the decoders of all workers together may take."""
DECODER_FRAMES = 24
"""About how many frames a decoder holds."""


def make_clip(reader: VideoReader, workshop: Workshop, config: TrackConfig, new_bar: NewBar) -> None:
    """Make the clip of a video in a workshop, going on from what is there.

    Raises:
        UserError: the video shows no face that can be followed, or not where it is asked for.
    """
    source = reader.properties
    stated = stated_crop(config.crop, source.width, source.height, config.size)
    with ThreadPoolExecutor(1) as beside, Workers(worker_count(config, source)) as workers:
        # The processes load their models while this one looks through the video.
        for _ in range(workers.count):
            workers.start(load_models, config.detector)
        survey = workshop.once("survey", lambda: survey_video(reader, config, new_bar("Reading", _expected(reader))))
        shot = workshop.once("shot", lambda: choose_shot(reader, survey, config))
        if len(survey.shots) > 1:
            logger.info("%s", describe_shots(reader, survey, shot))
        measured = _follow_face(reader, survey, shot, workshop, config, workers, new_bar)
        face = replace(measured, landmarks=completed(measured.landmarks))
        crop = stated or choose_crop(
            face.landmarks[face.tracked], source.width, source.height, config.size, config.auto_crop
        )
        _require_face_in_crop(face, crop, config.crop)
        face, measured = (replace(track, landmarks=crop.to_image(track.landmarks)) for track in (face, measured))
        pictures = PictureSource(reader, survey.index, crop)
        cutting = CuttingOut(pictures, face, shot.start, workshop, config.segmentation, workers, new_bar)
        if workers.count > 1 and not workshop.is_kept("fit"):
            cutting.begin(beside)
        fit = workshop.once("fit", lambda: _fit(measured, crop, reader, config, workers.count, new_bar))
        if config.photometric.enabled:
            landmark_fit = fit
            fit = workshop.once(
                "refined-fit",
                lambda: _refine(landmark_fit, pictures, face, shot, config, workers.decoding_threads, new_bar),
            )
        require_enough_frames(int(fit.tracked.sum()), len(fit.tracked), reader)
        learned = cutting.appearance()
        clip = _clip(reader, survey, shot, crop, face, fit, learned.plate.kind, workshop)
        write_png(clip.background_path, learned.plate.image)
        _add_what_pictures_tell(clip, shot, cutting.records(clip.frames), config)
        clip.save_description()


def worker_count(config: TrackConfig, source: VideoProperties) -> int:
    """How many processes work: as many as wished, but none for nothing to do, and fewer for huge pictures."""
    frame_bytes = 1.5 * source.width * source.height
    affordable = max(1, int(DECODING_MEMORY / (DECODER_FRAMES * frame_bytes)))
    stretch_count = -(-source.frame_count // STRETCH_FRAMES)
    return max(1, min(config.workers or usable_cores(), affordable, stretch_count))


def _expected(reader: VideoReader) -> int | None:
    return reader.properties.frame_count if reader.properties.frame_count > 1 else None


def _follow_face(
    reader: VideoReader,
    survey: Survey,
    shot: NumberedShot,
    workshop: Workshop,
    config: TrackConfig,
    workers: Workers,
    new_bar: NewBar,
) -> FaceTrack:
    """The face in every frame of the shot."""
    pieces = {f"{start:06d}": (start, stop) for start, stop in stretches(shot.start, shot.stop)}
    threads = workers.decoding_threads
    work = {key: (reader, survey.index, shot.start, piece, config.detector, threads) for key, piece in pieces.items()}
    frames = {key: stop - start for key, (start, stop) in pieces.items()}
    stage = PiecewiseStage("faces", "Finding the face", find_faces, workshop, workers)
    found = stage.results(work, frames, new_bar)
    face = link_longest_face([faces for stretch in found for faces in stretch], config.linking)
    require_followed(face, reader)
    if never_moves(face):
        logger.warning(
            "The face in %s never moves, as in a photograph: an avatar of it can be turned, but not talk.", reader.path
        )
    return face


def _require_face_in_crop(face: FaceTrack, crop: Crop, stated: str) -> None:
    centers = np.nanmean(face.landmarks[face.tracked][..., :2], axis=1) - [crop.left, crop.top]
    if ((centers >= 0) & (centers <= [crop.width, crop.height])).all(axis=1).mean() < 0.5:
        raise UserError(f"The face is not inside --crop {stated} in most frames: give a rectangle that holds it.")


def _fit(
    face: FaceTrack, crop: Crop, reader: VideoReader, config: TrackConfig, threads: int, new_bar: NewBar
) -> HeadFit:
    source = reader.properties
    # A crop keeps the optical axis of the whole picture.
    x, y, _ = crop.to_image(np.array([source.width / 2, source.height / 2, 0.0]))
    how = FaceFitConfig(config.fit, config.skin, config.eyelids)
    advance = new_bar("Fitting the head", frames_to_do(face, how))
    # Threads, for the processes are busy cutting the person out, and the fit would wait for them.
    return fit_face(
        face, crop.image_width, crop.image_height, how, (float(x), float(y)), threads=threads, advance=advance
    )


def _refine(
    fit: HeadFit,
    pictures: PictureSource,
    face: FaceTrack,
    shot: NumberedShot,
    config: TrackConfig,
    threads: int,
    new_bar: NewBar,
) -> HeadFit:
    rows = np.flatnonzero(fit.tracked)

    def from_the_beginning() -> NumberedFrames:
        for portrait in pictures.portraits((shot.start + rows).tolist(), face.landmarks[rows], threads):
            yield portrait.index - shot.start, portrait.image

    advance = new_bar("Refining the head", config.photometric.rounds * len(rows))
    return refine_fit(fit, FramesInOrder(from_the_beginning), config.photometric, lambda done, total: advance(1))


def _clip(
    reader: VideoReader,
    survey: Survey,
    shot: NumberedShot,
    crop: Crop,
    face: FaceTrack,
    fit: HeadFit,
    background_kind: BackgroundKind,
    workshop: Workshop,
) -> TrackedClip:
    """The clip's description, over all frames of the source."""
    source, count = reader.properties, len(survey.index.timestamps)

    def over_source(values: np.ndarray, missing: Any = np.nan) -> np.ndarray:
        return over_frames(values, slice(shot.start, shot.stop), count, missing)

    landmarks = np.where(fit.tracked[:, None, None], face.landmarks[..., :2], np.nan).astype(np.float32)
    return TrackedClip(
        root=workshop.clip,
        source=SourceVideo(
            path=str(reader.path.resolve()),
            width=source.width,
            height=source.height,
            frame_rate=str(source.frame_rate),
            time_base=str(source.time_base),
            crop=crop.rectangle,
        ),
        intrinsics=fit.intrinsics,
        track=HeadTrack(
            tracked=over_source(fit.tracked, False),
            presentation_timestamps=survey.index.timestamps,
            camera_to_head=over_source(fit.camera_to_head),
            camera_to_torso=np.full((count, 4, 4), np.nan),
            expression=over_source(fit.expression),
            identity=fit.identity,
            landmarks=over_source(landmarks),
            reprojection_error=over_source(fit.reprojection_error),
            expression_names=fit.expression_names,
            flags=over_source(why_left_out(face.found, face.tracked, fit.tracked), FrameFlag.OUTSIDE),
        ),
        background_kind=background_kind,
    )


def _add_what_pictures_tell(
    clip: TrackedClip, shot: NumberedShot, records: Iterator[PictureRecord], config: TrackConfig
) -> None:
    """Into the clip's track: how the shoulders move, and which frames show the face less well."""
    track, frames = clip.track, clip.frames
    looks: list[FaceLook] = []

    def torsos() -> Iterator[TorsoPicture]:
        for record in records:
            looks.append(record.look)
            yield record.torso

    similarities = follow_torso(torsos(), config.torso.flow)
    track.camera_to_torso[frames] = measured_torso_poses(
        similarities,
        rigid_inverse(track.camera_to_head[frames]),
        frames - shot.start,
        shot.length,
        clip.intrinsics,
        clip.source.frames_per_second,
        config.torso,
    )
    track.flags[frames] |= quality_flags(looks, track.camera_to_head[frames], track.expression[frames], config.quality)
