"""The near side of a person: what a view may show from where nobody filmed.

From the front the depth of an outline is hardly seen: hair edges, ears and shoulders may come to lie anywhere along
their rays, as far back as the shells reach, and from the side they smear. But a view never shows a body's far side.
Head and torso are taken for ellipsoids; the points where rays touch one, its outline, lie in one plane through its
middle, and what is visible lies before that plane. Rays of a camera that has swung away end there.

Filmed views are not cut: they show what they were trained to show, wherever it lies. The plane comes near as the camera
swings away, so that nothing disappears at once.
"""

import torch
from jaxtyping import Float
from torch import Tensor

MIDDLE = {"head": (0.0, 0.2, -0.4), "torso": (0.0, 0.0, 0.05)}
"""Of each part in its own space, in scene units: the skull's, and the torso's axis at its height."""
STRETCH = {"head": (1.0, 1.0, 1.0), "torso": (0.48, 0.0, 1.0)}
"""What makes a ball of each part: half depth over half size along x, y and z. The torso goes on downwards."""
MARGIN = 0.25
"""How far behind the plane there may still be something, in scene units, when the camera is far to the side."""
MARGIN_IN_FRONT = 1.6
"""The same as the camera leaves the filmed view: nothing of the shells is farther behind it."""
WHOLLY_ASIDE = 20.0
"""Degrees of yaw from which on the margin is the least."""


def near_side_margin(yaw: float) -> float | None:
    """How far behind the plane a view may show something, in scene units; none where it shows everything.

    Args:
        yaw: degrees by which the camera has swung away from the filmed view.
    """
    if yaw == 0:
        return None
    aside = min(abs(yaw) / WHOLLY_ASIDE, 1.0)
    return MARGIN_IN_FRONT + aside * (MARGIN - MARGIN_IN_FRONT)


def near_side_end(
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    part: str,
    margin: float | Float[Tensor, "rays"],
) -> Float[Tensor, "rays"]:
    """Distance at which each ray leaves the near side of a part.

    For an ellipsoid with middle c that the diagonal matrix S makes a ball, a ray of direction d touches it where
    (x - c) . S^2 d = 0: that is the plane.

    Args:
        origins: in the part's space, in scene units.
        directions: of unit length.
        part: head or torso.
        margin: how far behind the plane to go on, in scene units; each ray may have its own.
    """
    middle, stretch = (torch.tensor(values[part], device=origins.device) for values in (MIDDLE, STRETCH))
    normals = directions * stretch**2
    normals = normals / normals.norm(dim=-1, keepdim=True).clamp(min=1e-6)
    before = ((middle - origins) * normals).sum(-1)
    # A ray along the plane, straight down on a torso, has no far side.
    approach = (directions * normals).sum(-1)
    return torch.where(approach > 1e-3, (before + margin) / approach.clamp(min=1e-3), torch.inf)
