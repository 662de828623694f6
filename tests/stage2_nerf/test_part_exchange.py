"""Frames in training that wear a part of another frame's expression, and where that changes nothing."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from stage2_nerf.face_parts import face_parts
from stage2_nerf.part_exchange import EYES_AND_BROWS, MOUTH, OWN, PartExchange, worn
from tracking.clip import TrackedClip
from tracking.regions import Label

NAMES = ("browInnerUp", "eyeBlinkLeft", "eyeLookUpLeft", "jawOpen", "mouthSmileLeft", "noseSneerLeft")


def test_a_mouth_is_another_frames_with_jaw_cheeks_and_nose_and_eyes_are_with_the_brows():
    own, other = torch.zeros(3, len(NAMES)), torch.ones(3, len(NAMES))
    mixed = worn(own, other, torch.tensor([OWN, MOUTH, EYES_AND_BROWS]), face_parts(NAMES))
    assert mixed.tolist() == [[0, 0, 0, 0, 0, 0], [0, 0, 0, 1, 1, 1], [1, 1, 1, 0, 0, 0]]


def everywhere(clip: TrackedClip, frame: int, part: int) -> np.ndarray:
    """Which of a frame's pixels look as filmed, whatever the part does."""
    labels, matte = clip.labels(frame), clip.matte(frame)
    seen = torch.from_numpy(labels), torch.from_numpy((255 * matte).astype(np.uint8))
    row = clip.frames.tolist().index(frame)
    return PartExchange(clip, clip.frames.tolist()).unchanged_in_frame(row, *seen, part).numpy()


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


@pytest.mark.parametrize("processes", [1, 2])
def test_further_frames_wear_others_expressions_and_are_compared_in_the_right_places(
    datamanager, tiny_clip, processes: int
):
    """As many of them against the others, however many processes share a step's rays."""
    datamanager.share_rays(processes)
    sampler = datamanager.train_pixel_sampler
    exchange = PartExchange(tiny_clip, datamanager.frame_numbers)
    own, exchanged = 0, 0
    for step in range(20):
        rays, batch = datamanager.next_train(step)
        assert "worn" not in batch, "what is compared with the film knows nothing of it"
        told = rays.metadata["worn"]
        part, times, (row, y, x) = told[:, 0], rays.times[:, 0], batch["indices"].T
        label, matte = batch["labels"][:, 0].long(), batch["matte"][:, 0]
        assert exchange.unchanged(row, y, x, label, matte, part.long()).all()
        assert_close(told[part == OWN, 1:3], times[part == OWN, None].expand(-1, 2))
        moments = torch.unique(torch.cat([row[:, None], told], dim=1), dim=0)
        own += int((moments[:, 1] == OWN).sum())
        exchanged += int((moments[:, 1] != OWN).sum())
        assert set(part.tolist()) <= {float(OWN), float(MOUTH), float(EYES_AND_BROWS)}
    assert own / exchanged == pytest.approx(sampler.config.frames_per_batch / sampler.config.exchanged_frames, rel=0.1)


def test_what_is_worn_lies_on_the_line_through_two_frames_a_little_past_them_at_most(datamanager, tiny_clip):
    torch.manual_seed(0)
    exchange = PartExchange(tiny_clip, datamanager.frame_numbers)
    drawn = exchange.draw(torch.tensor([3, 8]), 2000)
    times = torch.from_numpy(tiny_clip.times).float()
    assert drawn.row[:2].tolist() == [3, 8] and set(drawn.row[2:].tolist()) == {3, 8}
    assert drawn.part[:2].tolist() == [OWN, OWN] and (drawn.part[2:] == MOUTH).float().mean().item() == pytest.approx(
        0.5, abs=0.05
    )
    assert_close(drawn.donors[:2], torch.stack([times[[3, 8]], times[[3, 8]], torch.zeros(2)], dim=-1))
    way = drawn.donors[2:, 2]
    assert -0.25 <= way.min() < -0.24 and 1.24 < way.max() <= 1.25
    assert torch.isin(drawn.donors[2:, :2], times).all()


def test_the_model_wears_what_the_rays_say(tiny_clip, tiny_preset):
    config = deepcopy(tiny_preset.pipeline)
    config.datamanager.data = tiny_clip.root
    table = config.setup(device="cpu", test_mode="inference").model.track
    frame, one, other = 4, 12, 7
    seen, first, second = (float(table.frame_times[index]) for index in (frame, one, other))
    told = torch.tensor([[OWN, seen, seen, 0.0], [MOUTH, first, second, 1.2], [EYES_AND_BROWS, first, second, 0.5]])
    states = table.resolve(torch.full((3, 1), seen), None, 3, told)
    shown, codes = states.expression[states.frame], table.expression_codes
    is_mouth = face_parts(tiny_clip.track.expression_names)[-1]
    assert_close(shown[0], codes[frame])
    assert_close(shown[1], torch.where(is_mouth, codes[one] + 1.2 * (codes[other] - codes[one]), codes[frame]))
    assert_close(shown[2], torch.where(is_mouth, codes[frame], (codes[one] + codes[other]) / 2))
    assert_close(states.head_to_torso[states.frame][1], table.head_to_torso[frame])
    assert not states.is_driven, "the corrections of the frame that is looked at belong to it"


def test_a_style_is_trained_on_every_frames_own_expression(datamanager):
    assert "worn" in datamanager.next_train(0)[0].metadata
    datamanager.exchange_no_expressions()
    assert "worn" not in datamanager.next_train(1)[0].metadata


def test_no_frames_are_added_if_none_are_wanted(datamanager):
    datamanager.train_pixel_sampler.exchanged_frames = 0
    rays, _ = datamanager.next_train(0)
    assert (rays.metadata["worn"][:, 0] == OWN).all()
