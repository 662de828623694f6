"""Frames in training that wear a part of another frame's expression, and where that changes nothing."""

from collections.abc import Iterator
from copy import deepcopy
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from stage2_nerf.face_parts import face_parts
from stage2_nerf.part_exchange import EYES_AND_BROWS, MOUTH, OWN, PartExchange, worn
from tracking.clip import TrackedClip
from tracking.regions import Label

if TYPE_CHECKING:
    from stage2_nerf.datamanager import PortraitDataManager

NAMES = ("browInnerUp", "eyeBlinkLeft", "eyeLookUpLeft", "jawOpen", "mouthSmileLeft", "noseSneerLeft")


@pytest.fixture
def datamanager(tiny_clip: TrackedClip, tiny_preset) -> Iterator["PortraitDataManager"]:
    torch.manual_seed(0)
    config = deepcopy(tiny_preset.pipeline.datamanager)
    config.data = tiny_clip.root
    yield config.setup(device="cpu", test_mode="val")


def test_a_mouth_is_another_frames_with_jaw_cheeks_and_nose_and_eyes_are_with_the_brows():
    own, other = torch.zeros(3, len(NAMES)), torch.ones(3, len(NAMES))
    mixed = worn(own, other, torch.tensor([OWN, MOUTH, EYES_AND_BROWS]), face_parts(NAMES))
    assert mixed.tolist() == [[0, 0, 0, 0, 0, 0], [0, 0, 0, 1, 1, 1], [1, 1, 1, 0, 0, 0]]


def everywhere(clip: TrackedClip, frame: int, part: int) -> np.ndarray:
    """Which of a frame's pixels look as filmed, whatever the part does."""
    labels, matte = clip.labels(frame), clip.matte(frame)
    y, x = torch.meshgrid(torch.arange(labels.shape[0]), torch.arange(labels.shape[1]), indexing="ij")
    row = torch.full_like(y, clip.frames.tolist().index(frame))
    seen = torch.from_numpy(labels).long(), torch.from_numpy((255 * matte).astype(np.uint8))
    pixels = [values.flatten() for values in (row, y, x, *seen, torch.full_like(y, part))]
    unchanged = PartExchange(clip, clip.frames.tolist()).unchanged(*pixels)
    return unchanged.view(labels.shape).numpy()


def test_a_frame_is_compared_where_what_it_wears_moves_nothing(tiny_clip: TrackedClip):
    for frame in (2, 9):
        labels, matte = tiny_clip.labels(frame), tiny_clip.matte(frame)
        mouth = np.isin(labels, [Label.LIPS, Label.MOUTH_INTERIOR])
        eyes = np.isin(labels, [Label.EYES, Label.BROWS])
        assert everywhere(tiny_clip, frame, OWN).all()
        unmoved = everywhere(tiny_clip, frame, MOUTH)
        assert unmoved[eyes].all() and not unmoved[mouth].any()
        assert not unmoved[-8:].any(), "a chin lies below"
        unmoved = everywhere(tiny_clip, frame, EYES_AND_BROWS)
        assert unmoved[mouth].all() and not unmoved[eyes].any()
        assert unmoved[labels == Label.HAIR].all() and unmoved[matte == 0].all()


def test_a_quarter_of_the_frames_wear_another_frames_expression_in_the_right_places(datamanager, tiny_clip):
    sampler = datamanager.train_pixel_sampler
    exchange = PartExchange(tiny_clip, datamanager.frame_numbers)
    frames, exchanged = 0, 0
    for step in range(40):
        rays, batch = datamanager.next_train(step)
        assert "worn" not in batch, "what is compared with the film knows nothing of it"
        part, time = rays.metadata["worn"].T
        row, y, x = batch["indices"].T
        label, matte = batch["labels"][:, 0].long(), batch["matte"][:, 0]
        assert exchange.unchanged(row, y, x, label, matte, part.long()).all()
        assert_close(time[part == OWN], rays.times[part == OWN, 0])
        of_frames = torch.unique(torch.stack([row.float(), part]), dim=1)
        frames += of_frames.shape[1]
        exchanged += int((of_frames[1] != OWN).sum())
        assert set(part.tolist()) <= {float(OWN), float(MOUTH), float(EYES_AND_BROWS)}
    assert exchanged / frames == pytest.approx(sampler.config.exchanged_share, abs=0.05)


def test_the_model_wears_what_the_rays_say(datamanager, tiny_clip, tiny_preset):
    config = deepcopy(tiny_preset.pipeline)
    config.datamanager.data = tiny_clip.root
    model = config.setup(device="cpu", test_mode="inference").model
    table, names = model.track, tiny_clip.track.expression_names
    times = table.frame_times[[4, 4, 4, 9]]
    told = torch.tensor([[OWN, 0.0], [MOUTH, 0.0], [EYES_AND_BROWS, 0.0], [OWN, 0.0]])
    told[:, 1] = table.frame_times[[4, 12, 12, 9]]
    states = table.resolve(times[:, None], None, 4, told)
    own, other = table.expression_codes[4], table.expression_codes[12]
    is_mouth = face_parts(names)[-1]
    shown = states.expression[states.frame]
    assert_close(shown[0], own)
    assert_close(shown[1], torch.where(is_mouth, other, own))
    assert_close(shown[2], torch.where(is_mouth, own, other))
    assert_close(shown[3], table.expression_codes[9])
    assert_close(states.head_to_torso[states.frame][1], table.head_to_torso[4])
    assert not states.is_driven, "the corrections of the frame that is looked at belong to it"


def test_a_style_is_trained_on_every_frames_own_expression(datamanager):
    assert "worn" in datamanager.next_train(0)[0].metadata
    datamanager.exchange_no_expressions()
    assert "worn" not in datamanager.next_train(1)[0].metadata


def test_nothing_is_exchanged_if_the_share_is_0(datamanager):
    datamanager.train_pixel_sampler.config.exchanged_share = 0.0
    rays, _ = datamanager.next_train(0)
    assert (rays.metadata["worn"][:, 0] == OWN).all()
