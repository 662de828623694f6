"""What ways of editing a clip by a prompt are measured by: each way's video, and all in the mean."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from suite_summary import in_region, rounded

from evaluation.editing_alone import editor_target
from evaluation.measuring import EditedVideo, MeasuringConfig, measure
from evaluation.metric_set import EditQuestion, MetricsConfig, build_metrics
from stage1_edit.offline_editor import OfflineEditor
from stage1_edit.prompts import EditPrompt
from tracking.clip import TrackedClip

REPORTED = (
    "flow_warp_ratio", "flow_warp_ratio_8_frames", "sharpness_ratio", "sharpness_ratio_in_matte",
    "target_color_difference", "target_reached",
    "landmark_distance", "landmark_distance_lips", "landmark_distance_eyes", "head_rotation_difference",
    "expression_error", "lip_aperture_correlation", "face_found_share",
)  # fmt: skip
IN_REGION = ("flow_warp_ratio", "flow_warp_ratio_8_frames")
"""Those of them that are taken inside the prompt's region."""
COSTS = ("network_evaluations", "processor_seconds")


def way_measures(
    clip: TrackedClip, video: Path, way: str, prompt: EditPrompt, config: MeasuringConfig
) -> dict[str, float | None]:
    """The measures of a way's video; none where one has no value.

    The target that the edit is compared with is the offline editor's, frame by frame: the prompt must be one of its.
    """
    question = EditQuestion(prompt.region, expression_names=clip.track.expression_names)
    metrics = build_metrics(MetricsConfig(flow_distances=(1, 8), matte_interval=0), question)
    edited = EditedVideo(video, way, target=editor_target(OfflineEditor(), prompt, clip))
    evaluation = measure(clip, edited, metrics, config)
    values = {
        name: evaluation.value(in_region(name, prompt.region) if name in IN_REGION else name) for name in REPORTED
    }
    return {name: rounded(value) if np.isfinite(value) else None for name, value in values.items()}


def means(results: Sequence[dict[str, Any]]) -> dict[str, dict[str, float | None]]:
    """Over clips and prompts, for every way; what is missing somewhere is left out there, and none where it is nowhere.

    Args:
        results: each with its `way`, its `measures`, and what it cost.
    """
    found: dict[str, dict[str, float | None]] = {}
    for way in dict.fromkeys(result["way"] for result in results):
        rows = [
            {**result["measures"], **{cost: result[cost] for cost in COSTS}}
            for result in results
            if result["way"] == way
        ]
        known = {name: [row[name] for row in rows if row[name] is not None] for name in rows[0]}
        found[way] = {name: round(float(np.mean(values)), 5) if values else None for name, values in known.items()}
    return found
