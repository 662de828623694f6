"""The head's code in groups: brows do not open mouths."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from stage2_nerf.canonical_field import CanonicalField, CanonicalFieldConfig
from stage2_nerf.checkpoints import MODEL, with_code_groups
from stage2_nerf.code_groups import UPPER, acting_at, face_groups
from stage2_nerf.encodings import BlendedEncodingConfig
from stage2_nerf.nearest_mixture import ROOM_BEYOND, drawn_to, nearest_mixture

NAMES = ("browInnerUp", "browDownLeft", "eyeBlinkLeft", "eyeLookUpLeft", "eyeSquintLeft", "jawOpen", "mouthSmileLeft")
BROW, BLINK, JAW = NAMES.index("browInnerUp"), NAMES.index("eyeBlinkLeft"), NAMES.index("jawOpen")
NOSE, EYES = -0.2, 0.4
BOX = torch.tensor([[-1.0, -1, -1], [1, 1, 1]])


def groups(size: int):
    return face_groups(size, NAMES, NOSE, EYES, -1.0, 1.0)


def field(kind: Any, conditions: torch.Tensor) -> CanonicalField:
    """A field whose every parameter means something."""
    torch.manual_seed(0)
    encoding = BlendedEncodingConfig(
        kind, (8,), blended_resolution=32, hash_levels=4, log2_hashmap_size=8, hash_implementation="torch"
    )
    config = CanonicalFieldConfig(encoding, code_size=8, deformation_resolution=24)
    made = CanonicalField(config, BOX, conditions, None, groups(8))
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter)
    return made


@pytest.mark.parametrize("size", [4, 5, 8, 10, 16])
def test_every_expression_belongs_to_one_group_and_all_numbers_are_given_out(size):
    parts = groups(size)
    assert sum(part.size for part in parts) == size and min(part.size for part in parts) >= 1
    assert (torch.stack([part.conditions for part in parts]).sum(0) == 1).all()


def test_a_code_of_too_few_numbers_is_one_group():
    (only,) = groups(len(UPPER))
    assert only.conditions.all() and (only.acts == 1).all()


def test_the_mouth_acts_below_the_nose_and_the_others_above_the_eyes():
    heights = torch.linspace(-1, 1, 201)
    *upper, mouth = (acting_at(part.acts[None], 201)[0] for part in groups(8))
    assert (mouth[heights <= NOSE - 0.02] == 1).all() and (mouth[heights >= EYES + 0.02] == 0).all()
    for part in upper:
        assert_close(part + mouth, torch.ones(201))


@pytest.mark.parametrize("kind", ["planes", "hash"])
def test_brows_and_blinks_change_nothing_of_the_mouth_and_the_mouth_nothing_above_the_eyes(kind):
    rest = torch.rand(20, len(NAMES))
    avatar = field(kind, rest)
    positions = torch.rand(300, 3) * 2 - 1
    frame = torch.zeros(300, dtype=torch.long)

    def seen(raised: int | None) -> torch.Tensor:
        conditions = rest[:1].clone()
        if raised is not None:
            conditions[0, raised] += 0.5
        blended = avatar.blend(conditions)
        canonical = avatar.to_canonical(positions, frame, blended)
        # Looked up where the points are, so that only what acts at their height is compared.
        return torch.cat([canonical, avatar.encoding(positions, frame, blended.encoding)], dim=1)

    y, usual = positions[:, 1], seen(None)
    # The grids know heights up to one of their cells.
    below, above = y < NOSE - 2 / 23, y > EYES + 2 / 23
    for raised, untouched, touched in ((BROW, below, above), (BLINK, below, above), (JAW, above, below)):
        changed = (seen(raised) - usual).abs().amax(dim=1)
        assert changed[touched].median() > max(1e-3, 20 * float(changed[untouched].max())), NAMES[raised]


def test_a_checkpoint_from_before_there_were_groups_is_one_group():
    conditions = torch.rand(20, len(NAMES))
    avatar = torch.nn.Module()
    avatar.head_field = field("planes", conditions)
    whole = {f"{MODEL}{key}": value.clone() for key, value in avatar.state_dict().items()}
    earlier = {key: value for key, value in whole.items() if not key.endswith(("made_of", "acts"))}
    complete = with_code_groups(earlier, avatar)  # pyright: ignore[reportArgumentType]
    assert complete.keys() == whole.keys()
    avatar.load_state_dict({key.removeprefix(MODEL): value for key, value in complete.items()})
    codes = (conditions - conditions.mean(0)) @ avatar.head_field.condition_to_code.T
    assert_close(avatar.head_field.codes(conditions), codes)
    # What a checkpoint says of itself is left alone.
    assert with_code_groups(whole, avatar).keys() == whole.keys()  # pyright: ignore[reportArgumentType]
    assert not with_code_groups(whole, avatar)[f"{MODEL}head_field.made_of"].all()  # pyright: ignore[reportArgumentType]


def blinking() -> torch.Tensor:
    """Open eyes that look here and there, and one blink of three frames."""
    torch.manual_seed(0)
    codes = torch.cat([0.05 * torch.randn(120, 1), torch.randn(120, 1)], dim=1)
    codes[50:53] = torch.tensor([[2.0, -0.2], [4.0, -0.4], [2.5, -0.3]])
    return codes


def test_what_was_shown_once_stays_what_it_is():
    """The mean of the nearest codes opened the eyes again: other avatars' blinks were half blinks."""
    codes = blinking()
    assert_close(drawn_to(codes, codes), codes, atol=1e-3, rtol=0)


def test_between_two_that_were_shown_is_known_ground():
    codes = blinking()
    between = 0.4 * codes[50:51] + 0.6 * codes[51:52]
    assert_close(nearest_mixture(between, codes), between, atol=0.15, rtol=0)


def test_what_was_never_shown_comes_near_to_what_was():
    codes = blinking()
    never = torch.tensor([[4.0, 2.5], [-3.0, 0.0], [40.0, -40.0]])
    drawn = drawn_to(never, codes)
    low, high = codes.amin(0), codes.amax(0)
    assert (drawn <= high + ROOM_BEYOND * (high - low) + 1e-5).all()
    assert (drawn >= low - ROOM_BEYOND * (high - low) - 1e-5).all()
    mixed = nearest_mixture(never[:1], codes)
    # Shut eyes with that look there are none: the mixture is of the nearest of both kinds, and within them.
    assert (mixed >= low).all() and (mixed <= high).all()
    assert torch.cdist(drawn[:1], codes).min() < 0.8 * torch.cdist(never[:1], codes).min()


def test_codes_that_move_smoothly_are_drawn_smoothly():
    codes = blinking()
    way = torch.stack([torch.linspace(-0.5, 4.5, 400), torch.linspace(-1, 1, 400)], dim=1)
    steps = np.linalg.norm(np.diff(drawn_to(way, codes).numpy(), axis=0), axis=1)
    assert steps.max() < 12 * float((way[1] - way[0]).norm())


def test_a_group_is_drawn_whatever_the_others_do():
    """A blink that was seen with a shut mouth alone is known with an open one."""
    conditions = torch.zeros(60, len(NAMES))
    conditions[:, JAW] = torch.linspace(0, 1, 60)
    conditions[0, BLINK] = 1.0
    avatar = field("planes", conditions)
    both = conditions[-1:].clone()
    both[0, BLINK] = 1.0
    assert_close(avatar.blend(both, seen=conditions).codes, avatar.codes(both), atol=1e-3, rtol=1e-3)
