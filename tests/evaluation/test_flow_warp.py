"""Flicker of known size is measured as what it is; the film's own flow is found."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from evaluation.flow_warp import WORKING_SIZE, FlowWarpError
from evaluation.measurement import FramePair
from evaluation.optical_flow import DenseInverseSearch, backward_flow, warp_difference
from evaluation.raft import RaftSmall, with_torchvision_names


class ExactFlow:
    """Knows that everything moves to the right and down by so much from frame to frame."""

    def __init__(self, shift: tuple[int, int], numbers: dict[bytes, int]) -> None:
        self._shift, self._numbers = np.array(shift, np.float32), numbers

    def flow(self, origin, destination):
        frames = self._numbers[destination.tobytes()] - self._numbers[origin.tobytes()]
        return np.broadcast_to(frames * self._shift, (*origin.shape[:2], 2)).astype(np.float32).copy()


@pytest.fixture
def exact(scene):
    return ExactFlow(scene.shift, {scene.picture(number).tobytes(): number for number in range(20)})


def offset(picture, levels):
    return (picture.astype(int) + levels).astype(np.uint8)


def test_flow_of_a_known_shift(scene):
    flow, visible = backward_flow(scene.picture(0), scene.picture(1))
    np.testing.assert_allclose(np.median(flow[visible], axis=0), [-2, -1], atol=0.05)
    # What has come in from the left and the top was not in the earlier frame.
    assert visible.mean() > 0.9 and not visible[:, 0].any() and not visible[0].any()
    assert warp_difference(scene.picture(0), scene.picture(1), flow)[visible].mean() < 1e-4


def test_an_unedited_video_flickers_as_much_as_its_source(scene, measured):
    grain = np.random.default_rng(0).integers(-3, 4, (8, scene.side, scene.side, 3))
    pictures = [offset(scene.picture(number), grain[number]) for number in range(8)]
    pairs = [replace(scene.pair(number, picture), source=picture) for number, picture in enumerate(pictures)]
    found = measured(FlowWarpError(distances=(1, 4)), pairs)
    for name, measure in found.items():
        if "ratio" in name:
            assert measure.value == 1, name
        if "visible_share" in name:
            assert measure.value > 0.7


def test_flicker_between_two_levels(scene, exact, measured):
    """Every other frame is lighter by d levels: neighbours differ by d everywhere, frames two apart not at all."""
    errors = []
    for levels in (2, 8, 20):
        pairs = [scene.pair(number, offset(scene.picture(number), levels * (number % 2))) for number in range(8)]
        found = measured(FlowWarpError((1, 2), estimator=exact), pairs)
        assert found["flow_warp_error"].value == pytest.approx((levels / 255) ** 2, rel=1e-4)
        assert found["flow_warp_error_hair"].value == pytest.approx((levels / 255) ** 2, rel=1e-4)
        assert found["flow_warp_error_2_frames"].value < 1e-9
        errors.append(measured(FlowWarpError((1,)), pairs)["flow_warp_ratio"].value)
    assert 1 < errors[0] < errors[1] < errors[2]


def test_slow_drift_shows_over_long_distances(scene, exact, measured):
    pairs = [scene.pair(number, offset(scene.picture(number), number)) for number in range(12)]
    found = measured(FlowWarpError((1, 8), estimator=exact), pairs)
    assert found["flow_warp_error"].value == pytest.approx((1 / 255) ** 2, rel=1e-4)
    assert found["flow_warp_error_8_frames"].value == pytest.approx((8 / 255) ** 2, rel=1e-4)


def test_independent_noise_counts_twice(scene, exact, measured):
    """A frame's noise and that of the frame before add up: twice the variance."""
    random = np.random.default_rng(0)
    deviation = 10
    pairs = [
        scene.pair(number, (scene.picture(number) + random.normal(0, deviation, (96, 96, 3)).round()).astype(np.uint8))
        for number in range(10)
    ]
    found = measured(FlowWarpError((1,), estimator=exact), pairs)
    assert found["flow_warp_error"].value == pytest.approx(2 * (deviation**2 + 1 / 12) / 255**2, rel=0.03)


def test_shuffled_frames_flicker_more(scene, measured):
    order = np.random.default_rng(1).permutation(12)
    shuffled = [scene.pair(number, scene.picture(int(order[number]))) for number in range(12)]
    assert measured(FlowWarpError((1,)), shuffled)["flow_warp_ratio"].value > 20


def test_flicker_in_the_hair_is_the_hairs(scene, exact, measured):
    hair = scene.labels() == 6
    pairs = []
    for number in range(6):
        edited = scene.picture(number)
        edited[hair] += np.uint8(30 * (number % 2))
        pairs.append(scene.pair(number, edited))
    found = measured(FlowWarpError((1,), ("hair", "lips")), pairs)
    ratios = [found[f"flow_warp_ratio{area}"].value for area in ("", "_in_matte", "_hair")]
    assert 1 < ratios[0] < ratios[1] < ratios[2]
    assert found["flow_warp_ratio_lips"].value is None


def test_a_frame_that_was_left_out_has_no_neighbours(scene, measured):
    pairs = [scene.pair(number) for number in (0, 1, 3, 4)]
    curve = measured(FlowWarpError((1, 2)), pairs)["flow_warp_error"].curve
    assert np.isnan(curve).tolist() == [True, False, True, False]
    curve = measured(FlowWarpError((1, 2)), pairs)["flow_warp_error_2_frames"].curve
    assert np.isnan(curve).tolist() == [True, True, False, True]


def test_a_still_source_has_no_floor(scene, measured):
    still = replace(scene, shift=(0, 0))
    pairs = [still.pair(number, offset(still.picture(0), 5 * (number % 2))) for number in range(4)]
    found = measured(FlowWarpError((1,)), pairs)
    assert found["flow_warp_ratio"].value is None and "no floor" in found["flow_warp_ratio"].missing
    assert found["flow_warp_error"].value == pytest.approx((5 / 255) ** 2, rel=1e-4)


def test_without_a_matte_only_the_whole_frame_is_measured(scene, measured):
    pairs = [scene.pair(number, matte=None, labels=None) for number in range(3)]
    found = measured(FlowWarpError((1,)), pairs)
    assert found["flow_warp_ratio"].value == 1
    assert "matte" in found["flow_warp_ratio_hair"].missing


def test_large_pictures_are_shrunk_to_the_same_answer(measured):
    """The same scene at twice the working size: the drift of its colours is the same."""

    def flickering(size):
        for number in range(3):
            small = np.full((32, 64, 3), 100, np.uint8)
            small[:, 20 + number] = 140
            large = cv2.resize(small, (size, size // 2), interpolation=cv2.INTER_NEAREST)
            yield FramePair(number, number / 25, large, offset(large, 10 * (number % 2)))

    found = [measured(FlowWarpError((1,)), list(flickering(size))) for size in (WORKING_SIZE, 2 * WORKING_SIZE)]
    assert found[1]["flow_warp_error"].value == pytest.approx(found[0]["flow_warp_error"].value, rel=1e-3)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("module.fnet.conv1.weight", "feature_encoder.convnormrelu.0.weight"),
        ("module.cnet.conv2.bias", "context_encoder.conv.bias"),
        ("module.fnet.layer2.0.conv3.weight", "feature_encoder.layer2.0.convnormrelu3.0.weight"),
        ("module.cnet.layer3.0.downsample.0.bias", "context_encoder.layer3.0.downsample.0.bias"),
        ("module.update_block.encoder.convc1.weight", "update_block.motion_encoder.convcorr1.0.weight"),
        ("module.update_block.encoder.convf2.weight", "update_block.motion_encoder.convflow2.0.weight"),
        ("module.update_block.encoder.conv.bias", "update_block.motion_encoder.conv.0.bias"),
        ("module.update_block.gru.convq.weight", "update_block.recurrent_block.convgru1.convq.weight"),
        ("module.update_block.flow_head.conv2.weight", "update_block.flow_head.conv2.weight"),
    ],
)
def test_rafts_layers_have_two_names(theirs, ours):
    assert list(with_torchvision_names({theirs: None})) == [ours]


def test_raft_finds_a_known_shift(scene, shared_weights):
    raft = RaftSmall(shared_weights / "raft-small.pth")
    flow, visible = backward_flow(scene.picture(0), scene.picture(1), raft)
    assert flow.shape == (96, 96, 2)
    np.testing.assert_allclose(np.median(flow[visible], axis=0), [-2, -1], atol=0.1)
    other = DenseInverseSearch().flow(scene.picture(1), scene.picture(0))
    assert np.median(np.abs(flow - other)[visible]) < 0.2
