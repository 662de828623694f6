"""The whole set: weights are found or their cure is told, and unedited videos get the best of every number."""

import weakref
from dataclasses import replace

import numpy as np
import pytest

from evaluation.metric_set import EditQuestion, MetricsConfig, build_metrics
from evaluation.weights import (
    ALEXNET,
    CLIP,
    FACE_EMBEDDING,
    RAFT_SMALL,
    MissingWeightsError,
    find_weights,
)
from tracking.errors import UserError
from tracking.head_model import HeadModel


@pytest.fixture
def empty_caches(tmp_path, monkeypatch):
    for variable in ("TORCH_HOME", "HF_HOME", "HF_HUB_CACHE"):
        monkeypatch.delenv(variable, raising=False)
    cache = tmp_path / "cache"
    cache.mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    return cache


def put(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"")
    return folder


def test_weights_are_found_where_they_may_lie(empty_caches, tmp_path):
    stated = put(tmp_path / "mine", "raft-small.pth")
    assert find_weights(RAFT_SMALL, stated) == stated
    assert find_weights(RAFT_SMALL, tmp_path) == stated
    with pytest.raises(MissingWeightsError):
        find_weights(RAFT_SMALL)
    own = put(empty_caches / "portrait-edit", *FACE_EMBEDDING.files)
    assert find_weights(FACE_EMBEDDING, stated) == own
    torch_cache = put(empty_caches / "torch" / "hub" / "checkpoints", *ALEXNET.files)
    assert find_weights(ALEXNET) == torch_cache
    repository = empty_caches / "huggingface" / "hub" / "models--openai--clip-vit-large-patch14"
    snapshot = put(repository / "snapshots" / "abc", *CLIP.files)
    put(repository / "refs")
    (repository / "refs" / "main").write_text("abc")
    assert find_weights(CLIP) == snapshot


def test_half_of_the_files_is_none(empty_caches, tmp_path):
    put(tmp_path / "mine", FACE_EMBEDDING.files[0])
    with pytest.raises(MissingWeightsError, match=r"MobileFaceNet.*--weights-dir"):
        find_weights(FACE_EMBEDDING, tmp_path / "mine")


def test_a_folder_that_is_none_is_a_mistake(tmp_path):
    with pytest.raises(UserError, match="no folder"):
        find_weights(CLIP, tmp_path / "nowhere")


def all_measures(metrics, pairs, measured):
    found = {}
    for metric in metrics:
        measures = measured(metric, pairs)
        assert not found.keys() & measures.keys()
        found.update(measures)
    return found


def test_without_weights_the_cure_is_told_for_each_number(scene, measured, empty_caches):
    question = EditQuestion("hair", "a man", "a man with silver hair", tuple(HeadModel.load().expression_names))
    pairs = [scene.pair(number) for number in range(3)]
    found = all_measures(build_metrics(MetricsConfig(matte_interval=0), question, "cpu"), pairs, measured)
    for name, word in (("identity", "MobileFaceNet"), ("clip_direction_similarity", "hf download")):
        assert found[name].value is None and word in found[name].missing
    question = EditQuestion(is_reconstruction=True)
    found = all_measures(build_metrics(MetricsConfig(matte_interval=0), question, "cpu"), pairs, measured)
    assert found["psnr"].value == 100 and "AlexNet" in found["lpips_mouth"].missing
    assert not any(name.startswith(("clip", "target")) for name in found)


def test_a_flow_that_was_asked_for_by_name_is_not_replaced(empty_caches):
    with pytest.raises(MissingWeightsError, match="RAFT"):
        build_metrics(MetricsConfig(flow="raft-small"), EditQuestion(), "cpu")


def test_a_video_against_itself_is_perfect(scene, measured, empty_caches):
    random = np.random.default_rng(0)
    pairs = []
    for number in range(10):
        picture = (scene.picture(number) + random.integers(0, 3, (96, 96, 3))).astype(np.uint8)
        pairs.append(replace(scene.pair(number), source=picture, edited=picture))
    config = MetricsConfig(matte_interval=0, flow_distances=(1, 3))
    found = all_measures(build_metrics(config, EditQuestion(), "cpu"), pairs, measured)
    best = {
        "flow_warp_ratio": 1,
        "flow_warp_ratio_hair_3_frames": 1,
        "sharpness_ratio": 1,
        "landmark_distance": 0,
        "landmark_distance_lips": 0,
        "expression_error": 0,
        "head_rotation_difference": 0,
        "background_psnr": 100,
        "background_identical_share": 1,
        "face_found_share": 1,
    }
    for name, value in best.items():
        assert found[name].value == pytest.approx(value, abs=1e-9), name


def test_no_more_frames_are_kept_than_the_longest_distance(scene, empty_caches):
    """Five minutes of video fit into the memory of a second of it."""
    kept = []
    metrics = build_metrics(MetricsConfig(matte_interval=0, flow_distances=(1, 3)), EditQuestion(), "cpu")
    for number in range(12):
        pair = scene.pair(number, target=scene.picture(number))
        for metric in metrics:
            metric.update(pair)
        kept += [weakref.ref(picture) for picture in (pair.source, pair.edited, pair.target, pair.matte, pair.labels)]
        del pair
    alive = [reference() for reference in kept if reference() is not None]
    assert len(alive) == 2 * 3
