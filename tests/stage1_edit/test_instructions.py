import pytest

from stage1_edit.effects_color import COLORS, MAKEUP, TONES
from stage1_edit.effects_light import LIGHTS
from stage1_edit.effects_material import CHARACTERS, MATERIALS
from stage1_edit.effects_style import STYLES
from stage1_edit.instructions import Effect, parse_instruction
from stage1_edit.prompts import EditPrompt
from stage1_edit.vocabulary import FILLERS, METALS, PHRASES, SYNONYMS, vocabulary_summary, words_of
from tracking.errors import UserError


def parse(typed: str) -> tuple[Effect, ...]:
    return parse_instruction(EditPrompt.parse(typed))


@pytest.mark.parametrize(
    ("typed", "effects"),
    [
        ("hair: make it silver", [Effect("color", "silver", "hair")]),
        ("make her hair silver", [Effect("color", "silver", "hair")]),
        ("Turn him into a bronze statue!", [Effect("material", "bronze", "person")]),
        ("make him gold", [Effect("material", "gold", "person")]),
        ("a statue", [Effect("material", "marble", "person")]),
        ("head: gold", [Effect("material", "gold", "head")]),
        ("hair: gold statue", [Effect("material", "gold", "hair")]),
        ("as a pencil-sketch", [Effect("style", "pencil sketch", "person")]),
        ("Make it black and white", [Effect("style", "black and white", "person")]),
        ("light from the left", [Effect("light", "light from the left", "person")]),
        ("hair: slightly darker", [Effect("tone", "darker", "hair", 0.5)]),
        ("very pink hair", [Effect("color", "pink", "hair", 1.5)]),
        ("dark blue eyes", [Effect("color", "blue", "eyes", shade=-0.8)]),
        ("dark hair", [Effect("tone", "darker", "hair")]),
        ("a light shirt", [Effect("tone", "lighter", "clothes")]),
        ("less saturated clothes", [Effect("tone", "less saturated", "clothes")]),
        ("pink lipstick", [Effect("makeup", "lipstick", "lips", color="pink")]),
        ("ginger", [Effect("color", "ginger", "hair")]),
        ("make him green", [Effect("color", "green", "skin")]),
        ("silver hair and brows", [Effect("color", "silver", "hair"), Effect("color", "silver", "brows")]),
        ("make her hair and brows red", [Effect("color", "red", "hair"), Effect("color", "red", "brows")]),
        ("hair silver and darker", [Effect("color", "silver", "hair"), Effect("tone", "darker", "hair")]),
        ("blue eyes, pink hair", [Effect("color", "blue", "eyes"), Effect("color", "pink", "hair")]),
        ("blue eyes pink hair", [Effect("color", "blue", "eyes"), Effect("color", "pink", "hair")]),
        (
            "a gold statue with green eyes",
            [Effect("material", "gold", "person"), Effect("color", "green", "eyes")],
        ),
        (
            "silver hair and an oil painting in warm light",
            [
                Effect("color", "silver", "hair"),
                Effect("style", "oil painting", "person"),
                Effect("light", "warm light", "person"),
            ],
        ),
    ],
)
def test_an_instruction_means(typed: str, effects: list[Effect]) -> None:
    assert list(parse(typed)) == effects


@pytest.mark.parametrize("typed", ["make him sparkly", "do not make him blue", "without hair", "a watercolur", "the"])
def test_what_is_not_understood_is_refused_with_the_whole_vocabulary(typed: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(typed)
    for table in (COLORS, TONES, MAKEUP, MATERIALS, CHARACTERS, STYLES, LIGHTS):
        assert all(name in str(caught.value) for name in table)


def test_an_unknown_word_is_named_with_its_nearest_known_one() -> None:
    with pytest.raises(UserError, match=r"'watercolur'.*did you mean 'watercolo"):
        parse("a watercolur")


def test_a_text_that_names_a_part_outside_the_region_is_refused() -> None:
    with pytest.raises(UserError, match=r"hair.*lips"):
        parse("hair: make the lips red")


def test_every_effect_can_be_asked_for_by_its_name() -> None:
    tables = {"color": COLORS, "tone": TONES, "material": MATERIALS, "character": CHARACTERS}
    tables |= {"makeup": MAKEUP, "style": STYLES, "light": LIGHTS}
    for kind, names in tables.items():
        for name in names:
            typed = f"hair: {name}" if kind == "color" else name
            (effect,) = parse(typed)
            assert (effect.kind, effect.name) == (kind, name)


def test_every_synonym_means_an_effect_that_exists() -> None:
    tables = {"color": COLORS, "tone": TONES, "material": MATERIALS, "metal": METALS}
    tables |= {"makeup": MAKEUP, "style": STYLES, "light": LIGHTS}
    for (kind, name), phrases in SYNONYMS.items():
        assert name in tables[kind]
        for phrase in phrases.split(", "):
            assert parse(phrase)[0].name == name, phrase


def test_no_phrase_is_lost_among_the_fillers() -> None:
    assert () not in PHRASES
    assert all(word not in FILLERS for phrase in PHRASES for word in phrase)


def test_make_up_is_one_word_and_possessives_lose_their_ending() -> None:
    assert words_of("The man's make-up; red & blue") == ["the", "man", "makeup", ",", "red", "and", "blue"]


def test_the_summary_fits_a_message() -> None:
    assert len(vocabulary_summary()) < 1500
