"""Measure the landmark detectors on videos: is the face found, how much do its landmarks jump, how long does it take.

    python scripts/benchmark_detectors.py talk.mp4 other.mp4 [--samples 1 2 3 6] [--task face_landmarker.task]

For every video and number of looks, a row:

    found       percent of the frames in which there is a face
    noise       standard deviation of a landmark along x or y, from third differences in time in the calmer 40 % of the
                frames, in pixels and in percent of the distance between the eyes' outer corners; the mean square over
                all points, the lips', the lids' and the irises'. Third differences of a smooth motion are about zero,
                those of independent noise have 20 times its variance. What is left of fast motion counts as noise.
    history     the distance, in pixels (root mean square), between the landmarks of a frame in a run through the video
                and in one that starts 4 frames before it
    cpu         milliseconds of processor time a frame

"MediaPipe's own" is the tracker `FaceMesh` as MediaPipe offers it, without any of ours.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from jaxtyping import Float
from measuring import circumstances, write_measurements
from rich.console import Console
from rich.table import Table

from tracking.errors import one_sentence_for_user_errors
from tracking.face_following import Samples
from tracking.face_regions import INNER_LIPS, LEFT_EYE, OUTER_LIPS, RIGHT_EYE
from tracking.face_shape import face_size
from tracking.landmarker_task_detector import LandmarkerTaskConfig, LandmarkerTaskDetector
from tracking.landmarks import LANDMARK_COUNT, DetectedFace, LandmarkDetector
from tracking.mediapipe_detector import MediaPipeDetector, MediaPipeDetectorConfig
from tracking.mediapipe_models import load_solutions, start_quietly
from tracking.video import VideoReader

POINTS = {
    "all": tuple(range(LANDMARK_COUNT)),
    "lips": OUTER_LIPS + INNER_LIPS,
    "lids": LEFT_EYE + RIGHT_EYE,
    "irises": tuple(range(468, LANDMARK_COUNT)),
}
CALM_SHARE = 0.4
THIRD_DIFFERENCE_VARIANCE = 20
WARM_UP_FRAMES = 4
RESTARTS = 8
TABLE_WIDTH = 150


@dataclass
class Arguments:
    """What is measured."""

    videos: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Videos of one talking person."""
    samples: tuple[Samples, ...] = (1, 3)
    """Numbers of looks at a face to try with the models in MediaPipe's package."""
    task: Path | None = None
    """MediaPipe's face_landmarker.task, to be measured too, with its default number of looks."""
    max_frames: int = 300
    """Frames of a video that are used."""
    output: Path | None = None
    """A JSON file for the numbers."""


class OwnTracker:
    """MediaPipe's `FaceMesh`, as it comes."""

    def __init__(self) -> None:
        solution = load_solutions().face_mesh.FaceMesh
        self._mesh: Any = start_quietly(lambda: solution(max_num_faces=4, refine_landmarks=True))

    def detect(self, image: np.ndarray) -> list[DetectedFace]:
        height, width = image.shape[:2]
        faces = self._mesh.process(np.ascontiguousarray(image)).multi_face_landmarks or []
        return [DetectedFace(np.array([[p.x * width, p.y * height, p.z * width] for p in f.landmark])) for f in faces]


def main(arguments: Arguments) -> None:
    """Measure and tell."""
    makers: dict[str, Callable[[], LandmarkDetector]] = {"MediaPipe's own": OwnTracker}
    for samples in arguments.samples:
        makers[f"mediapipe, {samples} looks"] = lambda samples=samples: MediaPipeDetector(
            MediaPipeDetectorConfig(samples=samples)
        )
    task = arguments.task
    if task is not None:
        makers["landmarker-task"] = lambda: LandmarkerTaskDetector(task, LandmarkerTaskConfig())
    table = Table("video", "detector", "found %", "noise px", *(f"{name} %" for name in POINTS), "history px", "cpu ms")
    reports: dict[str, Any] = {}
    for video in arguments.videos:
        for name, make in makers.items():
            report = reports.setdefault(video.stem, {})[name] = measure(video, make, arguments.max_frames)
            table.add_row(video.stem, name, *(f"{value:.3g}" for value in report.values()))
    Console(width=TABLE_WIDTH).print(table)
    if arguments.output:
        write_measurements(arguments.output, {**circumstances(), "videos": reports})


def measure(video: Path, make: Callable[[], LandmarkDetector], max_frames: int) -> dict[str, float]:
    """One row: see the top of the file."""
    detector = make()
    landmarks, seconds = [], 0.0
    for image in _images(video, max_frames):
        start = time.process_time()
        faces = detector.detect(image)
        seconds += time.process_time() - start
        landmarks.append(_largest(faces))
    track = np.array(landmarks)
    corners = np.linalg.norm(track[:, 33, :2] - track[:, 263, :2], axis=1)
    noise = landmark_noise(track)
    relative = {name: _root_mean_square(noise[list(points)]) / np.nanmedian(corners) for name, points in POINTS.items()}
    return {
        "found": 100 * float(np.isfinite(corners).mean()),
        "noise": _root_mean_square(noise),
        **{name: 100 * float(value) for name, value in relative.items()},
        "history": dependence_on_history(video, make, track),
        "cpu": 1000 * seconds / len(track),
    }


def landmark_noise(track: Float[np.ndarray, "frames 478 3"]) -> Float[np.ndarray, "478"]:
    """Standard deviation of every landmark along one axis, in pixels, from third differences."""
    steps = np.linalg.norm(np.diff(track[..., :2], axis=0), axis=-1).mean(axis=1)
    differences = np.diff(track[..., :2], 3, axis=0)
    fastest = np.max([steps[:-2], steps[1:-1], steps[2:]], axis=0)
    usable = np.isfinite(fastest)
    calm = usable & (fastest <= np.quantile(fastest[usable], CALM_SHARE)) if usable.any() else usable
    return np.sqrt(np.mean(differences[calm] ** 2, axis=(0, 2)) / THIRD_DIFFERENCE_VARIANCE)


def dependence_on_history(
    video: Path, make: Callable[[], LandmarkDetector], track: Float[np.ndarray, "frames 478 3"]
) -> float:
    """How far a detector that has just started is from one that has seen the whole video; pixels, root mean square."""
    checked = np.unique(np.linspace(WARM_UP_FRAMES, len(track) - 1, RESTARTS).astype(int)).tolist()
    detectors: dict[int, LandmarkDetector] = {}
    distances = []
    for frame, image in enumerate(_images(video, len(track))):
        for end in checked:
            if frame == end - WARM_UP_FRAMES:
                detectors[end] = make()
            if end not in detectors:
                continue
            face = _largest(detectors[end].detect(image))
            if frame == end:
                distances.append(np.linalg.norm(face[:, :2] - track[frame, :, :2], axis=1))
                del detectors[end]
    return _root_mean_square(np.array(distances))


def _images(video: Path, count: int) -> Iterator[np.ndarray]:
    for frame in islice(VideoReader(video), count):
        yield frame.image


def _largest(faces: list[DetectedFace]) -> Float[np.ndarray, "478 3"]:
    if not faces:
        return np.full((LANDMARK_COUNT, 3), np.nan)
    return max((face.landmarks for face in faces), key=lambda landmarks: float(face_size(landmarks)))


def _root_mean_square(values: np.ndarray) -> float:
    return float(np.sqrt(np.nanmean(values**2)))


if __name__ == "__main__":
    with one_sentence_for_user_errors():
        main(tyro.cli(Arguments, description=__doc__))
