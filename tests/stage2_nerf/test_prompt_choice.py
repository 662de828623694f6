"""What `portrait-render --prompt` means."""

import pytest

from stage1_edit.prompts import EditPrompt
from stage2_nerf.render_looks import choose_prompts
from tracking.errors import UserError

HAIR, STATUE = EditPrompt("make it silver", "hair"), EditPrompt("turn him into a bronze statue")


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("0", [None]),
        ("1", [HAIR]),
        ("2", [STATUE]),
        ("hair: make it silver", [HAIR]),
        ("bronze", [STATUE]),
        ("make it silver", [HAIR]),
        ("turn him into a bronze statue", [STATUE]),
        ("all", [HAIR, STATUE]),
    ],
)
def test_a_prompt_is_named_by_number_or_text(asked: str, meant: list[EditPrompt | None]) -> None:
    assert choose_prompts(asked, [HAIR, STATUE]) == meant


@pytest.mark.parametrize("asked", ["3", "-1", "make it gold", ""])
def test_an_unknown_prompt_is_answered_with_those_there_are(asked: str) -> None:
    with pytest.raises(UserError, match=r"1: hair: make it silver; 2: turn him into a bronze statue"):
        choose_prompts(asked, [HAIR, STATUE])


def test_a_run_without_prompts_renders_the_unedited_avatar() -> None:
    assert choose_prompts("1", []) == [None]
    with pytest.raises(UserError, match="0: the unedited avatar"):
        choose_prompts("2", [])
