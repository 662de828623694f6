"""Views from the side end before the far side; filmed views do not."""

import math

import pytest
import torch

from stage2_nerf.near_side import MARGIN, MARGIN_IN_FRONT, MIDDLE, STRETCH, near_side_end, near_side_margin


@pytest.mark.parametrize("part", ["head", "torso"])
@pytest.mark.parametrize("degrees", [0.0, 25.0, -60.0])
def test_rays_that_touch_the_ellipsoid_end_where_they_touch_it(part: str, degrees: float) -> None:
    """Parallel rays at its outline, in the level plane through its middle: the plane holds the points of contact."""
    depth = 1.2
    width = depth / STRETCH[part][0]
    angle = math.radians(degrees)
    direction = torch.tensor([math.sin(angle), 0.0, -math.cos(angle)])
    # On x = (width cos a, depth sin a) the normal (cos a / width, sin a / depth) is level with the direction.
    contact = math.atan2(-direction[0] / width, direction[2] / depth)
    for turn in (0.0, math.pi):
        around = contact + turn
        point = torch.tensor(MIDDLE[part]) + torch.tensor([width * math.cos(around), 0.0, depth * math.sin(around)])
        normal = torch.tensor([math.cos(around) / width, 0.0, math.sin(around) / depth])
        assert abs(float(normal @ direction)) < 1e-5
        end = near_side_end((point - 7 * direction)[None], direction[None], part, 0.0)
        assert float(end) == pytest.approx(7, abs=1e-4)


def test_a_margin_goes_so_far_behind_the_plane() -> None:
    origin, direction = torch.tensor([[0.3, 0.1, 9.0]]), torch.tensor([[0.0, 0.0, -1.0]])
    without, with_margin = (float(near_side_end(origin, direction, "head", margin)) for margin in (0.0, 0.25))
    assert without == pytest.approx(9.4) and with_margin == pytest.approx(9.65)


def test_a_ray_straight_down_on_the_torso_does_not_end() -> None:
    down = torch.tensor([[0.0, -1.0, 0.0]])
    assert torch.isinf(near_side_end(torch.tensor([[0.5, 3.0, 0.2]]), down, "torso", 0.1)).all()


def test_the_filmed_view_shows_everything_and_the_plane_comes_near_steadily() -> None:
    assert near_side_margin(0.0) is None
    margins = [near_side_margin(yaw) or 0.0 for yaw in (0.01, 5, 10, 20, 25, 60)]
    assert margins[0] == pytest.approx(MARGIN_IN_FRONT, abs=0.01)
    assert margins == sorted(margins, reverse=True) and margins[3:] == pytest.approx([MARGIN] * 3)
    assert near_side_margin(-10) == near_side_margin(10)
