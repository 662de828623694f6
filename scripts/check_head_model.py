"""Does each named expression of the head model do what ICT-FaceKit's artists mean by the same name?

    python scripts/check_head_model.py [ict_facekit_packed.npz]

Writes `scripts/measurements/head_model.json` and a sheet of arrows, `head_model.png`: for every expression, seen from
the front and from the person's left, where our model moves (blue) and where ICT-FaceKit does (orange), with the cosine
between the two and our size over theirs. Names in red disagree.

Neither model knows the other: ours comes from videos (see `tracking/data/README.md`), ICT-FaceKit (Li et al., CVPR
2020, MIT licence) from scans. Its neutral face is aligned with ours by a similarity on 68 landmarks, bent onto ours by
a thin-plate spline through them, and each of our points takes the displacement of the nearest point of it. Only skin
is compared: ICT-FaceKit's eyeballs are turned by the animator and not by its expressions.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tyro
from jaxtyping import Float, UInt8
from measuring import circumstances, write_measurements
from scipy.interpolate import RBFInterpolator
from scipy.spatial import KDTree

from tracking.cameras import similarity_transform
from tracking.head_model import HeadModel

ICT_LANDMARKS = (
    *(1225, 1888, 1052, 367, 1719, 1722, 2199, 1447, 966, 3661, 4390, 3927, 3924, 2608, 3272, 4088, 3443),
    *(268, 493, 1914, 2044, 1401, 3615, 4240, 4114, 2734, 2509),
    *(978, 4527, 4942, 4857, 1140, 2075, 1147, 4269, 3360),
    *(1507, 1542, 1537, 1528, 1518, 1511, 3742, 3751, 3756, 3721, 3725, 3732),
    *(5708, 5695, 2081, 0, 4275, 6200, 6213, 6346, 6461, 5518, 5957, 5841),
    *(5702, 5711, 5533, 6216, 6207, 6470, 5517, 5966),
)
"""ICT-FaceKit's vertices at the 68 points of iBUG's scheme: jaw, brows, nose, eyes, outer lips, inner lips."""
MESH_LANDMARKS = (
    *(162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389),
    *(70, 63, 105, 66, 107, 336, 296, 334, 293, 300),
    *(168, 197, 5, 4, 75, 97, 2, 326, 305),
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),
    *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181),
    *(78, 82, 13, 312, 308, 317, 14, 87),
)
"""The same points in MediaPipe's mesh."""
JAW_LINE = 17
"""The first landmarks lie on the face's outline, which the two meshes cut differently: they do not steer the pose."""
SKIN_POINTS = 468
"""MediaPipe's points without the irises, which come last."""
LEAST_COSINE = 0.5
"""Below it two displacement fields count as different movements: more than 60 degrees apart."""
LEAST_MOTION = 0.1
"""Centimetres that some point of the skin must go at coefficient 1 for an expression to be compared."""
MOVING_SHARE = 0.25
"""A point belongs to the moving part if it goes at least this share of the way of the farthest point."""


@dataclass
class Arguments:
    """Compare the head model's expressions with ICT-FaceKit's."""

    ict: tyro.conf.Positional[Path] = Path("../shared/models/ict_facekit_packed.npz")
    """ICT-FaceKit's vertices, quads, material names and expression displacements, packed into one file."""
    output: Path = Path("scripts/measurements/head_model.json")
    """The numbers; the sheet goes beside them."""


@dataclass(frozen=True)
class Counterpart:
    """ICT-FaceKit's expressions at our model's points, in our head space."""

    displacements: dict[str, Float[np.ndarray, "points 3"]]
    neutral_distance: Float[np.ndarray, "points"]
    """Centimetres from each of our points to its counterpart once ICT's face is bent onto ours."""


def read_counterpart(path: Path, model: HeadModel) -> Counterpart:
    """ICT-FaceKit's expressions carried over to the points of our mesh."""
    with np.load(path) as packed:
        neutral = packed["neutral"].astype(np.float64)
        deltas = dict(zip(packed["expression_names"].tolist(), packed["expression"].astype(np.float64), strict=True))
        material = packed["face_material"]
        skin = np.unique(packed["faces"][material == "M_Face"])
    ours = model.mean[:SKIN_POINTS].astype(np.float64)
    ict, mesh = list(ICT_LANDMARKS), list(MESH_LANDMARKS)
    scale, rotation, shift = similarity_transform(
        neutral[ict[JAW_LINE:]], ours[None, mesh[JAW_LINE:]], np.ones(len(ict) - JAW_LINE)
    )
    aligned = scale[0] * neutral @ rotation[0].T + shift[0]
    bend = RBFInterpolator(aligned[ict], ours[mesh] - aligned[ict], kernel="thin_plate_spline", smoothing=0.05)
    distance, found = KDTree(aligned[skin] + bend(aligned[skin])).query(ours)
    carried = {name: scale[0] * delta[skin[found]] @ rotation[0].T for name, delta in deltas.items()}
    named = {name: _named(name, carried) for name in model.expression_names if _parts(name, carried)}
    return Counterpart(named, distance)


def _parts(name: str, displacements: dict[str, np.ndarray]) -> list[str]:
    """What ICT-FaceKit calls it: with `_L` and `_R`, into which it also splits browInnerUp and cheekPuff."""
    for side, suffix in (("Left", "_L"), ("Right", "_R")):
        if name.endswith(side) and name.removesuffix(side) + suffix in displacements:
            return [name.removesuffix(side) + suffix]
    return [part for part in (name, f"{name}_L", f"{name}_R") if part in displacements]


def _named(name: str, displacements: dict[str, np.ndarray]) -> Float[np.ndarray, "points 3"]:
    return np.sum([displacements[part] for part in _parts(name, displacements)], axis=0)


def vertex_areas(model: HeadModel) -> Float[np.ndarray, "points"]:
    """Square centimetres of surface that each point stands for, so that dense eyes do not outvote a cheek."""
    corners = model.mean[model.triangles].astype(np.float64)
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2
    return np.bincount(model.triangles.ravel(), np.repeat(areas / 3, 3), minlength=len(model.mean))[:SKIN_POINTS]


def compare(
    ours: Float[np.ndarray, "points 3"],
    theirs: Float[np.ndarray, "points 3"],
    neutral: Float[np.ndarray, "points 3"],
    areas: Float[np.ndarray, "points"],
) -> dict[str, float]:
    """How alike two displacement fields are.

    `cosine`: between the fields as vectors, so that points count by how far they go. `direction`: mean cosine between
    the arrows where both move, weighted by the product of their lengths. `overlap`: intersection over union of the
    moving parts. `centroid_distance_cm`: between the moving parts' centres. `size_ratio`: our root mean square over
    theirs.
    """
    lengths = np.stack([np.linalg.norm(ours, axis=1), np.linalg.norm(theirs, axis=1)])
    energy = (areas * lengths**2).sum(1)
    product = areas * (ours * theirs).sum(1)
    centers = (areas * lengths**2) @ neutral / energy[:, None]
    moving = lengths >= MOVING_SHARE * lengths.max(1, keepdims=True)
    return {
        "cosine": float(product.sum() / np.sqrt(energy.prod())),
        "direction": float(product.sum() / (areas * lengths.prod(0)).sum()),
        "overlap": float((areas * moving.all(0)).sum() / (areas * moving.any(0)).sum()),
        "centroid_distance_cm": float(np.linalg.norm(centers[0] - centers[1])),
        "size_ratio": float(np.sqrt(energy[0] / energy[1])),
    }


def likest(
    ours: Float[np.ndarray, "points 3"], all_theirs: dict[str, Float[np.ndarray, "points 3"]], areas: np.ndarray
) -> str:
    """The name of the ICT expression whose field has the greatest cosine with ours."""

    def cosine(theirs: np.ndarray) -> float:
        return float((areas * (ours * theirs).sum(1)).sum() / np.sqrt((areas * (theirs**2).sum(1)).sum()))

    return max(all_theirs, key=lambda name: cosine(all_theirs[name]))


PANEL = (240, 188)
SHEET_COLUMNS = 7
PIXELS_PER_CENTIMETER = 9
OURS, THEIRS, SHADE = (60, 90, 220), (235, 130, 20), (210, 210, 210)


def draw_panel(
    title: str, good: bool, model: HeadModel, ours: np.ndarray, theirs: np.ndarray
) -> UInt8[np.ndarray, "height width 3"]:
    """Both fields as arrows on our neutral face, from the front and from the person's left."""
    width, height = PANEL
    panel = np.full((height, width, 3), 255, np.uint8)
    for origin_x, axes in ((width * 0.32, (0, 1)), (width * 0.92, (2, 1))):
        # From the person's left the nose points left.
        across = np.array([1.0 if axes[0] == 0 else -1.0, -1.0])
        origin = np.array([origin_x + (0 if axes[0] == 0 else 7), height * 0.54])

        def place(points: np.ndarray, axes: tuple[int, int] = axes, across=across, origin=origin) -> np.ndarray:
            return origin + points[:, axes] * across * PIXELS_PER_CENTIMETER

        start = place(model.mean[:SKIN_POINTS])
        edges = start[model.triangles]
        cv2.polylines(panel, list(np.rint(edges * 8).astype(np.int32)), True, SHADE, 1, cv2.LINE_8, 3)
        visible = np.ones(len(start), bool) if axes[0] == 0 else model.mean[:SKIN_POINTS, 0] > -0.5
        for field, color in ((theirs, THEIRS), (ours, OURS)):
            end = place(model.mean[:SKIN_POINTS] + field)
            for a, b in zip(start[visible], end[visible], strict=True):
                if np.linalg.norm(b - a) > 1.5:
                    tail, tip = (tuple(np.rint(point * 8).astype(int).tolist()) for point in (a, b))
                    cv2.line(panel, tail, tip, color, 1, cv2.LINE_AA, 3)
                    cv2.circle(panel, tip, 8, color, -1, cv2.LINE_AA, 3)
    ink = (0, 0, 0) if good else (200, 0, 0)
    cv2.putText(panel, title, (4, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.36, ink, 1, cv2.LINE_AA)
    return panel


def main(arguments: Arguments) -> None:
    """Compare, write the numbers and draw the sheet."""
    model = HeadModel.load()
    counterpart = read_counterpart(arguments.ict, model)
    areas = vertex_areas(model)
    results, panels = {}, []
    fields = model.expression_deltas[:, :SKIN_POINTS].astype(np.float64)
    for name, ours in zip(model.expression_names, fields, strict=True):
        theirs = counterpart.displacements.get(name)
        if theirs is None or np.linalg.norm(ours, axis=1).max() < LEAST_MOTION:
            continue
        measured = compare(ours, theirs, model.mean[:SKIN_POINTS], areas)
        rounded = {key: round(value, 3) for key, value in measured.items()}
        results[name] = {**rounded, "likest": likest(ours, counterpart.displacements, areas)}
        title = f"{name}  {measured['cosine']:.2f}  x{measured['size_ratio']:.2f}"
        panels.append(draw_panel(title, measured["cosine"] >= LEAST_COSINE, model, ours, theirs))
    write_measurements(
        arguments.output, {**circumstances(), **summary(model, results, counterpart), "expressions": results}
    )
    panels += [np.full_like(panels[0], 255)] * (-len(panels) % SHEET_COLUMNS)
    rows = [np.hstack(panels[i : i + SHEET_COLUMNS]) for i in range(0, len(panels), SHEET_COLUMNS)]
    cv2.imwrite(str(arguments.output.with_suffix(".png")), cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR))


def summary(model: HeadModel, results: dict[str, dict[str, Any]], counterpart: Counterpart) -> dict[str, Any]:
    """The whole model in a few numbers, and the names that disagree."""

    def middle(key: str) -> float:
        return round(float(np.median([result[key] for result in results.values()])), 3)

    return {
        "expressions_compared": len(results),
        "not_compared": [name for name in model.expression_names if name not in results],
        "median_distance_of_the_neutral_faces_cm": round(float(np.median(counterpart.neutral_distance)), 3),
        "median_cosine": middle("cosine"),
        "median_direction": middle("direction"),
        "median_centroid_distance_cm": middle("centroid_distance_cm"),
        "likest_is_the_namesake": sum(result["likest"] == name for name, result in results.items()),
        "disagree": {name: r["cosine"] for name, r in results.items() if r["cosine"] < LEAST_COSINE},
    }


if __name__ == "__main__":
    main(tyro.cli(Arguments))
