"""The small editor that diffusion editing is measured with: its pairs, its training, the folder it is saved to."""

from pathlib import Path

import numpy as np
import pytest
import torch
from small_editor_network import NetworkConfig, SmallEditor, small_editor, write_pipeline
from small_editor_pairs import Pairs, crop_latents, load_pairs, make_pairs
from small_editor_pictures import SIDE, Labelled
from small_editor_training import Training, TrainingConfig, dropped
from small_editor_vocabulary import PROMPTS, merged, vocabulary
from torch.testing import assert_close

from stage1_edit.choose_editor import EditorConfig, choose_editor
from stage1_edit.editor import EditRequest
from stage1_edit.instruct_pix2pix import InstructPix2PixConfig
from stage1_edit.prompts import EditPrompt
from tracking.errors import UserError
from tracking.regions import Label

TINY = NetworkConfig(channels=(16, 32), text_width=16, text_layers=1)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights under the names that TAESD's files give them."""
    diffusers = pytest.importorskip("diffusers")
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("taesd")
    torch.manual_seed(0)
    vae = diffusers.AutoencoderTiny()
    for part, before in (("encoder", 0), ("decoder", 1)):
        named = {}
        for name, values in getattr(vae, part).state_dict().items():
            _, layer, rest = name.split(".", 2)
            named[f"{int(layer) + before}.{rest}"] = values
        save_file(named, folder / f"taesd_{part}.safetensors")
    return folder


@pytest.fixture
def editor(weights: Path) -> SmallEditor:
    return small_editor(TINY, weights)


def portrait(shrink: int = 1) -> Labelled:
    """A face with dark hair before a grey wall, with every so many-th row and column of it."""
    labels = np.zeros((SIDE, SIDE), np.uint8)
    labels[40:220, 60:196] = Label.HAIR
    labels[90:210, 80:176] = Label.FACE_SKIN
    labels = np.ascontiguousarray(labels[::shrink, ::shrink])
    image = np.full((*labels.shape, 3), 128, np.uint8)
    image[labels == Label.HAIR] = (60, 40, 30)
    image[labels == Label.FACE_SKIN] = (200, 160, 140)
    return Labelled(image, (labels > 0).astype(np.float32), labels)


def test_every_word_of_the_prompts_is_one_piece_and_every_piece_is_in_the_vocabulary() -> None:
    pieces, merges = vocabulary()
    assert len(pieces) == len(set(pieces))
    words = {word for prompt in PROMPTS for word in prompt.split()}
    for word in words:
        assert merged([*word[:-1], word[-1] + "</w>"], merges) == [word + "</w>"]
    assert set(merged([*"silverin", "g</w>"], merges)) <= set(pieces)


def test_transformers_splits_as_the_vocabulary_says(editor: SmallEditor) -> None:
    for prompt in PROMPTS:
        assert editor.tokenizer.tokenize(prompt) == [word + "</w>" for word in prompt.split()]


def test_prompts_that_differ_in_a_word_have_features_that_differ(editor: SmallEditor) -> None:
    silver, blond = editor.text_features(["make the hair silver", "make the hair blond"]).flatten(1)
    assert torch.cosine_similarity(silver, blond, dim=0) < 0.9


def test_crops_lie_inside_and_keep_the_pictures_parts_together() -> None:
    picture = portrait().crop(np.array([0.0, 0.0]), 128)
    assert picture.image.shape == (SIDE, SIDE, 3)
    assert (picture.labels == Label.BACKGROUND)[:60, :100].all()
    hair = picture.labels == Label.HAIR
    assert np.abs(picture.image[hair].mean(axis=0) - [60, 40, 30]).max() < 3
    assert picture.matte[hair].mean() > 0.98


def test_a_mirrored_picture_is_mirrored_in_all_its_parts() -> None:
    picture = portrait().crop(np.array([90.0, 128.0]), 120)
    twice = picture.flipped().flipped()
    assert (picture.flipped().labels == picture.labels[:, ::-1]).all()
    assert (twice.image == picture.image).all()


def test_pairs_are_made_once_and_shared_among_processes(editor: SmallEditor, tmp_path: Path) -> None:
    pictures = [portrait(shrink=4)] * 3
    make_pairs(iter(pictures), editor.vae, tmp_path, 2, (1, 2), seed=0)
    assert not list(tmp_path.iterdir())
    make_pairs(iter(pictures), editor.vae, tmp_path, 2, (0, 2), seed=0)
    pairs = load_pairs(tmp_path)
    made = (tmp_path / "pairs_0000.npz").stat().st_mtime_ns
    make_pairs(iter(pictures), editor.vae, tmp_path, 2, (0, 1), seed=0)
    assert (tmp_path / "pairs_0000.npz").stat().st_mtime_ns == made
    assert pairs.originals.shape == (3, 4, SIDE // 32, SIDE // 32)
    assert pairs.edits.shape == (3, 2, 4, SIDE // 32, SIDE // 32)
    assert (pairs.prompts[:, 0] != pairs.prompts[:, 1]).all()


def test_conditions_are_left_out_as_often_as_asked() -> None:
    texts = torch.eye(3)[:, None]
    generator = torch.Generator().manual_seed(0)
    count = 20_000
    originals, chosen = dropped(torch.ones(count, 1, 1, 1), texts, torch.zeros(count).long(), 0.05, generator)
    no_picture, no_text = originals.flatten() == 0, chosen[:, 0, 2] == 1
    for share, wanted in (
        (no_text & ~no_picture, 0.05), (no_picture & ~no_text, 0.05), (no_text & no_picture, 0.05),
    ):  # fmt: skip
        assert abs(share.float().mean().item() - wanted) < 0.006
    assert (chosen[~no_text, 0, 0] == 1).all()


def test_crops_of_latents_show_the_same_place() -> None:
    places = torch.arange(64.0).view(1, 1, 8, 8)
    first, second = crop_latents((places, places + 100), 4, torch.Generator().manual_seed(3))
    assert_close(second, first + 100)
    assert (first[0, 0, 1:, 0] - first[0, 0, :-1, 0] == 8).all()


def constant_pairs() -> Pairs:
    """Edits that are the original's opposite."""
    originals = torch.randn(4, 4, 8, 8, generator=torch.Generator().manual_seed(0)).half()
    return Pairs(originals, -originals[:, None], torch.zeros(4, 1).long())


def training(editor: SmallEditor, minutes: float = 10.0) -> Training:
    config = TrainingConfig(minutes=minutes, crop=8, crop_batch=4, batch=4, learning_rate=3e-3, half_precision=False)
    return Training(config, editor.unet, editor.scheduler, editor.text_features([*PROMPTS, ""]))


def test_training_lowers_the_loss(editor: SmallEditor) -> None:
    learner = training(editor)
    losses = [learner.step(constant_pairs()) for _ in range(50)]
    assert np.mean(losses[-10:]) < 0.75 * np.mean(losses[:5])


def test_a_resumed_training_goes_on_exactly_as_an_uninterrupted_one(weights: Path, tmp_path: Path) -> None:
    whole = training(small_editor(TINY, weights))
    for _ in range(4):
        whole.step(constant_pairs())
    first = training(small_editor(TINY, weights))
    for _ in range(2):
        first.step(constant_pairs())
    first.save(tmp_path / "training.pt")
    second = training(small_editor(TINY, weights))
    second.load(tmp_path / "training.pt")
    for _ in range(2):
        second.step(constant_pairs())
    for expected, found in zip(whole.averaged.parameters(), second.averaged.parameters(), strict=True):
        assert_close(found, expected)


def test_training_ends_when_its_time_is_spent(editor: SmallEditor) -> None:
    learner = training(editor, minutes=0.002)
    learner.run(constant_pairs(), 60.0)
    assert learner.progress == 1
    steps = learner.steps
    learner.run(constant_pairs(), 60.0)
    assert learner.steps == steps


def test_the_products_editor_loads_the_folder_and_edits_with_it(editor: SmallEditor, tmp_path: Path) -> None:
    write_pipeline(editor, tmp_path / "model")
    settings = InstructPix2PixConfig(model=str(tmp_path / "model"), sampling_steps=2, longer_side=64)
    loaded = choose_editor(EditorConfig("instruct-pix2pix", instruct_pix2pix=settings), torch.device("cpu"))
    picture = torch.rand(64, 64, 3, generator=torch.Generator().manual_seed(1))
    ones = torch.ones(64, 64, 1)

    def edit(text: str) -> torch.Tensor:
        request = EditRequest(
            EditPrompt(text), picture, picture, ones, ones[..., 0].byte(), 1.0, torch.Generator().manual_seed(2)
        )
        return loaded.edit([request])[0]

    silver = edit(PROMPTS[0])
    assert silver.shape == picture.shape
    assert_close(edit(PROMPTS[0]), silver)
    assert (edit(PROMPTS[2]) - silver).abs().max() > 1e-3


def test_missing_autoencoder_weights_are_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"taesd_encoder.safetensors is missing"):
        small_editor(TINY, tmp_path)
