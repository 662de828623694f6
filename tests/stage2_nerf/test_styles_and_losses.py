"""Styles over one avatar, and what training compares."""

import math

import torch
from torch.testing import assert_close

from stage2_nerf.losses import colour_loss, over, smoothness_loss, style_loss
from stage2_nerf.portrait_model import psnr
from stage2_nerf.styles import Style, StyleConfig, blend_residuals


def test_a_style_starts_as_the_original():
    torch.manual_seed(0)
    style = Style(StyleConfig(), feature_size=8)
    residual = style.head(torch.rand(20, 3) * 2 - 1, torch.randn(20, 8))
    original = torch.randn(20, 3)
    assert torch.equal(blend_residuals([(1.0, residual)], original), torch.sigmoid(original))


def test_blends_of_nothing_and_of_everything_are_the_pure_styles():
    original, residual = torch.randn(2, 50, 3)
    assert torch.equal(blend_residuals([], original), torch.sigmoid(original))
    assert_close(blend_residuals([(0.0, residual)], original), torch.sigmoid(original))
    assert_close(blend_residuals([(1.0, residual)], original), torch.sigmoid(original + residual))
    half = blend_residuals([(0.5, residual)], original)
    assert_close(half, (torch.sigmoid(original) + torch.sigmoid(original + residual)) / 2)


def test_over_is_the_background_where_nothing_is_and_the_foreground_where_all_is():
    background = torch.rand(2, 3)
    foreground = torch.tensor([[0.0, 0, 0], [0.2, 0.4, 0.6]])
    composite = over(foreground, torch.tensor([[0.0], [1.0]]), background)
    assert_close(composite, torch.stack([background[0], foreground[1]]))


def test_colour_loss_is_squared_near_zero_and_linear_beyond():
    zero = torch.zeros(1, 3)
    assert_close(colour_loss(zero + 0.05, zero), torch.tensor(0.05**2))
    # Beyond the threshold d the loss is 2 d |e| - d^2.
    assert_close(colour_loss(zero + 0.5, zero), torch.tensor(2 * 0.1 * 0.5 - 0.1**2))


def test_a_style_learns_the_mean_of_edits_that_differ():
    """One colour for edits of which most stayed dark and some became bright: the mean, not the commonest."""
    edits = torch.tensor([[0.1], [0.1], [0.1], [0.9]]).expand(4, 3)
    colours = torch.linspace(0, 1, 101)
    losses = torch.stack([style_loss(colour.expand(4, 3), edits) for colour in colours])
    assert_close(colours[losses.argmin()], torch.tensor(0.3))


def test_smoothness_of_a_ramp_is_its_squared_slope():
    ramp = torch.arange(5.0).view(1, 1, 5).expand(4, 3, 5)
    assert_close(smoothness_loss(ramp), torch.tensor(1.0))


def test_psnr_of_a_known_error_counts_only_the_weighted_pixels():
    target = torch.zeros(2, 3)
    predicted = torch.tensor([[0.1, 0.1, 0.1], [0.9, 0.9, 0.9]])
    found = psnr(predicted, target, torch.tensor([[1.0], [0.0]]))
    assert math.isclose(float(found), 20.0, abs_tol=1e-4)
