"""Styles over one avatar, and what training compares."""

import math
from types import SimpleNamespace
from typing import Any

import torch
from torch.testing import assert_close

from stage1_edit.prompts import EditPrompt
from stage2_nerf.checkpoints import widened
from stage2_nerf.frame_quality import psnr
from stage2_nerf.losses import colour_loss, over, smoothness_loss, style_loss
from stage2_nerf.plane_look_up import look_up_planes
from stage2_nerf.style_training import StyleTraining, StyleTrainingConfig, falling
from stage2_nerf.styles import Style, StyleConfig, StyleResidual, blend_residuals


def test_a_style_starts_as_the_original():
    torch.manual_seed(0)
    style = Style(StyleConfig(), feature_size=8)
    original = torch.randn(20, 3)
    residual = style.head(torch.rand(20, 3) * 2 - 1, torch.randn(20, 8), original)
    assert torch.equal(blend_residuals([(1.0, residual)], original), torch.sigmoid(original))


def test_a_style_is_an_affine_map_of_the_originals_colour():
    """At one place, whatever the original shows there; so contrast can be stretched and a hue become another."""
    torch.manual_seed(0)
    residual = Style(StyleConfig(), feature_size=8).torso
    last = residual.network[-1]
    assert isinstance(last, torch.nn.Linear)
    torch.nn.init.normal_(last.weight)
    swapped = torch.tensor([[0.0, 1, 0], [1, 0, 0], [0, 0, 2]])
    place, features = torch.rand(1, 3).expand(3, 3), torch.randn(1, 8).expand(3, 8)
    first, second = torch.randn(2, 3)
    at_first, at_second, between = residual(place, features, torch.stack([first, second, (first + second) / 2]))
    assert_close(between, (at_first + at_second) / 2)
    torch.nn.init.zeros_(last.weight)
    with torch.no_grad():
        last.bias.copy_(torch.cat([torch.tensor([0.5, 0, 0]), (swapped - torch.eye(3)).flatten()]))
    original = torch.randn(3, 3)
    shown = torch.logit(blend_residuals([(1.0, residual(place, features, original))], original))
    assert_close(shown, original @ swapped.T + torch.tensor([0.5, 0, 0]), atol=1e-4, rtol=1e-4)


def test_a_style_of_an_earlier_version_looks_as_it_did():
    """Fewer neurons, and no map of the colour: among zeros its network gives what it gave."""
    torch.manual_seed(0)
    style = StyleResidual(StyleConfig(hidden_width=64), feature_size=8)
    first = style.network[0]
    assert isinstance(first, torch.nn.Linear)
    earlier = torch.nn.Sequential(torch.nn.Linear(first.in_features, 32), torch.nn.ReLU(), torch.nn.Linear(32, 3))
    own = style.network.state_dict()
    style.network.load_state_dict({key: widened(value, own[key]) for key, value in earlier.state_dict().items()})
    assert torch.equal(widened(own["2.weight"], own["2.weight"]), own["2.weight"])
    place, shared = torch.rand(20, 3) * 2 - 1, torch.randn(20, 8)
    looked_up = look_up_planes(place, torch.zeros(20, dtype=torch.long), list(style.planes))
    expected = earlier(torch.cat([shared, looked_up], dim=1))
    assert_close(style(place, shared, torch.randn(20, 3)), expected)


def test_a_layer_that_does_not_fit_is_left_for_the_check_to_tell():
    larger, own = torch.randn(40, 8), torch.randn(32, 8)
    assert widened(larger, own) is larger


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


def test_a_styles_step_size_falls_to_a_fiftieth_along_half_a_cosine():
    """An exponential fall left less of it in the middle and more at the end: farther from the edits, less steady."""
    sizes = [falling(step / 10) for step in range(12)]
    assert sizes[0] == 1 and sizes[10] == sizes[11] == 0.02, "an interrupted run may come to its end late"
    assert_close(sizes[5], 0.51)
    assert sizes[:11] == sorted(sizes[:11], reverse=True)
    assert_close(sizes[3] + sizes[7], 1.02)


def test_smoothness_of_a_ramp_is_its_squared_slope():
    ramp = torch.arange(5.0).view(1, 1, 5).expand(4, 3, 5)
    assert_close(smoothness_loss(ramp), torch.tensor(1.0))


def test_smoothness_counts_the_axes_that_are_named():
    ramp = torch.arange(5.0).view(1, 1, 5).expand(4, 3, 5)
    assert_close(smoothness_loss(ramp, (0, 1)), torch.tensor(0.0))
    assert_close(smoothness_loss(ramp + 2 * ramp.new_tensor([0, 1, 2, 3])[:, None, None], (0, 2)), torch.tensor(5.0))


def test_a_styles_roughness_is_the_slope_of_its_feature_planes_and_not_of_their_channels():
    style = Style(StyleConfig(resolutions=(4, 8)), feature_size=8)
    with torch.no_grad():
        for plane in style.planes():
            size, channels = plane.shape[2], plane.shape[-1]
            rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
            plane.copy_((3.0 * rows + 0.5 * columns)[..., None] + 100.0 * torch.arange(channels))
    assert len(style.planes()) == 4, "two resolutions, of the head and of the torso"
    assert_close(style.roughness(), torch.tensor(4 * (9.0 + 0.25)))


def style_training(smoothness: float) -> StyleTraining:
    """A phase without frames, of which only the style and its optimizer are real."""
    torch.manual_seed(0)
    model = SimpleNamespace(styles={"bronze": Style(StyleConfig((8,)), feature_size=8)})
    config = StyleTrainingConfig(smoothness=smoothness)
    parts: Any = (config, EditPrompt("bronze"), "bronze", model, range(3), None)
    return StyleTraining(*parts, seed=0)


def test_smoothness_is_added_to_what_the_colours_ask_for():
    training = style_training(0.3)
    plane, unseen = training.style.planes()
    asked = torch.randn_like(plane)
    plane.grad = asked.clone()
    training.smooth()
    assert plane.grad is not None and unseen.grad is not None
    nudge = torch.randn_like(plane)
    with torch.no_grad():
        plane.add_(1e-3 * nudge)
        above = 0.3 * training.style.roughness()
        plane.sub_(2e-3 * nudge)
        below = 0.3 * training.style.roughness()
    # A square's slope is exactly that between two points about it.
    assert_close(((plane.grad - asked) * nudge).sum(), (above - below) / 2e-3, rtol=1e-3, atol=1e-4)


def test_what_no_edit_tells_apart_becomes_smooth_and_stays_as_it_was_where_that_is_not_asked_for():
    for smoothness in (0.0, 1.0):
        training = style_training(smoothness)
        before = [parameter.clone() for parameter in training.style.parameters()]
        rough = float(training.style.roughness())
        for _ in range(20):
            training.after_step()
        if smoothness == 0:
            assert all(torch.equal(one, now) for one, now in zip(before, training.style.parameters(), strict=True))
        else:
            assert float(training.style.roughness()) < 0.5 * rough


def test_psnr_of_a_known_error_counts_only_the_weighted_pixels():
    target = torch.zeros(2, 3)
    predicted = torch.tensor([[0.1, 0.1, 0.1], [0.9, 0.9, 0.9]])
    found = psnr(predicted, target, torch.tensor([[1.0], [0.0]]))
    assert math.isclose(float(found), 20.0, abs_tol=1e-4)
