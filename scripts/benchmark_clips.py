"""The part of the tracking benchmark on real clips: no truth, but error, completeness, jitter and what skin shows."""

import hashlib
import inspect
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from benchmark_synthetic import ASSUMED_FOCAL_LENGTH, poses_of_mean_face
from jaxtyping import Float
from rich.progress import track
from synthetic_sequences import DETECTOR_KEY, load_face, save_face

from tracking.cameras import project, rigid_inverse, transform, vector_from_rotation
from tracking.choose_detector import make_detector
from tracking.clip import Intrinsics
from tracking.face_fit import FaceFitConfig, fit_face
from tracking.face_linking import FaceTrack, link_longest_face
from tracking.fitting import FitConfig, HeadFit
from tracking.frames_in_order import FramesInOrder
from tracking.head_model import HeadModel
from tracking.landmarks import LANDMARK_COUNT
from tracking.photometric import PhotometricConfig, PhotometricRefiner, refine_fit
from tracking.skin_motion import SkinMotionConfig
from tracking.skin_pictures import SKIN_PIXELS, skin_picture
from tracking.video import VideoReader

IRIS_CENTERS = (468, 473)


def report_clips(
    videos: list[Path], cache: Path, config: FitConfig, skin: SkinMotionConfig, photometric: PhotometricConfig
) -> dict[str, dict[str, Any]]:
    """One report for every video, under its name."""
    return {video.stem: report_clip(video, cache, config, skin, photometric) for video in videos}


def report_clip(
    video: Path, cache: Path, config: FitConfig, skin: SkinMotionConfig, photometric: PhotometricConfig
) -> dict[str, Any]:
    """Fit a clip and report.

    `tracked` is the share, of the frames in which the detector found the face, that were fitted and kept. `error` is
    the distance between detected and fitted points: the median over points, then over frames, in percent of the
    distance between the centres of the irises in the same frame. `rotation_noise` is `third_difference_noise`.
    `texture_spread` tells how unlike a point of the face looks in different frames: the median over points of the
    deviation of their normalised brightness. `landmark_fit` holds the same three of the fit to the landmarks alone, and
    `refined_fit`, where it is asked for, of the photometric refinement.
    """
    reader = VideoReader(video)
    width, height = reader.properties.width, reader.properties.height
    face = _face(reader, video, cache)
    by_landmarks = fit_face(face, width, height, FaceFitConfig(config, replace(skin, rounds=0)))
    fit = fit_face(face, width, height, FaceFitConfig(config, skin))
    baseline_poses = poses_of_mean_face(face, width, height)
    assumed = Intrinsics(ASSUMED_FOCAL_LENGTH * max(width, height), width / 2, height / 2, width, height)
    mean_shape = np.broadcast_to(HeadModel.load().mean, (len(face.tracked), LANDMARK_COUNT, 3))
    found = np.isfinite(face.landmarks[..., 0]).any(axis=1)
    report = {
        "size": f"{width} x {height}",
        "frames": len(found),
        "found": round(float(found.mean()), 4),
        "tracked": round(float(fit.tracked.sum() / found.sum()), 4),
        "focal_length": round(fit.intrinsics.focal_length / max(width, height), 3),
        "baseline_error": reprojection_error(face, mean_shape, baseline_poses, assumed),
        "baseline_rotation_noise": third_difference_noise(baseline_poses),
    }
    frames = FramesInOrder(lambda: ((frame.index, frame.image) for frame in reader))

    def numbers(which: HeadFit) -> dict[str, float]:
        return error_and_noise(face, which) | {"texture_spread": round(texture_spread(which, frames, photometric), 3)}

    report |= numbers(fit) | {"landmark_fit": numbers(by_landmarks)}
    if photometric.enabled:
        report["refined_fit"] = numbers(refine_fit(fit, frames, photometric))
    return report


def error_and_noise(face: FaceTrack, fit: HeadFit) -> dict[str, float]:
    """What the table says of one fit."""
    shape = HeadModel.load().vertices(fit.identity, np.nan_to_num(fit.expression))
    return {
        "error": reprojection_error(face, shape, fit.camera_to_head, fit.intrinsics),
        "rotation_noise": third_difference_noise(fit.camera_to_head),
    }


def texture_spread(fit: HeadFit, frames: FramesInOrder, config: PhotometricConfig) -> float:
    """Median over the face's points of the deviation, over frames, of what they look like at the finest blur."""
    refiner = PhotometricRefiner(fit, config)
    texture = refiner.gather_texture(refiner.start, frames)[-1]
    return float(np.median(texture.spread[texture.known]))


def reprojection_error(
    face: FaceTrack,
    shape: Float[np.ndarray, "frames points 3"],
    camera_to_head: Float[np.ndarray, "frames 4 4"],
    intrinsics: Intrinsics,
) -> float:
    """Median distance between points as detected and as posed, in percent of the distance between the irises."""
    good = np.isfinite(camera_to_head[:, 0, 0])
    seen = project(transform(rigid_inverse(camera_to_head[good]), shape[good].astype(np.float64)), intrinsics)
    landmarks = face.landmarks[good, :, :2]
    distance = np.nanmedian(np.linalg.norm(seen - landmarks, axis=-1), axis=1)
    right, left = (landmarks[:, center] for center in IRIS_CENTERS)
    return round(float(100 * np.nanmedian(distance / np.linalg.norm(right - left, axis=1))), 3)


def third_difference_noise(camera_to_head: Float[np.ndarray, "frames 4 4"]) -> float:
    """Standard deviation in degrees of the noise of a rotation, if it is white and the head moves smoothly.

    Third differences take out any motion of up to constant acceleration; of white noise they have 1 + 9 + 9 + 1 = 20
    times the variance. The median absolute value stands for the deviation, so that real jerks do not count.
    """
    rotation = camera_to_head[:, :3, :3]
    steps = rotation[1:] @ rotation[:-1].swapaxes(1, 2)
    steps = steps[np.isfinite(steps).all((1, 2))]
    second = np.diff(np.degrees(vector_from_rotation(steps)), n=2, axis=0)
    deviation = 1.4826 * np.median(np.abs(second), axis=0) / np.sqrt(20)
    return round(float(np.sqrt((deviation**2).sum())), 4)


def _face(reader: VideoReader, video: Path, cache: Path) -> FaceTrack:
    """The clip's face: landmarks, from the cache if neither the file nor the detector has changed, and skin."""
    facts = f"{video.name} {video.stat().st_size} {inspect.getsource(VideoReader)}"
    key = hashlib.sha256(facts.encode()).hexdigest()[:10]
    path = cache / f"{video.stem}-{key}-{DETECTOR_KEY}.npy"
    total = reader.properties.frame_count
    if not path.is_file():
        detector = make_detector()
        found = [detector.detect(frame.image) for frame in track(reader, f"Finding the face in {video.stem}", total)]
        save_face(path, link_longest_face(found))
    face = load_face(path)
    skin = np.zeros((len(face.tracked), SKIN_PIXELS, SKIN_PIXELS), np.uint8)
    for frame in track(reader, f"Cutting out its skin in {video.stem}", total):
        if face.found[frame.index]:
            skin[frame.index] = skin_picture(frame.image, face.landmarks[frame.index])
    return replace(face, skin=skin)
