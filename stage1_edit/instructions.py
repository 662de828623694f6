"""English instructions that need no diffusion model: words in, effects out.

The grammar is small on purpose. Words that carry no meaning here ("turn him into a ...") are dropped; what is left must
be known, word for word, or the instruction is refused: a half-understood edit is worse than none. An instruction is a
row of clauses joined by "and", "with" or commas; each names effects and, where it matters, the parts they go to.

    make her hair silver                        hair: make it silver
    turn him into a bronze statue               an oil painting with slightly warm light
    give her dark blue eyes and red lipstick    hair: ginger and a bit darker
"""

import difflib
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, cast

from stage1_edit.prompts import EditPrompt
from stage1_edit.vocabulary import (
    FILLERS,
    FULL_MAKEUP,
    HAIR_COLORS,
    LONGEST_PHRASE,
    MAKEUP_REGIONS,
    PHRASES,
    SHADES,
    SOLIDS,
    Term,
    vocabulary_summary,
    words_of,
)
from tracking.errors import UserError
from tracking.regions import REGIONS

EffectKind: TypeAlias = Literal["color", "tone", "makeup", "material", "character", "style", "light"]


@dataclass(frozen=True)
class Effect:
    """One thing to do to a portrait."""

    kind: EffectKind
    name: str
    """A key of the kind's table: `COLORS`, `TONES`, `MAKEUP`, `MATERIALS`, `CHARACTERS`, `STYLES` or `LIGHTS`."""
    region: str
    """Where it is done, a key of `REGIONS`."""
    strength: float = 1.0
    """0.5 for "slightly", 1.5 for "very"."""
    color: str | None = None
    """Make-up of another colour than its own."""
    shade: float = 0.0
    """A colour made lighter (above 0, "light") or darker (below 0, "dark")."""


@dataclass
class _Clause:
    """What was said between two separators."""

    regions: list[str] = field(default_factory=list)
    things: list[Term] = field(default_factory=list)
    intensity: float = 1.0
    shade: float = 0.0
    solid: str | None = None
    """The word that says that a material is meant, such as "statue"."""

    @property
    def is_complete(self) -> bool:
        return bool(self.regions and self.things)

    @property
    def continues_the_last(self) -> bool:
        """Whether a clause without a part of its own is about the part named before: "her hair silver and darker"."""
        return not self.regions and not self.solid and any(t.kind in ("color", "tone", "metal") for t in self.things)


def parse_instruction(prompt: EditPrompt) -> tuple[Effect, ...]:
    """Understand a prompt: its effects, in the order of its words.

    Raises:
        UserError: a word is unknown, nothing is asked for, or the text names a part outside the prompt's region. The
            message lists the vocabulary.
    """
    effects: list[Effect] = []
    waiting: list[str] = []
    regions: list[str] = []
    last: _Clause | None = None
    for clause in _clauses(_terms(prompt.text)):
        if clause.solid and not any(thing.kind in ("material", "metal") for thing in clause.things):
            material = SOLIDS[clause.solid]
            clause.things += [Term("material", material)] if material else []
        if not clause.things:
            # "her hair and brows silver": parts of which nothing is asked yet wait for the next clause.
            waiting += clause.regions
            continue
        if waiting or not clause.continues_the_last:
            regions = waiting + clause.regions
        waiting, last = [], clause
        effects += _effects(clause, regions, prompt.region)
    if waiting and last is not None:
        # "silver hair and brows"
        effects += _effects(last, waiting, prompt.region)
    if not effects:
        raise UserError(
            f"The instruction '{prompt.text}' asks for nothing that the offline editor can do. It knows {_KNOWN}."
        )
    for effect in effects:
        if not REGIONS[effect.region] & REGIONS[prompt.region]:
            raise UserError(
                f"The prompt '{prompt}' may only change the {prompt.region}, but its text names the {effect.region}: "
                "leave the part before the colon out, or let both agree."
            )
    return tuple(effects)


_KNOWN = (
    f"{vocabulary_summary()}; joined by 'and' or commas, with 'slightly', 'very', 'dark' or 'light' (any other "
    "instruction needs InstructPix2Pix)"
)


def _terms(text: str) -> list[Term]:
    """Cut the text into known phrases, longest first."""
    words = [word for word in words_of(text) if word not in FILLERS]
    terms: list[Term] = []
    unknown: list[str] = []
    position = 0
    while position < len(words):
        term, length = _match(words, position)
        following = _match(words, position + 1)[0]
        if following is not None and length == 1:
            if words[position] in SHADES and following.kind in ("color", "metal"):
                term = Term("shade", str(SHADES[words[position]]))
            elif words[position] == "light" and following.kind == "region":
                term = Term("tone", "lighter")
        if term is None:
            unknown.append(words[position])
        else:
            terms.append(term)
        position += length
    if unknown:
        close = difflib.get_close_matches(unknown[0], [" ".join(phrase) for phrase in PHRASES], n=1, cutoff=0.75)
        hint = f" (did you mean '{close[0]}'?)" if close else ""
        raise UserError(
            f"The offline editor does not know {' or '.join(map(repr, unknown))} in '{text}'{hint}. It knows {_KNOWN}."
        )
    return terms


def _match(words: list[str], position: int) -> tuple[Term | None, int]:
    """The longest known phrase that starts at a word, and its length in words."""
    for length in range(min(LONGEST_PHRASE, len(words) - position), 0, -1):
        term = PHRASES.get(tuple(words[position : position + length]))
        if term is not None:
            return term, length
    return None, 1


def _clauses(terms: list[Term]) -> list[_Clause]:
    """Part the terms at separators, and where a clause that has its part and its effect is followed by another."""
    clauses = [_Clause()]
    for term in terms:
        says_more = term.kind not in ("intensity", "shade", "solid", "light noun")
        if term.kind == "separator" or (says_more and clauses[-1].is_complete):
            clauses.append(_Clause())
        clause = clauses[-1]
        if term.kind == "region":
            clause.regions.append(term.value)
        elif term.kind == "intensity":
            clause.intensity *= float(term.value)
        elif term.kind == "shade":
            clause.shade += float(term.value)
        elif term.kind == "solid":
            clause.solid = term.value
        elif term.kind not in ("separator", "light noun"):
            clause.things.append(term)
    return clauses


def _effects(clause: _Clause, regions: list[str], prompt_region: str) -> list[Effect]:
    things = list(clause.things)
    colors = [thing for thing in things if thing.kind in ("color", "metal")]
    makeup_color = None
    if colors and any(thing.kind == "makeup" for thing in things):
        makeup_color = colors[0].value
        things = [thing for thing in things if thing not in colors]
    shade = max(-1.0, min(1.0, clause.shade * clause.intensity))
    # "very dark blue" is a darker blue, not more of it.
    strength = 1.0 if clause.shade else clause.intensity
    effects = []
    for thing in things:
        if thing.kind == "makeup":
            pieces = FULL_MAKEUP if thing.value == "makeup" else (thing.value,)
            effects += [
                Effect("makeup", piece, MAKEUP_REGIONS.get(piece, "face"), clause.intensity, makeup_color, shade)
                for piece in pieces
            ]
            continue
        for region in regions or [_default_region(thing, prompt_region)]:
            kind = thing.kind
            if kind == "metal":
                kind = "material" if clause.solid or region in ("person", "head", "face") else "color"
            effects.append(Effect(cast(EffectKind, kind), thing.value, region, strength, shade=shade))
    return effects


def _default_region(thing: Term, prompt_region: str) -> str:
    """Where an effect goes whose part the text leaves out."""
    if thing.kind != "color" or prompt_region != "person":
        return prompt_region
    return "hair" if thing.value in HAIR_COLORS else "skin"
