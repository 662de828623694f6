"""The words that instructions may use, and what each means.

The names of effects come from the tables of the effects themselves; here are their synonyms, the words for parts of the
person, for more and less, and the words that say nothing.
"""

import re
from dataclasses import dataclass

from stage1_edit.effects_color import COLORS, MAKEUP, TONES
from stage1_edit.effects_light import LIGHTS
from stage1_edit.effects_material import CHARACTERS, MATERIALS
from stage1_edit.effects_style import STYLES

FILLERS = frozenset(
    re.findall(
        r"\S+",
        """a an the this that it its his hers her their them him he she they me my i you your please can could would
        turn turned make making made give giving get put apply change changed convert transform paint painted draw drawn
        dye dyed wear wearing render show showing look looks looking like as into to in on of at for by from is be are
        become becomes was were has have add use let so all more some style styled effect colour color colored coloured
        picture image photo photograph portrait version person man woman guy girl boy lady someone shot every entire
        whole real nice one kind""",
    )
)
"""Words that say nothing here. "More" is one of them: the words of `TONES` are comparatives already."""
SEPARATORS = frozenset({",", "and", "with", "then", "plus", "but", "while", "also"})

REGION_WORDS: dict[str, str] = {
    "hair": "hair hairs haired hairstyle curls locks",
    "brows": "brow brows eyebrow eyebrows",
    "eyes": "eye eyes eyed iris irises",
    "lips": "lip lips",
    "mouth": "mouth",
    "skin": "skin skinned complexion",
    "face": "face",
    "head": "head",
    "ears": "ear ears",
    "neck": "neck",
    "clothes": "clothes clothing cloth shirt t-shirt tshirt jacket suit coat dress sweater top outfit blouse hoodie",
    "person": "body everything everywhere",
}
INTENSITIES: dict[float, str] = {
    0.5: "slightly subtle subtly bit little somewhat gently faint faintly touch natural",
    1.5: "very strong strongly much really extremely heavy heavily intense intensely bold",
}
SHADES: dict[str, float] = {"dark": -0.8, "deep": -0.4, "bright": 0.35, "light": 0.8, "pastel": 0.8, "pale": 0.8}
"""Words that make the colour after them darker or lighter."""

SYNONYMS: dict[tuple[str, str], str] = {
    ("color", "grey"): "gray, greyish, grayish",
    ("color", "blonde"): "blond, flaxen",
    ("color", "pale"): "paler",
    ("color", "purple"): "indigo, plum",
    ("color", "turquoise"): "aqua, aquamarine",
    ("color", "magenta"): "fuchsia",
    ("color", "lavender"): "lilac",
    ("color", "burgundy"): "maroon, wine",
    ("color", "crimson"): "scarlet, ruby",
    ("color", "beige"): "cream, ivory",
    ("color", "olive"): "khaki",
    ("color", "ginger"): "redhead",
    ("color", "brown"): "hazel, chocolate",
    ("metal", "gold"): "golden, brass",
    ("metal", "silver"): "silvery",
    ("material", "silver"): "steel, chrome",
    ("material", "stone"): "granite, rock, concrete",
    ("material", "wood"): "wooden",
    ("tone", "darker"): "darken, darkened, dark, dim",
    ("tone", "lighter"): "lighten, brighter, brighten, bright",
    ("tone", "more saturated"): "saturated, vivid, colourful, colorful, deep",
    ("tone", "less saturated"): "desaturated, muted, less colourful, less colorful, dull",
    ("tone", "more contrast"): "contrast, contrasty, high contrast",
    ("tone", "less contrast"): "low contrast, flat",
    ("makeup", "lip gloss"): "gloss, lipgloss",
    ("makeup", "blush"): "rouge",
    ("makeup", "eyeshadow"): "eye shadow",
    ("makeup", "eyeliner"): "eye liner, kohl, mascara",
    ("makeup", "tan"): "tanned, suntan, sun tan, suntanned",
    ("style", "pencil sketch"): "pencil, pencil drawing, sketch, drawing",
    ("style", "charcoal"): "charcoal drawing, charcoal sketch",
    ("style", "oil painting"): "oil, oil paint, painting, oils",
    ("style", "van gogh"): "van gogh painting, gogh, vincent van gogh",
    ("style", "watercolor"): "watercolour, watercolor painting, watercolour painting, aquarelle, water color",
    ("style", "cartoon"): "cartoon character, toon",
    ("style", "comic"): "comic book, comic strip, comics, graphic novel",
    ("style", "anime"): "anime character, manga",
    ("style", "pop art"): "warhol, andy warhol, screen print",
    ("style", "black and white"): "monochrome, greyscale, grayscale, black white, black and white film",
    ("style", "film noir"): "noir",
    ("style", "old film"): "silent film, silent movie, old movie, vintage film, vintage, 1920s",
    ("style", "faded film"): "faded, 1970s, 70s, polaroid, retro",
    ("style", "technicolor"): "technicolour, 1950s, 50s",
    ("light", "warm light"): "warm, warmer, warm lighting, warmly lit",
    ("light", "cold light"): "cold, cool, colder, cooler, cool light, cold lighting",
    ("light", "light from the left"): (
        "light left, lit left, left light, lighting left, side light, side lit, sidelight, light left side"
    ),
    ("light", "light from the right"): "light right, lit right, right light, lighting right, light right side",
    ("light", "golden hour"): "golden hour light, sunset, sunset light",
    ("light", "moonlight"): "moonlit, moon light, night",
    ("light", "neon light"): "neon, neon lights, neon lighting, cyberpunk",
    ("light", "candlelight"): "candle light, candlelit, firelight, fire light",
}
"""Other words for an effect, by its kind and name; `metal` is one of `METALS`."""
METALS = ("bronze", "copper", "gold", "silver")
"""Words for both a material and a colour: hair turns silver in colour, a person in substance."""
SOLIDS: dict[str, str | None] = {
    "statue": "marble",
    "sculpture": "marble",
    "bust": "marble",
    "sculpted": "marble",
    "carved": "marble",
    "metal": "silver",
    "metallic": "silver",
    "figurine": None,
    "solid": None,
}
"""Words that say, beside a material, that it is one; and the material that they mean alone."""
HAIR_COLORS = frozenset({"blonde", "platinum", "ginger", "auburn", "brunette", "strawberry", "chestnut"})
MAKEUP_REGIONS = {"lipstick": "lips", "lip gloss": "lips", "blush": "skin", "freckles": "skin", "tan": "skin"}
FULL_MAKEUP = ("eyeshadow", "eyeliner", "blush", "lipstick")


@dataclass(frozen=True)
class Term:
    """A known phrase, understood."""

    kind: str
    """A kind of effect, or `separator`, `region`, `intensity`, `metal`, `solid`, `light noun`."""
    value: str


def words_of(text: str) -> list[str]:
    """Lower-case words and commas. Hyphens part words, possessives lose their ending, and "make up" is one word."""
    text = re.sub(r"make[\s-]?up\b", "makeup", text.lower())
    text = re.sub(r"['\u2019]s\b", "", text)
    return re.findall(r"[^\W_]+|,", text.replace(";", ",").replace("&", " and ").replace("+", " and "))


def _known_phrases() -> dict[tuple[str, ...], Term]:
    """Every known phrase, as its words without fillers."""
    terms = {word: Term("separator", word) for word in SEPARATORS}
    terms |= {word: Term("region", region) for region, words in REGION_WORDS.items() for word in words.split()}
    terms |= {word: Term("intensity", str(level)) for level, words in INTENSITIES.items() for word in words.split()}
    terms |= {word: Term("solid", word) for word in SOLIDS}
    terms |= {word: Term("light noun", word) for word in ("light", "lighting", "lit")}
    tables = {
        "color": COLORS,
        "material": MATERIALS,
        "character": CHARACTERS,
        "style": STYLES,
        "light": LIGHTS,
        "tone": TONES,
        "makeup": (*MAKEUP, "makeup"),
        "metal": METALS,
    }
    terms |= {name: Term(kind, name) for kind, names in tables.items() for name in names}
    terms |= {phrase: Term(*effect) for effect, phrases in SYNONYMS.items() for phrase in phrases.split(", ")}
    return {tuple(word for word in words_of(phrase) if word not in FILLERS): term for phrase, term in terms.items()}


PHRASES = _known_phrases()
"""What can be understood."""
LONGEST_PHRASE = max(map(len, PHRASES))
"""In words."""


def vocabulary_summary() -> str:
    """The whole vocabulary in a few lines, for messages and help."""
    parts = {
        "colours": COLORS,
        "on": ("hair", "eyes", "lips", "skin", "brows", "clothes"),
        "tones": TONES,
        "make-up": ("makeup", *MAKEUP),
        "materials": MATERIALS,
        "characters": CHARACTERS,
        "styles": STYLES,
        "light": LIGHTS,
    }
    return "; ".join(f"{title}: {', '.join(names)}" for title, names in parts.items())
