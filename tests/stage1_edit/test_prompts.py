import pytest

from stage1_edit.prompts import EditPrompt
from tracking.errors import UserError


@pytest.mark.parametrize(
    ("typed", "prompt"),
    [
        ("make him bronze", EditPrompt("make him bronze", "person")),
        (" Hair :  make   it silver ", EditPrompt("make it silver", "hair")),
        ("lips: red: very", EditPrompt("red: very", "lips")),
    ],
)
def test_a_prompt_is_read(typed: str, prompt: EditPrompt) -> None:
    assert EditPrompt.parse(typed) == prompt
    assert EditPrompt.parse(str(prompt)) == prompt


@pytest.mark.parametrize("typed", ["", "  ", "hair:", "tail: make it wag"])
def test_an_empty_prompt_or_an_unknown_region_is_refused(typed: str) -> None:
    with pytest.raises(UserError):
        EditPrompt.parse(typed)
