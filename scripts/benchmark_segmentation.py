"""Measure mattes, labels and the torso's motion: against pictures that people labelled, and for flicker on real clips.

    python scripts/benchmark_segmentation.py --pictures FOLDER --clips CLIP.mp4 ...

The pictures are CelebAMask-HQ's, in `images/` and `masks/`; nothing is trained on them. Every other one, by name, was
looked at while the labels were made better (`developed on`); the rest were only measured (`held out`).
"""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import tyro
from jaxtyping import Bool, Float32
from label_overlap import ABOVE_CHIN, LEAST_SHARE, OUR_LABELS, TRUTH_CLASSES, Overlap, compare
from measuring import circumstances, write_measurements
from PIL import Image
from rich.progress import track
from segmented_frames import Frames, read_frames, read_picture
from torso_error import torso_error

from evaluation.optical_flow import backward_flow, look_up, origins
from tracking.choose_detector import make_detector
from tracking.face_regions import HeadFrame
from tracking.matting import MediaPipeSegmenter
from tracking.segmentation import PortraitFrame, PortraitSegmenter, Segmentation

CHIN_HEIGHT = 0.5
"""How far below the point between the ears the chin is, in face heights."""
EDGE_BAND = 0.06
"""How far from the person's edge flicker is measured, in face heights."""


@dataclass
class BenchmarkConfig:
    """What is measured."""

    pictures: Path | None = None
    """Folder of labelled pictures."""
    half: Literal["developed on", "held out", "both"] = "both"
    """Which of them."""
    clips: list[Path] = field(default_factory=list)
    """Videos in which flicker, speed and the torso's motion are measured."""
    frames: int = 60
    """Frames of each clip, from its first."""
    output: Path = Path(__file__).parent / "measurements" / "segmentation.json"
    """JSON file to write."""


def main() -> None:
    """Measure, and write the numbers."""
    config = tyro.cli(BenchmarkConfig, description=__doc__)
    measurements: dict[str, Any] = {"circumstances": circumstances()}
    if config.pictures is not None:
        measurements["labels"] = {
            "compared": {name: {"drawn": TRUTH_CLASSES[name], "ours": sorted(OUR_LABELS[name])} for name in OUR_LABELS},
            "person": "where the matte is at least 0.5",
            "a picture counts for a thing that it shows on at least this share of its pixels": LEAST_SHARE,
            **{
                half: measure_labels(config.pictures, half)
                for half in ("developed on", "held out")
                if config.half in (half, "both")
            },
        }
    write_measurements(config.output, measurements)
    for clip in config.clips:
        measurements.setdefault("clips", {})[clip.stem] = measure_clip(read_frames(clip, config.frames))
        write_measurements(config.output, measurements)


def measure_labels(folder: Path, half: str) -> dict[str, Any]:
    """Overlap with the drawn labels, every picture segmented as a clip of its own."""
    segmenter, detector = PortraitSegmenter(), make_detector()
    overlaps = {name: Overlap() for name in (*TRUTH_CLASSES, ABOVE_CHIN)}
    paths = sorted((folder / "images").iterdir())[0 if half == "developed on" else 1 :: 2]
    without_face = 0
    for path in track(paths, description=half.capitalize()):
        image, landmarks = read_picture(path, detector)
        if landmarks is None:
            without_face += 1
            continue
        frame = PortraitFrame(0, image, landmarks)
        found = next(iter(segmenter.segment([frame], segmenter.learn([frame]))))
        truth = np.array(Image.open(folder / "masks" / f"{path.stem}.png"))
        _, down = HeadFrame.of(landmarks).coordinates(*truth.shape[::-1])
        for name, masks in compare(found.matte, found.labels, truth, down < CHIN_HEIGHT).items():
            overlaps[name].add(*masks)
    return {
        "pictures": len(paths),
        "in which no face was found": without_face,
        "intersection over union": {name: overlap.summary() for name, overlap in overlaps.items()},
    }


def measure_clip(clip: Frames) -> dict[str, Any]:
    """Flicker of matte and labels, milliseconds, the background's kind, and how well the torso's motion fits."""
    segmenter, raw = PortraitSegmenter(), MediaPipeSegmenter()
    start = time.process_time()
    appearance = segmenter.learn(clip.frames)
    learned = time.process_time()
    found = list(segmenter.segment(clip.frames, appearance))
    segmented = time.process_time()
    return {
        "frames": len(clip.frames),
        "milliseconds of one core a frame": {
            "learning, for each frame learned from": round(1000 * (learned - start) / len(clip.frames), 1),
            "segmenting": round(1000 * (segmented - learned) / len(clip.frames), 1),
        },
        "flow-warped difference of neighbouring mattes at the edge": flicker(
            clip.frames, found, [np.mean(raw.masks(frame.image), axis=0, dtype=np.float32) for frame in clip.frames]
        ),
        "share of pixels whose label changes along the flow": label_flicker(clip.frames, found),
        "background": {
            "kind": appearance.plate.kind,
            "moving share": round(appearance.plate.moving_share, 4),
        },
        "torso": torso_error(clip, found),
    }


def flicker(
    frames: list[PortraitFrame], found: list[Segmentation], raw: list[Float32[np.ndarray, "height width"]]
) -> dict[str, float]:
    """Mean absolute difference of a matte and the one before carried along the picture's flow, near the edge."""
    ours, theirs, pixels = 0.0, 0.0, 0
    for i in range(1, len(frames)):
        flow, visible = backward_flow(frames[i - 1].image, frames[i].image)
        band = visible & _near_edge(found[i].matte, frames[i]) | visible & _near_edge(raw[i], frames[i])
        ours += float(np.abs(found[i].matte - look_up(found[i - 1].matte, flow))[band].sum())
        theirs += float(np.abs(raw[i] - look_up(raw[i - 1], flow))[band].sum())
        pixels += int(band.sum())
    return {"ours": round(ours / pixels, 5), "MediaPipe's models": round(theirs / pixels, 5)}


def label_flicker(frames: list[PortraitFrame], found: list[Segmentation]) -> float:
    """The share of the person's pixels whose label differs from that of where they were in the frame before."""
    changed, pixels = 0, 0
    for i in range(1, len(frames)):
        flow, visible = backward_flow(frames[i - 1].image, frames[i].image)
        labels = found[i - 1].labels
        before = cv2.remap(labels, *origins(flow), cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
        inside = visible & (found[i].matte > 0.5) & (before > 0)
        changed += int((before != found[i].labels)[inside].sum())
        pixels += int(inside.sum())
    return round(changed / pixels, 5)


def _near_edge(matte: Float32[np.ndarray, "height width"], frame: PortraitFrame) -> Bool[np.ndarray, "height width"]:
    reach = max(1, round(EDGE_BAND * HeadFrame.of(frame.landmarks).face_height))
    body = (matte > 0.5).astype(np.uint8)
    brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return cv2.morphologyEx(body, cv2.MORPH_GRADIENT, brush) > 0


if __name__ == "__main__":
    main()
