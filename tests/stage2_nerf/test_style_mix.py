"""What a person types to choose looks."""

import pytest

from stage1_edit.prompts import EditPrompt
from stage2_nerf.style_mix import Timeline, find_prompt, parse_blend, parse_region_mix, parse_timeline
from tracking.errors import UserError

HAIR = EditPrompt("make it silver", "hair")
BRONZE = EditPrompt("turn him into a bronze statue")
MARBLE = EditPrompt("turn him into a marble statue")
PROMPTS = [HAIR, BRONZE, MARBLE]


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("0", None),
        ("original", None),
        ("2", BRONZE),
        ("hair: make it silver", HAIR),
        ("make it silver", HAIR),
        ("bronze", BRONZE),
        ("Marble", MARBLE),
        ("silver", HAIR),
    ],
)
def test_a_prompt_is_meant_by_number_text_or_a_telling_word(asked: str, meant: EditPrompt | None) -> None:
    assert find_prompt(asked, PROMPTS) == meant


@pytest.mark.parametrize(
    ("asked", "said"),
    [("statue", "fits 2 prompts"), ("gold", "no prompt 'gold'"), ("4", "no prompt '4'"), ("", "no prompt ''")],
)
def test_a_name_that_fits_none_or_several_lists_them_all(asked: str, said: str) -> None:
    with pytest.raises(UserError, match=f"{said}.*0: the unedited avatar; 1: hair: make it silver; 2: turn him"):
        find_prompt(asked, PROMPTS)


def test_a_blend_is_made_to_sum_to_one_and_says_what_it_summed_to() -> None:
    assert parse_blend("0.7*bronze + 0.3*original", PROMPTS) == ({BRONZE: 0.7}, 1.0)
    assert parse_blend("3*bronze+1*marble", PROMPTS) == ({BRONZE: 0.75, MARBLE: 0.25}, 4.0)
    assert parse_blend("bronze", PROMPTS) == ({BRONZE: 1.0}, 1.0)
    assert parse_blend("1*original + 0*bronze", PROMPTS) == ({}, 1.0)


@pytest.mark.parametrize("typed", ["-1*bronze", "x*bronze", "nan*bronze", "inf*bronze", "0*bronze", "0.5*gold"])
def test_an_impossible_blend_is_refused(typed: str) -> None:
    with pytest.raises(UserError):
        parse_blend(typed, PROMPTS)


def test_a_timeline_is_pure_away_from_its_changes_and_half_and_half_at_them() -> None:
    timeline = parse_timeline(["2=bronze", "6=0.5*marble + 0.5*original"], 1.0, PROMPTS)
    assert timeline.at(0) == timeline.at(1.4) == {}
    assert timeline.at(2.0) == {BRONZE: 0.5}
    assert timeline.at(3) == timeline.at(5.5) == {BRONZE: 1.0}
    assert timeline.at(6.0) == {BRONZE: 0.5, MARBLE: 0.25}
    assert timeline.at(100) == {MARBLE: 0.5}


@pytest.mark.parametrize("fade", [0.0, 0.3, 1.0, 5.0])
def test_weights_never_change_faster_than_the_fades_allow(fade: float) -> None:
    timeline = Timeline((0.0, 1.0, 1.5, 4.0), ({}, {BRONZE: 1.0}, {HAIR: 1.0}, {}), fade)
    shortest = min(fade, 0.5)
    step = 1e-3
    for index in range(6000):
        now, soon = timeline.at(index * step), timeline.at((index + 1) * step)
        for prompt in PROMPTS:
            change = abs(now.get(prompt, 0.0) - soon.get(prompt, 0.0))
            assert change <= (step / shortest if shortest else 1.0) + 1e-9
        assert 0 <= sum(now.values()) <= 1 + 1e-9


def test_without_a_fade_a_look_takes_over_at_its_time() -> None:
    timeline = parse_timeline(["1=bronze"], 0.0, PROMPTS)
    assert timeline.at(0.999) == {}
    assert timeline.at(1.0) == {BRONZE: 1.0}


@pytest.mark.parametrize("typed", [["bronze"], ["-1=bronze"], ["1=bronze", "1.0=marble"], ["x=1"]])
def test_an_unreadable_timeline_is_refused(typed: list[str]) -> None:
    with pytest.raises(UserError):
        parse_timeline(typed, 0.5, PROMPTS)


def test_regions_get_looks_of_their_own() -> None:
    assert parse_region_mix("hair=2, clothes=0.5*1+0.5*0", PROMPTS) == {"hair": {BRONZE: 1.0}, "clothes": {HAIR: 0.5}}
    for typed in ("nose=1", "hair", "hair=1,hair=2", "hair=gold"):
        with pytest.raises(UserError):
            parse_region_mix(typed, PROMPTS)
