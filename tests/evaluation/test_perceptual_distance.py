"""LPIPS is torchmetrics', with AlexNet's features from a file: random ones here, for which it is defined as well."""

import socket

import numpy as np
import pytest
import torch
import torchvision
from torchmetrics.functional.image import lpips as theirs

from evaluation.perceptual_distance import PerceptualDistance, load_alexnet, perceptual_difference
from evaluation.weights import ALEXNET
from tracking.errors import UserError


@pytest.fixture(scope="module")
def features():
    """Random features of AlexNet, as torchvision names them; the classifier's 58 million numbers are not needed."""
    torch.manual_seed(0)
    return {
        name: value.clone()
        for name, value in torchvision.models.alexnet(weights=None).state_dict().items()
        if name.startswith("features.")
    }


@pytest.fixture(scope="module")
def folder(features, tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    torch.save(features, folder / ALEXNET.files[0])
    return folder


@pytest.fixture
def network(folder, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "create_connection", refuse)
    return load_alexnet(folder)


def noisy(picture, deviation):
    noise = np.random.default_rng(0).normal(0, deviation, picture.shape)
    return np.clip(picture + noise, 0, 255).round().astype(np.uint8)


def test_lpips_is_torchmetrics(scene, network, features, monkeypatch):
    def alexnet(weights=None):
        built = original(weights=None)
        built.load_state_dict(features, strict=False)
        return built

    original = torchvision.models.alexnet
    monkeypatch.setattr(torchvision.models, "alexnet", alexnet)
    first, second = scene.picture(0), noisy(scene.picture(0), 20)
    expected = theirs.learned_perceptual_image_patch_similarity(
        *(torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255 for picture in (first, second)),
        net_type="alex",
        normalize=True,
    )
    whole, places = perceptual_difference(network, first, second)
    assert whole == pytest.approx(float(expected), rel=1e-3)
    assert places.shape == first.shape[:2]
    assert places.mean() == pytest.approx(whole, rel=0.2)


def test_lpips_grows_with_noise(scene, network, measured):
    values = []
    for deviation in (0, 5, 20, 60):
        pairs = [scene.pair(number, noisy(scene.picture(number), deviation)) for number in range(2)]
        values.append(measured(PerceptualDistance(network), pairs))
    for area in ("", "_in_matte", "_mouth", "_eyes"):
        curve = [found[f"lpips{area}"].value for found in values]
        assert curve[0] == 0
        assert curve == sorted(curve) and curve[-1] > 2 * curve[1] > 0


def test_a_difference_is_where_it_is(scene, network, measured):
    edited = scene.picture(0)
    edited[40:56, 40:56] = noisy(edited, 80)[40:56, 40:56]
    found = measured(PerceptualDistance(network), [scene.pair(0, edited)])
    assert found["lpips_in_matte"].value > 1.5 * found["lpips"].value


def test_a_file_of_something_else_is_refused(tmp_path):
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / ALEXNET.files[0])
    with pytest.raises(UserError, match="AlexNet"):
        load_alexnet(tmp_path)
