"""CLIP (Radford et al., ICML 2021): pictures and sentences as directions in one space.

The one file of evaluation that imports transformers. Weights are read from a folder or a cache; nothing is downloaded.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float

from evaluation.measurement import Picture
from tracking.errors import UserError

if TYPE_CHECKING:
    from transformers import CLIPModel

MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)
"""Of the colours of CLIP's training pictures, in [0, 1]: what its inputs are normalised by."""

Direction = Float[np.ndarray, "dimensions"]
"""Of length 1."""


class ImageTextModel(Protocol):
    """Gives pictures and sentences directions that can be compared."""

    def picture(self, picture: Picture) -> Direction:
        """A picture's direction."""
        ...

    def text(self, text: str) -> Direction:
        """A sentence's direction."""
        ...


class Clip:
    """CLIP as transformers has it."""

    def __init__(self, model: "CLIPModel", tokenizer: Any, device: torch.device | str = "cpu") -> None:
        self._device = torch.device(device)
        # Its own annotations leave the parts' configurations open.
        self._model: Any = model
        self._model.eval().to(self._device)
        self._tokenizer = tokenizer

    def picture(self, picture: Picture) -> Direction:
        """The direction of a picture's middle square, at the size that the network was trained with."""
        size = self._model.config.vision_config.image_size
        height, width = picture.shape[:2]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        square = torch.from_numpy(np.ascontiguousarray(picture[top : top + side, left : left + side]))
        image = square.to(self._device).permute(2, 0, 1)[None].float() / 255
        image = F.interpolate(image, (size, size), mode="bicubic", align_corners=False, antialias=True).clamp(0, 1)
        mean, deviation = (torch.tensor(values, device=self._device).view(1, 3, 1, 1) for values in (MEAN, DEVIATION))
        with torch.inference_mode():
            pooled = self._model.vision_model(pixel_values=(image - mean) / deviation).pooler_output
            return _direction(self._model.visual_projection(pooled))

    def text(self, text: str) -> Direction:
        """The direction of a sentence; of long ones, of the first 77 tokens."""
        tokens = self._tokenizer([text], padding=True, truncation=True, return_tensors="pt").to(self._device)
        with torch.inference_mode():
            pooled = self._model.text_model(
                input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]
            ).pooler_output
            return _direction(self._model.text_projection(pooled))


def load_clip(folder: Path, device: torch.device | str = "cpu") -> Clip:
    """CLIP from a folder that transformers saved, without the network.

    Raises:
        ImportError: transformers is not installed.
        UserError: the folder is not CLIP's, or not whole.
    """
    try:
        from transformers import CLIPModel, CLIPTokenizer
    except ImportError as error:
        raise ImportError("CLIP needs transformers: bash scripts/install.sh diffusion") from error
    try:
        model = CLIPModel.from_pretrained(folder, local_files_only=True)
        tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise UserError(f"{folder} does not hold a whole CLIP: download it again, or name another folder.") from error
    return Clip(model, tokenizer, device)


def _direction(embedding: torch.Tensor) -> Direction:
    values = embedding[0].double().cpu().numpy()
    return values / np.linalg.norm(values)
