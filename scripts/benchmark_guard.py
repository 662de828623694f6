"""Whether the expression guard tells edits that moved the face from those that did not.

    python scripts/benchmark_guard.py CLIP...

Faithful edits are the offline editor's, all that its vocabulary has, as they are and jittered: they move nothing.
The others are some of the same edits, bent by known amounts (`warped_faces.py`): mouths opened, corners of lips moved,
lids closed and opened, heads turned, moved and enlarged. The first clip is the one that the guard was tuned on.

Every clip is measured in a process of its own and kept; an interrupted run goes on.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import tyro
from jittered_editor import Jitter, JitteredEditor
from kept_results import measure_each
from measuring import circumstances, write_measurements
from nerfstudio.utils.rich_utils import CONSOLE
from suite_clips import clip_name
from warped_faces import Bend, Picture, bent

from stage1_edit.compositing import composite, region_mask
from stage1_edit.editor import EditRequest, FrameEditor
from stage1_edit.effects_color import COLORS, MAKEUP, TONES
from stage1_edit.effects_light import LIGHTS
from stage1_edit.effects_material import CHARACTERS, MATERIALS
from stage1_edit.effects_style import STYLES
from stage1_edit.expression_guard import ExpressionGuard, ExpressionGuardConfig
from stage1_edit.face_deviation import FaceDeviation, face_deviation
from stage1_edit.offline_editor import OfflineEditor
from stage1_edit.prompts import EditPrompt
from tracking.clip import TrackedClip

COLORED = ("hair", "eyes", "lips", "skin", "brows", "clothes")
CARRIERS = (
    *("turn him into a bronze statue", "oil painting", "hair: make it silver", "cartoon"),
    *("pencil sketch", "warm light", "lips: make them red", "zombie", "watercolor", "old film"),
)
"""Edits that are bent."""
BENDS = (
    *(Bend((("jawOpen", amount),)) for amount in (0.1, 0.2, 0.4, 0.6, 0.8)),
    *(Bend((("mouthSmileLeft", amount), ("mouthSmileRight", amount))) for amount in (0.3, 0.6, 1.0, 1.3)),
    *(Bend((("mouthPucker", amount),)) for amount in (0.4, 0.8, 1.2)),
    *(Bend((("mouthLeft", amount),)) for amount in (0.2, 0.4, 0.7, 1.0)),
    *(Bend(lids=amount) for amount in (0.2, 0.5, 0.8, 1.0, -0.5, -1.0)),
    *(Bend(turn=(amount, 0, 0)) for amount in (-12, -6, 3, 6, 9, 12)),
    *(Bend(turn=(0, amount, 0)) for amount in (-12, -6, 3, 6, 9, 12)),
    *(Bend(turn=(0, 0, amount)) for amount in (-9, 3, 6, 9, 12)),
    *(Bend(shift=(amount, 0)) for amount in (0.04, -0.1, 0.15)),
    *(Bend(shift=(0, amount)) for amount in (0.04, -0.1, 0.15)),
    *(Bend(growth=amount) for amount in (0.9, 1.04, 1.1, 1.2)),
)
BINS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0, np.inf)
"""Of how far an edit moved the face, in tolerances."""


@dataclass
class Benchmark:
    """What to measure."""

    clips: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="CLIP...")]
    """Tracked clips; the guard was tuned on the first."""
    output: Path = Path("scripts/measurements/guard.json")
    """Where to write the measurements."""
    kept: Path = Path("outputs/guard")
    """Where each clip's are kept."""
    frames: int = 12
    """Frames of each clip, evenly spread."""
    again: bool = False
    """Measure anew what is kept."""


def vocabulary() -> list[str]:
    """Every effect of the offline editor; each colour on one part of the person, in turns."""
    colors = [f"{COLORED[number % len(COLORED)]}: {color}" for number, color in enumerate(COLORS)]
    materials = [f"a {material} statue" for material in MATERIALS]
    return [*colors, *materials, *CHARACTERS, *STYLES, *LIGHTS, *TONES, "makeup", *MAKEUP]


def measure(settings: dict[str, Any]) -> dict[str, Any]:
    """All edits of a clip: how far each truly moved the face, and how far the guard says."""
    clip = TrackedClip.load(Path(settings["clip"]))
    rows = np.linspace(0, len(clip.frames) - 1, settings["frames"]).round().astype(int)
    frames = [int(clip.frames[row]) for row in dict.fromkeys(rows)]
    guard = ExpressionGuard(ExpressionGuardConfig(), OfflineEditor())
    faithful = [
        {"edit": name, "frame": request.frame, "measured": looked_at(guard, request, picture)}
        for frame in frames
        for name, request, picture in faithful_edits(clip, frame)
    ]
    moved = []
    for frame in frames:
        for name, request, picture, bend in carriers(clip, frame):
            (other,), landmarks = bent(clip, frame, bend, [picture])
            moved.append(
                {
                    "edit": name,
                    "frame": frame,
                    "bend": {key: value for key, value in asdict(bend).items() if value != getattr(Bend(), key)},
                    "true": asdict(true_deviation(clip, frame, bend, landmarks)),
                    "measured": looked_at(guard, request, other),
                }
            )
    return {"faithful": faithful, "moved": moved}


def faithful_edits(clip: TrackedClip, frame: int) -> Iterator[tuple[str, EditRequest, Picture]]:
    """Every edit of the vocabulary once in three frames, as it is and jittered."""
    clean = OfflineEditor()
    for number, text in enumerate(vocabulary()):
        if (number + list(clip.frames).index(frame)) % 3:
            continue
        for name, editor in ((text, clean), (f"{text}, jittered", JitteredEditor(clean, Jitter()))):
            request = request_for(clip, frame, text, 1000 * frame + number)
            yield name, request, edited(editor, request)


def carriers(clip: TrackedClip, frame: int) -> Iterator[tuple[str, EditRequest, Picture, Bend]]:
    """Every bend once a frame, with an edit that changes from frame to frame; every second one is jittered."""
    clean = OfflineEditor()
    for number, bend in enumerate(BENDS):
        text = CARRIERS[(number + list(clip.frames).index(frame)) % len(CARRIERS)]
        request = request_for(clip, frame, text, 1000 * frame + number)
        yield text, request, edited(JitteredEditor(clean, Jitter()) if number % 2 else clean, request), bend


def request_for(clip: TrackedClip, frame: int, text: str, seed: int) -> EditRequest:
    """A request as a run makes it; of the whole person, so that the guard sees all that was bent."""
    original = torch.from_numpy(clip.image(frame)).float() / 255
    matte, labels = torch.from_numpy(clip.matte(frame))[..., None], torch.from_numpy(clip.labels(frame))
    generator = torch.Generator().manual_seed(seed)
    return EditRequest(EditPrompt.parse(text), original, original, matte, labels, 1.0, generator, frame=frame)


def edited(editor: FrameEditor, request: EditRequest) -> Picture:
    """What a run would train on."""
    (edit,) = editor.edit([request])
    assert edit is not None
    image = composite(edit, request.original, region_mask(request.labels, request.matte, request.prompt.region))
    return (image.clamp(0, 1) * 255).round().byte().numpy()


def looked_at(guard: ExpressionGuard, request: EditRequest, picture: Picture) -> dict[str, float] | None:
    """What the guard measures of a picture, taken as a whole; none where it finds no face."""
    whole = torch.ones_like(request.matte)
    everywhere = EditRequest(
        *(EditPrompt(request.prompt.text), request.original, request.render, whole, request.labels),
        *(request.noise_level, request.generator, request.frame),
    )
    deviation = guard.deviation(everywhere, torch.from_numpy(picture).float() / 255)
    return None if deviation is None else asdict(deviation)


def true_deviation(clip: TrackedClip, frame: int, bend: Bend, landmarks: np.ndarray) -> FaceDeviation:
    """How far a bend moved the face, by the same measures on exact landmarks; turns are known by themselves."""
    before, after = (
        np.column_stack([points, np.zeros(len(points))]) for points in (clip.track.landmarks[frame], landmarks)
    )
    true = face_deviation(before.astype(np.float64), after)
    return FaceDeviation(**{**asdict(true), "rotation": float(np.linalg.norm(bend.turn))})


def summary(found: dict[str, Any], config: ExpressionGuardConfig) -> dict[str, Any]:
    """Shares of edits that the guard rejects, by how far they moved the face."""
    faithful, moved = found["faithful"], found["moved"]
    false = [rejects(row["measured"], config) for row in faithful]
    worst: dict[str, list[bool]] = {}
    for row, rejected in zip(faithful, false, strict=True):
        worst.setdefault(row["edit"].removesuffix(", jittered").removeprefix("a "), []).append(rejected)
    how_far = np.array([max(row["true"][name] / getattr(config, name) for name in row["true"]) for row in moved])
    rejected = np.array([rejects(row["measured"], config) for row in moved])
    beyond = how_far > 1
    kinds: dict[str, list[bool]] = {}
    for row, far, is_rejected in zip(moved, beyond, rejected, strict=True):
        if far:
            (kind, amount) = next(iter(row["bend"].items()))
            name = amount[0][0] if kind == "expression" else kind
            kinds.setdefault(name, []).append(bool(is_rejected))
    return {
        "faithful_edits": len(faithful),
        "faithful_rejected": share(false),
        "faces_lost_in_faithful_edits": sum(row["measured"] is None for row in faithful),
        "beyond_tolerance_edits": int(beyond.sum()),
        "beyond_tolerance_rejected": share(rejected[beyond]),
        "rejected_by_true_deviation_in_tolerances": {
            f"{low:g} to {high:g}": {"edits": int(inside.sum()), "rejected": share(rejected[inside])}
            for low, high in pairwise(BINS)
            if (inside := (how_far > low) & (how_far <= high)).any()
        },
        "beyond_tolerance_rejected_by_bend": {name: [share(one), len(one)] for name, one in sorted(kinds.items())},
        "faithful_most_often_rejected": {
            name: [share(one), len(one)]
            for name, one in sorted(worst.items(), key=lambda pair: -share(pair[1]))[:8]
            if any(one)
        },
        "faithful_percentiles_95_98_99": {
            name: np.percentile([row["measured"][name] for row in faithful if row["measured"]], (95, 98, 99))
            .round(4)
            .tolist()
            for name in FaceDeviation.__dataclass_fields__
        },
    }


def rejects(measured: dict[str, float] | None, config: ExpressionGuardConfig) -> bool:
    """Whether the guard would make an edit again."""
    return measured is None or max(config.shares(FaceDeviation(**measured)).values()) > 1


def share(values: Any) -> float:
    """The share of those that are true."""
    return round(float(np.mean(values)), 4) if len(values) else float("nan")


def main(benchmark: Benchmark) -> None:
    """Measure every clip, and sum up."""
    wanted = {
        clip_name(clip): {
            "clip": str(clip.resolve()),
            "frames": benchmark.frames,
        }
        for clip in benchmark.clips
    }
    found = measure_each(measure, wanted, benchmark.kept, processes=1, threads=1, again=benchmark.again)
    config = ExpressionGuardConfig()
    clips = {name: summary(found[name], config) for name in wanted}
    tuned, *others = wanted
    together = {kind: [row for name in others for row in found[name][kind]] for kind in ("faithful", "moved")}
    tolerances = {name: getattr(config, name) for name in FaceDeviation.__dataclass_fields__}
    results = {"tolerances": tolerances, "tuned_on": tuned, "clips": clips}
    if others:
        results["not_tuned_on"] = summary(together, config)
    write_measurements(benchmark.output, {**circumstances(), **results})
    for name, one in {**clips, **({"not tuned on": results["not_tuned_on"]} if others else {})}.items():
        CONSOLE.print(
            f"{name}: {one['beyond_tolerance_rejected']:.1%} of {one['beyond_tolerance_edits']} edits beyond tolerance "
            f"rejected, {one['faithful_rejected']:.1%} of {one['faithful_edits']} faithful ones"
        )


if __name__ == "__main__":
    main(tyro.cli(Benchmark))
