"""A run is rendered, measured and compared with other ways of editing the same clip."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from evaluation.evaluate import EvaluateConfig, evaluate
from evaluation.measuring import EditedVideo, MeasuringConfig, measure
from evaluation.methods import METHODS, CountingEditor, EditingTask
from evaluation.metric_set import EditQuestion, MetricsConfig, build_metrics
from evaluation.static_nerf import StaticNerfConfig, small_nerfacto
from stage1_edit.editor import EditRequest, Image
from stage1_edit.offline_editor import OfflineEditor
from stage1_edit.prompts import EditPrompt
from tracking.clip import TrackedClip
from tracking.errors import UserError
from tracking.video import VideoReader

if TYPE_CHECKING:
    from stage2_nerf.trainer import PortraitEditTrainerConfig

HAIR = EditPrompt("make it silver", "hair")
QUICK = MetricsConfig(flow_distances=(1,), matte_interval=0)


@dataclass
class RememberingEditor(OfflineEditor):
    """The offline editor, which remembers what it was asked."""

    noise_levels: list[float] = field(default_factory=list)

    def edit(self, requests: Sequence[EditRequest]) -> list[Image]:
        self.noise_levels += [request.noise_level for request in requests]
        return super().edit(requests)


@pytest.fixture(scope="module")
def run(
    train_with: "Callable[[PortraitEditTrainerConfig, None], None]",
    tiny_preset: "PortraitEditTrainerConfig",
    tiny_clip: TrackedClip,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The folder of a tiny run with one edit."""
    config = deepcopy(tiny_preset)
    config.output_dir, config.experiment_name, config.timestamp = tmp_path_factory.mktemp("runs"), "tiny", "edit"
    config.data = tiny_clip.root
    config.pipeline.prompts = (HAIR,)  # pyright: ignore[reportAttributeAccessIssue]
    train_with(config, None)
    return config.get_base_dir()


def test_a_run_is_rendered_once_and_every_edit_measured(run: Path) -> None:
    config = EvaluateConfig(load_config=run, metrics=QUICK, max_frames=8)
    found = evaluate(config)
    assert [entry.name for entry in found.evaluations] == ["the avatar alone", "unedited", "hair: make it silver"]
    assert [entry.is_edit for entry in found.evaluations] == [False, False, True]
    alone, unedited, edit = found.evaluations
    assert edit.value("target_color_difference") > 0
    assert alone.value("psnr_in_matte") < unedited.value("psnr_in_matte"), "the film's detail was put back"
    assert edit.value("background_identical_share") == 1
    assert all(entry.value("time_stamps_kept") == 1 for entry in found.evaluations)
    videos = sorted((run / "renders").iterdir())
    assert [video.name for video in videos] == [
        "0-avatar-alone.mp4", "0-unedited.mp4", "1-hair-make-it-silver.mp4",
    ]  # fmt: skip
    written = [video.stat().st_mtime_ns for video in videos]
    with pytest.raises(UserError, match="--overwrite"):
        evaluate(config)
    evaluate(replace(config, overwrite=True, max_frames=5))
    assert [video.stat().st_mtime_ns for video in videos] == written
    with pytest.raises(UserError, match="1 prompts and --prompt gives 2"):
        evaluate(replace(config, output=run / "other", prompt=("a man with silver hair", "a statue")))


@pytest.mark.parametrize("method", METHODS)
def test_every_method_edits_the_region_and_leaves_the_rest(
    method: str, run: Path, tiny_clip: TrackedClip, tmp_path: Path
) -> None:
    editor = CountingEditor(remembering := RememberingEditor())
    nerfacto = replace(small_nerfacto(), num_levels=2, log2_hashmap_size=8, eval_num_rays_per_chunk=2048)
    static = StaticNerfConfig(
        reconstruction_steps=2, edit_steps=4, steps_between_edits=2, greatest_side=16, model=nerfacto
    )
    task = EditingTask(tiny_clip, HAIR, editor, run / "config.yml", tmp_path, 3, static)
    METHODS[method](task, tmp_path / "out.mp4")
    source, edited = (list(VideoReader(path)) for path in (Path(tiny_clip.source.path), tmp_path / "out.mp4"))
    assert [frame.timestamp for frame in edited] == [frame.timestamp for frame in source]
    changed = np.stack([(a.image != b.image).any(-1) for a, b in zip(source, edited, strict=True)])
    assert changed.any(axis=(1, 2)).all()
    assert not changed[:, :20, :20].any(), "far from the person"
    assert editor.evaluations == len(remembering.noise_levels) > 0
    if method == "per_frame":
        assert remembering.noise_levels == [1.0] * 16
        video = EditedVideo(tmp_path / "out.mp4", method)
        question = EditQuestion("hair", expression_names=tiny_clip.track.expression_names)
        entry = measure(tiny_clip, video, build_metrics(QUICK, question), MeasuringConfig())
        assert entry.value("background_identical_share") == 1
    if method == "static_nerf":
        assert all(level < 1 for level in remembering.noise_levels), "renders are edited, not the film alone"
