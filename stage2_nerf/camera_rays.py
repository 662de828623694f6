"""The rays of whole pictures, straight from their cameras.

nerfstudio's `Cameras.generate_rays` serves every lens and gathers each pixel's parameters and metadata by index, which
for a small picture takes as long as rendering it. A camera without distortion needs three numbers a pixel.
"""

import torch
from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras, CameraType
from torch import Tensor


def picture_rays(
    cameras: Cameras,
) -> tuple[Float[Tensor, "cameras height width 3"], Float[Tensor, "cameras height width 3"]]:
    """Origins and unit directions of the rays through the centres of all pixels.

    Args:
        cameras: one or more in a row, of one size.
    """
    perspective = (cameras.camera_type == CameraType.PERSPECTIVE.value).all()
    distorted = cameras.distortion_params is not None and bool((cameras.distortion_params != 0).any())
    if not perspective or distorted:
        bundles = [cameras.generate_rays(i, keep_shape=True) for i in range(len(cameras))]
        return torch.stack([one.origins for one in bundles]), torch.stack([one.directions for one in bundles])
    height, width = int(cameras.height[0]), int(cameras.width[0])
    device = cameras.device
    columns = torch.arange(width, device=device) + 0.5
    rows = torch.arange(height, device=device) + 0.5
    # Backward is +z and up is +y: OpenGL's camera.
    x = ((columns - cameras.cx) / cameras.fx)[:, None, :, None]
    y = ((cameras.cy - rows) / cameras.fy)[:, :, None, None]
    right, up, backward, position = cameras.camera_to_worlds[:, None, None].unbind(-1)
    directions = x * right + y * up - backward
    directions = directions / directions.norm(dim=-1, keepdim=True)
    return position.expand(directions.shape), directions
