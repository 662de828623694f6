"""What the probe takes for disagreement."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from probe_attention import SpoiledProcessor, as_table, disagreement

from stage1_edit.editor import EditRequest
from stage1_edit.frame_geometry import FrameGeometry
from stage1_edit.prompts import EditPrompt
from tracking.cameras import project
from tracking.clip import Intrinsics

SIDE = 48


def wall(shift: float) -> EditRequest:
    """A grey frame of a square wall, so many centimetres to the right."""
    corners = [[-4.0, -4, -20], [4, -4, -20], [4, 4, -20], [-4, 4, -20]]
    vertices = np.add(corners, [shift, 0, 0])
    camera = Intrinsics(SIDE, SIDE / 2, SIDE / 2, SIDE, SIDE)
    shape = FrameGeometry(vertices, np.array([[0, 1, 2], [0, 2, 3]]), camera, project(vertices, camera), 2)
    grey, labels = torch.full((SIDE, SIDE, 3), 0.5), torch.ones(SIDE, SIDE, dtype=torch.uint8)
    matte, generator = torch.ones(SIDE, SIDE, 1), torch.Generator()
    return EditRequest(EditPrompt("x"), grey, grey, matte, labels, 1.0, generator, geometry=shape)


def stripes(shift: float = 0.0) -> torch.Tensor:
    columns = torch.arange(SIDE) - shift * SIDE / 20
    return (0.5 + 0.2 * torch.sin(columns / 3)).expand(SIDE, SIDE)[..., None].repeat(1, 1, 3)


def test_edits_agree_that_stick_to_the_surface_and_no_others() -> None:
    requests = [wall(0.0), wall(2.0)]
    assert disagreement(torch.stack([stripes(), stripes(2.0)]), requests) < 0.01
    assert disagreement(torch.stack([stripes(), stripes()]), requests) > 0.05


def test_an_edit_of_another_brightness_disagrees_by_half_of_the_difference() -> None:
    requests = [wall(0.0), replace(wall(0.0))]
    edits = torch.stack([torch.full((SIDE, SIDE, 3), level) for level in (0.6, 0.8)])
    assert disagreement(edits, requests) == pytest.approx(0.1, abs=1e-4)


def test_attention_that_is_spoiled_sees_what_it_is_said_to_see() -> None:
    from diffusers.models.attention_processor import Attention

    torch.manual_seed(0)
    attn, tokens = Attention(query_dim=16, heads=2, dim_head=8).eval(), torch.randn(4, 6, 16)
    with torch.no_grad():
        assert SpoiledProcessor("nothing attended", 2)(attn, tokens).abs().max() == 0
        placeless = SpoiledProcessor("no places", 2)(attn, tokens)
        torch.testing.assert_close(placeless, attn(tokens).mean(1, keepdim=True).expand_as(tokens))
        other = SpoiledProcessor("another frame", 2)(attn, tokens)
        swapped = attn(tokens[[0]], encoder_hidden_states=tokens[[1]])
    torch.testing.assert_close(other[[0]], swapped)


def test_the_table_has_every_number_under_its_prompt() -> None:
    numbers = {"hair": 1.5, "bronze": 25.0}
    table = as_table({prompt: {"changed by": {"no places": number}} for prompt, number in numbers.items()})
    assert [column.header for column in table.columns] == ["", "hair", "bronze"]
    assert [[*column.cells][1] for column in table.columns] == ["  no places", "1.50", "25.00"]
