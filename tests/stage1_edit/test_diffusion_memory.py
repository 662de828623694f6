"""The estimate of memory, for Stable Diffusion 1.5's own shape; its parameters are the published weights'."""

from typing import get_args

import pytest

from stage1_edit.diffusion_config import MemorySaving
from stage1_edit.diffusion_memory import GIGABYTE, WORKSPACE, estimate_memory

PARAMETERS = {"unet": 859_520_964, "vae": 83_653_863, "text_encoder": 123_060_480}
UNET = {"block_out_channels": [320, 640, 1280, 1280], "layers_per_block": 2}
VAE = {"block_out_channels": [128, 256, 512, 512]}


def need(side: int = 512, frames: int = 1, branches: int = 3, width: int = 2, saving: MemorySaving = "none"):
    return estimate_memory(PARAMETERS, UNET, VAE, (side, side), frames, branches, width, saving)


def test_weights_are_their_numbers_times_their_width() -> None:
    assert need().weights == 2 * sum(PARAMETERS.values()) == need(width=4).weights // 2
    assert need(saving="offload").weights == 2 * PARAMETERS["unet"]


def test_one_frame_of_512_pixels_in_16_bits_fits_8_gb_and_four_frames_in_32_do_not() -> None:
    """diffusers' documentation tells of 2.6 to 3.5 GB for Stable Diffusion 1.5 in fp16 at 512 pixels."""
    assert 2.2 * GIGABYTE < need().total < 4.5 * GIGABYTE
    assert need(frames=4, width=4).total > 8 * GIGABYTE


def test_what_works_grows_with_pixels_and_frames() -> None:
    assert need(side=1024).network == pytest.approx(4 * need().network)
    assert need(frames=4).network == pytest.approx(4 * need().network)
    assert need(frames=4).autoencoder == pytest.approx(4 * need().autoencoder)
    assert need(branches=1).network == pytest.approx(need().network / 3, rel=1e-6)


def test_every_saving_saves() -> None:
    totals = [need(side=768, frames=4, saving=saving).total for saving in get_args(MemorySaving)]
    assert totals == sorted(totals, reverse=True) and len(set(totals)) == 4


def test_working_memory_is_what_was_counted() -> None:
    """On torch's meta device one pass holds 65 MB for each picture in the U-Net's batch, and decoding one 386 MB."""
    assert need().network / 3 / WORKSPACE / 2**20 == pytest.approx(65, rel=0.05)
    assert need().autoencoder / WORKSPACE / 2**20 == pytest.approx(386, rel=0.2)
