"""What is hard for an avatar, in one picture: mouth, blink, hair edge, neck, orbit, expressions that were never filmed.

    python scripts/avatar_sheet.py RUN --driver OTHER_CLIP --output sheet.png

Rows, of a run's unedited avatar over its clip:

    mouth        filmed | rendered: the two frames whose lips are farthest apart, and two with closed lips
    blink        filmed | rendered: the two frames whose eyes are closed most, and two with open eyes
    hair         filmed | rendered: the edge of the hair, while the head is turned most to either side
    neck         filmed | rendered: while the head is turned on the shoulders most to either side, up and down
    orbit        the most usual expression, from -25, -12, 0, 12 and 25 degrees to the side, over the plate, as
                 `portrait-render --orbit` shows it
    scale 1.3    filmed | rendered | rendered with all expressions 1.3 times as strong: the strongest expressions
    driver       another clip's frames | the avatar with that person's expressions, as they differ from their median

Crops are enlarged; what is rendered lies over the frame's own background.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import torch
import tyro
from contact_sheet import write_text
from jaxtyping import Float, Float32
from nerfstudio.utils.rich_utils import CONSOLE
from rich.progress import track

from evaluation.areas import EYES, MOUTH, face_boxes
from evaluation.measurement import Picture
from stage2_nerf.clip_dataparser import clip_cameras
from stage2_nerf.expression_track import rotation_vectors
from stage2_nerf.finished_run import find_config, load_run
from stage2_nerf.near_side import near_side_margin
from stage2_nerf.orbit import orbited
from stage2_nerf.pipeline import PortraitEditPipeline
from tracking.background import local_background
from tracking.clip import TrackedClip
from tracking.errors import one_sentence_for_user_errors
from tracking.face_regions import INNER_LIPS, LEFT_EYE, RIGHT_EYE
from tracking.regions import Label

ORBIT_DEGREES = (-25.0, -12.0, 0.0, 12.0, 25.0)
STRONGER = 1.3
"""How many times as strong expressions are than any that the clip shows."""
SHEET_WIDTHS = (1600, 1360, 1150, 980, 830)
"""In pixels; the widest is taken with which the file is small enough."""
HIGHEST_ROW = 320
"""In pixels."""
MOST_BYTES = 1_000_000
GAP = 4

Box = tuple[slice, slice]
"""Rows and columns of a picture."""


@dataclass
class Arguments:
    """Show what is hard for an avatar."""

    run: Annotated[Path, tyro.conf.Positional]
    """A finished run: its config.yml, or its folder."""
    output: Path = Path("measurements/avatar.png")
    """The picture to write."""
    driver: Path | None = None
    """Another tracked clip, whose expressions drive the avatar in the last row."""


class Stage:
    """A clip's frames, as filmed and as its avatar shows them."""

    def __init__(self, pipeline: PortraitEditPipeline) -> None:
        self.model = pipeline.model
        self.clip: TrackedClip = pipeline.datamanager.train_dataset.metadata["clip"]
        self.plate = self.clip.plate()

    def filmed(self, frame: int) -> Picture:
        """A frame as it was filmed."""
        return self.clip.image(frame)

    def rendered(
        self,
        frame: int,
        expression: Float[np.ndarray, "expressions"] | None = None,
        yaw: float = 0.0,
    ) -> Picture:
        """A frame as the avatar shows it, over the frame's own background; seen from the side, over the plate.

        Args:
            frame: whose pose and moment.
            expression: shown instead of the frame's own.
            yaw: degrees that the camera is taken around the head, to its right.
        """
        camera = clip_cameras(self.clip, np.array([frame]))
        camera = orbited(camera, self.model.head_field.box.mean(0).cpu(), yaw)
        if expression is not None:
            camera.metadata = {"expression": torch.from_numpy(expression[None].astype(np.float32))}
        with torch.no_grad():
            outputs = self.model.render_frame(camera.to(self.model.device), margin=near_side_margin(yaw))
        foreground, alpha = (outputs[name].cpu().numpy() for name in ("foreground", "accumulation"))
        shown = foreground + (1 - alpha) * self.background(frame, turned=yaw != 0)
        return (shown.clip(0, 1) * 255).round().astype(np.uint8)

    def background(self, frame: int, turned: bool) -> Float32[np.ndarray, "height width 3"]:
        """What is behind the person; as far as it was ever seen, where the person has turned away from before it."""
        if turned and self.plate is not None:
            return self.plate
        return local_background(self.filmed(frame).astype(np.float32) / 255, self.clip.matte(frame), self.plate)


def main(arguments: Arguments) -> None:
    """Render the rows and write the picture."""
    with one_sentence_for_user_errors():
        pipeline = load_run(find_config(arguments.run)).pipeline
        driver = None if arguments.driver is None else TrackedClip.load(arguments.driver)
    stage = Stage(pipeline)
    rows: dict[str, Callable[[], list[Picture]]] = {
        "mouth: open, open, closed, closed": partial(pairs, stage, open_mouths(stage.clip), face_part(MOUTH)),
        "eyes: closed, closed, open, open": partial(pairs, stage, closed_eyes(stage.clip), face_part(EYES)),
        "hair, head turned most to either side": partial(pairs, stage, turned_heads(stage.clip), hair_edge),
        "neck: head turned on the shoulders to either side, up, down": partial(
            pairs, stage, turned_necks(stage.clip), neck_box
        ),
        f"orbit: {', '.join(f'{yaw:+.0f}' for yaw in ORBIT_DEGREES)} degrees": partial(orbit_row, stage),
        f"filmed, rendered, expressions x {STRONGER}": partial(stronger_row, stage),
    }
    if driver is not None:
        rows[f"driven by {driver.root.name}"] = partial(driven_row, stage, driver)
    made = {name: make() for name, make in track(rows.items(), "Rendering", console=CONSOLE, total=len(rows))}
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_bytes(encode(made))
    CONSOLE.print(f"Wrote {arguments.output}.", soft_wrap=True)


def encode(rows: dict[str, list[Picture]]) -> bytes:
    """The sheet as a PNG, as wide as the size of the file allows."""
    png = np.zeros(0, np.uint8)
    for width in SHEET_WIDTHS:
        sheet = np.concatenate([labelled_row(name, cells, width) for name, cells in rows.items()])
        _, png = cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 9])
        if len(png) <= MOST_BYTES:
            break
    return png.tobytes()


def labelled_row(name: str, cells: Sequence[Picture], width: int) -> Picture:
    """Cells beside each other under their row's name, all as high as fits into the width."""
    aspects = [cell.shape[1] / cell.shape[0] for cell in cells]
    height = min(HIGHEST_ROW, int((width - GAP * len(cells)) / sum(aspects)))
    row = np.full((22 + height + GAP, width, 3), 255, np.uint8)
    write_text(row[:22], name, 15)
    left = 0
    for cell, aspect in zip(cells, aspects, strict=True):
        size = int(height * aspect), height
        interpolation = cv2.INTER_AREA if height < cell.shape[0] else cv2.INTER_CUBIC
        row[22 : 22 + height, left : left + size[0]] = cv2.resize(cell, size, interpolation=interpolation)
        left += size[0] + GAP
    return row


def pairs(stage: Stage, frames: Sequence[int], box_of: Callable[[TrackedClip, int], Box]) -> list[Picture]:
    """A part of frames, filmed and rendered beside each other."""
    cells = []
    for frame in frames:
        box = box_of(stage.clip, frame)
        cells += [stage.filmed(frame)[box], stage.rendered(frame)[box]]
    return cells


def orbit_row(stage: Stage) -> list[Picture]:
    """The most usual frame from the sides."""
    frame = usual_frame(stage.clip)
    box = upper_body(stage.clip, frame)
    return [stage.rendered(frame, yaw=yaw)[box] for yaw in ORBIT_DEGREES]


def stronger_row(stage: Stage) -> list[Picture]:
    """The strongest expressions, filmed, rendered, and stronger than any that was filmed."""
    expressions = stage.clip.track.expression
    strength = np.linalg.norm(expressions[stage.clip.frames], axis=1)
    cells = []
    for frame in apart(stage.clip.frames[np.argsort(-strength)], 2):
        stronger = (STRONGER * expressions[frame]).clip(0, STRONGER)
        pictures = stage.filmed(frame), stage.rendered(frame), stage.rendered(frame, stronger)
        cells += [picture[upper_body(stage.clip, frame)] for picture in pictures]
    return cells


def driven_row(stage: Stage, driver: TrackedClip) -> list[Picture]:
    """Another person's expressions, as they differ from that person's median, on the avatar's own median."""
    own, theirs = (clip.track.expression[clip.frames] for clip in (stage.clip, driver))
    frame = usual_frame(stage.clip)
    difference = theirs - np.median(theirs, axis=0)
    strongest = driver.frames[np.argsort(-np.linalg.norm(difference, axis=1))]
    cells = []
    for chosen in apart(strongest, 4):
        shown = np.median(own, axis=0) + driver.track.expression[chosen] - np.median(theirs, axis=0)
        rendered = stage.rendered(frame, shown.clip(0, 1))
        cells += [driver.image(chosen)[upper_body(driver, chosen)], rendered[upper_body(stage.clip, frame)]]
    return cells


def usual_frame(clip: TrackedClip) -> int:
    """The frame whose expression is nearest to the clip's median."""
    expressions = clip.track.expression[clip.frames]
    return int(clip.frames[np.linalg.norm(expressions - np.median(expressions, axis=0), axis=1).argmin()])


def open_mouths(clip: TrackedClip) -> list[int]:
    """Two frames whose lips are farthest apart, and two of the half whose lips are nearest to each other."""
    lower, upper = clip.track.landmarks[clip.frames][:, [INNER_LIPS[5], INNER_LIPS[15]]].transpose(1, 0, 2)
    return extremes(clip, np.linalg.norm(lower - upper, axis=1))


def closed_eyes(clip: TrackedClip) -> list[int]:
    """Two frames whose eyes are closed most, and two whose eyes are open."""
    landmarks = clip.track.landmarks[clip.frames]
    height = sum(np.ptp(landmarks[:, list(eye), 1], axis=1) for eye in (LEFT_EYE, RIGHT_EYE))
    return extremes(clip, -np.asarray(height))


def extremes(clip: TrackedClip, values: Float[np.ndarray, "tracked"]) -> list[int]:
    """Two frames with the highest values and two with the lowest, apart from each other."""
    order = clip.frames[np.argsort(-values)]
    return [*apart(order, 2), *apart(order[::-1], 2)]


def apart(frames: Sequence[int] | np.ndarray, count: int, least: int = 5) -> list[int]:
    """The first so many of some frames of which no two are less than `least` frames from each other."""
    chosen: list[int] = []
    for frame in frames:
        if len(chosen) < count and all(abs(int(frame) - other) >= least for other in chosen):
            chosen.append(int(frame))
    return chosen


def turned_heads(clip: TrackedClip) -> list[int]:
    """The frames in which the head is turned most to either side, seen from the camera, and one halfway."""
    yaw = turns(clip.track.camera_to_head[clip.frames])[:, 1]
    order = clip.frames[np.argsort(yaw)]
    return [int(order[0]), int(order[len(order) // 2]), int(order[-1])]


def turned_necks(clip: TrackedClip) -> list[int]:
    """The frames in which the head is turned most on its shoulders: to either side, up and down."""
    heads = clip.track.camera_to_torso[clip.frames] @ np.linalg.inv(clip.track.camera_to_head[clip.frames])
    vectors = turns(heads)
    return [
        int(clip.frames[place]) for axis in (1, 0) for place in (vectors[:, axis].argmin(), vectors[:, axis].argmax())
    ]


def turns(transforms: Float[np.ndarray, "frames 4 4"]) -> Float[np.ndarray, "frames 3"]:
    """Rotation vectors from the first of some rigid transforms."""
    rotations = torch.from_numpy(transforms[:, :3, :3])
    return rotation_vectors(rotations @ rotations[0].T).numpy()


def face_part(name: str) -> Callable[[TrackedClip, int], Box]:
    """The box of mouth or eyes in a frame."""

    def box(clip: TrackedClip, frame: int) -> Box:
        return face_boxes(clip.track.landmarks[frame], clip.intrinsics.height, clip.intrinsics.width)[name]

    return box


def hair_edge(clip: TrackedClip, frame: int) -> Box:
    """The upper half of the hair, with what is around it."""
    rows, columns = label_box(clip, frame, Label.HAIR, 0.15)
    return slice(rows.start, (rows.start + rows.stop) // 2 + 1), columns


def neck_box(clip: TrackedClip, frame: int) -> Box:
    """The neck, with chin and collar."""
    return label_box(clip, frame, Label.NECK, 0.5)


def upper_body(clip: TrackedClip, frame: int) -> Box:
    """The head, with what is around it."""
    landmarks = clip.track.landmarks[frame]
    low, high = landmarks.min(0), landmarks.max(0)
    size = (high - low).max()
    left, top = (low - 0.6 * size).clip(0).astype(int)
    right, bottom = (high + 0.6 * size).clip(max=(clip.intrinsics.width, clip.intrinsics.height)).astype(int)
    return slice(top, bottom), slice(left, right)


def label_box(clip: TrackedClip, frame: int, label: Label, margin: float) -> Box:
    """The box of a label, widened by a share of its width; the whole frame where there is none of it."""
    shown = clip.labels(frame) == label
    height, width = shown.shape
    if not shown.any():
        return slice(0, height), slice(0, width)
    y, x = np.nonzero(shown)
    # A few pixels far off are a mistake of the labels.
    (top, bottom), (left, right) = np.percentile(y, (1, 99)), np.percentile(x, (1, 99))
    wider = margin * (right - left)
    return (
        slice(max(0, int(top - wider)), min(height, int(bottom + wider) + 1)),
        slice(max(0, int(left - wider)), min(width, int(right + wider) + 1)),
    )


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
