"""Which pixels are drawn: more of them where the avatar is still wrong."""

import numpy as np
import torch
from torch.testing import assert_close

from stage2_nerf.error_map import ErrorMap
from stage2_nerf.pixel_sampler import FrameTurns, PortraitPixelSamplerConfig, frame_weights
from tracking.frame_flags import FrameFlag
from tracking.regions import Label

FRAMES, SIZE = 6, 32


def sampler(error_share: float):
    torch.manual_seed(0)
    return PortraitPixelSamplerConfig(frames_per_batch=2, error_share=error_share).setup(num_rays_per_batch=256)


def frames():
    """Pictures of nothing but skin."""
    shape = (FRAMES, SIZE, SIZE, 1)
    return {
        "image_idx": torch.arange(FRAMES),
        "image": torch.zeros(FRAMES, SIZE, SIZE, 3),
        "matte": torch.full(shape, 255, dtype=torch.uint8),
        "labels": torch.ones(shape, dtype=torch.uint8),
    }


def every_pixel(frame: int):
    y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    return torch.full((SIZE * SIZE,), frame), y.flatten(), x.flatten()


def drawn(pixels, count: int = 60):
    return torch.cat([pixels.sample(frames())["indices"] for _ in range(count)])


def test_a_cell_remembers_the_error_of_the_rays_that_went_through_it():
    found = ErrorMap(2, 16, 24)
    frame, y, x = torch.tensor([[0, 0, 1], [3, 4, 15], [9, 15, 23]])
    found.observe(frame, y, x, torch.tensor([0.1, 0.3, 0.2]))
    assert_close(found.around(*torch.tensor([[0, 1], [0, 8], [8, 16]])), torch.tensor([1.0, 1.0]))
    found.observe(torch.tensor([0]), torch.tensor([7]), torch.tensor([8]), torch.tensor([0.7]))
    # The cell's 0.2 goes a fifth of the way to 0.7; the average of all, 0.2, a fiftieth of it.
    assert_close(found.around(*torch.tensor([[0], [0], [15]])), torch.tensor([0.3 / 0.21]))


def test_nothing_is_known_of_a_cell_until_a_ray_went_through_it():
    found = ErrorMap(2, 16, 16)
    first = torch.tensor([0])
    found.observe(first, first, first, torch.tensor([0.5]))
    assert_close(found.around(*torch.tensor([[0, 1], [15, 0], [15, 0]])), torch.ones(2))
    assert_close(found.of_frames(torch.tensor([1])), torch.ones(1))


def test_maps_of_large_frames_stay_small():
    assert ErrorMap(1, 1024, 768).errors.shape == (1, 32, 24)
    assert ErrorMap(1, 100, 60).errors.shape == (1, 13, 8)


def test_pixels_with_larger_errors_are_drawn_more_often():
    pixels = sampler(0.5)
    pixels.sample(frames())
    for frame in range(FRAMES):
        _, y, x = every_pixel(frame)
        pixels.drawn = torch.stack(every_pixel(frame))
        pixels.observe(torch.where((y < 8) & (x < 8), 0.32, 0.02))
    inside = (drawn(pixels)[:, 1:] < 8).all(dim=1).float().mean()
    # A sixteenth of the pixels, each 0.5 + 0.5 * 4 against about 0.75 for the others: 18 % at most, and less, since a
    # batch draws no candidate twice.
    assert 0.11 < inside < 0.18


def test_frames_with_larger_errors_are_drawn_more_often():
    pixels = sampler(0.5)
    pixels.sample(frames())
    for frame in range(FRAMES):
        pixels.drawn = torch.stack(every_pixel(frame))
        pixels.observe(torch.full((SIZE * SIZE,), 0.4 if frame == 3 else 0.05))
    count = torch.bincount(drawn(pixels)[:, 0], minlength=FRAMES)
    assert count[3] > 1.4 * count[[0, 1, 2, 4, 5]].max()


def test_without_a_share_for_errors_all_are_drawn_alike():
    pixels = sampler(0.0)
    pixels.sample(frames())
    pixels.observe(torch.ones(256))
    assert pixels.error_map is None


def test_errors_of_other_pictures_are_forgotten():
    pixels = sampler(0.5)
    pixels.sample(frames())
    pixels.observe(torch.rand(256))
    assert pixels.error_map is not None
    pixels.forget()
    assert pixels.error_map is None


def test_poor_frames_are_drawn_seldom_and_profiles_are_not_poor():
    flags = np.zeros(8, np.uint16)
    flags[1], flags[3], flags[5] = FrameFlag.BLURRED, FrameFlag.OCCLUDED | FrameFlag.PROFILE, FrameFlag.PROFILE
    names = ("jawOpen", "mouthFunnel", "mouthPucker")
    found = frame_weights(PortraitPixelSamplerConfig(poor_frame_weight=0.25), torch.zeros(8, 3), flags, names)
    assert_close(found, torch.tensor([1, 0.25, 1, 0.25, 1, 1, 1, 1]))


def test_pixels_outside_of_the_edited_region_are_drawn_seldom_but_still_drawn():
    pixels = sampler(error_share=0)
    batch = frames()
    batch["labels"][:, : SIZE // 2] = int(Label.HAIR)

    def share_above() -> float:
        indices = torch.cat([pixels.sample(batch)["indices"] for _ in range(20)])
        return float((indices[:, 1] < SIZE // 2).float().mean())

    assert 0.45 < share_above() < 0.55
    pixels.favour("hair")
    # Candidates are drawn without replacement, so some of the seldom ones come up.
    assert 0.8 < share_above() < 0.99
    pixels.favour("person")
    assert 0.45 < share_above() < 0.55


def test_lids_are_drawn_like_eyes():
    """In a blink hardly any pixel is labelled as an eye, and those around it, which move most, are labelled as skin."""
    batch = frames()
    batch["labels"][:, 15:17, 12:20] = int(Label.EYES)
    pixels = sampler(0.0)
    indices = torch.cat([pixels.sample(batch)["indices"] for _ in range(60)])
    rows = torch.bincount(indices[(indices[:, 2] >= 12) & (indices[:, 2] < 20)][:, 1], minlength=SIZE).float()
    assert rows[[14, 17]].mean() > 2.5 * rows[:12].mean()
    assert rows[[14, 17]].mean() > 0.8 * rows[15:17].mean()
    assert rows[20:].mean() < 1.3 * rows[:12].mean()


def test_a_blink_is_rare_whatever_the_mouth_does():
    torch.manual_seed(0)
    names = ("jawOpen", "mouthFunnel", "mouthPucker", "eyeBlinkLeft", "eyeBlinkRight")
    expressions = torch.cat([torch.rand(100, 3), 0.02 * torch.rand(100, 2)], dim=1)
    expressions[40, 3:] = 0.5
    weights = frame_weights(PortraitPixelSamplerConfig(), expressions, np.zeros(100, np.uint16), names)
    assert weights[40] == PortraitPixelSamplerConfig().rare_expression_weight
    assert weights.mean() < 1.6


def test_in_turns_every_frame_is_drawn_before_any_is_again():
    pixels = sampler(0)
    pixels.turns = FrameTurns(FRAMES, seed=0)
    seen = drawn(pixels, 3)
    assert sorted(set(seen[:, 0].tolist())) == list(range(FRAMES))
    assert all(len(set(batch[:, 0].tolist())) == 2 for batch in seen.split(256))


def test_in_turns_frames_are_drawn_by_their_likelihood_and_only_those_that_may_be():
    rows, likely = torch.tensor([1, 3, 4, 5, 6, 7]), torch.tensor([4.0, 1, 1, 1, 1, 0])
    turns = FrameTurns(9, seed=1)
    draws = torch.stack([turns.next(rows, likely, 2) for _ in range(40)])
    assert (draws[:, 0] != draws[:, 1]).all()
    counts = torch.bincount(draws.flatten(), minlength=6)
    assert ((counts - 80 * likely / likely.sum()).abs() <= 2).all()
    assert turns.credit[[0, 2, 8]].tolist() == FrameTurns(9, seed=1).credit[[0, 2, 8]].tolist()
