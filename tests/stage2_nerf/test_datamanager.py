"""Training frames: in order, replaceable, drawn where they matter, and seen by the right rays."""

from copy import deepcopy
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from torch.testing import assert_close

from tracking.errors import UserError
from tracking.regions import Label


def test_rows_are_the_clips_frames_in_order(datamanager, tiny_clip):
    assert datamanager.frame_numbers == tiny_clip.frames.tolist()
    for row in (0, 5, 15):
        assert_close((datamanager.original(row) * 255).round().byte().numpy(), tiny_clip.image(row))
        assert np.array_equal(datamanager.labels(row).numpy(), tiny_clip.labels(row))


def test_an_edit_reaches_the_training_rays_and_restoring_takes_it_back(datamanager):
    datamanager.replace(3, torch.full_like(datamanager.original(3), 0.5))
    datamanager.train_only_on([3])
    _, batch = datamanager.next_train(0)
    assert_close(batch["image"], torch.full_like(batch["image"], 128 / 255))
    datamanager.restore()
    _, batch = datamanager.next_train(0)
    _, y, x = batch["indices"].T
    assert_close(batch["image"], datamanager.original(3)[y, x])


def test_only_the_allowed_frames_are_drawn(datamanager):
    datamanager.train_only_on([2, 7])
    _, batch = datamanager.next_train(0)
    assert set(batch["indices"][:, 0].tolist()) == {2, 7}
    datamanager.train_only_on(None)
    drawn = {row for _ in range(6) for row in datamanager.next_train(0)[1]["indices"][:, 0].tolist()}
    assert len(drawn) > 10


def test_eyes_and_mouth_are_drawn_more_often_than_their_share(datamanager):
    wanted = (Label.EYES, Label.BROWS, Label.LIPS, Label.MOUTH_INTERIOR)
    labels = torch.cat([datamanager.next_train(0)[1]["labels"] for _ in range(20)])
    everywhere = torch.stack([datamanager.labels(row) for row in range(len(datamanager))])

    def share(found):
        return sum((found == label).float().mean() for label in wanted)

    assert share(labels) > 2 * share(everywhere)


def test_a_training_ray_carries_its_frames_time_and_looks_through_its_pixel(datamanager, tiny_clip):
    bundle, batch = datamanager.next_train(0)
    row, y, x = (column.numpy() for column in batch["indices"].T)
    assert_close(bundle.times[:, 0].numpy(), tiny_clip.times[row].astype(np.float32))
    camera = tiny_clip.intrinsics
    head_to_camera = np.linalg.inv(tiny_clip.track.camera_to_head)[row]
    point = (bundle.origins + 5 * bundle.directions).numpy() * 10
    seen = np.einsum("rij,rj->ri", head_to_camera[:, :3, :3], point) + head_to_camera[:, :3, 3]
    assert_close(camera.focal_length * seen[:, 0] / -seen[:, 2] + camera.center_x, x + 0.5, atol=1e-2, rtol=0)
    assert_close(camera.center_y - camera.focal_length * seen[:, 1] / -seen[:, 2], y + 0.5, atol=1e-2, rtol=0)


def test_an_expression_seen_once_is_drawn_more_often_than_one_seen_always():
    from stage2_nerf.pixel_sampler import expression_rarity

    torch.manual_seed(0)
    expressions = 0.1 * torch.rand(40, 6)
    expressions[17] += 1
    weights = expression_rarity(expressions, highest=4.0)
    assert weights[17] == 4.0
    assert weights.min() == 1.0
    assert weights[torch.arange(40) != 17].max() < 2.0
    assert expression_rarity(expressions[:1], highest=4.0).tolist() == [1.0]


def test_held_out_frames_are_never_trained_on(tiny_clip, tiny_preset):
    config = deepcopy(tiny_preset.pipeline.datamanager)
    config.data, config.dataparser.held_out_interval = tiny_clip.root, 8
    parser = config.dataparser
    parser.data = tiny_clip.root
    train = parser.setup().get_dataparser_outputs("train")
    held_out = parser.setup().get_dataparser_outputs("val")
    assert held_out.metadata["frames"].tolist() == [4, 12]
    assert not set(train.image_filenames) & set(held_out.image_filenames)
    assert len(train.image_filenames) + len(held_out.image_filenames) == len(tiny_clip.frames)
    assert_close(train.metadata["expression_codes"], held_out.metadata["expression_codes"])


def test_the_proxies_cover_the_person(tiny_clip, tiny_preset):
    """Hardly a pixel of the person is out of the reach of both hulls: what they miss could never be rendered."""
    from stage2_nerf.portrait_model import PortraitModel

    config = deepcopy(tiny_preset.pipeline)
    config.datamanager.data = tiny_clip.root
    config.model.style_names = ()
    data = config.datamanager.setup(device="cpu", test_mode="val")
    scene = data.train_dataset
    model = config.model.setup(scene_box=scene.scene_box, num_train_data=16, metadata=scene.metadata)
    assert isinstance(model, PortraitModel)
    for row in (0, 8, 15):
        outputs = model.render_frame(data.camera(row))
        person = cv2.erode(tiny_clip.matte(row), np.ones((3, 3))) > 0.9
        assert (outputs["accumulation"][..., 0].numpy()[person] > 0).mean() > 0.995


def test_a_chunk_of_rays_that_meet_no_torso_is_rendered(tiny_clip, tiny_preset):
    """A frame of 256 x 256 has such chunks: its uppermost rows."""
    config = deepcopy(tiny_preset.pipeline)
    config.datamanager.data = tiny_clip.root
    data = config.datamanager.setup(device="cpu", test_mode="val")
    scene = data.train_dataset
    model = config.model.setup(scene_box=scene.scene_box, num_train_data=16, metadata=scene.metadata)
    model.torso_sampler.hull.zero_()
    model.torso_sampler.density.zero_()
    accumulation = model.render_frame(data.camera(3))["accumulation"]
    assert 0.1 < accumulation.mean() < 0.9


def test_a_clip_fitted_with_another_head_model_is_refused(tiny_clip):
    from stage2_nerf.clip_dataparser import PortraitClipDataParserConfig, person

    other = replace(tiny_clip, track=replace(tiny_clip.track, identity=np.zeros(3)))
    with pytest.raises(UserError, match=r"another head model.*track the video again"):
        person(other, PortraitClipDataParserConfig(), 0.1)
