"""Where the faces are in every frame, looked for in stretches.

Every stretch has a detector of its own, which sees a few frames before it, since detectors look where the face was; so
what is found does not depend on how many processes look.
"""

from itertools import pairwise

import numpy as np

from tracking.choose_detector import DetectorConfig, make_detector
from tracking.errors import UserError
from tracking.face_linking import STILL, FaceTrack
from tracking.face_pictures import pictured
from tracking.face_tracklets import liveliness
from tracking.landmarks import DetectedFace
from tracking.matting import shared_segmenter
from tracking.video import VideoReader
from tracking.video_index import VideoIndex, read_stretch
from tracking.video_survey import GREATEST_DETECTION_SIDE, LEAST_FRAMES
from tracking.workers import Advance

STRETCH_FRAMES = 64
"""About how many frames one piece of work has."""
WARM_UP_FRAMES = 8
"""How many frames before a stretch its detector sees."""
LEAST_TRACKED_SHARE = 0.5
"""The face must be followed in at least this share of the frames."""


def stretches(start: int, stop: int) -> list[tuple[int, int]]:
    """The equal pieces that a range of frames is worked on in, an even number of them: two processes end together."""
    count = stop - start
    pieces = 1 if count <= STRETCH_FRAMES else 2 * max(1, round(count / (2 * STRETCH_FRAMES)))
    bounds = [start + round(count * piece / pieces) for piece in range(pieces + 1)]
    return list(pairwise(bounds))


def load_models(advance: Advance, config: DetectorConfig) -> None:
    """Load what a process needs to find, follow and cut out people: best done while it has no other work."""
    make_detector(config)
    shared_segmenter()


def find_faces(
    advance: Advance,
    reader: VideoReader,
    index: VideoIndex,
    shot_start: int,
    stretch: tuple[int, int],
    config: DetectorConfig,
    threads: int,
) -> list[list[DetectedFace]]:
    """The faces in every frame of a stretch, in pixels of the source."""
    detector = make_detector(config)
    start, stop = stretch
    properties = reader.properties
    found = []
    for frame in read_stretch(reader, index, max(shot_start, start - WARM_UP_FRAMES), stop, threads):
        image = reader.upright_rgb(frame.picture, GREATEST_DETECTION_SIDE)
        faces = detector.detect(image)
        if frame.index < start:
            continue
        found.append([pictured(face, image, properties.width / image.shape[1]) for face in faces])
        advance(1)
    # A decoder may give out fewer frames than it did the first time, from a damaged file.
    return found + [[] for _ in range(stop - start - len(found))]


def require_followed(face: FaceTrack, reader: VideoReader) -> None:
    """Raise a `UserError` if there is no face, or it was followed in too few frames."""
    if not face.tracked.any():
        raise UserError(f"No face was found in {reader.path}: give a video of a person facing the camera.")
    require_enough_frames(int(face.tracked.sum()), len(face.tracked), reader)


def never_moves(face: FaceTrack) -> bool:
    """Whether the features keep their places in the face, but for noise, as in a photograph."""
    return liveliness({int(row): DetectedFace(face.landmarks[row]) for row in np.flatnonzero(face.tracked)}) < STILL


def require_enough_frames(tracked: int, count: int, reader: VideoReader) -> None:
    """Raise a `UserError` if so many of the chosen frames say too little about a head."""
    if tracked < max(LEAST_FRAMES, LEAST_TRACKED_SHARE * count):
        raise UserError(
            f"One face could be followed in only {tracked} of the {count} frames of {reader.path}: choose a part that "
            "shows the same face throughout, with --start and --end or --shot."
        )
