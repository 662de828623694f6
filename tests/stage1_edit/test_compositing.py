import numpy as np
import pytest
import torch

from stage1_edit.compositing import composite, region_mask, region_weights, training_mask
from stage1_edit.portrait import Portrait
from tracking.regions import REGIONS, is_in_region

TILES = ("hair", "face", "ears", "neck", "clothes")
"""Regions that cover the person without overlap."""


def mask_of(portrait: Portrait, region: str) -> torch.Tensor:
    return region_mask(torch.from_numpy(portrait.labels), torch.from_numpy(portrait.matte)[..., None], region)


def test_the_person_is_the_matte(portrait: Portrait) -> None:
    np.testing.assert_array_equal(mask_of(portrait, "person")[..., 0].numpy(), portrait.matte)


@pytest.mark.parametrize("region", REGIONS)
def test_a_mask_is_0_away_from_its_region_and_full_inside(region: str, portrait: Portrait) -> None:
    mask = mask_of(portrait, region)[..., 0].numpy()
    assert mask.min() >= 0 and (mask <= portrait.matte + 1e-6).all()
    assert (mask[portrait.matte == 0] == 0).all()
    if region == "person":
        return
    inside = is_in_region(portrait.labels, region)
    # The feather is 0.012 of 96 pixels, so one pixel.
    rows, columns = np.nonzero(inside)
    near = np.zeros_like(inside)
    for row in (-1, 0, 1):
        for column in (-1, 0, 1):
            near[np.clip(rows + row, 0, 95), np.clip(columns + column, 0, 95)] = True
    assert (mask[~near] == 0).all()
    assert mask[inside].mean() > 0.5


def test_tiling_regions_add_up_to_the_matte(portrait: Portrait) -> None:
    total = sum(region_weights(portrait.labels, portrait.matte, region) for region in TILES)
    np.testing.assert_allclose(total[portrait.labels > 0], portrait.matte[portrait.labels > 0], atol=1e-5)


def test_a_larger_feather_reaches_farther(portrait: Portrait) -> None:
    near, far = (region_weights(portrait.labels, portrait.matte, "lips", feather) for feather in (0.012, 0.05))
    assert (far > 0).sum() > 1.3 * (near > 0).sum()


def test_unmasked_pixels_keep_their_value() -> None:
    generator = torch.Generator().manual_seed(0)
    original, edited = (torch.rand(8, 8, 3, generator=generator) for _ in range(2))
    mask = torch.zeros(8, 8, 1)
    mask[2:5], mask[5:] = 0.25, 1.0
    edited[0] = float("nan")
    result = composite(edited, original, mask)
    assert torch.equal(result[:2], original[:2])
    assert torch.equal(result[5:], edited[5:])
    torch.testing.assert_close(result[2:5], 0.75 * original[2:5] + 0.25 * edited[2:5])


def test_an_unknown_region_is_a_bug(portrait: Portrait) -> None:
    with pytest.raises(KeyError):
        mask_of(portrait, "tail")


def test_a_part_is_trained_on_whole_as_far_as_its_mask_reaches_and_blended_once(portrait: Portrait) -> None:
    """Pasted back through the mask, what was trained on gives exactly the frame that was edited by itself."""
    original = torch.from_numpy(portrait.image)
    labels, matte = torch.from_numpy(portrait.labels), torch.from_numpy(portrait.matte)[..., None]
    edit = 1 - original
    for region in ("hair", "lips", "clothes", "person"):
        trained = composite(edit, original, training_mask(labels, matte, region))
        mask = region_mask(labels, matte, region)
        assert torch.equal(trained[mask[..., 0] == 0], original[mask[..., 0] == 0]), region
        if region != "person":
            torch.testing.assert_close(composite(trained, original, mask), composite(edit, original, mask))
        else:
            torch.testing.assert_close(trained, composite(edit, original, matte))
