"""Whole pictures: the same as their rays one by one, whoever drives them and from wherever they are seen."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from tracking.clip import TrackedClip


@pytest.fixture
def scene(tiny_clip: TrackedClip, tiny_preset):
    """An avatar that was not trained, and corrections as if it had been, with the cameras of the clip's frames."""
    torch.manual_seed(0)
    config = deepcopy(tiny_preset.pipeline)
    config.datamanager.data = tiny_clip.root
    config.model.style_names = ("bronze",)
    data = config.datamanager.setup(device="cpu", test_mode="val")
    dataset = data.train_dataset
    model = config.model.setup(scene_box=dataset.scene_box, num_train_data=16, metadata=dataset.metadata)
    for table in (model.refinement.head, model.refinement.torso, model.refinement.code):
        torch.nn.init.normal_(table, std=0.02)
    torch.nn.init.normal_(model.head_field.deformation.learned_basis, std=0.02)
    torch.nn.init.normal_(model.styles["bronze"].head.network[-1].weight)
    return model.eval(), dataset.cameras


def test_a_picture_is_its_rays_through_nerfstudios_own_way(scene):
    model, cameras = scene
    picture = model.render_frame(cameras[3:4])
    by_rays = model.get_outputs_for_camera_ray_bundle(cameras.generate_rays(3, keep_shape=True))
    assert set(picture) == set(by_rays)
    for name in ("foreground", "accumulation", "original_foreground"):
        # Rays that graze the hull may be taken for hits by the one and not by the other.
        assert float((picture[name] - by_rays[name]).abs().mean()) < 1e-5
    assert picture["rgb"].shape == by_rays["rgb"].shape


def test_several_pictures_in_one_go_are_those_one_by_one(scene):
    model, cameras = scene
    together = model.render_frames(cameras[torch.tensor([2, 9])])
    for i, row in enumerate((2, 9)):
        alone = model.render_frame(cameras[row : row + 1])
        assert_close(together["foreground"][i], alone["foreground"], atol=1e-4, rtol=1e-4)


def test_pieces_on_two_threads_give_the_picture_of_one(scene, monkeypatch):
    model, cameras = scene
    monkeypatch.setattr("stage2_nerf.portrait_model.POINTS_AT_ONCE", 500)
    alone = model.render_frame(cameras[3:4])["foreground"]
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        shared = model.render_frame(cameras[3:4])["foreground"]
    finally:
        torch.set_num_threads(before)
    assert_close(shared, alone, atol=1e-5, rtol=1e-5)


def test_an_expression_that_is_given_is_shown(scene):
    model, cameras = scene
    camera = cameras[3:4]
    own, _ = model.track.at(camera.times[0])
    exaggerated = model.render_frame(camera, 3 * own[0])["foreground"]
    assert float((exaggerated - model.render_frame(camera)["foreground"]).abs().max()) > 1e-3
    carried = replace(camera, metadata={"expression": 3 * own})
    assert_close(model.render_frame(carried)["foreground"], exaggerated)
    with pytest.raises(ValueError, match="shape"):
        model.render_frame(camera, torch.zeros(3))


def test_given_expressions_take_the_clips_mean_correction_and_the_moments_poses(scene):
    model, cameras = scene
    own, _ = model.track.at(cameras.times[5])
    given = model.corrections(model.track.resolve_pictures(cameras.times[5], own, 1, 10))
    filmed = model.corrections(model.track.resolve_pictures(cameras.times[5], None, 1, 10))
    timeless = model.corrections(model.track.resolve_pictures(None, own, 1, 10))
    assert_close(given.head, filmed.head)
    assert_close(given.code[0], model.refinement.code.mean(0))
    assert not torch.equal(given.code, filmed.code)
    assert_close(timeless.head[0], model.refinement.head.mean(0))


def test_rays_that_meet_nothing_are_never_decoded(scene, monkeypatch):
    model, cameras = scene
    decoded = []
    for field in (model.head_field, model.torso_field):
        field.register_forward_hook(lambda module, arguments, output: decoded.append(len(arguments[0])))
    model.render_frame(cameras[3:4])
    assert sum(decoded) > 1000
    decoded.clear()
    away = cameras[3:4].camera_to_worlds.clone()
    away[..., 1:3] *= -1
    picture = model.render_frame(replace(cameras[3:4], camera_to_worlds=away))
    assert sum(decoded) == 0
    assert float(picture["accumulation"].max()) == 0
    assert_close(picture["rgb"].unique(), torch.ones(1))


def test_a_picture_in_bfloat16_is_nearly_the_same(scene):
    """As CUDA renders it; the CPU can do so too."""
    model, cameras = scene
    exact = model.render_frame(cameras[3:4])["foreground"]
    model.config.rendering_precision = "bfloat16"
    half = model.render_frame(cameras[3:4])["foreground"]
    difference = (half - exact).abs()
    assert 0 < float(difference.mean()) < 2e-3
    assert float(difference.max()) < 0.05


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_renders_what_the_cpu_renders(scene):
    model, cameras = scene
    expected = model.render_frame(cameras[3:4])["foreground"]
    on_device = model.to("cuda").render_frame(cameras[3:4])["foreground"].cpu()
    assert float((on_device - expected).abs().mean()) < 5e-3


def test_a_styles_picture_brings_the_unstyled_one_along(scene):
    model, cameras = scene
    plain = model.render_frame(cameras[3:4])
    assert torch.equal(plain["foreground"], plain["original_foreground"])
    model.style_weights = {"bronze": 1.0}
    styled = model.render_frame(cameras[3:4])
    assert_close(styled["original_foreground"], plain["foreground"], atol=1e-5, rtol=1e-5)
    assert float((styled["foreground"] - plain["foreground"]).abs().max()) > 0.01
