"""What CLIP's directions say is computed as published; the network is read from a folder, here a tiny random one."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from evaluation.clip_model import load_clip
from evaluation.clip_similarity import MEANINGS, NO_CAPTION, ClipSimilarity
from evaluation.directions import AllPairs, cosine
from evaluation.weights import CLIP, find_weights
from tracking.errors import UserError

FIRST, SECOND, THIRD = np.eye(3)
CAPTIONS = {"before": FIRST, "after": SECOND}


def angle(degrees):
    """A direction so far from "before" to "after"."""
    return np.cos(np.radians(degrees)) * FIRST + np.sin(np.radians(degrees)) * SECOND


class Known:
    """Sees in a picture what its first pixel says: an angle in degrees."""

    def __init__(self) -> None:
        self.pictures = 0

    def picture(self, picture):
        self.pictures += 1
        return angle(float(picture[0, 0, 0]))

    def text(self, text):
        return CAPTIONS[text]


def pairs(scene, source, edited):
    """Pairs of pictures of known angles."""

    def flat(degrees):
        return np.full((8, 8, 3), degrees, np.uint8)

    return [
        replace(scene.pair(number), source=flat(was), edited=flat(now))
        for number, (was, now) in enumerate(zip(source, edited, strict=True))
    ]


def similarity(interval=1):
    return ClipSimilarity(Known(), "before", "after", interval)


def test_an_edit_that_goes_all_the_way(scene, measured):
    found = measured(similarity(), pairs(scene, [0, 0, 0], [90, 90, 90]))
    assert found["clip_text_similarity"].value == pytest.approx(100)
    assert found["clip_text_similarity_of_source"].value == pytest.approx(0, abs=1e-9)
    assert found["clip_direction_similarity"].value == pytest.approx(1)
    assert found["clip_direction_consistency"].value == pytest.approx(1)
    assert found["clip_frame_accuracy"].value == 1


def test_identical_frames_are_exactly_consistent(scene, measured):
    found = measured(similarity(), pairs(scene, [37] * 5, [37] * 5))
    assert found["clip_frame_consistency"].value == pytest.approx(1, abs=1e-12)
    assert found["clip_neighbor_consistency"].value == pytest.approx(1, abs=1e-12)
    assert found["clip_direction_similarity"].value is None
    assert "identical" in found["clip_direction_similarity"].missing
    assert "identical" in found["clip_direction_consistency"].missing


def test_prompt_fit_grows_with_the_edit(scene, measured):
    found = [measured(similarity(), pairs(scene, [0, 0], [degrees] * 2)) for degrees in (10, 40, 50, 80)]
    texts = [measures["clip_text_similarity"].value for measures in found]
    assert texts == pytest.approx([100 * np.sin(np.radians(degrees)) for degrees in (10, 40, 50, 80)])
    # The step from 0 to a degrees points (90 + a / 2) degrees; the captions' step points at 135.
    directions = [measures["clip_direction_similarity"].value for measures in found]
    assert directions == pytest.approx([np.cos(np.radians(45 - a / 2)) for a in (10, 40, 50, 80)])
    assert [measures["clip_frame_accuracy"].value for measures in found] == [0, 0, 1, 1]


def test_flicker_of_known_angle(scene, measured):
    """Frames that alternate by d degrees: neighbours are d apart, and so are 9 of 15 pairs."""
    last = 1.0
    for degrees in (10, 30, 60):
        found = measured(similarity(), pairs(scene, [0] * 6, [20, 20 + degrees] * 3))
        far = np.cos(np.radians(degrees))
        assert found["clip_neighbor_consistency"].value == pytest.approx(far)
        assert found["clip_frame_consistency"].value == pytest.approx((9 * far + 6) / 15)
        assert found["clip_direction_consistency"].value == pytest.approx(np.cos(np.radians(degrees / 2)))
        assert found["clip_frame_consistency"].value < last
        last = found["clip_frame_consistency"].value


def test_shuffling_is_seen_by_neighbours_only(scene, measured):
    smooth = list(range(0, 60, 5))
    shuffled = [smooth[i] for i in np.random.default_rng(0).permutation(len(smooth))]
    before, after = (measured(similarity(), pairs(scene, [90] * 12, edited)) for edited in (smooth, shuffled))
    assert after["clip_neighbor_consistency"].value < before["clip_neighbor_consistency"].value - 0.01
    assert after["clip_frame_consistency"].value == pytest.approx(before["clip_frame_consistency"].value)


def test_without_captions_the_consistencies_remain(scene, measured):
    found = measured(ClipSimilarity(Known()), pairs(scene, [0] * 3, [45] * 3))
    missing = {name for name, measure in found.items() if measure.missing == NO_CAPTION}
    assert missing == {
        "clip_text_similarity",
        "clip_text_similarity_of_source",
        "clip_direction_similarity",
        "clip_frame_accuracy",
    }
    assert found["clip_frame_consistency"].value == pytest.approx(1)


def test_only_every_so_many_th_frame_is_looked_at(scene, measured):
    model = Known()
    found = measured(ClipSimilarity(model, "before", "after", 3), pairs(scene, [0] * 7, [45] * 7))
    assert model.pictures == 2 * 3
    assert np.isfinite(found["clip_text_similarity"].curve).tolist() == [i % 3 == 0 for i in range(7)]


def test_all_pairs_are_what_counting_them_gives():
    random = np.random.default_rng(0)
    members = random.normal(size=(7, 5))
    members /= np.linalg.norm(members, axis=1, keepdims=True)
    pairs_seen = AllPairs()
    for member in members:
        pairs_seen.add(member)
    expected = np.mean([cosine(members[i], members[j]) for i in range(7) for j in range(i)])
    assert pairs_seen.mean() == pytest.approx(expected, abs=1e-12)
    assert AllPairs().mean() is None


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("clip")
    letters = "abcdefghijklmnopqrstuvwxyz"
    pieces = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({piece: index for index, piece in enumerate(pieces)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    transformers.CLIPTokenizer.from_pretrained(folder, model_max_length=16).save_pretrained(folder)
    tower = {"hidden_size": 32, "intermediate_size": 37, "num_attention_heads": 4, "num_hidden_layers": 2}
    text = {**tower, "vocab_size": 54, "max_position_embeddings": 16, "bos_token_id": 52, "eos_token_id": 53}
    torch.manual_seed(0)
    config = transformers.CLIPConfig(
        text_config=text, vision_config={**tower, "image_size": 32, "patch_size": 8}, projection_dim=16
    )
    transformers.CLIPModel(config).save_pretrained(folder)
    return folder


def test_a_network_from_a_folder(scene, measured, folder):
    assert find_weights(CLIP, folder) == folder
    model = load_clip(folder)
    assert model.picture(scene.picture(0)).shape == (16,)
    assert np.linalg.norm(model.text("bronze")) == pytest.approx(1)
    assert cosine(model.text("bronze"), model.text("silver")) < 0.9999
    metric = ClipSimilarity(model, "a man", "a bronze man")
    found = measured(metric, [scene.pair(0, 255 - scene.picture(0)) for _ in range(3)])
    assert found.keys() == MEANINGS.keys()
    assert found["clip_frame_consistency"].value == pytest.approx(1, abs=1e-9)
    assert found["clip_neighbor_consistency"].value == pytest.approx(1, abs=1e-9)
    assert found["clip_direction_consistency"].value == pytest.approx(1, abs=1e-6)


def test_pictures_are_prepared_as_transformers_does(scene, folder):
    transformers = pytest.importorskip("transformers")
    model = transformers.CLIPModel.from_pretrained(folder).eval()
    processor = transformers.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    wide = np.concatenate([scene.picture(0), scene.picture(3)[:, :48]], axis=1)
    with torch.inference_mode():
        pixels = processor(images=wide, return_tensors="pt")["pixel_values"]
        expected = model.visual_projection(model.vision_model(pixel_values=pixels).pooler_output)[0].numpy()
    assert cosine(load_clip(folder).picture(wide), expected) > 0.999


def test_a_broken_folder_is_told(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "tokenizer_config.json").write_text("{}")
    pytest.importorskip("transformers")
    with pytest.raises(UserError, match="whole CLIP"):
        load_clip(tmp_path)
