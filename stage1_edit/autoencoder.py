"""Between pictures and latents, in 32 bits as soon as 16 turn out to overflow."""

import logging
from typing import Any

import torch

from stage1_edit.diffusion_pictures import Latents, Pixels

_logger = logging.getLogger(__name__)

BLACK = -0.98
"""What a pixel of a spoiled picture has at most; in [-1, 1]."""


class Autoencoder:
    """A pipeline's autoencoder. Latents are in 32 bits outside of it."""

    def __init__(self, vae: Any, device: torch.device) -> None:
        """Take diffusers' `AutoencoderKL` or `AutoencoderTiny`; its numbers may be turned to 32 bits."""
        self.vae = vae
        self.device = device

    def encode(self, pixels: Pixels) -> Latents:
        """The most probable latents, without the scaling of noisy ones."""
        latents = self._encode(pixels)
        if not torch.isfinite(latents).all() and torch.isfinite(pixels).all() and self.use_32_bits():
            latents = self._encode(pixels)
        return latents

    def scaled(self, latents: Latents) -> Latents:
        """Encoded latents with the mean and deviation that the denoiser was trained with."""
        mean, deviation = self._statistics(latents)
        return (latents - mean) / deviation

    def decode(self, latents: Latents) -> Pixels:
        """The picture of scaled latents."""
        pixels = self._decode(latents)
        if is_spoiled(pixels) and torch.isfinite(latents).all() and self.use_32_bits():
            pixels = self._decode(latents)
        return pixels

    def use_32_bits(self) -> bool:
        """Compute in 32 bits from now on; tells whether that is a change."""
        if self.vae.dtype == torch.float32:
            return False
        _logger.warning("The autoencoder overflowed in 16 bits, and computes in 32 from now on.")
        self.vae.to(dtype=torch.float32)
        return True

    def _encode(self, pixels: Pixels) -> Latents:
        encoded = self.vae.encode(pixels.to(self.device, self.vae.dtype))
        # AutoencoderTiny gives latents instead of how probable each is.
        latents = encoded.latents if hasattr(encoded, "latents") else encoded.latent_dist.mode()
        return latents.float()

    def _decode(self, latents: Latents) -> Pixels:
        mean, deviation = self._statistics(latents)
        return self.vae.decode((latents * deviation + mean).to(self.vae.dtype)).sample.float()

    def _statistics(self, latents: Latents) -> tuple[Latents | float, Latents | float]:
        mean, deviation = (self.vae.config.get(name) for name in ("latents_mean", "latents_std"))
        if mean is None or deviation is None:
            return 0.0, 1 / self.vae.config.scaling_factor
        mean, deviation = (latents.new_tensor(values).view(1, -1, 1, 1) for values in (mean, deviation))
        return mean, deviation / self.vae.config.scaling_factor


def is_spoiled(pixels: Pixels) -> bool:
    """Whether numbers overflowed: some are not finite, or a whole picture is black."""
    return not bool(torch.isfinite(pixels).all()) or bool((pixels.amax((1, 2, 3)) < BLACK).any())
