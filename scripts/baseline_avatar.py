"""What the baselines share: the box of the whole person in head space, and target and losses like the avatar's own."""

import torch
from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.models.base_model import Model
from torch import Tensor

from stage2_nerf.expression_track import to_rotation
from stage2_nerf.losses import colour_loss, matte_loss, over
from stage2_nerf.proxy_grid import ProxyGrid

BATCH_KEYS = ("image", "matte", "background")

MATTE_WEIGHT = 0.1
"""Weight of the rendered opacity's squared error, as in the avatar's own losses."""


def mean_head_to_torso(head_to_torso: Float[Tensor, "frames 4 4"]) -> Float[Tensor, "4 4"]:
    """The rigid transform in the middle of some."""
    mean = head_to_torso.mean(0)
    mean[:3, :3] = to_rotation(mean[:3, :3])
    return mean


def corners(box: Float[Tensor, "2 3"]) -> Float[Tensor, "8 3"]:
    """The corners of a box."""
    return torch.cartesian_prod(*box.T)


def whole_person_box(
    head: ProxyGrid, torso: ProxyGrid, head_to_torso: Float[Tensor, "frames 4 4"]
) -> Float[Tensor, "2 3"]:
    """Lowest and highest corner, in head space, of head and shoulders as they are in the mean of all frames."""
    torso_to_head = torch.linalg.inv(mean_head_to_torso(head_to_torso))
    shoulders = corners(torso.box) @ torso_to_head[:3, :3].T + torso_to_head[:3, 3]
    points = torch.cat([corners(head.box), shoulders])
    return torch.stack([points.amin(0), points.amax(0)])


class BaselineAvatar(Model):
    """A model that learns the person alone, over each frame's own background: to be mixed into one that renders rays.

    Its `get_outputs` gives `foreground` (premultiplied colour) and `accumulation` (opacity).
    """

    @torch.no_grad()
    def render_frame(self, camera: Cameras) -> dict[str, Tensor]:
        """Render a whole picture."""
        was_training = self.training
        self.eval()
        try:
            return self.get_outputs_for_camera(camera)
        finally:
            self.train(was_training)

    def person_losses(self, outputs: dict[str, Tensor], batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The avatar's own losses of colour and opacity."""
        image, matte, background = (in_unit_range(batch[name].to(self.device)) for name in BATCH_KEYS)
        predicted = over(outputs["foreground"], outputs["accumulation"], background)
        return {
            "colour": colour_loss(predicted, image),
            "matte": MATTE_WEIGHT * matte_loss(outputs["accumulation"], matte),
        }


def in_unit_range(values: Tensor) -> Tensor:
    """8-bit levels as numbers in [0, 1]; those that already are, as they are."""
    return values if values.is_floating_point() else values.float() / 255
