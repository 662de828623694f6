"""Codes of driven avatars: near what the clip has shown, part by part of the face."""

import numpy as np
import torch
from torch.testing import assert_close

from stage2_nerf.canonical_field import CanonicalField, CanonicalFieldConfig
from stage2_nerf.encodings import BlendedEncodingConfig
from stage2_nerf.face_parts import face_parts
from stage2_nerf.nearest_mixture import ROOM_BEYOND, drawn_to, nearest_mixture
from tracking.head_model import HeadModel

NAMES = ("browInnerUp", "browDownLeft", "eyeBlinkLeft", "eyeLookUpLeft", "jawOpen", "mouthSmileLeft", "cheekPuff")
BROW, BLINK, JAW = NAMES.index("browInnerUp"), NAMES.index("eyeBlinkLeft"), NAMES.index("jawOpen")


def field(conditions: torch.Tensor) -> CanonicalField:
    torch.manual_seed(0)
    encoding = BlendedEncodingConfig("planes", (8,), blended_resolution=8)
    config = CanonicalFieldConfig(encoding, code_size=6, deformation_resolution=4)
    box = torch.tensor([[-1.0, -1, -1], [1, 1, 1]])
    return CanonicalField(config, box, conditions, None, face_parts(NAMES))


def blinking() -> torch.Tensor:
    """Open eyes that look here and there, and one blink of three frames."""
    torch.manual_seed(0)
    codes = torch.cat([0.05 * torch.randn(120, 1), torch.randn(120, 1)], dim=1)
    codes[50:53] = torch.tensor([[2.0, -0.2], [4.0, -0.4], [2.5, -0.3]])
    return codes


def test_every_expression_belongs_to_one_part():
    names = HeadModel.load().expression_names
    parts = face_parts(names)
    assert (parts.sum(dim=0) == 1).all()
    eyes, brows, mouth = ({names[index] for index in np.flatnonzero(part)} for part in parts.numpy())
    assert {"eyeBlinkLeft", "eyeLookUpRight", "eyeWideLeft"} <= eyes and "browInnerUp" in brows
    assert {"jawOpen", "mouthSmileLeft", "cheekPuff", "tongueOut"} <= mouth


def test_what_was_shown_once_stays_what_it_is():
    """The mean of the nearest codes opened the eyes again: other people's blinks were half blinks."""
    codes = blinking()
    assert_close(drawn_to(codes, codes), codes, atol=1e-3, rtol=0)


def test_between_two_that_were_shown_is_known_ground():
    codes = blinking()
    between = 0.4 * codes[50:51] + 0.6 * codes[51:52]
    assert_close(nearest_mixture(between, codes), between, atol=0.15, rtol=0)


def test_what_was_never_shown_comes_near_to_what_was():
    codes = blinking()
    never = torch.tensor([[4.0, 2.5], [-3.0, 0.0], [40.0, -40.0]])
    drawn, mixed = drawn_to(never, codes), nearest_mixture(never, codes)
    low, high = codes.amin(0), codes.amax(0)
    room = ROOM_BEYOND * (high - low) + 1e-5
    assert ((drawn <= high + room) & (drawn >= low - room)).all()
    assert ((mixed <= high + 1e-4) & (mixed >= low - 1e-4)).all()
    assert torch.cdist(drawn[:1], codes).min() < 0.8 * torch.cdist(never[:1], codes).min()


def test_codes_that_move_smoothly_are_drawn_smoothly():
    way = torch.stack([torch.linspace(-0.5, 4.5, 400), torch.linspace(-1, 1, 400)], dim=1)
    steps = np.linalg.norm(np.diff(drawn_to(way, blinking()).numpy(), axis=0), axis=1)
    assert steps.max() < 3 * float((way[1] - way[0]).norm())


def test_a_blink_is_known_with_every_mouth_once_it_was_seen_with_one():
    conditions = torch.zeros(60, len(NAMES))
    conditions[:, JAW] = torch.linspace(0, 1, 60)
    conditions[0, BLINK] = 1.0
    avatar = field(conditions)
    both = conditions[-1:].clone()
    both[0, BLINK] = 1.0
    assert_close(avatar.blend(both, seen=conditions).codes, avatar.codes(both), atol=1e-3, rtol=1e-3)
    whole = drawn_to(avatar.codes(both), avatar.codes(conditions))
    assert (whole - avatar.codes(both)).norm() > 0.1


def test_the_clips_own_expressions_are_left_as_they_are():
    conditions = torch.rand(40, len(NAMES))
    avatar = field(conditions)
    assert_close(avatar.blend(conditions, seen=conditions).codes, avatar.codes(conditions), atol=1e-3, rtol=1e-3)
    shift = torch.full((1, 6), 0.1)
    shifted = avatar.blend(conditions[:1], shift, conditions).codes
    assert_close(shifted, avatar.codes(conditions[:1]) + shift, atol=1e-3, rtol=1e-3)
