"""What the suite of edits shows: ours against every other method, and all results in short."""

from typing import Any

import numpy as np
from rich.table import Table

from evaluation.bootstrap import paired_interval
from evaluation.methods import METHODS

AVATAR_ALONE, UNEDITED, TARGET = "avatar_alone", "unedited", "target"
"""What is measured beside the methods: see `benchmark_edit.py`."""

LIMITS: dict[str, tuple[float, float]] = {
    "landmarker_distance_lips": (0.0, 0.020),
    "landmarker_distance_eyes": (0.0, 0.014),
    "landmarker_rotation": (0.0, 1.5),
    "landmarker_correlation_jawOpen": (0.93, 1.0),
    "landmarker_correlation_eyeBlinkLeft": (0.93, 1.0),
    "landmarker_correlation_eyeBlinkRight": (0.93, 1.0),
    "flow_warp_ratio": (0.0, 1.15),
    "sharpness_ratio": (0.7, float("inf")),
}
"""Between what each measure of the best peer's published results should lie."""


def rounded(value: float) -> float | None:
    """Five digits; none for what is not known."""
    return float(f"{value:.5g}") if value == value else None


def in_region(name: str, region: str) -> str:
    """The measure of that name inside the prompt's region."""
    base, frames, number = name.partition("_8_frames")
    inside = "_in_matte" if region == "person" or name == "sharpness_ratio" else f"_{region}"
    return f"{base}{inside}{frames}{number}"


def summarised(results: list[dict[str, Any]]) -> dict[str, Any]:
    """What the suite is to show: ours against every other method, over all clips and prompts that both have."""
    by_key = {(one["clip"], one["prompt"], one["method"]): one for one in results}
    summary: dict[str, Any] = {}
    for other in METHODS:
        pairs = [
            (by_key[clip, prompt, "ours"], one)
            for (clip, prompt, method), one in by_key.items()
            if method == other and other != "ours" and (clip, prompt, "ours") in by_key
        ]
        if pairs:
            summary[f"ours_to_{other}"] = [compared(ours, one) for ours, one in pairs]
    for floor in (AVATAR_ALONE, UNEDITED, TARGET):
        summary[f"landmark_distance_of_ours_to_{floor}"] = {
            f"{clip}: {prompt}": rounded(ratio(one, by_key[key], "landmark_distance"))
            for (clip, prompt, method), one in by_key.items()
            if method == "ours" and (key := (clip, prompt if floor == TARGET else None, floor)) in by_key
        }
    summary["published_measures"] = [against_limits(one) for one in results]
    return summary


def against_limits(result: dict[str, Any]) -> dict[str, Any]:
    """A video's measures of those in `LIMITS`, and which of them lie beyond; what has no value is neither."""
    values = {name: result["published_measures"][name] for name in LIMITS}
    beyond = [
        name for name, (low, high) in LIMITS.items() if values[name] is not None and not low <= values[name] <= high
    ]
    return {**{key: result[key] for key in ("clip", "prompt", "method")}, **values, "beyond_limits": beyond}


def compared(ours: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Ratios of ours to another method's measures."""
    errors = [np.array(one["flow_warp_errors"], dtype=np.float64) for one in (ours, other)]
    interval = paired_interval(*errors) if len(errors[0]) == len(errors[1]) else None
    return {
        "clip": ours["clip"],
        "prompt": ours["prompt"],
        "flow_warp_error": rounded(ratio(ours, other, "flow_warp_error")),
        "flow_warp_error_8_frames": rounded(ratio(ours, other, "flow_warp_ratio_8_frames")),
        "target_color_difference": rounded(ratio(ours, other, "target_color_difference")),
        "target_mean_color_difference": rounded(ratio(ours, other, "target_mean_color_difference")),
        "landmark_distance": rounded(ratio(ours, other, "landmark_distance")),
        "flow_warp_error_is_surely_different": None if interval is None else interval.excludes_zero,
    }


def ratio(first: dict[str, Any], second: dict[str, Any], name: str) -> float:
    """Of a measure; NaN where either has none."""
    values = [one["measures"][name] for one in (first, second)]
    return float("nan") if None in values or values[1] == 0 else values[0] / values[1]


def as_table(results: list[dict[str, Any]]) -> Table:
    """The results in short."""
    table = Table(title="Ways of editing")
    shown = ("flow_warp_ratio", "sharpness_ratio", "target_color_difference", "landmark_distance", "background_psnr")
    for heading in ("clip", "prompt", "method", *shown, "s"):
        table.add_column(heading)
    for one in results:
        values = [one["measures"][name] for name in shown]
        told = ["" if value is None else f"{value:.3g}" for value in values]
        seconds = f"{one['cost']['processor_seconds']:.0f}"
        table.add_row(one["clip"], one["prompt"] or "", one["method"], *told, seconds)
    return table
