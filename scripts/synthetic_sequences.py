"""The benchmark's sequences: who, through which lens, moving how; their frames and detections, made once and kept."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from rich.progress import track
from synthetic_heads import SyntheticHeads
from synthetic_motion import FIELD_OF_VIEW, HeadMotion, Motion, move
from synthetic_rendering import Camera, Lighting, render
from synthetic_skin import Complexion, paint

import tracking
from tracking.choose_detector import DetectorConfig, make_detector
from tracking.clip import Intrinsics
from tracking.errors import UserError
from tracking.eye_pictures import EYE_HEIGHT, EYE_WIDTH
from tracking.face_linking import FaceTrack, link_longest_face
from tracking.face_pictures import pictured
from tracking.landmarks import DetectedFace
from tracking.skin_pictures import SKIN_PIXELS
from tracking.workshop import code_mark

FRAME_RATE = 25.0

PEOPLE = {
    "Ada": Complexion(
        skin=(0.78, 0.56, 0.45),
        lips=(0.66, 0.3, 0.29),
        hair=(0.2, 0.12, 0.08),
        iris=(0.3, 0.42, 0.5),
        clothes=(0.2, 0.25, 0.35),
        stubble=0.0,
        hairline=9.4,
        seed=11,
    ),
    "Bo": Complexion(
        skin=(0.48, 0.31, 0.22),
        lips=(0.42, 0.2, 0.18),
        hair=(0.05, 0.04, 0.04),
        iris=(0.2, 0.12, 0.07),
        clothes=(0.6, 0.6, 0.55),
        stubble=0.35,
        hairline=10.2,
        seed=12,
    ),
    "Cem": Complexion(
        skin=(0.7, 0.5, 0.38),
        lips=(0.6, 0.33, 0.3),
        hair=(0.08, 0.06, 0.05),
        iris=(0.26, 0.17, 0.1),
        clothes=(0.35, 0.12, 0.12),
        stubble=0.55,
        hairline=10.6,
        seed=13,
    ),
    "Dora": Complexion(
        skin=(0.82, 0.62, 0.54),
        lips=(0.7, 0.38, 0.37),
        hair=(0.55, 0.4, 0.24),
        iris=(0.33, 0.45, 0.35),
        clothes=(0.15, 0.3, 0.2),
        stubble=0.0,
        hairline=9.0,
        seed=14,
    ),
}
IDENTITY_MODES, IDENTITY_SPREAD = 60, 0.7
"""Modes that people differ in, and how much, in standard deviations of ICT-FaceKit's own people."""


DETECTOR_CODE = ("choose_detector.py", "face_[ls]*.py", "face_mesh_model.py", "landmarks.py", "mediapipe*.py")
RENDERING_KEY = code_mark(Path(__file__).parent, ("synthetic_[!s]*.py", "synthetic_skin.py"))[:10]
DETECTOR_KEY = code_mark(Path(tracking.__path__[0]), DETECTOR_CODE)[:10]
"""What stands for the code that makes frames, and the code that makes detections: the cache goes by them."""


@dataclass(frozen=True)
class Sequence:
    """One synthetic clip."""

    name: str
    person: str
    focal_length: float
    """In multiples of the longer side."""
    motion: Motion
    width: int
    height: int
    frames: int
    background: str
    """A clip whose first frame, defocused and upside down lest a face be found in it, is the background."""
    noise: float = 2.0
    """Standard deviation in levels of 255."""
    blur: float = 0.5
    """Standard deviation in pixels."""
    light: tuple[float, float, float] = (0.4, 0.5, 1.0)
    lamp: float = 0.75
    ambient: float = 0.45


SEQUENCES = (
    Sequence("talk_095", "Ada", 0.95, "talk", 384, 384, 90, "P05_latentsync_demo1_512.mp4"),
    Sequence("talk_130", "Bo", 1.3, "talk", 448, 384, 90, "P09_liveportrait_d3_512.mp4", light=(-0.6, 0.4, 1.0)),
    Sequence("talk_175", "Cem", 1.75, "talk", 384, 448, 90, "P02_vrt_face4_700.mp4", lamp=0.9, ambient=0.3),
    Sequence("talk_240", "Dora", 2.4, "talk", 384, 384, 90, "P13_liveportrait_d9_512x480.mp4", noise=4.0),
    Sequence("expressions_130", "Cem", 1.3, "expressions", 384, 384, 100, "P06_latentsync_demo2_512.mp4"),
    Sequence("expressions_175", "Ada", 1.75, "expressions", 448, 384, 100, "P11_vrt_face1_700.mp4", blur=0.8),
    Sequence("expressions_240", "Bo", 2.4, "expressions", 384, 384, 100, "P08_liveportrait_d13_512.mp4", lamp=1.0),
    Sequence("expressions_320", "Dora", 3.2, "expressions", 384, 384, 100, "P01_wojtek_512.mp4", light=(0, 0.9, 0.8)),
    Sequence("still", "Ada", 1.75, "still", 384, 384, 75, "P05_latentsync_demo1_512.mp4", noise=5.0),
    Sequence("nod", "Cem", 1.75, "nod", 384, 384, 75, "P06_latentsync_demo2_512.mp4"),
)


@dataclass(frozen=True)
class BenchmarkData:
    """Where sequences come from and are kept."""

    shared: Path
    """The folder with models/ and clips/."""
    cache: Path
    detector: DetectorConfig = field(default_factory=DetectorConfig)
    """What finds the face in the frames."""

    @cached_property
    def heads(self) -> SyntheticHeads:
        """ICT-FaceKit's model."""
        return SyntheticHeads.load(self.shared / "models" / "ict_facekit_packed.npz")

    def truth(self, sequence: Sequence) -> HeadMotion:
        """How the head really moves."""
        pixels_per_centimeter = min(sequence.width, sequence.height) / FIELD_OF_VIEW
        distance = self.intrinsics(sequence).focal_length / pixels_per_centimeter
        return move(sequence.motion, sequence.frames, FRAME_RATE, distance, _seed(sequence.name))

    def intrinsics(self, sequence: Sequence) -> Intrinsics:
        """The true camera."""
        focal_length = sequence.focal_length * max(sequence.width, sequence.height)
        return Intrinsics(focal_length, sequence.width / 2, sequence.height / 2, sequence.width, sequence.height)

    def neutral(self, sequence: Sequence) -> Float[np.ndarray, "vertices 3"]:
        """The person's true face at rest."""
        random = np.random.default_rng(_seed(sequence.person))
        return self.heads.neutral(IDENTITY_SPREAD * random.normal(size=IDENTITY_MODES))

    def frames(self, sequence: Sequence) -> UInt8[np.ndarray, "frames height width 3"]:
        """The rendered clip, from the cache if its definition and the rendering's code are unchanged."""
        path = self.cache / f"{sequence.name}-{self._rendering_key(sequence)}.npy"
        if not path.is_file():
            shape = (sequence.frames, sequence.height, sequence.width, 3)
            frames = np.empty(shape, np.uint8)
            for row, frame in enumerate(track(self._render(sequence), f"Rendering {sequence.name}", sequence.frames)):
                frames[row] = frame
            _save(path, frames)
        return np.load(path, mmap_mode="r")

    def face(self, sequence: Sequence) -> FaceTrack:
        """The clip's landmarks; the usual detector's from the cache if neither frames nor detector have changed."""
        if self.detector != DetectorConfig():
            return self._detect(sequence)
        path = self.cache / f"{sequence.name}-{self._rendering_key(sequence)}-{DETECTOR_KEY}.npy"
        if not path.is_file():
            save_face(path, self._detect(sequence))
        return load_face(path)

    def _detect(self, sequence: Sequence) -> FaceTrack:
        detector = make_detector(self.detector)
        return link_longest_face([detector.detect(np.array(frame)) for frame in self.frames(sequence)])

    def face_with_pictures(self, sequence: Sequence) -> FaceTrack:
        """The same with pictures of eyes and skin, black where the face was not found."""
        face = self.face(sequence)
        eyes = np.zeros((sequence.frames, 2, EYE_HEIGHT, EYE_WIDTH, 3), np.uint8)
        skin = np.zeros((sequence.frames, SKIN_PIXELS, SKIN_PIXELS), np.uint8)
        for row in np.flatnonzero(face.found):
            shown = pictured(DetectedFace(face.landmarks[row]), np.array(self.frames(sequence)[row]))
            skin[row] = shown.skin
            if shown.eyes is not None:
                eyes[row] = shown.eyes
        return replace(face, eyes=eyes, skin=skin)

    def _render(self, sequence: Sequence) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
        complexion, truth = PEOPLE[sequence.person], self.truth(sequence)
        painting, neutral = paint(self.heads, complexion), self.neutral(sequence)
        lighting = Lighting(sequence.light, sequence.lamp, sequence.ambient)
        camera = Camera(self.intrinsics(sequence), sequence.noise, sequence.blur)
        background = self._background(sequence)
        random = np.random.default_rng(_seed(sequence.name))
        for frame in range(sequence.frames):
            expression = {name: float(values[frame]) for name, values in truth.expression.items()}
            vertices = self.heads.vertices(neutral, expression) @ truth.rotation[frame].T + truth.translation[frame]
            yield render(self.heads, painting, complexion, vertices, lighting, camera, background, random)

    def _background(self, sequence: Sequence) -> UInt8[np.ndarray, "height width 3"]:
        path = self.shared / "clips" / sequence.background
        found, picture = cv2.VideoCapture(str(path)).read()
        if not found:
            raise UserError(f"{path} cannot be read: the benchmark takes its backgrounds from the shared clips.")
        picture = cv2.resize(picture[::-1, ::-1, ::-1], (sequence.width, sequence.height), interpolation=cv2.INTER_AREA)
        return cv2.GaussianBlur(picture, (0, 0), 6.0)

    def _rendering_key(self, sequence: Sequence) -> str:
        definition = repr((sequence, PEOPLE[sequence.person], RENDERING_KEY))
        return hashlib.sha256(definition.encode()).hexdigest()[:10]


def save_face(path: Path, face: FaceTrack) -> None:
    """Keep landmarks, and which frames count as tracked."""
    tracked = np.where(face.tracked, 1.0, np.nan)[:, None, None]
    _save(path, np.concatenate([face.landmarks, np.broadcast_to(tracked, (len(tracked), 1, 3))], axis=1))


def load_face(path: Path) -> FaceTrack:
    """What `save_face` kept."""
    stored = np.load(path)
    return FaceTrack(stored[:, :-1], np.isfinite(stored[:, -1, 0]))


def _seed(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")


def _save(path: Path, array: np.ndarray) -> None:
    """Write whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.part")
    with partial.open("wb") as file:
        np.save(file, array)
    partial.rename(path)
