"""The losses that were tried, against closed forms and slow references."""

import torch
from loss_variants import PATCH_SIDE, PatchSamplerConfig, distortion_loss, number_of_patches, structural_loss
from patches import patch_pixels, to_patches
from torch.testing import assert_close
from torchmetrics.functional.image import structural_similarity_index_measure


def test_equal_patches_have_no_structural_loss_and_inverted_ones_a_large_one():
    torch.manual_seed(0)
    patches = torch.rand(3, 3, 8, 8)
    assert_close(structural_loss(patches, patches), torch.tensor(0.0), atol=1e-6, rtol=0)
    assert structural_loss(1 - patches, patches) > 0.5


def test_structural_loss_of_flat_patches_is_that_of_their_brightness():
    dark, bright = torch.full((1, 3, 8, 8), 0.2), torch.full((1, 3, 8, 8), 0.6)
    luminance = (2 * 0.2 * 0.6 + 1e-4) / (0.2**2 + 0.6**2 + 1e-4)
    assert_close(structural_loss(dark, bright), torch.tensor((1 - luminance) / 2), atol=1e-5, rtol=0)


def test_structural_loss_agrees_with_torchmetrics_over_uniform_windows():
    torch.manual_seed(0)
    first, second = torch.rand(2, 4, 3, 9, 9)
    ssim = structural_similarity_index_measure(
        first, second, gaussian_kernel=False, kernel_size=5, data_range=1.0, return_full_image=True
    )
    assert isinstance(ssim, tuple)
    # It pads the pictures; windows that lie whole within them are the same.
    inner = ssim[1][..., 2:-2, 2:-2].mean()
    assert_close(structural_loss(first, second), (1 - inner) / 2, atol=1e-4, rtol=0)


def test_distortion_is_the_double_sum_over_pairs():
    torch.manual_seed(0)
    weights = torch.rand(6, 5)
    edges = torch.rand(6, 6).cumsum(-1)
    middles, lengths = (edges[:, 1:] + edges[:, :-1]) / 2, edges.diff(dim=-1)
    pairs = weights[:, :, None] * weights[:, None] * (middles[:, :, None] - middles[:, None]).abs()
    expected = (pairs.sum((1, 2)) + (weights**2 * lengths).sum(1) / 3).mean()
    assert_close(distortion_loss(weights, middles, lengths), expected)


def test_patches_hold_their_pixel_and_lie_within_the_frame():
    torch.manual_seed(0)
    row, y, x = torch.arange(50), torch.randint(20, (50,)), torch.randint(30, (50,))
    y[0], x[0], y[1], x[1] = 0, 0, 19, 29
    rows, ys, xs = (pixels.view(50, 6, 6) for pixels in patch_pixels(row, y, x, 6, height=20, width=30))
    assert (ys == y[:, None, None]).any(2).any(1).all()
    assert (xs == x[:, None, None]).any(2).any(1).all()
    assert ys.min() == 0 and ys.max() == 19 and xs.min() == 0 and xs.max() == 29
    assert_close(rows, row[:, None, None].expand(50, 6, 6))
    assert (ys.diff(dim=1) == 1).all() and (xs.diff(dim=2) == 1).all()


def test_rays_of_patches_become_pictures_again():
    picture = torch.arange(2 * 3 * 16.0).view(2, 3, 4, 4)
    rays = torch.cat([picture.permute(0, 2, 3, 1).reshape(32, 3), torch.zeros(5, 3)])
    assert_close(to_patches(rays, 2, 4), picture)


def test_a_batch_begins_with_its_patches_and_is_no_longer_for_them():
    torch.manual_seed(0)
    size, rays = 40, 1024
    frames = {
        "image_idx": torch.arange(3),
        "image": torch.rand(3, size, size, 3),
        "matte": torch.full((3, size, size, 1), 255, dtype=torch.uint8),
        "labels": torch.ones(3, size, size, 1, dtype=torch.uint8),
    }
    sampler = PatchSamplerConfig(frames_per_batch=2).setup(num_rays_per_batch=rays)
    batch = sampler.sample(frames)
    row, y, x = batch["indices"].T
    assert len(row) == rays
    assert_close(batch["image"], frames["image"][row, y, x])
    patches = to_patches(batch["indices"].float(), number_of_patches(rays), PATCH_SIDE)
    assert (patches[:, 1].diff(dim=1) == 1).all() and (patches[:, 2].diff(dim=2) == 1).all()
    sampler.observe(torch.rand(rays))
