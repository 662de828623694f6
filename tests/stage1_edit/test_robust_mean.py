"""A mean that the many decide."""

import numpy as np

from stage1_edit.robust_mean import robust_mean, weighted_median


def column(*values: float) -> np.ndarray:
    return np.array(values, np.float32)[:, None]


def test_the_weighted_median_has_half_of_the_weight_on_either_side() -> None:
    assert weighted_median(column(3, 1, 2), column(1, 1, 1)) == 2
    assert weighted_median(column(3, 1, 2), column(5, 1, 1)) == 3
    assert weighted_median(column(1, 2, 3, 4), column(1, 1, 1, 1)) == 2.5
    assert weighted_median(column(1, 2, 9), column(1, 1, 0)) == 1.5
    assert weighted_median(column(1, 2), column(0, 0)) == 0


def test_views_that_agree_are_their_mean() -> None:
    values = np.tile(np.float32([0.2, -0.1, 0.3]), (5, 4, 1))
    weights = np.random.default_rng(0).uniform(0.1, 1, (5, 4))
    np.testing.assert_allclose(robust_mean(values, weights), values[0], atol=1e-6)


def test_one_view_of_seven_that_is_quite_another_counts_for_nothing() -> None:
    random = np.random.default_rng(0)
    values = (0.3 + 0.02 * random.standard_normal((7, 500, 3))).astype(np.float32)
    weights = np.ones((7, 500), np.float32)
    without = robust_mean(values[1:], weights[1:])
    values[0] = -0.6
    moved = np.abs(robust_mean(values, weights) - without)
    assert moved.max() < 0.02 and moved.mean() < 0.001
    assert abs(values.mean(0) - without).mean() > 0.1, "the plain mean would have moved"


def test_gaussian_views_are_averaged_nearly_as_well_as_by_the_mean() -> None:
    """The biweight is 95 % as efficient: its error is sqrt(1 / 0.95) of the mean's; the median's is 1.25 times that."""
    values = np.random.default_rng(0).standard_normal((200, 2000, 1)).astype(np.float32)
    error = robust_mean(values, np.ones((200, 2000), np.float32)).std()
    assert 1.0 < error * np.sqrt(200) < 1.1


def test_what_nobody_saw_is_nothing_and_one_view_is_itself() -> None:
    values = np.ones((3, 2, 3), np.float32)
    assert (robust_mean(values, np.float32([[0, 1], [0, 1], [0, 0]])) == [[0, 0, 0], [1, 1, 1]]).all()
    assert (robust_mean(values[:1], np.float32([[0, 0.2]])) == [[0, 0, 0], [1, 1, 1]]).all()
