"""Colour differences are the published ones, and the way to the target is measured as gone."""

import numpy as np
import pytest

from evaluation.color_difference import ciede2000, to_lab
from evaluation.target_fit import TargetFit

# Of the 34 pairs in Sharma, Wu and Dalal (2005), table 1: those at the formula's branches.
PUBLISHED = [
    ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
    ((50.0, -1.3802, -84.2814), (50.0, 0.0, -82.7485), 1.0),
    ((50.0, 0.0, 0.0), (50.0, -1.0, 2.0), 2.3669),
    ((50.0, 2.49, -0.001), (50.0, -2.49, 0.0009), 7.1792),
    ((50.0, 2.49, -0.001), (50.0, -2.49, 0.0011), 7.2195),
    ((50.0, -0.001, 2.49), (50.0, 0.0011, -2.49), 4.7461),
    ((50.0, 2.5, 0.0), (50.0, 0.0, -2.5), 4.3065),
    ((50.0, 2.5, 0.0), (73.0, 25.0, -18.0), 27.1492),
    ((50.0, 2.5, 0.0), (58.0, 24.0, 15.0), 19.4535),
    ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ((22.7233, 20.0904, -46.694), (23.0331, 14.973, -42.5619), 2.0373),
    ((2.0776, 0.0795, -1.135), (0.9033, -0.0636, -0.5514), 0.9082),
]


@pytest.mark.parametrize(("first", "second", "difference"), PUBLISHED)
def test_published_differences(first, second, difference):
    for pair in ((first, second), (second, first)):
        assert float(ciede2000(*(np.array(color) for color in pair))) == pytest.approx(difference, abs=1e-4)


def test_differences_are_scikit_images():
    deltae = pytest.importorskip("skimage.color").deltaE_ciede2000
    random = np.random.default_rng(0)
    first, second = (random.uniform([0, -90, -90], [100, 90, 90], (5000, 3)) for _ in range(2))
    np.testing.assert_allclose(ciede2000(first, second), deltae(first, second), atol=1e-9)
    # Vector units round an angle's last place by where its array lies in memory.
    np.testing.assert_allclose(ciede2000(first, first), 0, atol=1e-9)


def painted(scene, color):
    return np.full_like(scene.picture(0), color)


def towards(source, target, share):
    return (source + share * (target.astype(float) - source)).round().astype(np.uint8)


def test_the_target_itself_fits(scene, measured):
    target = painted(scene, (180, 60, 60))
    found = measured(TargetFit(), [scene.pair(number, target, target=target) for number in range(2)])
    assert found["target_color_difference"].value == pytest.approx(0, abs=1e-9)
    assert found["target_mean_color_difference"].value == pytest.approx(0, abs=1e-9)
    assert found["target_reached"].value == pytest.approx(1)


def test_the_source_has_gone_none_of_the_way(scene, measured):
    target = painted(scene, (180, 60, 60))
    found = measured(TargetFit(), [scene.pair(0, target=target)])
    assert found["target_reached"].value == pytest.approx(0, abs=1e-9)
    expected = ciede2000(to_lab(scene.picture(0))[24:72, 24:72], to_lab(target)[24:72, 24:72]).mean()
    assert found["target_color_difference"].value == pytest.approx(float(expected))


def test_the_way_is_gone_step_by_step(scene, measured):
    target = painted(scene, (180, 60, 60))
    found = [
        measured(TargetFit("hair"), [scene.pair(0, towards(scene.picture(0), target, share), target=target)])
        for share in (0, 0.25, 0.5, 0.75, 1)
    ]
    reached = [measures["target_reached"].value for measures in found]
    assert reached == sorted(reached) and 0.3 < reached[2] < 0.7
    differences = [measures["target_color_difference"].value for measures in found]
    assert differences == sorted(differences, reverse=True)


def test_a_jitter_around_the_target_costs_what_it_is(scene, measured):
    """The mean colour is right, each frame's is not."""
    target = painted(scene, (120, 120, 120))
    costs = []
    for levels in (0, 5, 20):
        pairs = [
            scene.pair(number, painted(scene, 120 + levels * (-1) ** number), target=target) for number in range(4)
        ]
        costs.append(measured(TargetFit(), pairs)["target_color_difference"].value)
    assert costs[0] == pytest.approx(0, abs=1e-9) and costs[0] < costs[1] < costs[2]


def test_only_the_region_counts(scene, measured):
    target, edited = painted(scene, (20, 20, 200)), scene.picture(0)
    hair = scene.labels() == 6
    edited[hair] = (20, 20, 200)
    assert measured(TargetFit("hair"), [scene.pair(0, edited, target=target)])["target_reached"].value > 1 - 1e-9
    assert measured(TargetFit("person"), [scene.pair(0, edited, target=target)])["target_reached"].value < 0.6


def test_without_a_target_it_is_missing(scene, measured):
    found = measured(TargetFit(), [scene.pair(0)])
    assert all(measure.value is None and "offline" in measure.missing for measure in found.values())
    same = measured(TargetFit(), [scene.pair(0, target=scene.picture(0))])
    assert same["target_reached"].missing == "The target looks like the source."
